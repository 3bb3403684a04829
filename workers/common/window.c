#include <millrace/time.h>

#include "window.h"


typedef struct {
    int32_t seconds;
    const char *name;
} width_t;


static const width_t widths[MR_WIDTHS] = {
    [MR_WIDTH_SECOND] = {1, "1s"},
    [MR_WIDTH_MINUTE] = {60, "1m"},
    [MR_WIDTH_HOUR] = {3600, "1h"},
    [MR_WIDTH_DAY] = {86400, "1d"},
};


int32_t
mr_width_seconds(mr_width_t width)
{
    return widths[width].seconds;
}


const char *
mr_width_name(mr_width_t width)
{
    return widths[width].name;
}


int
mr_width_find(int64_t seconds, mr_width_t *ret_width)
{
    mr_width_t width;

    for (width = MR_WIDTH_SECOND; width < MR_WIDTHS; width++) {

        if (widths[width].seconds == seconds) {
            *ret_width = width;
            return 0;
        }
    }

    return -1;
}


int64_t
mr_window_start(mr_width_t width, int64_t t)
{
    return mr_time_floor(t, (int64_t) widths[width].seconds * 1000);
}


int64_t
mr_width_keep(mr_width_t width, const mr_options_t *options)
{
    switch (width) {

    case MR_WIDTH_SECOND:
        return options->stats.keep_second;

    case MR_WIDTH_MINUTE:
        return options->stats.keep_minute;

    default:
        return 0;
    }
}


void
mr_measure_add(mr_measure_stats_t *stats, double value)
{
    if (stats->count == 0) {
        stats->min = value;
        stats->max = value;

    } else {
        if (value < stats->min) {
            stats->min = value;
        }

        if (value > stats->max) {
            stats->max = value;
        }
    }

    stats->count++;
    stats->sum += value;
}


void
mr_measure_merge(mr_measure_stats_t *into, const mr_measure_stats_t *from)
{
    if (from->count == 0) {
        return;
    }

    if (into->count == 0) {
        *into = *from;
        return;
    }

    if (from->min < into->min) {
        into->min = from->min;
    }

    if (from->max > into->max) {
        into->max = from->max;
    }

    into->count += from->count;
    into->sum += from->sum;
}


void
mr_window_merge(
    mr_window_stats_t *into, const mr_window_stats_t *from, size_t n_measures)
{
    size_t i;

    into->count += from->count;

    for (i = 0; i < n_measures; i++) {
        mr_measure_merge(&into->measures[i], &from->measures[i]);
    }
}
