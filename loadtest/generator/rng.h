/*
 * Random numbers that are a pure function of a seed and an index, so that
 * any event can be made again without what came before it.
 *
 * SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, OOPSLA 2014); constants of its mixing function by Stafford.
 */
#ifndef MR_LOAD_RNG_H
#define MR_LOAD_RNG_H

#include <stdint.h>


#define MR_RNG_STEP UINT64_C(0x9e3779b97f4a7c15)


typedef struct {
    uint64_t state;
} mr_rng_t;


static inline uint64_t
mr_rng_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;

    return x;
}


/* The stream that belongs to `index`. */
static inline mr_rng_t
mr_rng_at(uint64_t seed, uint64_t index)
{
    return (mr_rng_t){mr_rng_mix(seed ^ mr_rng_mix(index + MR_RNG_STEP))};
}


static inline uint64_t
mr_rng_next(mr_rng_t *rng)
{
    rng->state += MR_RNG_STEP;

    return mr_rng_mix(rng->state);
}


/* 0 .. n-1; `n` is small against 2^32, so the bias is as well. */
static inline uint32_t
mr_rng_below(mr_rng_t *rng, uint32_t n)
{
    return (uint32_t) (((mr_rng_next(rng) >> 32) * n) >> 32);
}


/* [0, 1) */
static inline double
mr_rng_real(mr_rng_t *rng)
{
    return (double) (mr_rng_next(rng) >> 11) * 0x1p-53;
}

#endif /* MR_LOAD_RNG_H */
