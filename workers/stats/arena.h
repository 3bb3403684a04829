/*
 * Memory that is released all at once: what one round of merging reads lives
 * exactly as long as the round.
 *
 * An arena owns its blocks.  Resetting it keeps up to MR_ARENA_KEEP bytes for
 * the next round and gives the rest back.  One thread at a time.
 */
#ifndef MILLRACE_STATS_ARENA_H
#define MILLRACE_STATS_ARENA_H

#include <stddef.h>

#include <millrace/str.h>


#define MR_ARENA_KEEP (64 * 1024 * 1024)


typedef struct mr_arena_block_s mr_arena_block_t;

/* Zero-initialise with MR_ARENA_INIT, end with mr_arena_free(). */
typedef struct {
    mr_arena_block_t *first;
    mr_arena_block_t *current;
    size_t used; /* bytes handed out since the last reset */
} mr_arena_t;

#define MR_ARENA_INIT                                                          \
    {                                                                          \
        NULL, NULL, 0                                                          \
    }


/* Zeroed memory, aligned for any type; NULL on out of memory. */
void *mr_arena_alloc(mr_arena_t *arena, size_t size);

/* A copy of the bytes; returns -1 on out of memory. */
int mr_arena_copy(mr_arena_t *arena, mr_str_t text, mr_str_t *ret_copy);

void mr_arena_reset(mr_arena_t *arena);
void mr_arena_free(mr_arena_t *arena);

#endif /* MILLRACE_STATS_ARENA_H */
