#include <math.h>

#include "histogram.h"


static unsigned mr_histogram_slot(uint64_t value);
static uint64_t mr_histogram_end(unsigned slot);


void
mr_histogram_add(mr_histogram_t *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->min) {
        histogram->min = value;
    }

    if (value > histogram->max) {
        histogram->max = value;
    }

    histogram->count++;
    histogram->sum += value;
    histogram->slots[mr_histogram_slot(value)]++;
}


void
mr_histogram_merge(mr_histogram_t *to, const mr_histogram_t *from)
{
    unsigned i;

    if (from->count == 0) {
        return;
    }

    if (to->count == 0 || from->min < to->min) {
        to->min = from->min;
    }

    if (from->max > to->max) {
        to->max = from->max;
    }

    to->count += from->count;
    to->sum += from->sum;

    for (i = 0; i < MR_HISTOGRAM_SLOTS; i++) {
        to->slots[i] += from->slots[i];
    }
}


uint64_t
mr_histogram_quantile(const mr_histogram_t *histogram, double quantile)
{
    unsigned i;
    uint64_t end, rank, seen;

    if (histogram->count == 0) {
        return 0;
    }

    rank = (uint64_t) ceil(quantile * (double) histogram->count);

    if (rank == 0) {
        rank = 1;
    }

    seen = 0;

    for (i = 0; i < MR_HISTOGRAM_SLOTS; i++) {
        seen += histogram->slots[i];

        if (seen >= rank) {
            end = mr_histogram_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }

    return histogram->max;
}


/*
 * Below MR_HISTOGRAM_PARTS a slot is a value; above it the slot is the seven
 * bits after the leading one, of that power.
 */
static unsigned
mr_histogram_slot(uint64_t value)
{
    unsigned power;

    if (value < MR_HISTOGRAM_PARTS) {
        return (unsigned) value;
    }

    power = 63 - (unsigned) __builtin_clzll(value) - 7;

    if (power >= MR_HISTOGRAM_POWERS) {
        return MR_HISTOGRAM_SLOTS - 1;
    }

    return (power + 1) * MR_HISTOGRAM_PARTS
           + ((unsigned) (value >> power) & (MR_HISTOGRAM_PARTS - 1));
}


/* The largest value that has this slot. */
static uint64_t
mr_histogram_end(unsigned slot)
{
    uint64_t part;
    unsigned power;

    if (slot < MR_HISTOGRAM_PARTS) {
        return slot;
    }

    power = slot / MR_HISTOGRAM_PARTS - 1;
    part = slot % MR_HISTOGRAM_PARTS + MR_HISTOGRAM_PARTS;

    return ((part + 1) << power) - 1;
}
