/*
 * The window partials of a flush: each event is added once, to its second and
 * type; the windows of all widths are rolled up from those when the flush is
 * written.
 *
 * A window whose retention had passed when the record arrived (by the
 * record's time, so that it depends on the log alone) gets nothing.
 *
 * One thread at a time.
 */
#ifndef MR_WRITER_PARTIALS_H
#define MR_WRITER_PARTIALS_H

#include <stdint.h>

#include <millrace/str.h>

#include "cells.h"


typedef struct {
    mr_cells_t seconds;       /* tag: the widths that still want it */
    mr_cells_t windows;       /* tag: width; type: number + 1, 0: all */
    int64_t keep[MR_WIDTHS];  /* ms after the end; 0: for ever */
    int64_t limit[MR_WIDTHS]; /* arrivals from here on are too late for */
    int64_t recent;           /* this second */
} mr_partials_t;

/* One row for MongoDB. */
typedef struct {
    mr_width_t width;
    mr_str_t type;  /* "": all types */
    int64_t start;  /* ms */
    int64_t expire; /* ms; 0: never */
    int64_t count;
    const mr_measure_stats_t *measures;
} mr_partial_t;


/* End with mr_partials_free(). */
void mr_partials_init(mr_partials_t *partials, const mr_options_t *options);
void mr_partials_free(mr_partials_t *partials);
void mr_partials_reset(mr_partials_t *partials);

/*
 * Add one event: its type's number in the flush, its timestamp and the
 * record's time (ms).  Returns the cell, to whose measures the caller adds;
 * NULL on out of memory.
 */
mr_cell_t *mr_partials_add(
    mr_partials_t *partials, uint32_t type, int64_t time, int64_t received);

/* How many rows there can be at most, eight a cell. */
size_t mr_partials_rows_max(const mr_partials_t *partials);

/* Roll up.  Call once, after the last event; -1 on out of memory. */
int mr_partials_roll_up(mr_partials_t *partials);

/* After rolling up: the number of rows, and row `i`. */
size_t mr_partials_rows(const mr_partials_t *partials);
void mr_partials_row(const mr_partials_t *partials, size_t i,
    const mr_str_t *types, mr_partial_t *ret_row);

#endif /* MR_WRITER_PARTIALS_H */
