/*
 * A lane: one thread that does all the work of some of the partitions.  It
 * reads their sources in turn, judges the records and stores each
 * partition's flush in a transaction of its own, when it is full or its
 * oldest record has waited long enough.
 *
 * While it stores, its sources fill up and are fetched no further: that is
 * the back-pressure.  What a lane holds in flushes is bounded to twice
 * [writer] flush_size.
 *
 * Threads: every function is for the main thread; the lane's own thread is
 * inside.  A partition belongs to the lane from attach until take back.
 */
#ifndef MR_WRITER_LANE_H
#define MR_WRITER_LANE_H

#include <stdint.h>

#include <millrace/error.h>

#include "../common/kafka_consumer.h"
#include "../common/kafka_producer.h"
#include "counters.h"
#include "partition.h"


typedef struct mr_mongo_s mr_mongo_t;
typedef struct mr_lane_s mr_lane_t;

typedef struct {
    const mr_options_t *options;
    mr_mongo_t *mongo;
    mr_producer_t *dead; /* producer of dead letters */
    mr_counters_t *counters;

    /*
     * Called in the lane's thread: the partition has dropped what was not
     * stored and reads no more until it is taken back and attached again.
     */
    void (*halted)(void *ctx, const mr_partition_t *partition, mr_halt_t why);
    void *ctx;
} mr_lane_env_t;


/* `env` must outlive the lane.  Fails with MR_ERROR_MEMORY or _SYSTEM. */
int mr_lane_open(
    const mr_lane_env_t *env, mr_lane_t **ret_lane, mr_error_t *err);

/* Only with nothing attached.  NULL is allowed. */
void mr_lane_close(mr_lane_t *lane);

/*
 * Give the lane a partition that was started, with its source; `end` as in
 * mr_lane_bounds().  Returns -1 on out of memory.
 */
int mr_lane_attach(mr_lane_t *lane, mr_partition_t *partition,
    mr_source_t *source, mr_consumer_t *consumer, int64_t end);

/*
 * Ask for everything back.  The lane stores what it has, tries again until
 * `deadline` (mr_time_monotonic()) if that fails, and drops it then.
 */
void mr_lane_release(mr_lane_t *lane, int64_t deadline);

/*
 * Wait until the lane has let go of everything it was asked for.  The wait
 * is bounded by the deadline and MongoDB's time-outs.
 */
void mr_lane_wait(mr_lane_t *lane);

/*
 * The partition's log ended at `written` at some time after `asked` (ms), and
 * then, as far as its records are committed, at `end`.
 */
void mr_lane_bounds(mr_lane_t *lane, int32_t partition, int64_t end,
    int64_t written, int64_t asked);

#endif /* MR_WRITER_LANE_H */
