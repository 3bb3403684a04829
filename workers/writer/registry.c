#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/layout.h"


void
mr_registry_free(mr_registry_t *registry)
{
    mr_types_free(&registry->known);
}


int
mr_registry_mark(
    const mr_registry_t *registry, mr_flush_t *flush, size_t *ret_marked)
{
    size_t i, n, marked;
    uint8_t *other;
    uint32_t number;
    const mr_types_t *types;

    types = &flush->types;
    n = types->n;

    if (n > flush->other_cap) {
        other = realloc(flush->other, types->cap);
        if (other == NULL) {
            return -1;
        }

        flush->other = other;
        flush->other_cap = types->cap;
    }

    marked = 0;

    for (i = 0; i < n; i++) {
        flush->other[i] =
            !mr_types_known(&registry->known, types->names[i], &number);
        marked += flush->other[i];
    }

    *ret_marked = marked;

    return 0;
}


int
mr_registry_admit(mr_registry_t *registry, mr_flush_t *flush)
{
    size_t i;
    uint32_t number;
    const mr_str_t *names;

    names = flush->types.names;

    for (i = 0;
         i < flush->types.n && (int64_t) registry->known.n < registry->max; i++)
    {
        if (!flush->other[i]
            || mr_str_eq(names[i], mr_str(MR_EVENT_TYPE_OTHER))) {
            continue;
        }

        if (mr_types_find(&registry->known, names[i], &number) != 0) {
            return -1;
        }

        flush->other[i] = 0;
    }

    return 0;
}


int
mr_registry_bits(
    const mr_registry_t *registry, const mr_types_t *types, mr_buf_t *bits)
{
    size_t i;
    char bit;
    uint32_t number;

    mr_buf_reset(bits);

    for (i = 0; i < types->n; i++) {
        bit = mr_types_known(&registry->known, types->names[i], &number)
                  ? (char) mr_layout_bit(number)
                  : MR_LAYOUT_ALL_BITS;

        if (mr_buf_append(bits, &bit, 1) != 0) {
            return -1;
        }
    }

    return 0;
}
