/*
 * Statistics windows: widths, boundaries and retention, and the numbers that
 * a window holds.  Used by the writer (partials), the stats daemon (merged
 * windows) and the query daemon.
 */
#ifndef MILLRACE_WINDOW_H
#define MILLRACE_WINDOW_H

#include <stdint.h>

#include "options.h"


typedef enum {
    MR_WIDTH_SECOND,
    MR_WIDTH_MINUTE,
    MR_WIDTH_HOUR,
    MR_WIDTH_DAY,
    MR_WIDTHS
} mr_width_t;


/* Seconds: 1, 60, 3600, 86400.  Stored in MongoDB as `width`. */
int32_t mr_width_seconds(mr_width_t width);

/* "1s", "1m", "1h", "1d". */
const char *mr_width_name(mr_width_t width);

/* The width that has so many seconds; -1 if none has. */
int mr_width_find(int64_t seconds, mr_width_t *ret_width);

/* Start of the window that holds time `t` (both ms), aligned to the epoch. */
int64_t mr_window_start(mr_width_t width, int64_t t);

/*
 * How long a width's windows are kept, in ms after their end; 0 means for
 * ever (hours and days).
 */
int64_t mr_width_keep(mr_width_t width, const mr_options_t *options);


/* What is kept of one measure in one window. */
typedef struct {
    int64_t count; /* events that carried the measure as a number */
    double sum;
    double min; /* meaningless while count is 0 */
    double max;
} mr_measure_stats_t;


/* The scalars of one window; measures in the order of the configuration. */
typedef struct {
    int64_t count;
    mr_measure_stats_t measures[MR_MEASURES_MAX];
} mr_window_stats_t;

void mr_measure_add(mr_measure_stats_t *stats, double value);
void mr_measure_merge(mr_measure_stats_t *into, const mr_measure_stats_t *from);
void mr_window_merge(
    mr_window_stats_t *into, const mr_window_stats_t *from, size_t n_measures);

#endif /* MILLRACE_WINDOW_H */
