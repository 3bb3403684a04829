/*
 * The window partials of a flush: each event is added once, to its second and
 * type; the windows of all widths are rolled up from those when the flush is
 * written.  A window of a minute or more is a row, a document of its own; those
 * of a second are inside the row of their minute.
 *
 * A window whose retention had passed when the record arrived (by the
 * record's time, so that it depends on the log alone) gets nothing.
 *
 * One thread at a time.
 */
#ifndef MR_WRITER_PARTIALS_H
#define MR_WRITER_PARTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include <millrace/str.h>

#include "cells.h"


/* What an event adds to sketches. */
typedef struct {
    union {
        uint64_t hash; /* of the user: mr_hll_hash() */
        int32_t key;   /* of the number: mr_ddsketch_key() */
    };
    uint32_t next;   /* of the same cell: number + 1; 0: none */
    int32_t measure; /* its number, or MR_SAMPLE_USER */
} mr_sample_t;

#define MR_SAMPLE_USER (-1)

/* A second that is part of a window. */
typedef struct {
    uint32_t second; /* the number of its cell */
    uint32_t next;   /* of the same window: number + 1; 0: none */
} mr_part_t;

typedef struct {
    mr_cells_t seconds;       /* tag: the widths that still want it */
    mr_cells_t windows;       /* tag: width; type: number + 1, 0: all, or
                                 PARTIALS_OTHER */
    mr_cells_t inner;         /* of a second; type as in windows */
    int64_t keep[MR_WIDTHS];  /* ms after the end; 0: for ever */
    int64_t limit[MR_WIDTHS]; /* arrivals from here on are too late for */
    int64_t recent;           /* this second */

    mr_sample_t *samples; /* chained to the cells of seconds */
    size_t n_samples;
    size_t samples_cap;
    mr_part_t *parts; /* chained to the windows */
    size_t n_parts;
    size_t parts_cap;

    int64_t other;       /* events rolled up under MR_EVENT_TYPE_OTHER; */
    int64_t other_first; /* their first and last second */
    int64_t other_last;
} mr_partials_t;

/* One row for MongoDB. */
typedef struct {
    mr_width_t width;
    mr_str_t type;  /* "": all types */
    int64_t start;  /* ms */
    int64_t expire; /* ms; 0: never */
    int64_t count;
    const mr_measure_stats_t *measures;

    uint32_t seconds; /* inside: see mr_partials_second(); 0: none */
    int64_t forget;   /* ms; when the last of them is kept no more; 0: never */
} mr_partial_t;

/* A second inside the row of its minute. */
typedef struct {
    int number; /* 0 to 59 */
    int64_t count;
    const mr_measure_stats_t *measures;
} mr_second_t;


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

/*
 * What the event brings to the sketches of its windows: the user's hash, or a
 * number's key.  `cell` is what mr_partials_add() returned.  -1 on out of
 * memory.
 */
int mr_partials_user(mr_partials_t *partials, mr_cell_t *cell, uint64_t hash);
int mr_partials_number(
    mr_partials_t *partials, mr_cell_t *cell, size_t measure, int32_t key);

/* How many rows there can be at most, six a cell. */
size_t mr_partials_rows_max(const mr_partials_t *partials);

/*
 * Roll up after the last event; -1 on out of memory.  Types whose element of
 * `other` is not 0 are counted under MR_EVENT_TYPE_OTHER; NULL: none is.
 * Called again it begins anew.
 */
int mr_partials_roll_up(mr_partials_t *partials, const uint8_t *other);

/* After rolling up: the number of rows, and row `i`. */
size_t mr_partials_rows(const mr_partials_t *partials);
void mr_partials_row(const mr_partials_t *partials, size_t i,
    const mr_str_t *types, mr_partial_t *ret_row);

/*
 * The next of a row's seconds: *at is the row's `seconds` to begin with.
 * False after the last.
 */
bool mr_partials_second(
    const mr_partials_t *partials, uint32_t *at, mr_second_t *ret_second);

/* Walk over the samples of row `i`. */
typedef struct {
    const mr_partials_t *partials;
    uint32_t part;
    uint32_t sample;
} mr_walk_t;

void mr_partials_walk(
    const mr_partials_t *partials, size_t i, mr_walk_t *ret_walk);

/* The next one, or NULL after the last. */
const mr_sample_t *mr_partials_sample(mr_walk_t *walk);

#endif /* MR_WRITER_PARTIALS_H */
