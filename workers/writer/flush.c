#include "flush.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>
#include <millrace/value.h>

#include "encode.h"


static int flush_partials(mr_flush_t *flush, const mr_event_t *event,
    uint32_t type, int64_t received);
static int flush_copy(mr_flush_t *flush, mr_str_t from, mr_str_t *ret_copy);
static void *flush_grow(void *array, size_t n, size_t *cap, size_t size);


mr_flush_t *
mr_flush_create(const mr_options_t *options, mr_pool_t *pool)
{
    mr_flush_t *flush;

    flush = calloc(1, sizeof(mr_flush_t));
    if (flush == NULL) {
        return NULL;
    }

    flush->options = options;
    flush->arena.pool = pool;
    flush->types = (mr_types_t) MR_TYPES_INIT;
    flush->scratch = (mr_buf_t) MR_BUF_INIT;
    mr_partials_init(&flush->partials, options);

    return flush;
}


void
mr_flush_destroy(mr_flush_t *flush)
{
    if (flush == NULL) {
        return;
    }

    mr_arena_reset(&flush->arena);
    mr_types_free(&flush->types);
    mr_partials_free(&flush->partials);
    mr_accounts_free(&flush->accounts);
    mr_buf_free(&flush->scratch);
    free(flush->other);
    free(flush->entries);
    free(flush->dead);
    free(flush);
}


void
mr_flush_reset(mr_flush_t *flush)
{
    mr_arena_reset(&flush->arena);
    mr_types_reset(&flush->types);
    mr_partials_reset(&flush->partials);
    mr_accounts_reset(&flush->accounts);

    flush->n = 0;
    flush->n_dead = 0;
    flush->repeated = 0;
    flush->ignored = 0;
    flush->unsure = 0;
    flush->size = 0;
    flush->records = 0;
    flush->since = 0;
}


int
mr_flush_event(mr_flush_t *flush, const mr_event_t *event, int64_t offset,
    int64_t received)
{
    char *document;
    void *entries;
    size_t length;
    uint32_t type;
    mr_entry_t *entry;

    entries =
        flush_grow(flush->entries, flush->n, &flush->cap, sizeof(mr_entry_t));
    if (entries == NULL) {
        return -1;
    }

    flush->entries = entries;

    mr_buf_reset(&flush->scratch);

    if (mr_types_find(&flush->types, event->event_type, &type) != 0
        || mr_encode_event(&flush->scratch, event, offset) != 0)
    {
        return -1;
    }

    length = flush->scratch.len;

    if (mr_buf_append(&flush->scratch, event->user_id.data, event->user_id.len)
        != 0)
    {
        return -1;
    }

    document = mr_arena_alloc(&flush->arena, flush->scratch.len);
    if (document == NULL) {
        return -1;
    }

    memcpy(document, flush->scratch.data, flush->scratch.len);

    if (flush_partials(flush, event, type, received) != 0) {
        return -1;
    }

    entry = &flush->entries[flush->n++];

    entry->document = document;
    entry->length = (uint32_t) length;
    entry->user_length = (uint16_t) event->user_id.len;
    entry->type = type;
    entry->time = event->timestamp;
    entry->offset = offset;
    entry->received = received;

    flush->size += flush->scratch.len;

    return 0;
}


int
mr_flush_dead(mr_flush_t *flush, const mr_dead_t *dead)
{
    void *list;
    mr_dead_t copy;

    list = flush_grow(
        flush->dead, flush->n_dead, &flush->dead_cap, sizeof(mr_dead_t));
    if (list == NULL) {
        return -1;
    }

    flush->dead = list;
    copy = *dead;

    if (flush_copy(flush, dead->key, &copy.key) != 0
        || flush_copy(flush, dead->value, &copy.value) != 0
        || flush_copy(flush, dead->reason, &copy.reason) != 0)
    {
        return -1;
    }

    flush->dead[flush->n_dead++] = copy;
    flush->size += dead->key.len + dead->value.len;

    return 0;
}


static int
flush_partials(
    mr_flush_t *flush, const mr_event_t *event, uint32_t type, int64_t received)
{
    size_t i;
    double value;
    mr_cell_t *cell;

#ifdef MR_FAULT_NO_WINDOWS
    return 0;
#endif

    cell = mr_partials_add(&flush->partials, type, event->timestamp, received);

    if (cell == NULL
        || mr_partials_user(&flush->partials, cell, mr_hll_hash(event->user_id))
               != 0)
    {
        return -1;
    }

    for (i = 0; i < flush->options->measures.n; i++) {

        switch (mr_event_number(
            event, flush->options->measures.list[i].pointer, &value))
        {
        case MR_NUMBER_FOUND:
            mr_measure_add(&cell->measures[i], value);

            if (mr_partials_number(
                    &flush->partials, cell, i, mr_ddsketch_key(value))
                != 0) {
                return -1;
            }

            break;

        case MR_NUMBER_IGNORED:
            flush->ignored++;
            break;

        case MR_NUMBER_ABSENT:
            break;
        }
    }

    return 0;
}


static int
flush_copy(mr_flush_t *flush, mr_str_t from, mr_str_t *ret_copy)
{
    char *copy;

    if (from.len == 0) {
        *ret_copy = mr_str("");
        return 0;
    }

    copy = mr_arena_alloc(&flush->arena, from.len);
    if (copy == NULL) {
        return -1;
    }

    memcpy(copy, from.data, from.len);
    *ret_copy = (mr_str_t){copy, from.len};

    return 0;
}


/* Room for one more element; NULL on out of memory. */
static void *
flush_grow(void *array, size_t n, size_t *cap, size_t size)
{
    void *grown;
    size_t more;

    if (n < *cap) {
        return array;
    }

    more = *cap != 0 ? 2 * *cap : 256;

    grown = realloc(array, more * size);

    if (grown != NULL) {
        *cap = more;
    }

    return grown;
}
