#include "cells.h"

#include <stdlib.h>
#include <string.h>


static int cells_grow(mr_cells_t *cells);


static inline size_t
cells_home(const mr_cells_t *cells, int64_t start, uint32_t type, uint32_t tag)
{
    uint64_t h;

    /* splitmix64's finaliser (Steele, Lea and Flood, 2014) */
    h = (uint64_t) start ^ ((uint64_t) type << 40) ^ ((uint64_t) tag << 61);
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);

    return (size_t) (h ^ (h >> 31)) & cells->mask;
}


static inline int
cells_is(const mr_cell_t *cell, int64_t start, uint32_t type, uint32_t tag)
{
    return cell->start == start && cell->type == type && cell->tag == tag;
}


void
mr_cells_init(mr_cells_t *cells, size_t n_measures)
{
    memset(cells, 0, sizeof(mr_cells_t));

    cells->n_measures = n_measures;
    cells->size =
        offsetof(mr_cell_t, measures) + n_measures * sizeof(mr_measure_stats_t);
}


void
mr_cells_free(mr_cells_t *cells)
{
    free(cells->cells);
    free(cells->table);
    mr_cells_init(cells, cells->n_measures);
}


void
mr_cells_reset(mr_cells_t *cells)
{
    if (cells->n != 0) {
        memset(cells->table, 0, (cells->mask + 1) * sizeof(uint32_t));
    }

    cells->n = 0;
    cells->recent = 0;
}


mr_cell_t *
mr_cells_find(mr_cells_t *cells, int64_t start, uint32_t type, uint32_t tag)
{
    size_t slot;
    uint32_t value;
    mr_cell_t *cell;

    if (cells->n != 0) {
        cell = mr_cells_at(cells, cells->recent);

        if (cells_is(cell, start, type, tag)) {
            return cell;
        }
    }

    if (cells->n == cells->cap && cells_grow(cells) != 0) {
        return NULL;
    }

    slot = cells_home(cells, start, type, tag);

    while ((value = cells->table[slot]) != 0) {
        cell = mr_cells_at(cells, value - 1);

        if (cells_is(cell, start, type, tag)) {
            cells->recent = value - 1;
            return cell;
        }

        slot = (slot + 1) & cells->mask;
    }

    cells->recent = cells->n;
    cells->table[slot] = (uint32_t) ++cells->n;

    cell = mr_cells_at(cells, cells->recent);
    memset(cell, 0, cells->size);

    cell->start = start;
    cell->type = type;
    cell->tag = tag;

    return cell;
}


mr_cell_t *
mr_cells_at(const mr_cells_t *cells, size_t i)
{
    return (mr_cell_t *) (void *) (cells->cells + i * cells->size);
}


/* Double the room; the table has twice as many slots as there are cells. */
static int
cells_grow(mr_cells_t *cells)
{
    char *room;
    size_t i, cap, slot;
    uint32_t *table;
    const mr_cell_t *cell;

    cap = cells->cap != 0 ? 2 * cells->cap : 64;

    room = realloc(cells->cells, cap * cells->size);
    if (room == NULL) {
        return -1;
    }

    cells->cells = room;

    table = calloc(2 * cap, sizeof(uint32_t));
    if (table == NULL) {
        return -1;
    }

    free(cells->table);
    cells->table = table;
    cells->mask = 2 * cap - 1;
    cells->cap = cap;

    for (i = 0; i < cells->n; i++) {
        cell = mr_cells_at(cells, i);
        slot = cells_home(cells, cell->start, cell->type, cell->tag);

        while (table[slot] != 0) {
            slot = (slot + 1) & cells->mask;
        }

        table[slot] = (uint32_t) i + 1;
    }

    return 0;
}
