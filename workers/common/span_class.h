/*
 * Span classes of blocks, by how far apart the events of one may lie:
 * docs/data-model.md, `blocks.span`.  The writer cuts by them; whoever looks
 * for events asks class by class.
 */
#ifndef MILLRACE_SPAN_CLASS_H
#define MILLRACE_SPAN_CLASS_H

#include <stdint.h>


/* They are numbered by age, not by width; one has no width. */
#define MR_SPANS 6
#define MR_SPAN_ANY 4


/* The widest tmax - tmin of a class in ms; -1 for MR_SPAN_ANY: no bound. */
static inline int64_t
mr_span_width(int span)
{
    static const int64_t widths[MR_SPANS] = {
        INT64_C(10) * 1000,
        INT64_C(600) * 1000,
        INT64_C(86400) * 1000,
        INT64_C(30) * 86400 * 1000,
        -1,
        INT64_C(300) * 1000,
    };

    return widths[span];
}

#endif /* MILLRACE_SPAN_CLASS_H */
