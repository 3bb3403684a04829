/*
 * The windows of one round of merging: a table from a window's key to the
 * partials read so far, the window as stored and what becomes of it.
 *
 * A chunk owns what was walked over through its arena; those pointers are
 * valid until the next mr_chunk_reset().  What is read beside, of all
 * partitions, is in an arena that lives for a slice of it alone: or the chunk
 * would take as many times its memory as there are partitions.  One thread at
 * a time.
 */
#ifndef MILLRACE_STATS_CHUNK_H
#define MILLRACE_STATS_CHUNK_H

#include "merged.h"


typedef struct mr_chunk_s mr_chunk_t;

typedef struct {
    mr_window_key_t key;
    mr_partial_t *partials; /* in the order of partitions */
    mr_merged_t *stored;    /* NULL: none */
    bool unreadable;        /* there is one, but nobody can tell what it is */
    uint64_t hash;
} mr_entry_t;


/* The windows [first, first + n), and the memory of what is read of them. */
typedef struct {
    mr_chunk_t *chunk;
    size_t first;
    size_t n;
    mr_arena_t *arena;
} mr_slice_t;


/*
 * Room for `max` windows, and for `memory` bytes, about; NULL on out of
 * memory.
 */
mr_chunk_t *mr_chunk_create(size_t max, size_t memory);
void mr_chunk_destroy(mr_chunk_t *chunk);
void mr_chunk_reset(mr_chunk_t *chunk);

mr_arena_t *mr_chunk_arena(mr_chunk_t *chunk);

/* No room for another window, or as much memory in use as it may have. */
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

/*
 * How many entries of a sorted chunk, from `first` on, make a slice: at most
 * `most`, and no more than have room in the chunk's memory once more when
 * they are read of so many partitions; where that is possible, all of a
 * document.  At least 1.
 */
size_t mr_chunk_slice(
    const mr_chunk_t *chunk, size_t first, size_t most, size_t partitions);

/* NULL if the window is not in the chunk. */
mr_entry_t *mr_chunk_find(mr_chunk_t *chunk, const mr_window_key_t *key);

/* NULL if it is not in the slice. */
mr_entry_t *mr_slice_find(const mr_slice_t *slice, const mr_window_key_t *key);

/*
 * The slice is done with: its arena is reset, and its entries forget what
 * they have, which may be in there.
 */
void mr_slice_end(const mr_slice_t *slice);

/*
 * Find or add a window; the key's text is copied.  NULL on out of memory or
 * when the table is full.
 */
mr_entry_t *mr_chunk_add(mr_chunk_t *chunk, const mr_window_key_t *key);

/*
 * Link a partial, which must live in the chunk's arena or the slice's, into
 * its place; it takes the place of one of the same partition.  A second may
 * have two parts of a partition: first the one that is a document of its own,
 * then the one inside its minute's.
 */
void mr_entry_link(mr_entry_t *entry, mr_partial_t *partial);

/* The window whose documents hold a window's partials: a second's minute. */
mr_window_key_t mr_entry_document(const mr_entry_t *entry);

/* Whether the partition's part has been read. */
bool mr_entry_has(const mr_entry_t *entry, int32_t partition, bool inside);

#endif /* MILLRACE_STATS_CHUNK_H */
