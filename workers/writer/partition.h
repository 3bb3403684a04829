/*
 * One partition while this writer owns it: takes its records in order, judges
 * each exactly once, and gathers what is to be stored in its flush.  Pure
 * logic: no Kafka, no MongoDB, no clock.
 *
 * Belongs to one thread at a time: to its lane while it is attached, to the
 * main thread otherwise.  `corrupted` alone may be read by any.
 */
#ifndef MR_WRITER_PARTITION_H
#define MR_WRITER_PARTITION_H

#include <stdatomic.h>
#include <stdint.h>

#include <millrace/event.h>

#include "../common/kafka_source.h"
#include "dedup.h"
#include "flush.h"
#include "ledger.h"


/*
 * Offsets that were passed over: [from, to).  The log has them where somebody
 * wrote in transactions, a single one for a marker, more for what was
 * aborted.  A longer one is believed only when it is met a second time, by
 * reading anew: whatever else might make a consumer skip records, it would
 * not skip the very same ones again.
 */
typedef struct {
    int64_t from;
    int64_t to;
} mr_hole_t;

typedef struct {
    int32_t id;
    mr_ledger_t ledger; /* as it is stored */
    int64_t position;   /* every offset below it has been taken */
    int64_t reached;    /* or lies behind the end of the log that was met */
    mr_last_t last;     /* the newest record judged */
    mr_flush_t *flush;  /* given by the caller before taking a record */
    size_t limit;       /* events a flush, when that had to be lowered
                                for a slow MongoDB; 0: as configured */

    int64_t window_size;
    mr_dedup_t *window;
    int64_t window_epoch;
    int64_t filled; /* the window knows the log up to here; -1: no */
    int64_t fill;   /* from here on records enter the window */

    int verified;      /* the log is the one that the ledger speaks of */
    int foreign;       /* it is not: found out since the last start */
    int appended;      /* the time of ledger.last is the broker's */
    int last_appended; /* so is that of `last` */
    int64_t later;     /* the offset of a later record that was found to lie
                       below the last stored one, */
    int64_t later_end; /* and of the last stored one then; -1: none was */
    int64_t hole;      /* first offset since the last commit that was passed
                       over unseen; -1: none */
    mr_hole_t *holes;  /* all that were met about the window, ascending */
    size_t n_holes;
    size_t holes_cap;
    size_t doubtful; /* of them, met but once since the start */

    int64_t corrupt;       /* an offset that could not be read, and */
    atomic_uint corrupted; /* how often in turn; 0: what is there was read */
} mr_partition_t;


typedef enum {
    MR_TAKE_DONE,
    MR_TAKE_STALE,     /* of an offset that has been taken: dropped */
    MR_TAKE_RECREATED, /* the record at last.offset is another one, or gone */
    MR_TAKE_FAILED     /* out of memory: the partition must start anew */
} mr_take_t;


/* NULL on out of memory.  The window's memory is taken at the first start. */
mr_partition_t *mr_partition_create(int32_t id, int64_t window_size);
void mr_partition_destroy(mr_partition_t *partition);

/*
 * Free the window, which is filled from the log when the partition is started
 * again.  Returns whether there was one.
 */
int mr_partition_forget(mr_partition_t *partition);

/*
 * Begin to read by `ledger`, from a log that starts at `log_start`.
 * *ret_start is the offset to read from: below `next`, so that the dedup
 * window is filled and the last stored record is seen again.  Returns -1 on
 * out of memory.
 */
int mr_partition_start(mr_partition_t *partition, const mr_ledger_t *ledger,
    int64_t log_start, int64_t *ret_start);

/* Take the next record.  `err` is set for MR_TAKE_RECREATED and _FAILED. */
mr_take_t mr_partition_take(mr_partition_t *partition,
    const mr_record_t *record, mr_parser_t *parser, mr_error_t *err);

/* Is there a hole that must be met again before anything may be stored? */
int mr_partition_doubtful(const mr_partition_t *partition);

/* Would the record at `offset`, taken next, be the first behind such a hole? */
int mr_partition_doubts(const mr_partition_t *partition, int64_t offset);

/* What lies at `offset`, or at the position if that is later, is corrupt. */
void mr_partition_corrupt(mr_partition_t *partition, int64_t offset);

/* The consumer has met the end of the log: below it nothing is left. */
void mr_partition_end(mr_partition_t *partition, int64_t offset);

/* How the ledger will stand once the flush is stored. */
void mr_partition_after(
    const mr_partition_t *partition, mr_ledger_t *ret_ledger);

/* The flush has been stored: `ledger` (mr_partition_after) stands. */
void mr_partition_committed(
    mr_partition_t *partition, const mr_ledger_t *ledger);

#endif /* MR_WRITER_PARTITION_H */
