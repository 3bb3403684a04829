/*
 * Ranks by Zipf's law: rank i (from 0) with probability proportional to
 * 1 / (i + 1)^exponent, exactly, in constant time.
 *
 * The alias method: A. J. Walker, ACM TOMS 3 (1977); tables built as in
 * M. D. Vose, IEEE TSE 17 (1991).
 */
#ifndef MR_LOAD_ZIPF_H
#define MR_LOAD_ZIPF_H

#include <stdint.h>


/* Immutable once created, so any number of threads may draw. */
typedef struct mr_zipf_s mr_zipf_t;


/* NULL on out of memory. */
mr_zipf_t *mr_zipf_create(uint32_t ranks, double exponent);
void mr_zipf_destroy(mr_zipf_t *zipf);

/* The rank that 64 uniform random bits give. */
uint32_t mr_zipf_rank(const mr_zipf_t *zipf, uint64_t bits);

/* The probability of a rank. */
double mr_zipf_probability(const mr_zipf_t *zipf, uint32_t rank);

#endif /* MR_LOAD_ZIPF_H */
