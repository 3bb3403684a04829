#include <stdlib.h>

#include <millrace/time.h>

#include "../common/kafka_log.h"
#include "../common/settle.h"
#include "audit.h"
#include "store.h"


typedef struct {
    mr_audit_t *audit;
    mr_store_t *store;
} gather_look_t;


static int gather_all(mr_audit_t *audit, mr_kafka_log_t *log, mr_store_t *store,
    int settle, int64_t deadline, mr_error_t *err);
static int gather_settle(mr_audit_t *audit, mr_kafka_log_t *log,
    mr_store_t *store, int64_t *reached, int64_t deadline, mr_error_t *err);
static int gather_look(
    void *ctx, int64_t *ret_reached, int *ret_ready, mr_error_t *err);
static int gather_kafka(mr_audit_t *audit, mr_kafka_log_t *log,
    int64_t *offsets, int64_t deadline, mr_error_t *err);
static int gather_mongodb(
    mr_audit_t *audit, mr_store_t *store, mr_error_t *err);
static int gather_accounts(mr_audit_t *audit, mr_store_t *store,
    mr_audit_partition_t *partition, mr_error_t *err);


int
mr_audit_gather(
    mr_audit_t *audit, int settle, int64_t deadline, mr_error_t *err)
{
    int rc;
    mr_store_t *store;
    mr_kafka_log_t *log;

    if (mr_kafka_log_open(audit->options, "millrace-audit", deadline, &log, err)
        != 0)
    {
        return -1;
    }

    rc = mr_store_open(audit->options, &store, err);

    if (rc == 0) {
        rc = gather_all(audit, log, store, settle, deadline, err);
        mr_store_close(store);
    }

    mr_kafka_log_close(log);

    return rc;
}


static int
gather_all(mr_audit_t *audit, mr_kafka_log_t *log, mr_store_t *store,
    int settle, int64_t deadline, mr_error_t *err)
{
    int rc;
    size_t n;
    int64_t *offsets;

    n = mr_kafka_log_partitions(log);

    if (mr_audit_partitions(audit, n, err) != 0) {
        return -1;
    }

    offsets = calloc(2 * n, sizeof(int64_t));
    if (offsets == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (settle) {
        /* What was found settled is what is audited: the last look's moment. */
        rc = gather_settle(audit, log, store, offsets, deadline, err);

    } else {
        rc = mr_store_snapshot(store, err);

        if (rc == 0) {
            rc = mr_store_ledgers(store, audit, offsets, err);
        }
    }

    /* What has been removed by age is what had been by then. */
    audit->now = mr_time_now();

    if (rc == 0) {
        rc = gather_kafka(audit, log, offsets, deadline, err);
    }

    if (rc == 0) {
        rc = gather_mongodb(audit, store, err);
    }

    free(offsets);

    return rc;
}


/* Wait until what Kafka holds by now is stored and merged. */
static int
gather_settle(mr_audit_t *audit, mr_kafka_log_t *log, mr_store_t *store,
    int64_t *reached, int64_t deadline, mr_error_t *err)
{
    int settled;
    size_t i, n, done;
    int64_t *ends;
    gather_look_t look;

    n = audit->n_partitions;
    ends = reached + n;
    look = (gather_look_t){audit, store};

    if (mr_settle(
            log, gather_look, &look, deadline, ends, reached, &settled, err)
        != 0)
    {
        return -1;
    }

    if (settled) {
        return 0;
    }

    for (i = 0, done = 0; i < n; i++) {
        done += reached[i] >= ends[i];
    }

    return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
        "not all that Kafka holds was stored and merged in time (%zu of %zu "
        "partitions are stored); without --settle the report tells what waits",
        done, n);
}


static int
gather_look(void *ctx, int64_t *ret_reached, int *ret_ready, mr_error_t *err)
{
    gather_look_t *look = ctx;

    if (mr_store_snapshot(look->store, err) != 0
        || mr_store_ledgers(look->store, look->audit, ret_reached, err) != 0)
    {
        return -1;
    }

    *ret_ready = look->audit->merged;

    return 0;
}


/*
 * Kafka is asked after the snapshot was begun: all that is stored there is
 * in its log by now.
 */
static int
gather_kafka(mr_audit_t *audit, mr_kafka_log_t *log, int64_t *offsets,
    int64_t deadline, mr_error_t *err)
{
    size_t i, m;
    mr_audit_partition_t *partition;

    if (mr_kafka_log_offsets(log, MR_LOG_START, deadline, offsets, err) != 0) {
        return -1;
    }

    for (i = 0; i < audit->n_partitions; i++) {
        partition = &audit->partitions[i];
        partition->log_first = offsets[i];

        if (!partition->known) {
            partition->next = offsets[i];
        }
    }

    for (m = 0; m <= audit->n_minutes; m++) {
        if (mr_kafka_log_offsets(log,
                audit->from + (int64_t) m * MR_AUDIT_MINUTE, deadline, offsets,
                err)
            != 0)
        {
            return -1;
        }

        for (i = 0; i < audit->n_partitions; i++) {
            audit->partitions[i].offsets[m] = offsets[i];
        }
    }

    /* What is gone by now may have been there for some of the answers only. */
    if (mr_kafka_log_offsets(log, MR_LOG_START, deadline, offsets, err) != 0) {
        return -1;
    }

    for (i = 0; i < audit->n_partitions; i++) {
        audit->partitions[i].log_start = offsets[i];
    }

    /* Last, so that no offset above is beyond it. */
    if (mr_kafka_log_offsets(log, MR_LOG_END, deadline, offsets, err) != 0) {
        return -1;
    }

    for (i = 0; i < audit->n_partitions; i++) {
        partition = &audit->partitions[i];
        partition->log_end = offsets[i];

        for (m = audit->n_minutes + 1; m-- > 0; /* void */) {
            if (partition->offsets[m] == -1) {
                partition->offsets[m] = m == audit->n_minutes
                                            ? partition->log_end
                                            : partition->offsets[m + 1];
            }
        }
    }

    return 0;
}


static int
gather_mongodb(mr_audit_t *audit, mr_store_t *store, mr_error_t *err)
{
    size_t i;

    for (i = 0; i < audit->n_partitions; i++) {
        if (audit->partitions[i].known
            && gather_accounts(audit, store, &audit->partitions[i], err) != 0)
        {
            return -1;
        }
    }

    for (i = 0; i < audit->n_past; i++) {
        if (gather_accounts(audit, store, &audit->past[i], err) != 0) {
            return -1;
        }
    }

    if (mr_store_types(store, audit, err) != 0
        || mr_store_events(store, audit, err) != 0
        || mr_store_windows(store, audit, err) != 0)
    {
        return -1;
    }

    return mr_store_totals(store, audit, err);
}


static int
gather_accounts(mr_audit_t *audit, mr_store_t *store,
    mr_audit_partition_t *partition, mr_error_t *err)
{
    if (mr_store_accounts(store, audit, partition, err) != 0) {
        return -1;
    }

    return mr_store_offsets(store, audit, partition, err);
}
