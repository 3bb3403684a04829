#include "types.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>


static int types_grow(mr_types_t *types);
static size_t types_slot(const mr_types_t *types, mr_str_t name);


int
mr_types_find(mr_types_t *types, mr_str_t name, uint32_t *ret_number)
{
    char *copy;
    size_t slot;

    if (types->n != 0 && mr_str_eq(types->names[types->recent], name)) {
        *ret_number = types->recent;
        return 0;
    }

    if (types->n == types->cap && types_grow(types) != 0) {
        return -1;
    }

    slot = types_slot(types, name);

    if (types->table[slot] != 0) {
        types->recent = types->table[slot] - 1;
        *ret_number = types->recent;
        return 0;
    }

    copy = malloc(name.len);
    if (copy == NULL) {
        return -1;
    }

    memcpy(copy, name.data, name.len);

    types->recent = (uint32_t) types->n;
    types->names[types->n].data = copy;
    types->names[types->n++].len = name.len;
    types->table[slot] = (uint32_t) types->n;

    *ret_number = types->recent;

    return 0;
}


int
mr_types_known(const mr_types_t *types, mr_str_t name, uint32_t *ret_number)
{
    size_t slot;

    if (types->n == 0) {
        return 0;
    }

    slot = types_slot(types, name);

    if (types->table[slot] == 0) {
        return 0;
    }

    *ret_number = types->table[slot] - 1;

    return 1;
}


void
mr_types_reset(mr_types_t *types)
{
    size_t i;

    for (i = 0; i < types->n; i++) {
        free((char *) types->names[i].data);
    }

    if (types->n != 0) {
        memset(types->table, 0, (types->mask + 1) * sizeof(uint32_t));
    }

    types->n = 0;
    types->recent = 0;
}


void
mr_types_free(mr_types_t *types)
{
    mr_types_reset(types);
    free(types->names);
    free(types->table);
    *types = (mr_types_t) MR_TYPES_INIT;
}


/* Double the room; the table has twice as many slots as there are names. */
static int
types_grow(mr_types_t *types)
{
    size_t i, cap, slot;
    uint32_t *table;
    mr_str_t *names;

    cap = types->cap != 0 ? 2 * types->cap : 32;

    names = realloc(types->names, cap * sizeof(mr_str_t));
    if (names == NULL) {
        return -1;
    }

    types->names = names;

    table = calloc(2 * cap, sizeof(uint32_t));
    if (table == NULL) {
        return -1;
    }

    for (i = 0; i < types->n; i++) {
        slot = (size_t) mr_hash(names[i]).lo & (2 * cap - 1);

        while (table[slot] != 0) {
            slot = (slot + 1) & (2 * cap - 1);
        }

        table[slot] = (uint32_t) i + 1;
    }

    free(types->table);
    types->table = table;
    types->mask = 2 * cap - 1;
    types->cap = cap;

    return 0;
}


/* Where `name` is, or would be; there is room. */
static size_t
types_slot(const mr_types_t *types, mr_str_t name)
{
    size_t slot;

    slot = (size_t) mr_hash(name).lo & types->mask;

    while (types->table[slot] != 0
           && !mr_str_eq(types->names[types->table[slot] - 1], name))
    {
        slot = (slot + 1) & types->mask;
    }

    return slot;
}
