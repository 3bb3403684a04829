#include "writer.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"
#include "writer_private.h"


#define WRITER_NAME "millrace-writer"
#define WRITER_POLL_MS 100
#define WRITER_REVIEW_MS 2000
#define WRITER_RESTART_MS 1000
#define WRITER_BACKOFF_MS 250


static int writer_open(
    mr_writer_t *writer, const mr_options_t *options, mr_error_t *err);
static int writer_wait_for_database(mr_writer_t *writer, mr_error_t *err);
static int writer_open_lanes(mr_writer_t *writer, mr_error_t *err);
static void writer_close(mr_writer_t *writer);
static int writer_consume(mr_writer_t *writer, mr_error_t *err);
static void writer_tick(mr_writer_t *writer);
static void writer_halted(
    void *ctx, const mr_partition_t *partition, mr_halt_t why);


int
mr_writer_check(const mr_options_t *options, mr_error_t *err)
{
    if (options->mongodb.pool < options->writer.threads + 1) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] pool is %lld: the writer needs at least %lld, one "
            "more than [writer] threads",
            (long long) options->mongodb.pool,
            (long long) options->writer.threads + 1);
    }

    return mr_consumer_check(options, err);
}


int
mr_writer_run(const mr_options_t *options, mr_error_t *err)
{
    int rc;
    unsigned attempt;
    mr_error_t why;
    mr_writer_t writer;

    memset(&writer, 0, sizeof(mr_writer_t));

    rc = writer_open(&writer, options, err);

    for (attempt = 0; rc == 0 && !mr_run_stopping(); attempt++) {

        if (mr_consumer_open(options, WRITER_NAME, options->writer.group,
                options->kafka.topic, &mr_claims_observer, &writer,
                &writer.consumer, err)
            != 0)
        {
            rc = -1;
            break;
        }

        if (writer_consume(&writer, &why) != 0) {
            mr_log_error(
                "the consumer failed and is made anew: %s", why.message);
        }

        mr_consumer_close(writer.consumer);
        writer.consumer = NULL;

        if (!mr_run_stopping()) {
            (void) mr_run_backoff(attempt, WRITER_BACKOFF_MS);
        }
    }

    writer_close(&writer);

    return rc;
}


static int
writer_open(mr_writer_t *writer, const mr_options_t *options, mr_error_t *err)
{
    writer->options = options;

    mr_counters_init(&writer->counters);

    if (mr_mongo_open(options, WRITER_NAME, &writer->mongo, err) != 0
        || mr_store_open(writer->mongo, options, &writer->store, err) != 0
        || mr_metrics_start(options->writer.metrics, err) != 0
        || writer_wait_for_database(writer, err) != 0
        || mr_producer_open(options, WRITER_NAME, options->kafka.dead_topic,
               &writer->dead, err)
               != 0)
    {
        return -1;
    }

    return writer_open_lanes(writer, err);
}


/* MongoDB may come up later than we do. */
static int
writer_wait_for_database(mr_writer_t *writer, mr_error_t *err)
{
    int64_t total, max;
    unsigned attempt;

    for (attempt = 0; !mr_run_stopping(); attempt++) {

        if (mr_store_check(writer->store, err) == 0) {
            mr_store_types_seen(writer->store, &total, &max);
            mr_metric_set(writer->counters.types, (double) total);
            mr_metric_set(writer->counters.types_max, (double) max);
            return 0;
        }

        if (err->code == MR_ERROR_CONFIG) {
            return -1;
        }

        mr_log_warn("%s", err->message);
        (void) mr_run_backoff(attempt, WRITER_BACKOFF_MS);
    }

    return 0;
}


static int
writer_open_lanes(mr_writer_t *writer, mr_error_t *err)
{
    size_t n;

    n = (size_t) writer->options->writer.threads;

    writer->env.options = writer->options;
    writer->env.mongo = writer->mongo;
    writer->env.dead = writer->dead;
    writer->env.counters = &writer->counters;
    writer->env.halted = writer_halted;
    writer->env.ctx = writer;

    writer->lanes = calloc(n, sizeof(mr_lane_t *));
    if (writer->lanes == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    while (writer->n_lanes < n) {
        if (mr_lane_open(&writer->env, &writer->lanes[writer->n_lanes], err)
            != 0) {
            return -1;
        }

        writer->n_lanes++;
    }

    return 0;
}


static void
writer_close(mr_writer_t *writer)
{
    while (writer->n_lanes > 0) {
        mr_lane_close(writer->lanes[--writer->n_lanes]);
    }

    free(writer->lanes);
    mr_claims_free(writer);
    mr_producer_close(writer->dead);
    mr_metrics_stop();
    mr_store_close(writer->store);
    mr_mongo_close(writer->mongo);
}


/* Returns -1 when another consumer is needed. */
static int
writer_consume(mr_writer_t *writer, mr_error_t *err)
{
    int64_t now, watch;

    watch = 0;

    while (!mr_run_stopping()) {

        if (mr_consumer_poll(writer->consumer, WRITER_POLL_MS, err) != 0) {
            return -1;
        }

        now = mr_time_monotonic();

        if (now >= watch) {
            watch = now + WRITER_POLL_MS;
            writer_tick(writer);
        }
    }

    return 0;
}


static void
writer_tick(mr_writer_t *writer)
{
    int64_t now;

    mr_claims_watch(writer);
    mr_claims_tidy(writer);

    now = mr_time_monotonic();

    if (writer->n_stopped + writer->n_waiting != 0 && now >= writer->review) {
        writer->review = now + WRITER_REVIEW_MS;

        if (mr_claims_review(writer)) {
            atomic_store(&writer->restart, 1);
        }
    }

    if (atomic_load(&writer->restart)
        && now - writer->restarted >= WRITER_RESTART_MS)
    {
        atomic_store(&writer->restart, 0);
        writer->restarted = now;
        mr_consumer_restart(writer->consumer);
    }
}


/* Runs in a lane's thread. */
static void
writer_halted(void *ctx, const mr_partition_t *partition, mr_halt_t why)
{
    mr_writer_t *writer = ctx;

    (void) partition;
    (void) why;

    atomic_store(&writer->restart, 1);
}
