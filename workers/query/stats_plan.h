/*
 * What GET /stats is to answer: the parameters judged, the range widened to
 * whole buckets, and the stored width that serves them.
 */
#ifndef MILLRACE_QUERY_STATS_PLAN_H
#define MILLRACE_QUERY_STATS_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>

#include "../common/options.h"
#include "../common/window.h"
#include "params.h"


/* A point is one bucket of one series. */
#define MR_POINTS_MAX 11000
#define MR_BUCKETS_DEFAULT 60


/* A width that an answer's buckets may have. */
typedef struct {
    const char *name;
    int64_t length;   /* ms */
    mr_width_t width; /* of the stored windows that it is made of */
} mr_interval_t;


/* Views point into the parameters and the options, which must outlive it. */
typedef struct {
    mr_str_t *types; /* bytewise order, each once */
    size_t n_types;  /* 0: all */
    int grouped;     /* a series a type */
    const mr_interval_t *interval;
    int64_t from; /* ms; multiples of the interval */
    int64_t to;
    size_t buckets;
    const char *measure; /* NULL: none is configured */
    int merged;          /* a bucket is more than one window of its series */
} mr_stats_plan_t;

/* A range that is made of whole windows of one width. */
typedef struct {
    mr_width_t width;
    int64_t from; /* ms */
    int64_t to;
} mr_span_t;

#define MR_SPANS_OF_RANGE 5


/* The interval of that name, or NULL. */
const mr_interval_t *mr_interval_find(mr_str_t name);

/*
 * `now` in ms since the epoch.  Fails with MR_ERROR_ARGUMENT, the parameter
 * in err->field, or MR_ERROR_MEMORY.
 */
int mr_stats_plan_create(const mr_params_t *params, const mr_options_t *options,
    int64_t now, mr_stats_plan_t *ret_plan, mr_error_t *err);
void mr_stats_plan_free(mr_stats_plan_t *plan);

/*
 * Milliseconds of [from, to) that have passed, for a rate: the whole length
 * of what is over or lies ahead; of what is open, full seconds, rounded up,
 * so that an answer does not change with every millisecond.
 */
int64_t mr_stats_elapsed(int64_t from, int64_t to, int64_t now);

/*
 * The fewest windows with sketches that make up the plan's range: whole days,
 * then hours and minutes at its ends, in order.  Returns how many spans; 0 if
 * no windows with sketches do.
 */
size_t mr_stats_spans(
    const mr_stats_plan_t *plan, mr_span_t spans[MR_SPANS_OF_RANGE]);

/* Fails with MR_ERROR_ARGUMENT when so many series have too many points. */
int mr_stats_points(size_t buckets, size_t series, mr_error_t *err);

/* Fill *err: the measure asked for is none of the options'; returns -1. */
int mr_stats_measure_unknown(const mr_options_t *options, mr_error_t *err);

#endif /* MILLRACE_QUERY_STATS_PLAN_H */
