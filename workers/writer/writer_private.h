/* What the writer's files share: running, claims (claims.c), watch.c. */
#ifndef MR_WRITER_WRITER_PRIVATE_H
#define MR_WRITER_WRITER_PRIVATE_H

#include <stdatomic.h>

#include "../common/mongo.h"
#include "lane.h"
#include "store.h"
#include "writer.h"


/* What the main thread knows of a partition that it has ever been given. */
typedef struct {
    mr_partition_t *partition; /* keeps the dedup window between claims */
    int claimed;               /* the group gave it to us */
    int reading;               /* it is with its lane */
    int waiting;               /* it cannot be: Kafka does not answer */
    int32_t leader;            /* that was asked; MR_LEADER_... */
    mr_verdict_t stopped;      /* why it waits for the operator */
    int64_t epoch;             /* the ledger it was stopped at */
    int64_t next;
    int64_t again;      /* when a corrupt one is read again, monotonic ms, */
    unsigned seen;      /* and its `corrupted` when that was decided */
    int64_t released;   /* when it was given back, monotonic ms */
    int64_t end;        /* of the log when that was learnt last */
    int64_t held;       /* the end of the log, while a transaction is open */
    int64_t held_since; /* there, monotonic ms; 0: none is */
    int held_said;
    mr_metric_t *lag; /* NULL until it has been read, or stopped */
} mr_slot_t;

#define MR_LEADER_NONE (-1)
#define MR_LEADER_UNKNOWN (-2)

typedef struct {
    const mr_options_t *options;
    mr_mongo_t *mongo;
    mr_store_t *store;
    mr_producer_t *dead;
    mr_consumer_t *consumer;
    mr_counters_t counters;

    mr_lane_env_t env;
    mr_lane_t **lanes;
    size_t n_lanes;

    mr_slot_t *slots; /* by partition */
    size_t n_slots;
    int64_t review;    /* when those that are not read are looked at */
    int64_t restarted; /* when that was done last */

    int64_t watch; /* when Kafka is asked for the ends of the logs */
    int32_t *ids;  /* room for as many as there are slots, */
    int64_t *ends; /* for such questions */
    int64_t *written;
    int32_t *leaders;
    size_t n_stopped;
    size_t n_waiting;

    atomic_int restart; /* a lane has halted a partition */
} mr_writer_t;


extern const mr_consumer_observer_t mr_claims_observer;

/*
 * Look at the partitions that are stopped, or wait; returns whether one of
 * them may go on.
 */
int mr_claims_review(mr_writer_t *writer);

/* Ask now and then where the partitions end, and tell their lanes. */
void mr_claims_watch(mr_writer_t *writer);

/*
 * Free the dedup windows of partitions that have not been ours for a while:
 * one that comes back before that is read on at once.
 */
void mr_claims_tidy(mr_writer_t *writer);

/* Release all slots. */
void mr_claims_free(mr_writer_t *writer);

#endif /* MR_WRITER_WRITER_PRIVATE_H */
