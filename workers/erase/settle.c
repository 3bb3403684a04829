#include "settle.h"

#include <stdlib.h>

#include "../common/kafka_log.h"
#include "../common/log.h"
#include "../common/run.h"
#include "../common/settle.h"


typedef struct {
    mr_store_t *store;
    size_t n;
} settle_look_t;


static int settle_wait(mr_store_t *store, mr_kafka_log_t *log, int64_t *ends,
    int64_t deadline, mr_error_t *err);
static int settle_look(
    void *ctx, int64_t *ret_reached, int *ret_ready, mr_error_t *err);
static size_t settle_missing(
    const int64_t *ends, const int64_t *reached, size_t n);
static size_t settle_lost(
    const int64_t *ends, const int64_t *reached, size_t n);


int
mr_erase_settle(mr_store_t *store, const mr_options_t *options,
    int64_t deadline, mr_error_t *err)
{
    int rc;
    int64_t *ends;
    mr_kafka_log_t *log;

    if (mr_kafka_log_open(options, "millrace-erase", deadline, &log, err) != 0)
    {
        return -1;
    }

    ends = calloc(2 * mr_kafka_log_partitions(log), sizeof(int64_t));

    if (ends == NULL) {
        rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");

    } else {
        rc = settle_wait(store, log, ends, deadline, err);
    }

    free(ends);
    mr_kafka_log_close(log);

    return rc;
}


static int
settle_wait(mr_store_t *store, mr_kafka_log_t *log, int64_t *ends,
    int64_t deadline, mr_error_t *err)
{
    int settled;
    size_t n, missing;
    int64_t *reached;
    settle_look_t look;

    n = mr_kafka_log_partitions(log);
    reached = ends + n;
    look = (settle_look_t){store, n};

    if (mr_settle(
            log, settle_look, &look, deadline, ends, reached, &settled, err)
        != 0)
    {
        return -1;
    }

    if (!settled && mr_run_stopping()) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "stopped before all was done; run it again");
    }

    if (!settled) {
        missing = settle_missing(ends, reached, n);

        return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
            "in %zu of %zu partitions not all that Kafka holds was stored in "
            "time: events of the user may still come; let the writer store "
            "them, and run it again",
            missing, n);
    }

    /* After the ledgers: a log that is as it was has no end before them. */
    if (mr_kafka_log_offsets(log, MR_LOG_END, deadline, ends, err) != 0) {
        return -1;
    }

    missing = settle_lost(ends, reached, n);

    if (missing != 0) {
        return mr_error_set(err, MR_ERROR_GAP, NULL,
            "%zu of %zu partitions have another log than the one that was "
            "stored: what Kafka holds there may still come; let the writer "
            "store it, and run it again",
            missing, n);
    }

    return 0;
}


static int
settle_look(void *ctx, int64_t *ret_reached, int *ret_ready, mr_error_t *err)
{
    settle_look_t *look = ctx;

    *ret_ready = 1;

    return mr_store_reached(look->store, look->n, ret_reached, err);
}


static size_t
settle_missing(const int64_t *ends, const int64_t *reached, size_t n)
{
    size_t i, missing;

    missing = 0;

    for (i = 0; i < n; i++) {
        if (reached[i] < ends[i]) {
            missing++;
            mr_log_warn("partition=%zu next=%lld Kafka holds %lld offsets that "
                        "are not stored",
                i, (long long) reached[i], (long long) (ends[i] - reached[i]));
        }
    }

    return missing;
}


/* A log that is empty has nothing that could come. */
static size_t
settle_lost(const int64_t *ends, const int64_t *reached, size_t n)
{
    size_t i, lost;

    lost = 0;

    for (i = 0; i < n; i++) {
        if (ends[i] != 0 && ends[i] < reached[i]) {
            lost++;
            mr_log_warn("partition=%zu next=%lld Kafka's log ends before that, "
                        "at %lld",
                i, (long long) reached[i], (long long) ends[i]);
        }
    }

    return lost;
}
