#include <stdio.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"
#include "lane_private.h"


#define LANE_BACKOFF_MS 50
#define LANE_DEAD_TIMEOUT 5000
#define LANE_BOUNDS_TIMEOUT 5000

/*
 * MongoDB aborts a transaction that lasts too long (15 s by conf/mongod.conf,
 * transactionLifetimeLimitSeconds) or does not fit into its cache.  One that
 * was aborted after so long, or so often, is taken for too large, and what
 * follows is stored in smaller flushes.
 */
#define LANE_LARGE_MS 10000
#define LANE_LARGE_TRIES 4
#define LANE_LARGE_MIN 1024

/* Over which lane->load is a mean. */
#define LANE_LOAD_MS 30000


static int lane_check_hole(mr_lane_t *lane, mr_seat_t *seat);
static int lane_check_log(mr_lane_t *lane, mr_seat_t *seat);
static int lane_explained(const mr_partition_t *partition, int64_t offset);
static int lane_dead_letters(mr_lane_t *lane, mr_seat_t *seat);
static int lane_produce(
    mr_lane_t *lane, const mr_seat_t *seat, mr_error_t *err);
static int lane_patient(void *ctx);
static int lane_send(mr_lane_t *lane, const mr_seat_t *seat,
    const mr_dead_t *dead, mr_error_t *err);
static int lane_prepare(mr_lane_t *lane, mr_seat_t *seat);
static int lane_transact(
    mr_lane_t *lane, mr_seat_t *seat, const mr_ledger_t *after);
static int lane_too_large(
    const mr_seat_t *seat, unsigned attempt, int64_t took);
static void lane_loaded(mr_lane_t *lane, int64_t now, int64_t took);
static void lane_stored(
    mr_lane_t *lane, mr_seat_t *seat, const mr_ledger_t *after, int64_t since);
static int lane_backoff(mr_lane_t *lane, unsigned attempt);
static void lane_drop(mr_seat_t *seat);


void
mr_lane_store(mr_lane_t *lane, mr_seat_t *seat)
{
    int64_t since;
    mr_ledger_t after;

    if (seat->halted || seat->flush->records == 0) {
        return;
    }

    since = mr_time_monotonic();
    mr_partition_after(seat->partition, &after);

    if (lane_check_hole(lane, seat) != 0 || lane_check_log(lane, seat) != 0
        || lane_dead_letters(lane, seat) != 0 || lane_prepare(lane, seat) != 0
        || lane_transact(lane, seat, &after) != 0)
    {
        return;
    }

    lane_stored(lane, seat, &after, since);
}


void
mr_lane_halt(
    mr_lane_t *lane, mr_seat_t *seat, mr_halt_t why, const mr_error_t *err)
{
    mr_log_warn("partition=%d next=%lld %s: %s; what is not stored is read "
                "again",
        (int) seat->partition->id, (long long) seat->partition->ledger.next,
        mr_halt_name(why), err->message);

    mr_metric_add(lane->env->counters->halts[why], 1);

    lane_drop(seat);
    lane->env->halted(lane->env->ctx, seat->partition, why);
}


/*
 * Offsets were passed over: harmless if the log still reaches back to the
 * first of them, for then it never held them (transaction markers, aborted
 * records).  Returns -1 when the seat was halted or dropped.
 */
static int
lane_check_hole(mr_lane_t *lane, mr_seat_t *seat)
{
    int64_t start;
    unsigned attempt;
    mr_error_t err;
    mr_partition_t *partition;

    partition = seat->partition;

    if (mr_partition_doubtful(partition)) {
        mr_error_set(&err, MR_ERROR_GAP, NULL,
            "offsets were passed over, %zu stretches such as from %lld on: "
            "either the log never gave them, or something went wrong",
            partition->doubtful, (long long) partition->hole);
        mr_lane_halt(lane, seat, MR_HALT_HOLE, &err);
        return -1;
    }

    if (partition->hole == -1) {
        return 0;
    }

    for (attempt = 0; mr_consumer_bounds(seat->consumer, &partition->id, 1,
                          LANE_BOUNDS_TIMEOUT, &start, NULL, &err)
                      != 0;
         attempt++)
    {
        mr_log_warn("partition=%d %s", (int) partition->id, err.message);

        if (lane_backoff(lane, attempt) != 0) {
            lane_drop(seat);
            return -1;
        }
    }

    if (start > partition->hole) {
        mr_error_set(&err, MR_ERROR_GAP, NULL,
            "offset %lld was passed over and the log starts at %lld",
            (long long) partition->hole, (long long) start);
        mr_lane_halt(lane, seat, MR_HALT_LOST, &err);
        return -1;
    }

    mr_metric_add(lane->env->counters->holes, 1);

    return 0;
}


/*
 * Is it still the log that was stored from?  A topic may be deleted and
 * created again, or lose its end, and go beyond our position before anybody
 * looks.  Then something later than the last stored record lies at or below
 * its offset, which cannot be where brokers stamp the records in order.  If a
 * broker's clock was behind it may be so after all: the partition is begun
 * anew, and the record itself decides.  Returns -1 when the seat was halted
 * or dropped.
 */
static int
lane_check_log(mr_lane_t *lane, mr_seat_t *seat)
{
    int64_t offset;
    unsigned attempt;
    mr_error_t err;
    const mr_last_t *last;

    last = &seat->partition->ledger.last;

    if (last->offset == -1 || !seat->partition->appended
        || seat->partition->later_end == last->offset)
    {
        return 0;
    }

    for (attempt = 0; mr_consumer_after(seat->consumer, seat->partition->id,
                          last->time, LANE_BOUNDS_TIMEOUT, &offset, &err)
                      != 0;
         attempt++)
    {
        mr_log_warn("partition=%d %s", (int) seat->partition->id, err.message);

        if (lane_backoff(lane, attempt) != 0) {
            lane_drop(seat);
            return -1;
        }
    }

    if (offset != -1 && offset <= last->offset
        && !lane_explained(seat->partition, offset))
    {
        mr_error_set(&err, MR_ERROR_GAP, NULL,
            "offset %lld is later than offset %lld, which was stored",
            (long long) offset, (long long) last->offset);
        seat->partition->later = offset;
        seat->partition->later_end = last->offset;
        mr_lane_halt(lane, seat, MR_HALT_CHANGED, &err);
        return -1;
    }

    return 0;
}


/*
 * For as long as a broker's clock is behind, records later than the last one
 * lie where they did when that was first seen and the record itself decided.
 * In another log it would be the first record of all.
 */
static int
lane_explained(const mr_partition_t *partition, int64_t offset)
{
    return partition->later > 0 && offset >= partition->later
           && offset <= partition->later_end;
}


/* Returns -1 when the flush was dropped. */
static int
lane_dead_letters(mr_lane_t *lane, mr_seat_t *seat)
{
    unsigned attempt;
    mr_error_t err;

    if (seat->flush->n_dead == 0) {
        return 0;
    }

    for (attempt = 0; lane_produce(lane, seat, &err) != 0; attempt++) {
        mr_log_error("partition=%d dead letters, attempt %u: %s",
            (int) seat->partition->id, attempt + 1, err.message);
        mr_metric_add(lane->env->counters->dead_retries, 1);

        if (lane_backoff(lane, attempt) != 0) {
            lane_drop(seat);
            return -1;
        }
    }

    mr_log_warn("partition=%d %zu records up to offset %lld are no valid "
                "events and went to %s; the first, at offset %lld: %.*s",
        (int) seat->partition->id, seat->flush->n_dead,
        (long long) seat->partition->last.offset,
        lane->env->options->kafka.dead_topic,
        (long long) seat->flush->dead[0].offset,
        (int) seat->flush->dead[0].reason.len,
        seat->flush->dead[0].reason.data);

    return 0;
}


static int
lane_produce(mr_lane_t *lane, const mr_seat_t *seat, mr_error_t *err)
{
    size_t i;
    mr_error_t other;

    if (mr_producer_begin(lane->env->dead, err) != 0) {
        return -1;
    }

    for (i = 0; i < seat->flush->n_dead; i++) {
        if (lane_send(lane, seat, &seat->flush->dead[i], err) != 0) {
            (void) mr_producer_end(
                lane->env->dead, 0, lane_patient, lane, &other);
            return -1;
        }
    }

    return mr_producer_end(
        lane->env->dead, LANE_DEAD_TIMEOUT, lane_patient, lane, err);
}


/* Nobody waits for the lane: slow is soon enough. */
static int
lane_patient(void *ctx)
{
    mr_lane_t *lane = ctx;

    return !atomic_load(&lane->release) && !mr_run_stopping();
}


static int
lane_send(mr_lane_t *lane, const mr_seat_t *seat, const mr_dead_t *dead,
    mr_error_t *err)
{
    char partition[16], offset[24];
    mr_letter_t letter;

    memset(&letter, 0, sizeof(mr_letter_t));

    (void) snprintf(
        partition, sizeof(partition), "%d", (int) seat->partition->id);
    (void) snprintf(offset, sizeof(offset), "%lld", (long long) dead->offset);

    if (dead->has_key) {
        letter.key = dead->key;
    }

    if (dead->has_value) {
        letter.value = dead->value;
    }

    letter.headers[0].name = "millrace-error";
    letter.headers[0].value = dead->reason;
    letter.headers[1].name = "millrace-topic";
    letter.headers[1].value.data = lane->env->options->kafka.topic;
    letter.headers[1].value.len = strlen(lane->env->options->kafka.topic);
    letter.headers[2].name = "millrace-partition";
    letter.headers[2].value.data = partition;
    letter.headers[2].value.len = strlen(partition);
    letter.headers[3].name = "millrace-offset";
    letter.headers[3].value.data = offset;
    letter.headers[3].value.len = strlen(offset);

    return mr_producer_send(lane->env->dead, &letter, err);
}


/* Returns -1 when the seat was halted. */
static int
lane_prepare(mr_lane_t *lane, mr_seat_t *seat)
{
    mr_error_t err;
    mr_flush_t *flush;

    flush = seat->flush;
    mr_error_set(&err, MR_ERROR_MEMORY, NULL, "out of memory");

    if (mr_plan_make(&lane->plan, flush->entries, flush->n, flush->types.names)
            != 0
        || mr_store_prepare(lane->store, flush, &err) != 0)
    {
        mr_lane_halt(lane, seat, MR_HALT_MEMORY, &err);
        return -1;
    }

    return 0;
}


/*
 * Try until it is stored or not ours any more.  Returns -1 when the flush
 * was dropped.
 */
static int
lane_transact(mr_lane_t *lane, mr_seat_t *seat, const mr_ledger_t *after)
{
    int64_t began;
    unsigned attempt;
    mr_work_t work;
    mr_error_t err;
    mr_store_result_t result;

    work.partition = seat->partition->id;
    work.before = &seat->partition->ledger;
    work.after = after;
    work.flush = seat->flush;
    work.plan = &lane->plan;

    for (attempt = 0;; attempt++) {

        err.code = MR_OK;
        began = mr_time_monotonic();
        result = mr_store_flush(lane->store, &work, &err);

        if (result == MR_STORE_DONE) {
            return 0;
        }

        if (result == MR_STORE_FENCED) {
            mr_lane_halt(lane, seat, MR_HALT_FENCED, &err);
            return -1;
        }

        mr_log_warn("partition=%d next=%lld cannot store %zu events, attempt "
                    "%u: %s",
            (int) seat->partition->id, (long long) seat->partition->ledger.next,
            seat->flush->n, attempt + 1, err.message);
        mr_metric_add(lane->env->counters->store_retries, 1);
        mr_lane_show_lags(lane);

        if (result == MR_STORE_ABORTED
            && lane_too_large(seat, attempt, mr_time_monotonic() - began))
        {
            seat->partition->limit = seat->flush->records / 2;
            mr_lane_halt(lane, seat, MR_HALT_LARGE, &err);
            return -1;
        }

        if (lane_backoff(lane, attempt) != 0) {
            mr_log_warn("partition=%d next=%lld what is not stored is dropped "
                        "and will be read again",
                (int) seat->partition->id,
                (long long) seat->partition->ledger.next);
            lane_drop(seat);
            return -1;
        }
    }
}


static int
lane_too_large(const mr_seat_t *seat, unsigned attempt, int64_t took)
{
    if (seat->flush->records <= LANE_LARGE_MIN) {
        return 0;
    }

    return took >= LANE_LARGE_MS || attempt + 1 >= LANE_LARGE_TRIES;
}


/* How much of the time goes to storing: an exponential mean, flush by flush. */
static void
lane_loaded(mr_lane_t *lane, int64_t now, int64_t took)
{
    int64_t past, share, weight;

    past = now - lane->stored;
    lane->stored = now;

    if (past < 1) {
        return;
    }

    /* After a long rest nothing before it counts. */
    share = took < past ? 1000 * took / past : 1000;
    weight = past < LANE_LOAD_MS ? past : LANE_LOAD_MS;

    lane->load += (share - lane->load) * weight / LANE_LOAD_MS;
}


static void
lane_stored(
    mr_lane_t *lane, mr_seat_t *seat, const mr_ledger_t *after, int64_t since)
{
    size_t limit;
    int64_t took;
    mr_flush_t *flush;
    mr_counters_t *counters;

    flush = seat->flush;
    counters = lane->env->counters;
    took = mr_time_monotonic() - since;
    lane->took = (3 * lane->took + took) / 4;
    lane_loaded(lane, since + took, took);

    mr_log_debug("partition=%d next=%lld stored %zu events in %zu blocks",
        (int) seat->partition->id, (long long) after->next, flush->n,
        lane->plan.n);

    mr_metric_add(counters->stored, (int64_t) flush->n);
    mr_metric_add(counters->repeated, (int64_t) flush->repeated);
    mr_metric_add(counters->dead, (int64_t) flush->n_dead);
    mr_metric_add(counters->ignored, (int64_t) flush->ignored);
    mr_metric_add(counters->flushes, 1);
    mr_lane_types(lane, flush);
    mr_metric_observe(counters->flush_time, took);
    mr_metric_set(counters->flushed, (double) mr_time_now() / 1000);

    /* A limit that was lowered rises again, little by little. */
    limit = seat->partition->limit + seat->partition->limit / 8;
    seat->partition->limit =
        limit < (size_t) lane->env->options->writer.flush_events ? limit : 0;

    mr_partition_committed(seat->partition, after);
    mr_consumer_report(seat->consumer, seat->partition->id, after->next);
}


/*
 * Wait before another try.  Returns -1 when the lane is to let go and its
 * time for that is up.
 */
static int
lane_backoff(mr_lane_t *lane, unsigned attempt)
{
    struct timespec wait;

    if (!atomic_load(&lane->release) && !mr_run_stopping()) {
        (void) mr_run_backoff(attempt, LANE_BACKOFF_MS);
        return 0;
    }

    wait.tv_sec = 0;
    wait.tv_nsec = 200 * 1000 * 1000;
    (void) nanosleep(&wait, NULL);

    return atomic_load(&lane->release)
                   && mr_time_monotonic() >= atomic_load(&lane->deadline)
               ? -1
               : 0;
}


static void
lane_drop(mr_seat_t *seat)
{
    seat->halted = 1;

    if (seat->flush != NULL) {
        mr_flush_reset(seat->flush);
    }
}
