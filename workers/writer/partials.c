#include "partials.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>


#define PARTIALS_ALL_TYPES 0
#define PARTIALS_OTHER UINT32_MAX

/* A second's window is inside its minute's, which is kept for longer. */
#define PARTIALS_PACKED                                                        \
    (UINT32_C(1) << MR_WIDTH_SECOND | UINT32_C(1) << MR_WIDTH_MINUTE)


static void partials_limits(mr_partials_t *partials, int64_t second);
static mr_sample_t *partials_sample(mr_partials_t *partials, mr_cell_t *cell);
static int partials_part(
    mr_partials_t *partials, mr_cell_t *window, uint32_t second);
static void *partials_grow(void *list, size_t n, size_t *cap, size_t size);
static int partials_spread(mr_partials_t *partials, uint32_t second,
    mr_width_t width, const uint8_t *other);
static int partials_pack(
    mr_partials_t *partials, uint32_t second, const uint8_t *other);
static uint32_t partials_type(
    const mr_cell_t *cell, int all, const uint8_t *other);
static void partials_merge(
    const mr_partials_t *partials, mr_cell_t *into, const mr_cell_t *from);
static void partials_other(mr_partials_t *partials, const uint8_t *other);


void
mr_partials_init(mr_partials_t *partials, const mr_options_t *options)
{
    mr_width_t width;

    memset(partials, 0, sizeof(mr_partials_t));
    mr_cells_init(&partials->seconds, options->measures.n);
    mr_cells_init(&partials->windows, options->measures.n);
    mr_cells_init(&partials->inner, options->measures.n);

    for (width = 0; width < MR_WIDTHS; width++) {
        partials->keep[width] = mr_width_keep(width, options);
    }

    partials_limits(partials, 0);
}


void
mr_partials_free(mr_partials_t *partials)
{
    mr_cells_free(&partials->seconds);
    mr_cells_free(&partials->windows);
    mr_cells_free(&partials->inner);
    free(partials->samples);
    free(partials->parts);
}


void
mr_partials_reset(mr_partials_t *partials)
{
    mr_cells_reset(&partials->seconds);
    mr_cells_reset(&partials->windows);
    mr_cells_reset(&partials->inner);
    partials->n_samples = 0;
    partials->n_parts = 0;
}


mr_cell_t *
mr_partials_add(
    mr_partials_t *partials, uint32_t type, int64_t time, int64_t received)
{
    int64_t second;
    uint32_t wanted;
    mr_cell_t *cell;
    mr_width_t width;

    second = mr_window_start(MR_WIDTH_SECOND, time);

    if (second != partials->recent) {
        partials_limits(partials, second);
    }

    wanted = 0;

    for (width = 0; width < MR_WIDTHS; width++) {
        if (received < partials->limit[width]) {
            wanted |= UINT32_C(1) << width;
        }
    }

    cell = mr_cells_find(&partials->seconds, second, type, wanted);

    if (cell != NULL) {
        cell->count++;
    }

    return cell;
}


int
mr_partials_user(mr_partials_t *partials, mr_cell_t *cell, uint64_t hash)
{
    mr_sample_t *sample;

    sample = partials_sample(partials, cell);
    if (sample == NULL) {
        return -1;
    }

    sample->measure = MR_SAMPLE_USER;
    sample->hash = hash;

    return 0;
}


int
mr_partials_number(
    mr_partials_t *partials, mr_cell_t *cell, size_t measure, int32_t key)
{
    mr_sample_t *sample;

    sample = partials_sample(partials, cell);
    if (sample == NULL) {
        return -1;
    }

    sample->measure = (int32_t) measure;
    sample->key = key;

    return 0;
}


static mr_sample_t *
partials_sample(mr_partials_t *partials, mr_cell_t *cell)
{
    mr_sample_t *sample;

    sample = partials_grow(partials->samples, partials->n_samples,
        &partials->samples_cap, sizeof(mr_sample_t));
    if (sample == NULL) {
        return NULL;
    }

    partials->samples = sample;
    sample += partials->n_samples++;
    sample->next = cell->chain;
    cell->chain = (uint32_t) partials->n_samples;

    return sample;
}


static int
partials_part(mr_partials_t *partials, mr_cell_t *window, uint32_t second)
{
    mr_part_t *part;

    part = partials_grow(partials->parts, partials->n_parts,
        &partials->parts_cap, sizeof(mr_part_t));
    if (part == NULL) {
        return -1;
    }

    partials->parts = part;
    part += partials->n_parts++;
    part->second = second;
    part->next = window->chain;
    window->chain = (uint32_t) partials->n_parts;

    return 0;
}


/* Room for one more; NULL on out of memory. */
static void *
partials_grow(void *list, size_t n, size_t *cap, size_t size)
{
    size_t more;

    if (n < *cap) {
        return list;
    }

    more = *cap != 0 ? 2 * *cap : 1024;
    list = realloc(list, more * size);

    if (list != NULL) {
        *cap = more;
    }

    return list;
}


size_t
mr_partials_rows_max(const mr_partials_t *partials)
{
    return partials->seconds.n * 2 * (MR_WIDTHS - 1);
}


int
mr_partials_roll_up(mr_partials_t *partials, const uint8_t *other)
{
    size_t i;
    mr_width_t width;
    const mr_cell_t *cell;

    mr_cells_reset(&partials->windows);
    mr_cells_reset(&partials->inner);
    partials->n_parts = 0;
    partials_other(partials, other);

    for (width = MR_WIDTH_MINUTE; width < MR_WIDTHS; width++) {
        for (i = 0; i < partials->seconds.n; i++) {
            cell = mr_cells_at(&partials->seconds, i);

            if ((cell->tag & (UINT32_C(1) << width)) != 0
                && partials_spread(partials, (uint32_t) i, width, other) != 0)
            {
                return -1;
            }
        }
    }

    for (i = 0; i < partials->seconds.n; i++) {
        cell = mr_cells_at(&partials->seconds, i);

        if ((cell->tag & PARTIALS_PACKED) == PARTIALS_PACKED
            && partials_pack(partials, (uint32_t) i, other) != 0)
        {
            return -1;
        }
    }

    return 0;
}


size_t
mr_partials_rows(const mr_partials_t *partials)
{
    return partials->windows.n;
}


void
mr_partials_row(const mr_partials_t *partials, size_t i, const mr_str_t *types,
    mr_partial_t *ret_row)
{
    int64_t end;
    const mr_cell_t *cell;

    cell = mr_cells_at(&partials->windows, i);

    ret_row->width = (mr_width_t) cell->tag;
    ret_row->type = cell->type == PARTIALS_ALL_TYPES ? mr_str("")
                    : cell->type == PARTIALS_OTHER ? mr_str(MR_EVENT_TYPE_OTHER)
                                                   : types[cell->type - 1];
    ret_row->start = cell->start;
    ret_row->count = cell->count;
    ret_row->measures = cell->measures;

    end = cell->start + (int64_t) mr_width_seconds(ret_row->width) * 1000;

    ret_row->expire = partials->keep[ret_row->width] != 0
                          ? end + partials->keep[ret_row->width]
                          : 0;

    ret_row->seconds = cell->inside;
    ret_row->forget = cell->inside != 0 && partials->keep[MR_WIDTH_SECOND] != 0
                          ? end + partials->keep[MR_WIDTH_SECOND]
                          : 0;
}


bool
mr_partials_second(
    const mr_partials_t *partials, uint32_t *at, mr_second_t *ret_second)
{
    int64_t minute;
    const mr_cell_t *cell;

    if (*at == 0) {
        return false;
    }

    cell = mr_cells_at(&partials->inner, *at - 1);
    minute = mr_window_start(MR_WIDTH_MINUTE, cell->start);

    ret_second->number = (int) ((cell->start - minute) / 1000);
    ret_second->count = cell->count;
    ret_second->measures = cell->measures;

    *at = cell->chain;

    return true;
}


void
mr_partials_walk(const mr_partials_t *partials, size_t i, mr_walk_t *ret_walk)
{
    ret_walk->partials = partials;
    ret_walk->part = mr_cells_at(&partials->windows, i)->chain;
    ret_walk->sample = 0;
}


const mr_sample_t *
mr_partials_sample(mr_walk_t *walk)
{
    const mr_part_t *part;
    const mr_sample_t *sample;

    while (walk->sample == 0) {

        if (walk->part == 0) {
            return NULL;
        }

        part = &walk->partials->parts[walk->part - 1];
        walk->part = part->next;
        walk->sample =
            mr_cells_at(&walk->partials->seconds, part->second)->chain;
    }

    sample = &walk->partials->samples[walk->sample - 1];
    walk->sample = sample->next;

    return sample;
}


/* Until when the windows that hold `second` are kept. */
static void
partials_limits(mr_partials_t *partials, int64_t second)
{
    int64_t end;
    mr_width_t width;

    for (width = 0; width < MR_WIDTHS; width++) {
        end = mr_window_start(width, second)
              + (int64_t) mr_width_seconds(width) * 1000;

        partials->limit[width] = partials->keep[width] != 0
                                     ? end + partials->keep[width]
                                     : INT64_MAX;
    }

    partials->recent = second;
}


/* Add a second's cell to its window of `width`, by type and over all. */
static int
partials_spread(mr_partials_t *partials, uint32_t second, mr_width_t width,
    const uint8_t *other)
{
    int all;
    mr_cell_t *window;
    const mr_cell_t *cell;

    cell = mr_cells_at(&partials->seconds, second);

    for (all = 0; all < 2; all++) {
        window = mr_cells_find(&partials->windows,
            mr_window_start(width, cell->start),
            partials_type(cell, all, other), (uint32_t) width);

        if (window == NULL || partials_part(partials, window, second) != 0) {
            return -1;
        }

        partials_merge(partials, window, cell);
    }

    return 0;
}


/* Add it to its window of a second, which is chained to its minute's. */
static int
partials_pack(mr_partials_t *partials, uint32_t second, const uint8_t *other)
{
    int all;
    uint32_t type;
    mr_cell_t *inner, *window;
    const mr_cell_t *cell;

    cell = mr_cells_at(&partials->seconds, second);

    for (all = 0; all < 2; all++) {
        type = partials_type(cell, all, other);

        inner = mr_cells_find(&partials->inner, cell->start, type, 0);
        if (inner == NULL) {
            return -1;
        }

        if (inner->count == 0) {
            window = mr_cells_find(&partials->windows,
                mr_window_start(MR_WIDTH_MINUTE, cell->start), type,
                (uint32_t) MR_WIDTH_MINUTE);
            if (window == NULL) {
                return -1;
            }

            inner->chain = window->inside;
            window->inside = (uint32_t) partials->inner.recent + 1;
        }

        partials_merge(partials, inner, cell);
    }

    return 0;
}


static uint32_t
partials_type(const mr_cell_t *cell, int all, const uint8_t *other)
{
    if (all) {
        return PARTIALS_ALL_TYPES;
    }

    return other != NULL && other[cell->type] ? PARTIALS_OTHER : cell->type + 1;
}


static void
partials_merge(
    const mr_partials_t *partials, mr_cell_t *into, const mr_cell_t *from)
{
    size_t i;

    into->count += from->count;

    for (i = 0; i < partials->windows.n_measures; i++) {
        mr_measure_merge(&into->measures[i], &from->measures[i]);
    }
}


/* What of the windows is counted under MR_EVENT_TYPE_OTHER. */
static void
partials_other(mr_partials_t *partials, const uint8_t *other)
{
    size_t i;
    const mr_cell_t *cell;

    partials->other = 0;

    for (i = 0; other != NULL && i < partials->seconds.n; i++) {
        cell = mr_cells_at(&partials->seconds, i);

        if (!other[cell->type] || cell->tag == 0) {
            continue;
        }

        if (partials->other == 0 || cell->start < partials->other_first) {
            partials->other_first = cell->start;
        }

        if (partials->other == 0 || cell->start > partials->other_last) {
            partials->other_last = cell->start;
        }

        partials->other += cell->count;
    }
}
