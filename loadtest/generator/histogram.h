/*
 * Latencies in a log-linear histogram: each power of two is cut into 128
 * parts, so that a value read back is at most 0.8 % above what was recorded,
 * from 1 us to beyond an hour, in constant memory.
 *
 * The idea of G. Tene's HdrHistogram.
 */
#ifndef MR_LOAD_HISTOGRAM_H
#define MR_LOAD_HISTOGRAM_H

#include <stdint.h>


#define MR_HISTOGRAM_PARTS 128 /* of a power of two */
#define MR_HISTOGRAM_POWERS 26 /* beyond the first: 128 us * 2^26 */
#define MR_HISTOGRAM_SLOTS (MR_HISTOGRAM_PARTS * (MR_HISTOGRAM_POWERS + 1))


/* Zero it to begin with; one thread at a time. */
typedef struct {
    uint64_t count;
    uint64_t sum; /* us */
    uint64_t min;
    uint64_t max;
    uint64_t slots[MR_HISTOGRAM_SLOTS];
} mr_histogram_t;


/* `value` in us; what is beyond the range counts as its end. */
void mr_histogram_add(mr_histogram_t *histogram, uint64_t value);

void mr_histogram_merge(mr_histogram_t *to, const mr_histogram_t *from);

/*
 * The value in us that a share of `quantile` (0 .. 1) of all do not exceed,
 * rounded up to its part's end but not beyond the maximum; 0 of nothing.
 */
uint64_t mr_histogram_quantile(
    const mr_histogram_t *histogram, double quantile);

#endif /* MR_LOAD_HISTOGRAM_H */
