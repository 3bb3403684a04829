#include "tally.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <xxhash.h>


#define TALLY_START 1024 /* slots, a power of two */


typedef struct {
    char *data;
    size_t len;
} tally_name_t;

/* A hash table of indexes + 1 into an array; 0: a free slot. */
typedef struct {
    uint32_t *slots;
    size_t size;
} tally_index_t;

struct mr_tally_s {
    tally_name_t *names;
    size_t n_names;
    size_t names_cap;
    tally_index_t by_name;
    uint32_t other; /* number + 1 of what new names are; 0: themselves */

    mr_tally_cell_t *cells;
    size_t n_cells;
    size_t cells_cap;
    tally_index_t by_cell;
};


static uint64_t tally_name_hash(const mr_tally_t *tally, size_t i);
static uint64_t tally_cell_hash(const mr_tally_t *tally, size_t i);
static uint64_t tally_hash(int32_t partition, uint32_t minute, uint32_t type);
static int tally_grow(const mr_tally_t *tally, tally_index_t *index, size_t n,
    uint64_t (*hash)(const mr_tally_t *, size_t));
static int tally_compare(const void *a, const void *b);


mr_tally_t *
mr_tally_create(void)
{
    return calloc(1, sizeof(mr_tally_t));
}


void
mr_tally_destroy(mr_tally_t *tally)
{
    size_t i;

    if (tally == NULL) {
        return;
    }

    for (i = 0; i < tally->n_names; i++) {
        free(tally->names[i].data);
    }

    free(tally->names);
    free(tally->by_name.slots);
    free(tally->cells);
    free(tally->by_cell.slots);
    free(tally);
}


int
mr_tally_type(mr_tally_t *tally, mr_str_t name, uint32_t *ret_type)
{
    size_t slot, cap;
    uint32_t i;
    char *data;
    tally_name_t *names;

    if (tally_grow(tally, &tally->by_name, tally->n_names, tally_name_hash)
        != 0) {
        return -1;
    }

    slot = XXH3_64bits(name.data, name.len) & (tally->by_name.size - 1);

    while ((i = tally->by_name.slots[slot]) != 0) {
        if (tally->names[i - 1].len == name.len
            && memcmp(tally->names[i - 1].data, name.data, name.len) == 0)
        {
            *ret_type = i - 1;
            return 0;
        }

        slot = (slot + 1) & (tally->by_name.size - 1);
    }

    if (tally->other != 0) {
        *ret_type = tally->other - 1;
        return 0;
    }

    if (tally->n_names == tally->names_cap) {
        cap = 2 * tally->names_cap + 16;

        names = realloc(tally->names, cap * sizeof(tally_name_t));
        if (names == NULL) {
            return -1;
        }

        tally->names = names;
        tally->names_cap = cap;
    }

    data = malloc(name.len + 1);
    if (data == NULL) {
        return -1;
    }

    memcpy(data, name.data, name.len);
    data[name.len] = '\0';

    tally->names[tally->n_names].data = data;
    tally->names[tally->n_names].len = name.len;
    *ret_type = (uint32_t) tally->n_names++;
    tally->by_name.slots[slot] = (uint32_t) tally->n_names;

    return 0;
}


int
mr_tally_fold(mr_tally_t *tally)
{
    uint32_t all, other;

    if (mr_tally_type(tally, mr_str(""), &all) != 0
        || mr_tally_type(tally, mr_str(MR_EVENT_TYPE_OTHER), &other) != 0)
    {
        return -1;
    }

    tally->other = other + 1;

    return 0;
}


mr_str_t
mr_tally_name(const mr_tally_t *tally, uint32_t type)
{
    return (mr_str_t){tally->names[type].data, tally->names[type].len};
}


mr_tally_cell_t *
mr_tally_cell(
    mr_tally_t *tally, int32_t partition, uint32_t minute, uint32_t type)
{
    size_t slot, cap;
    uint32_t i;
    mr_tally_cell_t *cell, *cells;

    if (tally_grow(tally, &tally->by_cell, tally->n_cells, tally_cell_hash)
        != 0) {
        return NULL;
    }

    slot = tally_hash(partition, minute, type) & (tally->by_cell.size - 1);

    while ((i = tally->by_cell.slots[slot]) != 0) {
        cell = &tally->cells[i - 1];

        if (cell->partition == partition && cell->minute == minute
            && cell->type == type)
        {
            return cell;
        }

        slot = (slot + 1) & (tally->by_cell.size - 1);
    }

    if (tally->n_cells == tally->cells_cap) {
        cap = 2 * tally->cells_cap + 256;

        cells = realloc(tally->cells, cap * sizeof(mr_tally_cell_t));
        if (cells == NULL) {
            return NULL;
        }

        tally->cells = cells;
        tally->cells_cap = cap;
    }

    cell = &tally->cells[tally->n_cells++];
    tally->by_cell.slots[slot] = (uint32_t) tally->n_cells;

    *cell = (mr_tally_cell_t){partition, minute, type, 0, 0, 0};

    return cell;
}


size_t
mr_tally_cells(mr_tally_t *tally, const mr_tally_cell_t **ret_cells)
{
    free(tally->by_cell.slots);
    tally->by_cell = (tally_index_t){NULL, 0};

    if (tally->n_cells != 0) {
        qsort(tally->cells, tally->n_cells, sizeof(mr_tally_cell_t),
            tally_compare);
    }

    *ret_cells = tally->cells;

    return tally->n_cells;
}


static uint64_t
tally_name_hash(const mr_tally_t *tally, size_t i)
{
    return XXH3_64bits(tally->names[i].data, tally->names[i].len);
}


static uint64_t
tally_cell_hash(const mr_tally_t *tally, size_t i)
{
    const mr_tally_cell_t *cell;

    cell = &tally->cells[i];

    return tally_hash(cell->partition, cell->minute, cell->type);
}


static uint64_t
tally_hash(int32_t partition, uint32_t minute, uint32_t type)
{
    uint32_t key[3];

    key[0] = (uint32_t) partition;
    key[1] = minute;
    key[2] = type;

    return XXH3_64bits(key, sizeof(key));
}


/* Keep at least half of the slots free for `n` elements and one more. */
static int
tally_grow(const mr_tally_t *tally, tally_index_t *index, size_t n,
    uint64_t (*hash)(const mr_tally_t *, size_t))
{
    size_t i, size, slot;
    uint32_t *slots;

    if (2 * (n + 1) <= index->size) {
        return 0;
    }

    size = index->size != 0 ? 2 * index->size : TALLY_START;

    slots = calloc(size, sizeof(uint32_t));
    if (slots == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        slot = hash(tally, i) & (size - 1);

        while (slots[slot] != 0) {
            slot = (slot + 1) & (size - 1);
        }

        slots[slot] = (uint32_t) i + 1;
    }

    free(index->slots);
    index->slots = slots;
    index->size = size;

    return 0;
}


static int
tally_compare(const void *a, const void *b)
{
    const mr_tally_cell_t *x = a, *y = b;

    if (x->minute != y->minute) {
        return x->minute < y->minute ? -1 : 1;
    }

    if (x->partition != y->partition) {
        return x->partition < y->partition ? -1 : 1;
    }

    return (x->type > y->type) - (x->type < y->type);
}
