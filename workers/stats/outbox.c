#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"

#include "member.h"
#include "message.h"


#define POLL_WAIT 20                /* ms */
#define SEND_WAIT MR_PUBLISHER_WAIT /* that merging waits for acks */
#define BATCH_TIME 2000 /* ms that it waits for a batch of windows, about */
#define FENCE_WAIT 5000 /* ms that it waits for a new publisher */
#define REST_TIME 2000  /* ms of a round for what was left over, about */
#define ASK_INTERVAL 500
#define ASK_SHARE 5 /* and at least so many times what asking took */
#define ASK_WAIT 100
#define ASK_WAIT_MAX 2000
#define LOOK_INTERVAL 5000  /* ms */
#define COUNT_INTERVAL 2000 /* ms */
#define COUNT_MAX 100000    /* dirty windows */
#define FAILED_WAIT 5000    /* ms until one that has failed is made anew */

/*
 * Bytes of a transaction, about: it has SEND_WAIT to arrive.  One that did not
 * is followed by others of half the size, and a full one that was quick by one
 * of twice the size: so a slow network takes less at a time, but takes it.
 */
#define TRANSACTION_SIZE ((size_t) 4 * 1024 * 1024)
#define TRANSACTION_HALVED 10 /* times at most; a window always fits */
#define TRANSACTION_QUICK (SEND_WAIT / 4)


static int outbox_publish(
    mr_member_t *member, mr_merged_list_t *rest, int64_t end, mr_error_t *err);
static int outbox_open(mr_member_t *member, mr_error_t *err);
static int outbox_fence(mr_member_t *member, mr_error_t *err);
static int outbox_most(const mr_member_t *member);
static int outbox_sized(mr_member_t *member, const mr_merged_list_t *windows,
    size_t *ret_n, mr_error_t *err);
static int outbox_transact(mr_member_t *member, const mr_merged_list_t *windows,
    size_t *ret_n, mr_error_t *err);
static int outbox_send(mr_member_t *member, const mr_merged_list_t *windows,
    size_t *ret_n, mr_error_t *err);
static int outbox_send_one(mr_member_t *member, mr_str_t key, mr_str_t value,
    mr_merged_t *window, mr_error_t *err);
static int outbox_wait(mr_member_t *member, mr_error_t *err);
static int outbox_commit(mr_member_t *member, mr_error_t *err);
static int outbox_patience(mr_member_t *member, int64_t end, mr_error_t *err);
static int outbox_rest(mr_member_t *member, mr_error_t *err);
static int outbox_count(mr_member_t *member, mr_error_t *err);
static bool outbox_back(mr_member_t *member);
static void outbox_observer(void *ctx, void *item, const char *error);


int
mr_member_publish(mr_member_t *member, const mr_merged_list_t *windows,
    bool *ret_all, mr_error_t *err)
{
    size_t first;
    int64_t end;
    mr_merged_list_t rest;

    end = mr_time_monotonic() + BATCH_TIME;

    /* Or the last ones of a list that is long again would never be sent. */
    first = windows->n > 0 ? member->turn % windows->n : 0;

    rest.list = windows->list + first;
    rest.n = windows->n - first;

    if (outbox_publish(member, &rest, end, err) != 0) {
        return -1;
    }

    if (rest.n == 0) {
        rest.list = windows->list;
        rest.n = first;

        if (outbox_publish(member, &rest, end, err) != 0) {
            return -1;
        }
    }

    member->turn = rest.n > 0 ? (size_t) (rest.list - windows->list) : 0;
    *ret_all = rest.n == 0;

    return 0;
}


/* The list's first ones, while there is time; leaves the others in it. */
static int
outbox_publish(
    mr_member_t *member, mr_merged_list_t *rest, int64_t end, mr_error_t *err)
{
    size_t n;
    mr_merged_list_t sent;

    for (; rest->n > 0 && mr_time_monotonic() < end;
         rest->list += n, rest->n -= n) {
        if (mr_member_keep(member, err) != 0 || outbox_open(member, err) != 0
            || outbox_fence(member, err) != 0)
        {
            return -1;
        }

        /* If it fails, Kafka may have any of them: all are sent again. */
        if (outbox_sized(member, rest, &n, err) != 0) {
            mr_publisher_close(member->publisher);
            member->publisher = NULL;
            return -1;
        }

        sent.list = rest->list;
        sent.n = n;

        mr_metric_add(member->metrics.published, (int64_t) n);

        if (mr_store_published(member->store, &sent, err) != 0) {
            return -1;
        }
    }

    return 0;
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

    if (mr_publisher_open(
            member->options, outbox_observer, member, &member->publisher, err)
        == 0)
    {
        return 0;
    }

    /* It was good at the start: merging need not wait until it is again. */
    if (err->code == MR_ERROR_CONFIG) {
        err->code = MR_ERROR_KAFKA;
    }

    return -1;
}


/* From now on Kafka takes nothing more of those who had the lease before. */
static int
outbox_fence(mr_member_t *member, mr_error_t *err)
{
    int64_t end;
    mr_error_t late;

    end = mr_time_monotonic() + FENCE_WAIT;

    while (mr_publisher_fence(member->publisher, outbox_most(member), err) != 0)
    {
        if (mr_publisher_failed(member->publisher)) {
            return -1;
        }

        if (outbox_patience(member, end, &late) != 0) {

            /* Why it takes so long says more. */
            if (late.code != MR_ERROR_KAFKA) {
                *err = late;
            }

            return -1;
        }
    }

    return 0;
}


/*
 * How long an answer is waited for at a time: the lease has to be renewed
 * meanwhile.
 */
static int
outbox_most(const mr_member_t *member)
{
    int64_t most;

    most = member->lease.duration / 4;

    return most < ASK_WAIT_MAX ? (int) most : ASK_WAIT_MAX;
}


/* As outbox_transact(), and learn of it how large the next one may be. */
static int
outbox_sized(mr_member_t *member, const mr_merged_list_t *windows,
    size_t *ret_n, mr_error_t *err)
{
    int64_t begun;

    begun = mr_time_monotonic();

    if (outbox_transact(member, windows, ret_n, err) != 0) {

        if (err->code == MR_ERROR_KAFKA && member->halved < TRANSACTION_HALVED)
        {
            member->halved++;
        }

        return -1;
    }

    if (member->halved > 0 && *ret_n < windows->n
        && mr_time_monotonic() - begun < TRANSACTION_QUICK)
    {
        member->halved--;
    }

    return 0;
}


/* Publish the first *ret_n of them, all or none. */
static int
outbox_transact(mr_member_t *member, const mr_merged_list_t *windows,
    size_t *ret_n, mr_error_t *err)
{
    member->delivery_error = NULL;

    if (mr_publisher_begin(member->publisher, err) != 0
        || outbox_send(member, windows, ret_n, err) != 0
        || outbox_wait(member, err) != 0)
    {
        return -1;
    }

    return outbox_commit(member, err);
}


static int
outbox_send(mr_member_t *member, const mr_merged_list_t *windows, size_t *ret_n,
    mr_error_t *err)
{
    int rc;
    size_t i, size, most;
    mr_str_t text;
    mr_buf_t key = MR_BUF_INIT, value = MR_BUF_INIT;
    mr_merged_t *window;

    rc = 0;
    size = 0;
    most = TRANSACTION_SIZE >> member->halved;

    for (i = 0; i < windows->n && rc == 0 && size < most; i++) {
        window = windows->list[i];
        mr_buf_reset(&key);
        mr_buf_reset(&value);

        if (mr_message_key(&key, &window->key) != 0
            || (window->frozen == 0 && mr_message_value(&value, window) != 0))
        {
            rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
            break;
        }

        text = window->frozen != 0 ? window->text
                                   : (mr_str_t){value.data, value.len};
        size += text.len;

        rc = outbox_send_one(
            member, (mr_str_t){key.data, key.len}, text, window, err);
    }

    mr_buf_free(&key);
    mr_buf_free(&value);
    *ret_n = i;

    return rc;
}


static int
outbox_send_one(mr_member_t *member, mr_str_t key, mr_str_t value,
    mr_merged_t *window, mr_error_t *err)
{
    for (;;) {

        /* This process may have been suspended since the one before. */
        if (!mr_lease_valid(&member->lease, mr_time_monotonic())) {
            return mr_error_set(
                err, MR_ERROR_FENCED, NULL, "the lease is over");
        }

        if (mr_publisher_send(member->publisher, key, value, window, err) == 0)
        {
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


/* Until every message has arrived. */
static int
outbox_wait(mr_member_t *member, mr_error_t *err)
{
    int64_t end;

    end = mr_time_monotonic() + SEND_WAIT;

    while (mr_publisher_pending(member->publisher) > 0
           && member->delivery_error == NULL)
    {
        mr_publisher_poll(member->publisher, POLL_WAIT);

        if (outbox_patience(member, end, err) != 0) {
            return -1;
        }
    }

    if (member->delivery_error == NULL) {
        return 0;
    }

    return mr_error_set(err,
        mr_publisher_fenced(member->publisher) ? MR_ERROR_FENCED
                                               : MR_ERROR_KAFKA,
        NULL, "cannot publish to the topic \"%s\": %s",
        member->options->kafka.stats_topic, member->delivery_error);
}


static int
outbox_commit(mr_member_t *member, mr_error_t *err)
{
    int64_t end;

    end = mr_time_monotonic() + SEND_WAIT;

    while (mr_publisher_commit(member->publisher, ASK_WAIT, err) != 0) {

        if (err->code != MR_ERROR_TIMEOUT
            || outbox_patience(member, end, err) != 0) {
            return -1;
        }
    }

    return 0;
}


/*
 * Whether Kafka is waited for any longer.  Not for long, as nothing is merged
 * meanwhile, and not by a process that has lost the lease.
 */
static int
outbox_patience(mr_member_t *member, int64_t end, mr_error_t *err)
{
    if (mr_time_monotonic() >= end) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot publish to the topic \"%s\": no acknowledgement in time",
            member->options->kafka.stats_topic);
    }

    if (mr_run_stopping()) {
        return 0;
    }

    return mr_member_keep(member, err);
}


static void
outbox_observer(void *ctx, void *item, const char *error)
{
    mr_member_t *member;

    (void) item;

    member = ctx;

    if (error != NULL && member->delivery_error == NULL) {
        member->delivery_error = error;
    }
}


int
mr_member_publish_rest(mr_member_t *member, mr_error_t *err)
{
    if (outbox_rest(member, err) != 0) {
        return -1;
    }

    return outbox_count(member, err);
}


static int
outbox_rest(mr_member_t *member, mr_error_t *err)
{
    bool all;
    int64_t end, now;
    mr_merged_list_t windows;

    if (member->away && !outbox_back(member)) {
        return 0;
    }

    now = mr_time_monotonic();
    end = now + REST_TIME;

    /*
     * A member whose lease is over may have stored a window after all that was
     * dirty was published: closed it, say, so that nothing is left to be done
     * here by which it would be noticed.
     */
    if (now >= member->look) {
        member->look = now + LOOK_INTERVAL;
        member->dirty = true;
    }

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

        if (windows.n == 0) {
            member->dirty = false;
            break;
        }

        if (mr_member_publish(member, &windows, &all, err) != 0) {
            return mr_member_away(member, err);
        }
    }

    return 0;
}


/* For who watches: now and then, as it reads a key of an index for each. */
static int
outbox_count(mr_member_t *member, mr_error_t *err)
{
    int64_t n, now;

    n = 0;
    now = mr_time_monotonic();

    if (member->dirty) {

        if (now < member->count) {
            return 0;
        }

        if (mr_store_count_dirty(member->store, COUNT_MAX, &n, err) != 0) {
            return -1;
        }

        member->count = now + COUNT_INTERVAL;
    }

    mr_metric_set(member->metrics.dirty, (double) n);

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


/* Is Kafka there again?  Asked now and then. */
static bool
outbox_back(mr_member_t *member)
{
    int64_t begun, pause;
    mr_error_t err;

    begun = mr_time_monotonic();

    if (begun < member->ask) {
        return false;
    }

    if (mr_member_keep(member, &err) != 0 || outbox_open(member, &err) != 0
        || mr_publisher_fence(member->publisher, outbox_most(member), &err)
               != 0)
    {
        mr_log_debug("%s", err.message);
        mr_metric_add(member->metrics.failures, 1);

        /* However long an answer takes: merging has most of the time. */
        pause = ASK_SHARE * (mr_time_monotonic() - begun);
        member->ask = begun + (pause > ASK_INTERVAL ? pause : ASK_INTERVAL);

        if (member->publisher == NULL || mr_publisher_failed(member->publisher))
        {
            member->ask = mr_time_monotonic() + FAILED_WAIT;
        }

        return false;
    }

    mr_log_info("Kafka is back: windows are published");
    member->away = false;

    return true;
}
