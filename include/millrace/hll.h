/*
 * HyperLogLog: how many distinct values were seen, in at most 12 KiB.
 *
 *   Flajolet, Fusy, Gandouet, Meunier: HyperLogLog, the analysis of a
 *   near-optimal cardinality estimation algorithm (AofA 2007)
 *   Heule, Nunkesser, Hall: HyperLogLog in Practice (EDBT 2013), for the
 *   sparse form and 64-bit hashes
 *   Ertl: New cardinality estimation algorithms for HyperLogLog sketches
 *   (arXiv:1702.01284, 2017), for the estimate: Algorithm 6, which needs no
 *   table and has no seam between small and large numbers
 *
 * 2^14 registers, so a standard error of 1.04 / sqrt(2^14) = 0.8 %; up to
 * MR_HLL_EXACT_MAX values are kept as their hashes, and the count is exact.
 * Adding and merging are idempotent, commutative and associative, and the
 * bytes are a function of the set of values alone.
 *
 * The bytes, at most MR_HLL_BYTES_MAX of them:
 *
 *   'H' 1 14 0   at most MR_HLL_EXACT_MAX values: a varint, their number;
 *                then their hashes in ascending order, 8 bytes each, lowest
 *                first
 *   'H' 1 14 1   more, and at most MR_HLL_SPARSE_MAX registers are not zero:
 *                a varint, their number; then one varint each, in the order
 *                of indexes: (index - index before - 1) << 6 | register, where
 *                the index before the first is -1
 *   'H' 1 14 2   otherwise: 2^14 registers of 6 bits, lowest bit first
 *
 * A varint has seven bits a byte, lowest first, the top bit set on all bytes
 * but the last.  A value's hash is the XXH3-64 of its bytes.  The index of
 * its register is the hash's top 14 bits; the register is at least 1 + the
 * number of leading zeros of the other 50 bits, 51 if all of them are zero.
 *
 * A sketch belongs to one thread at a time.  It owns its memory.
 */
#ifndef MILLRACE_HLL_H
#define MILLRACE_HLL_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


#define MR_HLL_PRECISION 14
#define MR_HLL_REGISTERS (1 << MR_HLL_PRECISION)
#define MR_HLL_EXACT_MAX 256
#define MR_HLL_SPARSE_MAX 4096
#define MR_HLL_BYTES_MAX (4 + MR_HLL_REGISTERS * 6 / 8)


/* Zero-initialise with MR_HLL_INIT, end with mr_hll_free(). */
typedef struct {
    uint64_t *exact;  /* hashes, sorted: while there are few */
    uint32_t *sparse; /* or index << 6 | register, sorted */
    uint8_t *dense;   /* or a byte a register */
    uint32_t n;       /* hashes, or registers that are not zero */
    uint32_t cap;     /* of `exact` or `sparse` */
} mr_hll_t;

#define MR_HLL_INIT                                                            \
    {                                                                          \
        NULL, NULL, NULL, 0, 0                                                 \
    }


/* The hash of a value, to be kept in its stead and added to several. */
uint64_t mr_hll_hash(mr_str_t value);

void mr_hll_free(mr_hll_t *hll); /* it is empty then, and may be used again */

/*
 * Returns 1 if the sketch changed, 0 if it did not, and -1, with the sketch
 * as it was, on out of memory.
 */
int mr_hll_add(mr_hll_t *hll, uint64_t hash);

/*
 * Into `into`, which then has seen what either had.  Returns as mr_hll_add(),
 * but on out of memory `into` may have seen a part of `from`: merging again
 * is harmless.
 */
int mr_hll_merge(mr_hll_t *into, const mr_hll_t *from);

/*
 * The same from bytes.  Fails with MR_ERROR_CODING, `into` untouched, when
 * they are not exactly what mr_hll_write() writes, and with MR_ERROR_MEMORY.
 */
int mr_hll_merge_bytes(mr_hll_t *into, mr_str_t bytes, mr_error_t *err);

/* 0 if the bytes are exactly what mr_hll_write() writes, else -1. */
int mr_hll_check(mr_str_t bytes);

/* Append the bytes; -1, nothing appended, on out of memory. */
int mr_hll_write(const mr_hll_t *hll, mr_buf_t *buf);

/* Distinct values seen; exact up to MR_HLL_EXACT_MAX. */
int64_t mr_hll_estimate(const mr_hll_t *hll);

/* Bytes of memory that it holds. */
size_t mr_hll_memory(const mr_hll_t *hll);

#endif /* MILLRACE_HLL_H */
