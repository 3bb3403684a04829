/*
 * The numbers of one bucket, or of a whole range, of GET /stats: added up
 * from windows that carry estimates, or merged from their sketches.  Pure.
 *
 * What cannot be known is unknown, never guessed: one window with events but
 * without the sketch makes the whole so.
 */
#ifndef MILLRACE_QUERY_STATS_POINT_H
#define MILLRACE_QUERY_STATS_POINT_H

#include <stdint.h>

#include <millrace/ddsketch.h>
#include <millrace/error.h>
#include <millrace/hll.h>
#include <millrace/str.h>

#include "../common/window.h"


#define MR_QUANTILES 3

/* 0.50, 0.95, 0.99: p50, p95, p99. */
extern const double mr_quantiles[MR_QUANTILES];


/* A stored window, with one of its measures.  Views of the reader's. */
typedef struct {
    mr_str_t event_type;
    int64_t start; /* ms */
    int64_t count;
    mr_measure_stats_t measure;

    int estimated; /* unique_users is there */
    int64_t unique_users;
    int ranked; /* quantiles are there */
    double quantiles[MR_QUANTILES];

    mr_str_t users;  /* a HyperLogLog's bytes, or empty: none, or not read */
    mr_str_t values; /* a DDSketch's */
} mr_window_row_t;


/* Zeroed, it is a bucket without events. */
typedef struct {
    int64_t count;
    mr_measure_stats_t measure;
    int unestimated; /* unique_users is not known */
    int64_t unique_users;
    int unranked; /* quantiles are not known */
    double quantiles[MR_QUANTILES];
} mr_point_t;

/* What a point's estimates come from.  Zeroed, it has seen nothing. */
typedef struct {
    mr_hll_t users;
    mr_ddsketch_t values;
    int users_missing;
    int values_missing;
} mr_sketches_t;


/* Of a point that is nothing but this window. */
void mr_point_set(mr_point_t *point, const mr_window_row_t *row);

/* Count and measure alone. */
void mr_point_add(mr_point_t *point, const mr_point_t *from);

/* The sketches of a window; damaged ones are missing.  MR_ERROR_MEMORY. */
int mr_sketches_add(
    mr_sketches_t *sketches, const mr_window_row_t *row, mr_error_t *err);

/* What another has seen.  Fails with MR_ERROR_MEMORY. */
int mr_sketches_merge(
    mr_sketches_t *into, const mr_sketches_t *from, mr_error_t *err);

/* The point's estimates; its measure must be complete. */
void mr_sketches_estimate(const mr_sketches_t *sketches, mr_point_t *point);

/* It has seen nothing then, and may be used again. */
void mr_sketches_free(mr_sketches_t *sketches);

#endif /* MILLRACE_QUERY_STATS_POINT_H */
