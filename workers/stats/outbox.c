#include <string.h>

#include <millrace/time.h>

#include "../common/run.h"

#include "member.h"
#include "message.h"


#define POLL_WAIT 20   /* ms */
#define STOP_WAIT 1000 /* ms that a stopping process waits for acks */


static int outbox_open(mr_member_t *member, mr_error_t *err);
static int outbox_send(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err);
static int outbox_send_one(mr_member_t *member, mr_buf_t *key, mr_buf_t *value,
    mr_outbox_item_t *item, mr_error_t *err);
static void outbox_wait(mr_member_t *member);
static int outbox_mark(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err);
static void outbox_observer(void *ctx, void *item, const char *error);


int
mr_member_publish(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err)
{
    int rc;
    mr_error_t late;

    if (windows->n == 0) {
        return 0;
    }

    if (mr_member_keep(member, err) != 0 || outbox_open(member, err) != 0) {
        return -1;
    }

    memset(member->items, 0, windows->n * sizeof(mr_outbox_item_t));
    member->delivery_error = NULL;

    rc = outbox_send(member, windows, err);
    outbox_wait(member);

    /* What has been acknowledged is marked even if the rest has failed. */
    if (outbox_mark(member, windows, rc == 0 ? err : &late) != 0) {
        return -1;
    }

    if (rc == 0 && member->delivery_error != NULL) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot publish to the topic \"%s\": %s",
            member->options->kafka.stats_topic, member->delivery_error);
    }

    return rc;
}


static int
outbox_open(mr_member_t *member, mr_error_t *err)
{
    if (member->publisher != NULL && mr_publisher_failed(member->publisher)) {
        mr_publisher_close(member->publisher);
        member->publisher = NULL;
    }

    if (member->publisher != NULL) {
        return 0;
    }

    return mr_publisher_open(member->options,
        mr_lease_message_timeout(&member->lease), outbox_observer, member,
        &member->publisher, err);
}


static int
outbox_send(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_buf_t key = MR_BUF_INIT, value = MR_BUF_INIT;

    rc = 0;

    for (i = 0; i < windows->n && rc == 0; i++) {
        member->items[i].window = windows->list[i];
        rc = outbox_send_one(member, &key, &value, &member->items[i], err);
    }

    mr_buf_free(&key);
    mr_buf_free(&value);

    return rc;
}


static int
outbox_send_one(mr_member_t *member, mr_buf_t *key, mr_buf_t *value,
    mr_outbox_item_t *item, mr_error_t *err)
{
    mr_str_t k, v;

    mr_buf_reset(key);
    mr_buf_reset(value);

    if (mr_message_key(key, &item->window->key) != 0
        || mr_message_value(value, item->window) != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    k.data = key->data;
    k.len = key->len;
    v.data = value->data;
    v.len = value->len;

    for (;;) {

        if (mr_publisher_send(member->publisher, k, v, item, err) == 0) {
            return 0;
        }

        if (err->code != MR_ERROR_TIMEOUT) {
            return -1;
        }

        mr_publisher_poll(member->publisher, POLL_WAIT);

        if (mr_member_keep(member, err) != 0) {
            return -1;
        }
    }
}


/*
 * Until the fate of every message is known.  The messages' own time-out ends
 * this within the lease; a process that lost the lease, or stops, gives up
 * what is pending.
 */
static void
outbox_wait(mr_member_t *member)
{
    int64_t stop;
    mr_error_t err;

    stop = 0;

    while (mr_publisher_pending(member->publisher) > 0) {
        mr_publisher_poll(member->publisher, POLL_WAIT);

        if (mr_run_stopping()) {

            if (stop == 0) {
                stop = mr_time_monotonic() + STOP_WAIT;
            }

            if (mr_time_monotonic() >= stop) {
                break;
            }

            continue;
        }

        if (mr_member_keep(member, &err) != 0
            && !mr_lease_valid(&member->lease, mr_time_monotonic()))
        {
            break;
        }
    }

    if (mr_publisher_pending(member->publisher) > 0) {
        mr_publisher_close(member->publisher);
        member->publisher = NULL;
    }
}


static int
outbox_mark(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err)
{
    size_t i;
    mr_merged_t *acked[MR_BATCH_WINDOWS];
    mr_merged_list_t list;

    list.list = acked;
    list.n = 0;

    for (i = 0; i < windows->n; i++) {

        if (member->items[i].acked) {
            acked[list.n++] = member->items[i].window;
        }
    }

    mr_metric_add(member->metrics.published, (int64_t) list.n);

    return mr_store_published(member->store, &list, err);
}


static void
outbox_observer(void *ctx, void *item, const char *error)
{
    mr_member_t *member;
    mr_outbox_item_t *sent;

    member = ctx;
    sent = item;

    if (error == NULL) {
        sent->acked = true;

    } else {
        member->delivery_error = error;
    }
}


int
mr_member_publish_rest(mr_member_t *member, mr_error_t *err)
{
    mr_merged_list_t windows;

    while (member->dirty) {
        mr_arena_reset(&member->arena);

        windows.list = member->batch;
        windows.n = MR_BATCH_WINDOWS;

        if (mr_member_keep(member, err) != 0
            || mr_store_dirty(member->store, &member->arena, &windows, err)
                   != 0)
        {
            return -1;
        }

        mr_metric_set(member->metrics.dirty, (double) windows.n);

        if (mr_member_publish(member, &windows, err) != 0) {
            return -1;
        }

        member->dirty = windows.n == MR_BATCH_WINDOWS;
    }

    mr_metric_set(member->metrics.dirty, 0);

    return 0;
}
