/*
 * Cutting a flush by time into groups, so that few blocks get a wide span.
 *
 * A block's span class says within what width its timestamps lie.  Readers
 * walk each class with that width as their uncertainty, so an event that
 * lands in a wide block costs every read that passes by.  A flush is mostly
 * recent events with a few late ones: the late ones must not widen the rest.
 *
 * Classes are tried from the narrowest to the widest, which is not the order
 * of their numbers.  In each, every stretch of that class's width that holds
 * enough events becomes a group of its own; what is left over goes on to the
 * next class.  Enough is an eighth of the flush, at least 2, at most 256
 * events: so a flush never falls into more than n / 256 + 8 such groups.
 *
 * The class of five minutes is not tried by itself.  Its groups are halves of
 * ten minutes: then what is left over is not more than without it.
 *
 * What is left at last are late events, if it is no more than a thirty-second
 * of the flush: then those within ten seconds form a group, mostly each alone.
 * One group of them all would be as wide as they are late, and a moment lies
 * within that of every flush that came since, for as long.  More than that
 * are scattered events, and form one group.
 */
#ifndef MR_WRITER_SPAN_H
#define MR_WRITER_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "../common/span_class.h"


/* The narrowest class for events that lie `width` ms apart. */
int mr_span_class(int64_t width);

/*
 * Give each of `n` timestamps (ms, ascending) its group, from 0.  `scratch`
 * has room for n values.  Returns the number of groups.
 */
uint32_t mr_span_cut(
    const int64_t *times, size_t n, uint32_t *scratch, uint32_t *ret_groups);

#endif /* MR_WRITER_SPAN_H */
