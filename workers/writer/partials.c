#include "partials.h"

#include <string.h>


#define PARTIALS_ALL_TYPES 0


static void partials_limits(mr_partials_t *partials, int64_t second);
static int partials_spread(
    mr_partials_t *partials, const mr_cell_t *cell, mr_width_t width);


void
mr_partials_init(mr_partials_t *partials, const mr_options_t *options)
{
    mr_width_t width;

    mr_cells_init(&partials->seconds, options->measures.n);
    mr_cells_init(&partials->windows, options->measures.n);

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
}


void
mr_partials_reset(mr_partials_t *partials)
{
    mr_cells_reset(&partials->seconds);
    mr_cells_reset(&partials->windows);
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


size_t
mr_partials_rows_max(const mr_partials_t *partials)
{
    return partials->seconds.n * 2 * MR_WIDTHS;
}


int
mr_partials_roll_up(mr_partials_t *partials)
{
    size_t i;
    mr_width_t width;
    const mr_cell_t *cell;

    for (width = 0; width < MR_WIDTHS; width++) {
        for (i = 0; i < partials->seconds.n; i++) {
            cell = mr_cells_at(&partials->seconds, i);

            if ((cell->tag & (UINT32_C(1) << width)) != 0
                && partials_spread(partials, cell, width) != 0)
            {
                return -1;
            }
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
    ret_row->type =
        cell->type == PARTIALS_ALL_TYPES ? mr_str("") : types[cell->type - 1];
    ret_row->start = cell->start;
    ret_row->count = cell->count;
    ret_row->measures = cell->measures;

    end = cell->start + (int64_t) mr_width_seconds(ret_row->width) * 1000;

    ret_row->expire = partials->keep[ret_row->width] != 0
                          ? end + partials->keep[ret_row->width]
                          : 0;
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
partials_spread(
    mr_partials_t *partials, const mr_cell_t *cell, mr_width_t width)
{
    int all;
    size_t i;
    uint32_t type;
    mr_cell_t *window;

    for (all = 0; all < 2; all++) {
        type = all ? PARTIALS_ALL_TYPES : cell->type + 1;

        window = mr_cells_find(&partials->windows,
            mr_window_start(width, cell->start), type, (uint32_t) width);
        if (window == NULL) {
            return -1;
        }

        window->count += cell->count;

        for (i = 0; i < partials->windows.n_measures; i++) {
            mr_measure_merge(&window->measures[i], &cell->measures[i]);
        }
    }

    return 0;
}
