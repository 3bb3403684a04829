#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "lane_private.h"


#define LANE_BATCH 1024
#define LANE_STREAK 64 /* batches of one source, then the next */
#define LANE_WAIT_MS 100
#define LANE_BEHIND 5      /* intervals that a flush may wait, behind */
#define LANE_FAR_BEHIND 25 /* and where there is more than it can hold */
#define LANE_BUSY 1024     /* records in an interval of a busy partition */
#define LANE_BUSY_WAIT 2   /* intervals that its flushes may wait */
#define LANE_BUSY_MOST 4   /* the same where storing takes long */
#define LANE_BUSY_SHARE 2  /* times as long as storing takes */
#define LANE_CELLS 8192    /* seconds and types a flush */
#define LANE_ACCOUNTS 1024 /* minutes of record time a flush */
#define LANE_PATIENCE_S 10

/* LANE_BUSY's, in a lane that stores for more than so much of its time. */
#define LANE_LOADED 500 /* per mille */
#define LANE_LOADED_MOST 10
#define LANE_LOADED_SHARE 4


static void *lane_main(void *arg);
static void lane_adopt(mr_lane_t *lane);
static int lane_round(mr_lane_t *lane);
static int lane_read(mr_lane_t *lane, mr_seat_t *seat);
static int lane_take(
    mr_lane_t *lane, mr_seat_t *seat, const mr_record_t *record, int64_t now);
static int lane_unreadable(
    mr_lane_t *lane, mr_seat_t *seat, const mr_record_t *record);
static int lane_full(const mr_lane_t *lane, const mr_seat_t *seat);
static void lane_store_largest(mr_lane_t *lane);
static void lane_store_due(mr_lane_t *lane);
static int64_t lane_due(const mr_lane_t *lane, const mr_seat_t *seat);
static int64_t lane_busy_wait(const mr_lane_t *lane, int64_t interval);
static void lane_sleep(mr_lane_t *lane);
static void lane_let_go(mr_lane_t *lane);
static void lane_wake(mr_lane_t *lane);


int
mr_lane_open(const mr_lane_env_t *env, mr_lane_t **ret_lane, mr_error_t *err)
{
    int rc;
    mr_lane_t *lane;

    lane = calloc(1, sizeof(mr_lane_t));
    if (lane == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    lane->env = env;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->cond, NULL);

    lane->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (lane->fd == -1) {
        rc = errno;
        mr_lane_close(lane);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "eventfd: %s", strerror(rc));
    }

    lane->parser = mr_parser_create();
    if (lane->parser == NULL) {
        mr_lane_close(lane);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (mr_store_open(env->mongo, env->options, &lane->store, err) != 0) {
        mr_lane_close(lane);
        return -1;
    }

    rc = pthread_create(&lane->thread, NULL, lane_main, lane);
    if (rc != 0) {
        lane->thread = 0;
        mr_lane_close(lane);
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot start a thread: %s", strerror(rc));
    }

    *ret_lane = lane;

    return 0;
}


void
mr_lane_close(mr_lane_t *lane)
{
    if (lane == NULL) {
        return;
    }

    if (lane->thread != 0) {
        atomic_store(&lane->quit, 1);
        lane_wake(lane);
        (void) pthread_join(lane->thread, NULL);
    }

    if (lane->fd != -1) {
        (void) close(lane->fd);
    }

    mr_store_close(lane->store);
    mr_parser_destroy(lane->parser);
    mr_plan_free(&lane->plan);
    mr_pool_free(&lane->pool);
    pthread_mutex_destroy(&lane->mutex);
    pthread_cond_destroy(&lane->cond);
    free(lane);
}


int
mr_lane_attach(mr_lane_t *lane, mr_partition_t *partition, mr_source_t *source,
    mr_consumer_t *consumer, int64_t end)
{
    mr_seat_t *seat;

    seat = calloc(1, sizeof(mr_seat_t));
    if (seat == NULL) {
        return -1;
    }

    seat->partition = partition;
    seat->source = source;
    seat->consumer = consumer;
    seat->end = end;
    seat->written = -1;
    seat->lag = mr_counters_lag(partition->id);

    pthread_mutex_lock(&lane->mutex);
    seat->next = lane->incoming;
    lane->incoming = seat;
    pthread_mutex_unlock(&lane->mutex);

    lane_wake(lane);

    return 0;
}


void
mr_lane_release(mr_lane_t *lane, int64_t deadline)
{
    atomic_store(&lane->deadline, deadline);
    atomic_store(&lane->release, 1);
    lane_wake(lane);
}


void
mr_lane_wait(mr_lane_t *lane)
{
    struct timespec until;

    pthread_mutex_lock(&lane->mutex);

    while (atomic_load(&lane->release)) {
        (void) clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LANE_PATIENCE_S;

        if (pthread_cond_timedwait(&lane->cond, &lane->mutex, &until)
            == ETIMEDOUT) {
            mr_log_warn("still waiting for a transaction to end before "
                        "partitions are given back");
        }
    }

    pthread_mutex_unlock(&lane->mutex);
}


void
mr_lane_bounds(mr_lane_t *lane, int32_t partition, int64_t end, int64_t written,
    int64_t asked)
{
    mr_seat_t *seat;

    pthread_mutex_lock(&lane->mutex);

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        if (seat->partition->id == partition) {
            seat->end = end;
            seat->written = written;
            seat->asked = asked;
        }
    }

    pthread_mutex_unlock(&lane->mutex);
}


static void *
lane_main(void *arg)
{
    mr_lane_t *lane = arg;

    while (!atomic_load(&lane->quit)) {

        lane_adopt(lane);

        if (atomic_load(&lane->release)) {
            lane_let_go(lane);
            continue;
        }

        if (!lane_round(lane)) {
            lane_sleep(lane);
        }

        lane_store_due(lane);
        mr_lane_beat(lane);
    }

    return NULL;
}


/* Take over what the main thread has attached. */
static void
lane_adopt(mr_lane_t *lane)
{
    mr_seat_t *seat;

    pthread_mutex_lock(&lane->mutex);

    while ((seat = lane->incoming) != NULL) {
        lane->incoming = seat->next;
        seat->next = lane->seats;
        lane->seats = seat;
        mr_source_notify(seat->source, lane->fd);
        lane->beat = 0;
    }

    pthread_mutex_unlock(&lane->mutex);
}


/* Give every source a turn; returns whether any of them had records. */
static int
lane_round(mr_lane_t *lane)
{
    int busy;
    mr_seat_t *seat;

    busy = 0;

    for (seat = lane->seats; seat != NULL; seat = seat->next) {

        if (atomic_load(&lane->release)) {
            break;
        }

        busy |= lane_read(lane, seat);
    }

    return busy;
}


/*
 * Read one source until it is empty, its flush was stored, or it has had its
 * turn.  Staying with a source fills one flush after the other instead of
 * all of them at once, which is kinder to memory.
 */
static int
lane_read(mr_lane_t *lane, mr_seat_t *seat)
{
    int batch, stored;
    size_t i, n;
    int64_t now;
    const mr_record_t *records;

    stored = 0;

    for (batch = 0; batch < LANE_STREAK && !stored; batch++) {

        n = mr_source_read(seat->source, LANE_BATCH, &records);

        if (n == 0 || atomic_load(&lane->release)) {
            break;
        }

        now = mr_time_monotonic();

        for (i = 0; i < n; i++) {
            stored |= lane_take(lane, seat, &records[i], now);
        }

        lane_store_largest(lane);
    }

    return batch != 0;
}


/* Returns whether the flush has been stored. */
static int
lane_take(
    mr_lane_t *lane, mr_seat_t *seat, const mr_record_t *record, int64_t now)
{
    int stored;
    mr_error_t err;
    mr_take_t take;
    mr_partition_t *partition;

    partition = seat->partition;
    stored = 0;

    if (seat->halted) {
        return 0;
    }

    if (record->kind == MR_RECORD_END) {
        mr_partition_end(partition, record->offset);
        return 0;
    }

    if (record->kind != MR_RECORD_DATA) {
        return lane_unreadable(lane, seat, record);
    }

    /* A flush with such a stretch is not stored: what lies before it is. */
    if (seat->flush != NULL && seat->flush->records != 0
        && mr_partition_doubts(partition, record->offset))
    {
        mr_lane_store(lane, seat);
        stored = 1;

        if (seat->halted) {
            return stored;
        }
    }

    if (seat->flush == NULL) {
        seat->flush = mr_flush_create(lane->env->options, &lane->pool);

        if (seat->flush == NULL) {
            mr_error_set(&err, MR_ERROR_MEMORY, NULL, "out of memory");
            mr_lane_halt(lane, seat, MR_HALT_MEMORY, &err);
            return stored;
        }

        partition->flush = seat->flush;
    }

    take = mr_partition_take(partition, record, lane->parser, &err);

    switch (take) {

    case MR_TAKE_RECREATED:
        mr_lane_halt(lane, seat, MR_HALT_RECREATED, &err);
        return stored;

    case MR_TAKE_FAILED:
        mr_lane_halt(lane, seat, MR_HALT_MEMORY, &err);
        return stored;

    default:
        break;
    }

    if (seat->flush->records == 1 && seat->flush->since == 0) {
        seat->flush->since = now;
    }

    if (lane_full(lane, seat)) {
        mr_lane_store(lane, seat);
        stored = 1;
    }

    return stored;
}


/*
 * What comes next is gone, or corrupt.  What lies before it is stored first:
 * it may not be there any more when the partition is begun anew.  Returns as
 * lane_take().
 */
static int
lane_unreadable(mr_lane_t *lane, mr_seat_t *seat, const mr_record_t *record)
{
    int stored;
    mr_error_t err;
    mr_partition_t *partition;

    partition = seat->partition;
    stored = 0;

    if (seat->flush != NULL && seat->flush->records != 0) {
        mr_lane_store(lane, seat);
        stored = 1;
    }

    if (seat->halted) {
        return stored;
    }

    if (record->kind == MR_RECORD_CORRUPT) {
        mr_partition_corrupt(partition, record->offset);
        mr_error_set(&err, MR_ERROR_KAFKA, NULL, "%.*s",
            (int) record->value.len, record->value.data);
        mr_lane_halt(lane, seat, MR_HALT_CORRUPT, &err);
        return stored;
    }

    mr_error_set(&err, MR_ERROR_GAP, NULL, "the log does not hold offset %lld",
        (long long) partition->position);
    mr_lane_halt(lane, seat, MR_HALT_LOST, &err);

    return stored;
}


static int
lane_full(const mr_lane_t *lane, const mr_seat_t *seat)
{
    size_t limit;
    const mr_flush_t *flush;
    const mr_options_t *options;

    flush = seat->flush;
    options = lane->env->options;

    limit = seat->partition->limit != 0 ? seat->partition->limit
                                        : (size_t) options->writer.flush_events;

    return flush->records >= limit
           || flush->size >= (size_t) options->writer.flush_size
           || flush->partials.seconds.n >= LANE_CELLS
           || flush->accounts.n >= LANE_ACCOUNTS;
}


/* Keep what the lane holds within its bound. */
static void
lane_store_largest(mr_lane_t *lane)
{
    size_t most;
    mr_seat_t *seat, *largest;

    most = 2 * (size_t) lane->env->options->writer.flush_size;

    if (lane->pool.used <= most + MR_ARENA_CHUNK) {
        return;
    }

    largest = NULL;

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        if (seat->flush != NULL
            && (largest == NULL || seat->flush->size > largest->flush->size))
        {
            largest = seat;
        }
    }

    if (largest != NULL && largest->flush->records != 0) {
        mr_lane_store(lane, largest);
    }
}


static void
lane_store_due(mr_lane_t *lane)
{
    mr_seat_t *seat;

    for (seat = lane->seats; seat != NULL; seat = seat->next) {

        if (atomic_load(&lane->release)) {
            break;
        }

        if (seat->flush != NULL && seat->flush->records != 0
            && mr_time_monotonic() >= lane_due(lane, seat))
        {
            mr_lane_store(lane, seat);
        }
    }
}


/*
 * When the seat's flush must be stored.  A transaction has a cost of its own,
 * most of it for the windows that it touches: so where records are few they
 * are stored soon, and where they are many, in fewer flushes.  Far behind the
 * log's end a few more intervals do not matter to a record, and larger
 * flushes get there sooner.
 */
static int64_t
lane_due(const mr_lane_t *lane, const mr_seat_t *seat)
{
    int64_t behind, interval;
    const mr_options_t *options;

    options = lane->env->options;
    interval = options->writer.flush_interval;
    behind = atomic_load(&seat->end) - seat->partition->position;

    if (behind > LANE_BEHIND * options->writer.flush_events) {
        interval *= LANE_FAR_BEHIND;

    } else if (behind > options->writer.flush_events) {
        interval *= LANE_BEHIND;

    } else if (seat->flush->records >= LANE_BUSY) {
        interval = lane_busy_wait(lane, interval);
    }

    return seat->flush->since + interval;
}


/*
 * A MongoDB that is busy takes long for a flush, and less for an event the
 * more of them there are in it: then flushes are made less often.  Not much
 * less where that is for a while, as in a checkpoint, since people wait for
 * them; but where the lane has hardly done anything else for half a minute,
 * there is more to store than small flushes can.
 */
static int64_t
lane_busy_wait(const mr_lane_t *lane, int64_t interval)
{
    int64_t wait, most;

    wait = LANE_BUSY_SHARE * lane->took;
    most = LANE_BUSY_MOST * interval;

    if (lane->load > LANE_LOADED) {
        wait = LANE_LOADED_SHARE * lane->took;
        most = LANE_LOADED_MOST * interval;
    }

    if (wait > most) {
        wait = most;
    }

    return wait > LANE_BUSY_WAIT * interval ? wait : LANE_BUSY_WAIT * interval;
}


/* Until records arrive, the main thread wants something, or a flush is due. */
static void
lane_sleep(mr_lane_t *lane)
{
    int64_t now, due, wait;
    uint64_t count;
    mr_seat_t *seat;
    struct pollfd event;

    now = mr_time_monotonic();
    wait = LANE_WAIT_MS;

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        if (seat->flush != NULL && seat->flush->records != 0) {
            due = lane_due(lane, seat) - now;
            wait = due < wait ? due : wait;
        }
    }

    if (wait <= 0) {
        return;
    }

    event.fd = lane->fd;
    event.events = POLLIN;
    event.revents = 0;

    (void) poll(&event, 1, (int) wait);

    /* Nothing to read after a time-out; whoever woke us is looked at next. */
    if (read(lane->fd, &count, sizeof(count)) == -1 && errno != EAGAIN) {
        mr_log_error("eventfd: %s", strerror(errno));
    }
}


/*
 * Store what there is and give every partition back.  One that has to wait
 * for a MongoDB that is away may use up the time for all.
 */
static void
lane_let_go(mr_lane_t *lane)
{
    mr_seat_t *seat;

    /* What was attached a moment ago is asked for as well. */
    lane_adopt(lane);

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        if (seat->flush != NULL && seat->flush->records != 0
            && mr_time_monotonic() < atomic_load(&lane->deadline))
        {
            mr_lane_store(lane, seat);
        }
    }

    pthread_mutex_lock(&lane->mutex);

    while ((seat = lane->seats) != NULL) {
        lane->seats = seat->next;
        mr_source_notify(seat->source, -1);
        mr_flush_destroy(seat->flush);
        seat->partition->flush = NULL;
        free(seat);
    }

    atomic_store(&lane->release, 0);
    pthread_cond_broadcast(&lane->cond);

    pthread_mutex_unlock(&lane->mutex);
}


static void
lane_wake(mr_lane_t *lane)
{
    uint64_t one;

    one = 1;

    /* It fails only when the counter is full: the lane will wake anyhow. */
    if (write(lane->fd, &one, sizeof(one)) == -1 && errno != EAGAIN) {
        mr_log_error("eventfd: %s", strerror(errno));
    }
}
