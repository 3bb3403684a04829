/*
 * DDSketch: percentiles of a stream of numbers, each within 0.5 % of the
 * true value.
 *
 *   Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile sketch
 *   with relative-error guarantees (PVLDB 12, 2019)
 *
 * With a = 0.005 and g = (1 + a) / (1 - a), a number v > 0 is counted in the
 * bucket i with g^(i-1) < v <= g^i, and read back as 2 g^i / (g + 1), which
 * is at most a * v away from it.  Negative numbers have buckets of their own;
 * what is closer to zero than 1e-15 counts as zero.  The range of indexes is
 * fixed (MR_DDSKETCH_LIMIT is the largest magnitude), so nothing is ever
 * collapsed, and adding and merging are exact: commutative, associative, and
 * the bytes are a function of the multiset of buckets alone.
 *
 * A bucket's key is 0 for zero, i + 3455 for a positive number and
 * -(i + 3455) for a negative one: keys are in the order of the numbers, from
 * -6909 to 6909.
 *
 * The bytes:
 *
 *   'D' 1 5      and a varint, the number of buckets that are not empty; then
 *                for each, in the order of keys, two varints: key + 6909 -
 *                (the key before + 6909) - 1, where the key before the first
 *                is -6910; and its count, at least 1
 *
 * with varints as in hll.h.  (5 is a, in thousandths.)
 *
 * A sketch belongs to one thread at a time.  It owns its memory, 16 bytes a
 * bucket that is not empty.
 */
#ifndef MILLRACE_DDSKETCH_H
#define MILLRACE_DDSKETCH_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


#define MR_DDSKETCH_ALPHA 0.005
#define MR_DDSKETCH_LIMIT 1e15
#define MR_DDSKETCH_KEY_MAX 6909


typedef struct {
    int64_t count;
    int32_t key;
} mr_bucket_t;

/* Zero-initialise with MR_DDSKETCH_INIT, end with mr_ddsketch_free(). */
typedef struct {
    mr_bucket_t *buckets; /* sorted by key, none empty */
    uint32_t n;
    uint32_t cap;
    int64_t count; /* of all buckets */
} mr_ddsketch_t;

#define MR_DDSKETCH_INIT                                                       \
    {                                                                          \
        NULL, 0, 0, 0                                                          \
    }


/*
 * The bucket of a number, so that it may be kept and added to several
 * sketches.  A magnitude beyond MR_DDSKETCH_LIMIT counts as that; NaN as 0.
 */
int32_t mr_ddsketch_key(double value);

/* The number that stands for a bucket. */
double mr_ddsketch_value(int32_t key);

void mr_ddsketch_free(mr_ddsketch_t *sketch); /* empty, may be used again */

/*
 * Add `count` > 0 numbers to a bucket.  -1, with the sketch as it was, on out
 * of memory, and when 2^63 - 1 would be exceeded.
 */
int mr_ddsketch_add(mr_ddsketch_t *sketch, int32_t key, int64_t count);

/* Add what `from` holds.  On -1 `into` is as it was. */
int mr_ddsketch_merge(mr_ddsketch_t *into, const mr_ddsketch_t *from);

/*
 * The same from bytes.  Fails with MR_ERROR_CODING when they are not exactly
 * what mr_ddsketch_write() writes, and with MR_ERROR_MEMORY; `into` is
 * untouched then.
 */
int mr_ddsketch_merge_bytes(
    mr_ddsketch_t *into, mr_str_t bytes, mr_error_t *err);

/* Append the bytes; -1, nothing appended, on out of memory. */
int mr_ddsketch_write(const mr_ddsketch_t *sketch, mr_buf_t *buf);

/*
 * The q-quantile, 0 <= q <= 1: the number of rank floor(q * (count - 1)),
 * counted from 0, to within MR_DDSKETCH_ALPHA.  NaN when there is none.  Who
 * knows the least and the greatest number limits it to those.
 */
double mr_ddsketch_quantile(const mr_ddsketch_t *sketch, double q);

/* Bytes of memory that it holds. */
size_t mr_ddsketch_memory(const mr_ddsketch_t *sketch);

#endif /* MILLRACE_DDSKETCH_H */
