#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "stream_private.h"


/* Messages that are kept at most: a power of two. */
#define MR_STREAM_RING 65536

/* How far back a daemon that was just started begins, ms. */
#define MR_STREAM_HISTORY 600000

/* A message stays in the ring for at least so many seconds. */
#define MR_STREAM_STAY 4

#define MR_STREAM_ASK 2000     /* ms that a question to Kafka may take */
#define MR_STREAM_AGAIN 500    /* ms after which it is asked again */
#define MR_STREAM_READ 200     /* ms that a read waits for records */
#define MR_STREAM_SILENCE 3000 /* ms without one: there is none */
#define MR_STREAM_ROUND 40     /* ms between two rounds of waking */
#define MR_STREAM_SWEEP 1000
#define MR_STREAM_BATCH 64
#define MR_STREAM_WARN 10000


/* What the thread knows; times are monotonic ms. */
typedef struct {
    mr_stream_t *stream;
    int started;
    int caught_up; /* with what there was at the start */
    int64_t heard; /* until then: when a record came last */
    int pending;   /* messages that nobody was woken for */
    int64_t woken;
    int64_t swept;
    int64_t warned;
    int64_t second; /* of the budget */
    size_t messages;
    size_t bytes;
    mr_stream_at_t at[MR_STREAM_PARTITIONS]; /* as the ring's last */
} mr_stream_reader_t;


static void stream_metrics(mr_stream_t *stream);
static void *stream_run(void *ctx);
static void stream_begin(mr_stream_reader_t *reader);
static void stream_read(mr_stream_reader_t *reader);
static void stream_catch_up(mr_stream_reader_t *reader);
static int stream_may(mr_stream_reader_t *reader);
static void stream_take(
    mr_stream_reader_t *reader, const mr_tail_record_t *records, size_t n);
static void stream_rounds(mr_stream_reader_t *reader);
static void stream_lost(mr_stream_reader_t *reader, const mr_error_t *err);
static void stream_pause(mr_stream_t *stream, int64_t ms);
static int stream_stopping(mr_stream_t *stream);


int
mr_stream_start(
    const mr_options_t *options, mr_stream_t **ret_stream, mr_error_t *err)
{
    mr_stream_t *stream;
    pthread_condattr_t attr;

    stream = calloc(1, sizeof(mr_stream_t));

    if (stream == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    stream->options = options;
    pthread_mutex_init(&stream->mutex, NULL);

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->wake, &attr);
    pthread_condattr_destroy(&attr);

    stream_metrics(stream);

    if (mr_stream_ring_init(&stream->ring, MR_STREAM_RING,
            (size_t) options->query.stream_memory)
        == -1)
    {
        mr_stream_free(stream);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (mr_tail_open(options, "millrace-query", options->kafka.stats_topic,
            &stream->tail, err)
        == -1)
    {
        mr_stream_free(stream);
        return -1;
    }

    if (pthread_create(&stream->thread, NULL, stream_run, stream) != 0) {
        mr_stream_free(stream);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "cannot start the stream's thread");
    }

    stream->running = 1;
    *ret_stream = stream;

    return 0;
}


void
mr_stream_stop(mr_stream_t *stream)
{
    pthread_mutex_lock(&stream->mutex);
    stream->stopping = 1;
    mr_stream_wake(stream);
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->mutex);

    if (stream->running) {
        pthread_join(stream->thread, NULL);
        stream->running = 0;
    }
}


void
mr_stream_free(mr_stream_t *stream)
{
    if (stream == NULL) {
        return;
    }

    mr_stream_stop(stream);
    mr_tail_close(stream->tail);

    if (stream->ring.slots != NULL) {
        mr_stream_ring_free(&stream->ring);
    }

    pthread_cond_destroy(&stream->wake);
    pthread_mutex_destroy(&stream->mutex);
    free(stream);
}


static void
stream_metrics(mr_stream_t *stream)
{
    stream->metrics.listeners =
        mr_metric(MR_METRIC_GAUGE, "millrace_query_stream_listeners", "",
            "Listeners of GET /stats/stream.");
    stream->metrics.windows =
        mr_metric(MR_METRIC_COUNTER, "millrace_query_stream_windows_total", "",
            "Windows read from the topic of the statistics.");
    stream->metrics.malformed =
        mr_metric(MR_METRIC_COUNTER, "millrace_query_stream_malformed_total",
            "", "Records of that topic that are no window.");
    stream->metrics.sent =
        mr_metric(MR_METRIC_COUNTER, "millrace_query_stream_sent_total", "",
            "Windows sent, over all listeners.");
    stream->metrics.dropped =
        mr_metric(MR_METRIC_COUNTER, "millrace_query_stream_dropped_total", "",
            "Listeners ended because they were too slow.");
    stream->metrics.resets =
        mr_metric(MR_METRIC_COUNTER, "millrace_query_stream_resets_total", "",
            "Listeners told that windows are missing (event: reset).");
    stream->metrics.refused = mr_metric(MR_METRIC_COUNTER,
        "millrace_query_stream_refused_total", "", "Listeners answered 503.");
}


static void *
stream_run(void *ctx)
{
    mr_stream_reader_t reader;

    memset(&reader, 0, sizeof(reader));
    reader.stream = ctx;

    while (!stream_stopping(reader.stream)) {

        if (!reader.started) {
            stream_begin(&reader);

        } else if (stream_may(&reader)) {
            stream_read(&reader);

        } else {
            stream_pause(reader.stream, MR_STREAM_ROUND);
        }

        stream_rounds(&reader);
    }

    return NULL;
}


static void
stream_begin(mr_stream_reader_t *reader)
{
    size_t i, n;
    int64_t firsts[MR_TAIL_PARTITIONS] = {0};
    mr_error_t err = MR_ERROR_INIT;
    mr_stream_t *stream;

    stream = reader->stream;

    if (mr_tail_start(stream->tail, mr_time_now() - MR_STREAM_HISTORY,
            MR_STREAM_RING / 2, MR_STREAM_ASK, &err)
        == -1)
    {
        stream_lost(reader, &err);
        stream_pause(stream, MR_STREAM_AGAIN);
        return;
    }

    n = mr_tail_partitions(stream->tail);

    for (i = 0; i < n; i++) {
        firsts[i] = mr_tail_first(stream->tail, i);
    }

    pthread_mutex_lock(&stream->mutex);
    mr_stream_ring_reset(&stream->ring, n, firsts);
    memcpy(reader->at, stream->ring.last, sizeof(reader->at));
    stream->epoch++;
    pthread_mutex_unlock(&stream->mutex);

    reader->started = 1;
    reader->caught_up = 0;
    reader->heard = mr_time_monotonic();
    reader->warned = 0;
    stream_catch_up(reader);

    mr_log_info("topic=%s followed from offset %lld on",
        stream->options->kafka.stats_topic, (long long) firsts[0]);
}


static void
stream_read(mr_stream_reader_t *reader)
{
    int timeout;
    size_t n;
    mr_error_t err = MR_ERROR_INIT;
    mr_stream_t *stream;
    const mr_tail_record_t *records;

    stream = reader->stream;
    timeout = reader->pending ? MR_STREAM_ROUND / 2 : MR_STREAM_READ;

    if (mr_tail_read(stream->tail, timeout, MR_STREAM_BATCH, &records, &n, &err)
        == -1)
    {
        mr_tail_stop(stream->tail);
        reader->started = 0;

        pthread_mutex_lock(&stream->mutex);
        stream->ready = 0;
        pthread_mutex_unlock(&stream->mutex);

        stream_lost(reader, &err);
        return;
    }

    if (n > 0) {
        stream_take(reader, records, n);
        reader->heard = mr_time_monotonic();
    }

    if (!reader->caught_up) {
        stream_catch_up(reader);
    }
}


/*
 * A position that lies ahead of the ring cannot be told from one of another
 * topic.  So nobody may listen before what there was at the start is read, or
 * for some time nothing has come.
 */
static void
stream_catch_up(mr_stream_reader_t *reader)
{
    size_t i;
    mr_stream_t *stream;

    stream = reader->stream;

    for (i = 0; i < stream->ring.partitions
                && mr_time_monotonic() - reader->heard < MR_STREAM_SILENCE;
         i++)
    {

        if (mr_tail_next(stream->tail, i) < mr_tail_end(stream->tail, i)) {
            return;
        }
    }

    reader->caught_up = 1;

    pthread_mutex_lock(&stream->mutex);
    stream->ready = 1;
    mr_stream_wake(stream);
    pthread_mutex_unlock(&stream->mutex);
}


/* Whether the ring may take more in this second. */
static int
stream_may(mr_stream_reader_t *reader)
{
    int64_t second;

    /* It is for nobody yet; what is too much pushes out what is older. */
    if (!reader->caught_up) {
        return 1;
    }

    second = mr_time_monotonic() / 1000;

    if (reader->second != second) {
        reader->second = second;
        reader->messages = 0;
        reader->bytes = 0;
    }

    return reader->messages < MR_STREAM_RING / MR_STREAM_STAY
           && reader->bytes < reader->stream->ring.bytes_max / MR_STREAM_STAY;
}


/* Nobody else changes the ring's position, so the thread may read it. */
static void
stream_take(
    mr_stream_reader_t *reader, const mr_tail_record_t *records, size_t n)
{
    int malformed;
    char text[MR_STREAM_ID_SIZE];
    size_t i;
    mr_stream_t *stream;
    const mr_tail_record_t *record;
    mr_stream_message_t *message;

    stream = reader->stream;

    for (i = 0; i < n; i++) {
        record = &records[i];

        reader->at[record->partition].offset = record->offset;
        reader->at[record->partition].time = record->time;

        message = mr_stream_message_create(stream->options, record->value,
            mr_stream_id(reader->at, stream->ring.partitions, text),
            &malformed);

        if (message != NULL) {
            message->partition = record->partition;
            message->offset = record->offset;
            message->time = record->time;

            reader->messages++;
            reader->bytes += message->len;
            reader->pending = 1;

        } else {
            mr_metric_add(malformed ? stream->metrics.malformed : NULL, 1);
        }

        pthread_mutex_lock(&stream->mutex);

        if (message != NULL) {
            mr_stream_ring_push(&stream->ring, message);

        } else {
            mr_stream_ring_pass(
                &stream->ring, record->partition, record->offset, record->time);
        }

        pthread_mutex_unlock(&stream->mutex);
    }

    mr_metric_add(stream->metrics.windows, (int64_t) n);
}


static void
stream_rounds(mr_stream_reader_t *reader)
{
    int64_t now;
    mr_stream_t *stream;

    stream = reader->stream;
    now = mr_time_monotonic();

    if (reader->pending && now - reader->woken >= MR_STREAM_ROUND) {
        pthread_mutex_lock(&stream->mutex);
        mr_stream_wake(stream);
        pthread_mutex_unlock(&stream->mutex);

        reader->pending = 0;
        reader->woken = now;
    }

    if (now - reader->swept >= MR_STREAM_SWEEP) {
        pthread_mutex_lock(&stream->mutex);
        mr_stream_sweep(stream);
        pthread_mutex_unlock(&stream->mutex);

        reader->swept = now;
    }
}


static void
stream_lost(mr_stream_reader_t *reader, const mr_error_t *err)
{
    int64_t now;

    now = mr_time_monotonic();

    if (reader->warned == 0 || now - reader->warned >= MR_STREAM_WARN) {
        reader->warned = now;
        mr_log_warn("the stream waits: %s", err->message);
    }
}


static void
stream_pause(mr_stream_t *stream, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;

    pthread_mutex_lock(&stream->mutex);

    if (!stream->stopping) {
        (void) pthread_cond_timedwait(&stream->wake, &stream->mutex, &until);
    }

    pthread_mutex_unlock(&stream->mutex);
}


static int
stream_stopping(mr_stream_t *stream)
{
    int stopping;

    pthread_mutex_lock(&stream->mutex);
    stopping = stream->stopping;
    pthread_mutex_unlock(&stream->mutex);

    return stopping;
}
