#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"

#include "member.h"
#include "message.h"


#define POLL_WAIT 20   /* ms */
#define STOP_WAIT 1000 /* ms that a stopping process waits for acks */
#define SEND_WAIT 2000 /* ms that merging waits for acks */
#define REST_TIME 2000 /* ms of a round for what was left over, about */
#define ASK_INTERVAL 500
#define ASK_WAIT 100


static int outbox_open(mr_member_t *member, mr_error_t *err);
static int outbox_send(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err);
static int outbox_send_one(mr_member_t *member, mr_buf_t *key, mr_buf_t *value,
    mr_outbox_item_t *item, mr_error_t *err);
static void outbox_wait(mr_member_t *member);
static int outbox_mark(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err);
static bool outbox_back(mr_member_t *member);
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
        || (item->window->frozen == 0
            && mr_message_value(value, item->window) != 0))
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    k = (mr_str_t){key->data, key->len};
    v = item->window->frozen != 0 ? item->window->text
                                  : (mr_str_t){value->data, value->len};

    for (;;) {

        /* This process may have been suspended since the one before. */
        if (!mr_lease_valid(&member->lease, mr_time_monotonic())) {
            return mr_error_set(
                err, MR_ERROR_FENCED, NULL, "the lease is over");
        }

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
 * Until the fate of every message is known, but not for long: nothing is
 * merged meanwhile.  What is pending is given up then, and by a process that
 * lost the lease or stops.
 */
static void
outbox_wait(mr_member_t *member)
{
    int64_t stop, end;
    mr_error_t err;

    stop = 0;
    end = mr_time_monotonic() + SEND_WAIT;

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

        if (mr_time_monotonic() >= end
            || (mr_member_keep(member, &err) != 0
                && !mr_lease_valid(&member->lease, mr_time_monotonic())))
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
    int64_t end;
    mr_merged_list_t windows;

    if (member->away && !outbox_back(member)) {
        return 0;
    }

    end = mr_time_monotonic() + REST_TIME;

    while (member->dirty && mr_time_monotonic() < end) {
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

        if (windows.n == 0) {
            member->dirty = false;
            break;
        }

        if (mr_member_publish(member, &windows, err) != 0) {
            return mr_member_away(member, err);
        }
    }

    return 0;
}


int
mr_member_away(mr_member_t *member, const mr_error_t *err)
{
    if (err->code != MR_ERROR_KAFKA) {
        return -1;
    }

    if (!member->away) {
        mr_log_error("%s; windows are merged but not published until it is "
                     "back",
            err->message);
    }

    mr_metric_add(member->metrics.failures, 1);
    member->away = true;
    member->ask = mr_time_monotonic() + ASK_INTERVAL;

    return 0;
}


/* Is Kafka there again?  Asked now and then, with a short wait. */
static bool
outbox_back(mr_member_t *member)
{
    mr_error_t err;

    if (mr_time_monotonic() < member->ask) {
        return false;
    }

    member->ask = mr_time_monotonic() + ASK_INTERVAL;

    if (outbox_open(member, &err) != 0
        || mr_publisher_ready(member->publisher, ASK_WAIT, &err) != 0)
    {
        mr_log_debug("%s", err.message);
        mr_metric_add(member->metrics.failures, 1);
        return false;
    }

    mr_log_info("Kafka is back: windows are published");
    member->away = false;

    return true;
}
