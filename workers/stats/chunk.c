#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>

#include "chunk.h"


/*
 * What a window's part in another partition is taken for where this one's is
 * smaller: two sketches of users that are full, and one of a measure.
 */
#define PART_SIZE ((size_t) 20 * 1024)

/* As stored, the sum of all, and its message take as much as some parts. */
#define PARTS_MORE 3


struct mr_chunk_s {
    mr_arena_t arena;
    mr_entry_t *entries;
    size_t count;
    size_t max;
    size_t memory;
    uint32_t *slots; /* index into entries plus 1, or 0 */
    size_t mask;
};


static uint64_t chunk_hash(const mr_window_key_t *key);
static int chunk_compare(const void *a, const void *b);
static uint32_t *chunk_slot(
    mr_chunk_t *chunk, const mr_window_key_t *key, uint64_t hash);
static size_t entry_size(const mr_entry_t *entry);
static bool entry_together(const mr_entry_t *a, const mr_entry_t *b);
static int64_t entry_place(int32_t partition, bool inside);


mr_chunk_t *
mr_chunk_create(size_t max, size_t memory)
{
    size_t size;
    mr_chunk_t *chunk;

    chunk = calloc(1, sizeof(mr_chunk_t));
    if (chunk == NULL) {
        return NULL;
    }

    size = 16;
    while (size < max * 2) {
        size *= 2;
    }

    chunk->max = max;
    chunk->memory = memory;
    chunk->mask = size - 1;
    chunk->entries = calloc(max, sizeof(mr_entry_t));
    chunk->slots = calloc(size, sizeof(uint32_t));

    if (chunk->entries == NULL || chunk->slots == NULL) {
        mr_chunk_destroy(chunk);
        return NULL;
    }

    return chunk;
}


void
mr_chunk_destroy(mr_chunk_t *chunk)
{
    if (chunk == NULL) {
        return;
    }

    mr_arena_free(&chunk->arena);
    free(chunk->entries);
    free(chunk->slots);
    free(chunk);
}


void
mr_chunk_reset(mr_chunk_t *chunk)
{
    mr_arena_reset(&chunk->arena);

    if (chunk->count > 0) {
        memset(chunk->slots, 0, (chunk->mask + 1) * sizeof(uint32_t));
    }

    chunk->count = 0;
}


mr_arena_t *
mr_chunk_arena(mr_chunk_t *chunk)
{
    return &chunk->arena;
}


bool
mr_chunk_full(const mr_chunk_t *chunk)
{
    return chunk->count >= chunk->max || chunk->arena.used >= chunk->memory;
}


size_t
mr_chunk_count(const mr_chunk_t *chunk)
{
    return chunk->count;
}


mr_entry_t *
mr_chunk_at(mr_chunk_t *chunk, size_t i)
{
    return &chunk->entries[i];
}


mr_entry_t *
mr_chunk_find(mr_chunk_t *chunk, const mr_window_key_t *key)
{
    uint32_t *slot;

    slot = chunk_slot(chunk, key, chunk_hash(key));

    return *slot ? &chunk->entries[*slot - 1] : NULL;
}


mr_entry_t *
mr_slice_find(const mr_slice_t *slice, const mr_window_key_t *key)
{
    size_t i;
    mr_entry_t *entry;

    entry = mr_chunk_find(slice->chunk, key);

    if (entry == NULL) {
        return NULL;
    }

    i = (size_t) (entry - slice->chunk->entries);

    return i >= slice->first && i < slice->first + slice->n ? entry : NULL;
}


void
mr_slice_end(const mr_slice_t *slice)
{
    size_t i;
    mr_entry_t *entry;

    for (i = slice->first; i < slice->first + slice->n; i++) {
        entry = mr_chunk_at(slice->chunk, i);
        entry->partials = NULL;
        entry->stored = NULL;
        entry->unreadable = false;
    }

    mr_arena_reset(slice->arena);
}


size_t
mr_chunk_slice(
    const mr_chunk_t *chunk, size_t first, size_t most, size_t partitions)
{
    size_t n, whole, used;
    const mr_entry_t *entry;

    used = 0;
    whole = 0;
    entry = &chunk->entries[first];

    for (n = 0; first + n < chunk->count; n++, entry++) {

        /* A document that is cut is read twice. */
        if (n > 0 && !entry_together(entry - 1, entry)) {
            whole = n;
        }

        used += entry_size(entry) * (partitions + PARTS_MORE);

        if (n == most || (n > 0 && used > chunk->memory)) {
            return whole > 0 ? whole : n;
        }
    }

    return n;
}


mr_entry_t *
mr_chunk_add(mr_chunk_t *chunk, const mr_window_key_t *key)
{
    uint32_t *slot;
    uint64_t hash;
    mr_str_t event_type;
    mr_entry_t *entry;

    hash = chunk_hash(key);
    slot = chunk_slot(chunk, key, hash);

    if (*slot) {
        return &chunk->entries[*slot - 1];
    }

    if (chunk->count == chunk->max
        || mr_arena_copy(&chunk->arena, key->event_type, &event_type) != 0)
    {
        return NULL;
    }

    entry = &chunk->entries[chunk->count];
    memset(entry, 0, sizeof(mr_entry_t));

    entry->key = *key;
    entry->key.event_type = event_type;
    entry->hash = hash;

    chunk->count++;
    *slot = (uint32_t) chunk->count;

    return entry;
}


void
mr_chunk_sort(mr_chunk_t *chunk)
{
    size_t i;

    if (chunk->count < 2) {
        return;
    }

    qsort(chunk->entries, chunk->count, sizeof(mr_entry_t), chunk_compare);

    memset(chunk->slots, 0, (chunk->mask + 1) * sizeof(uint32_t));

    for (i = 0; i < chunk->count; i++) {
        *chunk_slot(chunk, &chunk->entries[i].key, chunk->entries[i].hash) =
            (uint32_t) i + 1;
    }
}


static int
chunk_compare(const void *a, const void *b)
{
    int rc;
    const mr_entry_t *x = a, *y = b;
    const mr_window_key_t dx = mr_entry_document(x), dy = mr_entry_document(y);

    if (dx.width != dy.width) {
        return dx.width < dy.width ? -1 : 1;
    }

    if (dx.start != dy.start) {
        return dx.start > dy.start ? -1 : 1;
    }

    rc = mr_str_cmp(dx.event_type, dy.event_type);

    if (rc != 0) {
        return rc;
    }

    /* The minute itself, then its seconds. */
    if (x->key.width != y->key.width) {
        return x->key.width > y->key.width ? -1 : 1;
    }

    return (x->key.start > y->key.start) - (x->key.start < y->key.start);
}


static uint64_t
chunk_hash(const mr_window_key_t *key)
{
    uint64_t number;

    number = (uint64_t) key->start * MR_WIDTHS + (uint64_t) key->width;
    number *= UINT64_C(0x9e3779b97f4a7c15);

    return mr_hash(key->event_type).lo ^ (number ^ (number >> 32));
}


/* The slot that holds the key, or the empty one where it belongs. */
static uint32_t *
chunk_slot(mr_chunk_t *chunk, const mr_window_key_t *key, uint64_t hash)
{
    size_t i;
    const mr_entry_t *entry;

    for (i = hash & chunk->mask; chunk->slots[i] != 0;
         i = (i + 1) & chunk->mask) {
        entry = &chunk->entries[chunk->slots[i] - 1];

        if (entry->hash == hash && entry->key.width == key->width
            && entry->key.start == key->start
            && mr_str_eq(entry->key.event_type, key->event_type))
        {
            break;
        }
    }

    return &chunk->slots[i];
}


void
mr_entry_link(mr_entry_t *entry, mr_partial_t *partial)
{
    int64_t place, found;
    mr_partial_t **link;

    place = entry_place(partial->partition, partial->inside);
    found = place + 1;

    for (link = &entry->partials; *link != NULL; link = &(*link)->next) {
        found = entry_place((*link)->partition, (*link)->inside);

        if (found >= place) {
            break;
        }
    }

    if (*link != NULL && found == place) {
        partial->next = (*link)->next;

    } else {
        partial->next = *link;
    }

    *link = partial;
}


bool
mr_entry_has(const mr_entry_t *entry, int32_t partition, bool inside)
{
    const mr_partial_t *part;

    for (part = entry->partials; part != NULL; part = part->next) {

        if (part->partition == partition && part->inside == inside) {
            return true;
        }
    }

    return false;
}


mr_window_key_t
mr_entry_document(const mr_entry_t *entry)
{
    mr_window_key_t key;

    key = entry->key;

    if (key.width == MR_WIDTH_SECOND) {
        key.width = MR_WIDTH_MINUTE;
        key.start = mr_window_start(MR_WIDTH_MINUTE, key.start);
    }

    return key;
}


/* The largest part that was read of it, or what others may be. */
static size_t
entry_size(const mr_entry_t *entry)
{
    size_t i, size, largest;
    const mr_partial_t *part;
    const mr_named_measure_t *measure;

    largest = entry->key.width == MR_WIDTH_SECOND ? 0 : PART_SIZE;

    for (part = entry->partials; part != NULL; part = part->next) {
        size = sizeof(*part) + part->scalars.users.len + part->tail.len;

        for (i = 0; i < part->scalars.n_measures; i++) {
            measure = &part->scalars.measures[i];
            size += sizeof(*measure) + measure->name.len + measure->sketch.len;
        }

        if (size > largest) {
            largest = size;
        }
    }

    return largest;
}


static bool
entry_together(const mr_entry_t *a, const mr_entry_t *b)
{
    const mr_window_key_t x = mr_entry_document(a), y = mr_entry_document(b);

    return x.width == y.width && x.start == y.start
           && mr_str_eq(x.event_type, y.event_type);
}


static int64_t
entry_place(int32_t partition, bool inside)
{
    return 2 * (int64_t) partition + inside;
}
