/*
 * Cutting a flush by time into groups, so that few blocks get a wide span.
 *
 * A block's span class says within what width its timestamps lie.  Readers
 * walk each class with that width as their uncertainty, so an event that
 * lands in a wide block costs every read that passes by.  A flush is mostly
 * recent events with a few late ones: the late ones must not widen the rest.
 *
 * Classes are tried from the narrowest to the widest.  In each, every
 * stretch of that class's width that holds enough events becomes a group of
 * its own; what is left over goes on to the next class, and at last forms one
 * group.  Enough is an eighth of the flush, at least 2, at most 256 events
 * (a quarter of a full block): so a flush never falls into more than
 * n / 256 + 9 groups.
 */
#ifndef MR_WRITER_SPAN_H
#define MR_WRITER_SPAN_H

#include <stddef.h>
#include <stdint.h>


/* The classes of docs/data-model.md; the last has no width. */
#define MR_SPANS 5

/* The narrowest class for events that lie `width` ms apart. */
int mr_span_class(int64_t width);

/*
 * Give each of `n` timestamps (ms, ascending) its group, from 0.  `scratch`
 * has room for n values.  Returns the number of groups.
 */
uint32_t mr_span_cut(
    const int64_t *times, size_t n, uint32_t *scratch, uint32_t *ret_groups);

#endif /* MR_WRITER_SPAN_H */
