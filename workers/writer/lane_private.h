/* What the lane's files share: the loop (lane.c), storing (lane_*.c). */
#ifndef MR_WRITER_LANE_PRIVATE_H
#define MR_WRITER_LANE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "lane.h"
#include "store.h"


typedef struct mr_seat_s mr_seat_t;

/* An attached partition. */
struct mr_seat_s {
    mr_seat_t *next;
    mr_partition_t *partition;
    mr_source_t *source;
    mr_consumer_t *consumer;
    mr_flush_t *flush;
    mr_metric_t *lag;
    int halted;
    _Atomic int64_t end; /* of the log, as the main thread saw it */
    int64_t written;     /* the same with what is not committed; -1: not yet */
    int64_t asked;       /* when it began to look, wall clock ms */
    int64_t claimed;     /* the caught_up and */
    int64_t reached;     /* the reached that were written last */
};

struct mr_lane_s {
    const mr_lane_env_t *env;
    pthread_t thread;
    int fd; /* eventfd: records, or the main thread */

    /*
     * Guards `incoming`, what a seat knows of the log's end, and changes of
     * `seats`, which only the lane's thread makes.
     */
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* released */
    mr_seat_t *incoming;
    mr_seat_t *seats;

    atomic_int quit;
    atomic_int release;
    _Atomic int64_t deadline; /* of the release */

    /* the thread's own */
    mr_store_t *store;
    mr_parser_t *parser;
    mr_pool_t pool;
    mr_plan_t plan;
    int64_t beat;   /* when caught_up is written next */
    int64_t took;   /* ms, a moving mean: to store a flush */
    int64_t stored; /* on the monotonic clock, ms: the end of the last flush */
    int64_t load;   /* per mille of the time that goes to storing, smoothed */
};


/*
 * Store the seat's flush, however often it takes; afterwards the flush is
 * empty, and the seat may be halted.
 */
void mr_lane_store(mr_lane_t *lane, mr_seat_t *seat);

/* Show, and say once, what a stored flush has learnt of event types. */
void mr_lane_types(mr_lane_t *lane, const mr_flush_t *flush);

/* Drop what is not stored and tell the main thread. */
void mr_lane_halt(
    mr_lane_t *lane, mr_seat_t *seat, mr_halt_t why, const mr_error_t *err);

/*
 * What is due twice a second: show how far the partitions are, and note in
 * the ledgers which of them are stored to their end.
 */
void mr_lane_beat(mr_lane_t *lane);

/* For a lane that is at its work for long while its logs grow. */
void mr_lane_show_lags(mr_lane_t *lane);

#endif /* MR_WRITER_LANE_PRIVATE_H */
