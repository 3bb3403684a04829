/*
 * The windows of one round of merging: a table from a window's key to the
 * partials read so far, the window as stored and what becomes of it.
 *
 * A chunk owns everything in it through its arena; the pointers are valid
 * until the next mr_chunk_reset().  One thread at a time.
 */
#ifndef MILLRACE_STATS_CHUNK_H
#define MILLRACE_STATS_CHUNK_H

#include "merged.h"


typedef struct mr_chunk_s mr_chunk_t;

typedef struct {
    mr_window_key_t key;
    mr_partial_t *partials; /* in the order of partitions */
    mr_merged_t *stored;    /* NULL: none */
    uint64_t hash;
} mr_entry_t;


/* Room for `max` windows; NULL on out of memory. */
mr_chunk_t *mr_chunk_create(size_t max);
void mr_chunk_destroy(mr_chunk_t *chunk);
void mr_chunk_reset(mr_chunk_t *chunk);

mr_arena_t *mr_chunk_arena(mr_chunk_t *chunk);

/* No room for another window, or more memory in use than is reasonable. */
bool mr_chunk_full(const mr_chunk_t *chunk);

size_t mr_chunk_count(const mr_chunk_t *chunk);

/*
 * Bring the entries into the order of the documents that their partials are
 * in, the newest first, with the windows of a minute together.  Pointers to
 * entries are no longer valid.
 */
void mr_chunk_sort(mr_chunk_t *chunk);

/*
 * Entries in the order in which they were added, or were sorted into;
 * 0 <= i < count.
 */
mr_entry_t *mr_chunk_at(mr_chunk_t *chunk, size_t i);

/* NULL if the window is not in the chunk. */
mr_entry_t *mr_chunk_find(mr_chunk_t *chunk, const mr_window_key_t *key);

/*
 * Find or add a window; the key's text is copied.  NULL on out of memory or
 * when the table is full.
 */
mr_entry_t *mr_chunk_add(mr_chunk_t *chunk, const mr_window_key_t *key);

/*
 * Link a partial, which must live in the chunk's arena, into its place; it
 * takes the place of one of the same partition.  A second may have two parts
 * of a partition: first the one that is a document of its own, then the one
 * inside its minute's.
 */
void mr_entry_link(mr_entry_t *entry, mr_partial_t *partial);

/* The window whose documents hold a window's partials: a second's minute. */
mr_window_key_t mr_entry_document(const mr_entry_t *entry);

/* Whether the partition's part has been read. */
bool mr_entry_has(const mr_entry_t *entry, int32_t partition, bool inside);

#endif /* MILLRACE_STATS_CHUNK_H */
