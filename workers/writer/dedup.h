/*
 * The dedup window of one partition.
 *
 * The rule: the record at offset o is a repeat if and only if a valid record
 * of the same identity, kept or dropped, lies at an offset o' with
 * o - W <= o' < o.  So the decision is a function of the log alone, and the
 * window at o holds exactly the identities at the W offsets before o.
 *
 * It is a ring of W identities, one an offset, and a hash table of ring
 * positions that finds the newest offset of an identity.
 *
 * Memory: 16 bytes an offset for the ring and 4 bytes a table slot, with 2.0
 * to 4.0 slots an offset: 24 to 32 bytes an offset, 12.2 MB for the default W
 * of 500,000 (2^20 slots).  The pages of the ring are touched only as the
 * window fills.  Time: about two cache misses a record.
 *
 * One thread at a time.
 */
#ifndef MR_WRITER_DEDUP_H
#define MR_WRITER_DEDUP_H

#include <stdint.h>

#include <millrace/hash.h>


#define MR_DEDUP_WINDOW_MAX INT64_C(100000000)


typedef struct mr_dedup_s mr_dedup_t;


/* An empty window of `size` offsets, 1 to MR_DEDUP_WINDOW_MAX; NULL on
   out of memory. */
mr_dedup_t *mr_dedup_create(int64_t size);
void mr_dedup_destroy(mr_dedup_t *dedup);

/* Forget everything; the next record may have any offset. */
void mr_dedup_reset(mr_dedup_t *dedup);

/*
 * Enter the valid record at `offset`, which must be higher than every offset
 * entered before, and tell whether it is a repeat.  Offsets that are left out
 * held nothing valid.
 */
int mr_dedup_add(mr_dedup_t *dedup, int64_t offset, mr_hash_t identity);

#endif /* MR_WRITER_DEDUP_H */
