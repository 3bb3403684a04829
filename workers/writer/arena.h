/*
 * Bytes that live as long as one flush, in chunks of 1 MiB that a pool lends
 * out and takes back: so a writer's memory is what its flushes really hold.
 *
 * A pool and its arenas belong to one thread.
 */
#ifndef MR_WRITER_ARENA_H
#define MR_WRITER_ARENA_H

#include <stddef.h>


#define MR_ARENA_CHUNK (1024 * 1024)


typedef struct mr_chunk_s mr_chunk_t;

/* Zero-initialise; end with mr_pool_free() after all its arenas. */
typedef struct {
    mr_chunk_t *spare;
    size_t used; /* bytes lent out */
} mr_pool_t;

typedef struct {
    mr_pool_t *pool;
    mr_chunk_t *chunks; /* the newest first */
} mr_arena_t;


void mr_pool_free(mr_pool_t *pool);

/* `len` bytes of no alignment, valid until the reset; NULL on out of memory. */
char *mr_arena_alloc(mr_arena_t *arena, size_t len);

/* Give everything back to the pool. */
void mr_arena_reset(mr_arena_t *arena);

#endif /* MR_WRITER_ARENA_H */
