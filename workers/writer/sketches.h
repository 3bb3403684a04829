/*
 * The sketches of this writer's own partials, kept from flush to flush so
 * that a flush need not read what an earlier one wrote: a cache, bounded, the
 * least recently used goes first.
 *
 * It may never be ahead of MongoDB nor behind it.  A flush begins with
 * mr_sketches_begin(), which drops what was cached of the partition unless
 * the ledger's `flush` stands where this cache last saw it committed, so that
 * a partition that was elsewhere meanwhile starts afresh.  While it is on its
 * way the cache has what will be stored; if it is not said by
 * mr_sketches_commit() that it was, the next begin drops it all.
 *
 * Pure logic.  Belongs to one lane's thread.
 */
#ifndef MR_WRITER_SKETCHES_H
#define MR_WRITER_SKETCHES_H

#include <stdint.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>

#include "partials.h"


/*
 * A base of users that is rewritten for every user who comes would be 12 KiB
 * each time.  What was added since the base was written is stored beside it,
 * until it is longer than this.
 */
#define MR_SKETCH_TAIL_MAX 3072


typedef struct mr_sketches_s mr_sketches_t;

/* One partial's; the cache owns it. */
typedef struct {
    mr_hll_t users;
    mr_hll_t tail;     /* of them, what came since the base was written */
    int based;         /* a base is stored */
    int tailed;        /* a tail is stored */
    int changed;       /* by the newest mr_sketch_add() */
    uint32_t measured; /* so were these measures, a bit each */
    mr_ddsketch_t measures[]; /* in the order of the configuration */
} mr_sketch_t;


/* `limit`: bytes it may hold between two flushes.  NULL on out of memory. */
mr_sketches_t *mr_sketches_create(size_t limit, size_t n_measures);
void mr_sketches_destroy(mr_sketches_t *sketches);

/* -1 on out of memory. */
int mr_sketches_begin(
    mr_sketches_t *sketches, int32_t partition, int64_t flush);
void mr_sketches_commit(
    mr_sketches_t *sketches, int32_t partition, int64_t flush);

/*
 * The sketch of a row of the partition that was begun, or NULL if it is not
 * cached.  Valid until the next mr_sketches_trim().
 */
mr_sketch_t *mr_sketches_find(
    mr_sketches_t *sketches, int32_t partition, const mr_partial_t *row);

/*
 * Add an empty one for a row that is not cached: the caller fills it with
 * what is stored.  NULL on out of memory.
 */
mr_sketch_t *mr_sketches_add(
    mr_sketches_t *sketches, int32_t partition, const mr_partial_t *row);

/* Give back what is beyond the limit. */
void mr_sketches_trim(mr_sketches_t *sketches);

/* Bytes in use, as of the last mr_sketches_trim(). */
size_t mr_sketches_memory(const mr_sketches_t *sketches);


/* Add what row `i` of a flush has; -1 on out of memory. */
int mr_sketch_add(mr_sketch_t *sketch, const mr_partials_t *partials, size_t i);

#endif /* MR_WRITER_SKETCHES_H */
