#include "arena.h"

#include <stdlib.h>


struct mr_chunk_s {
    mr_chunk_t *next;
    size_t size;
    size_t used;
    char data[];
};


static mr_chunk_t *arena_chunk(mr_pool_t *pool, size_t len);


void
mr_pool_free(mr_pool_t *pool)
{
    mr_chunk_t *chunk;

    while ((chunk = pool->spare) != NULL) {
        pool->spare = chunk->next;
        free(chunk);
    }
}


char *
mr_arena_alloc(mr_arena_t *arena, size_t len)
{
    char *p;
    mr_chunk_t *chunk;

    chunk = arena->chunks;

    if (chunk == NULL || chunk->size - chunk->used < len) {

        chunk = arena_chunk(arena->pool, len);
        if (chunk == NULL) {
            return NULL;
        }

        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }

    p = chunk->data + chunk->used;
    chunk->used += len;

    return p;
}


void
mr_arena_reset(mr_arena_t *arena)
{
    mr_chunk_t *chunk;

    while ((chunk = arena->chunks) != NULL) {
        arena->chunks = chunk->next;
        arena->pool->used -= chunk->size;

        if (chunk->size > MR_ARENA_CHUNK) {
            free(chunk);
            continue;
        }

        chunk->next = arena->pool->spare;
        arena->pool->spare = chunk;
    }
}


/* A spare chunk or a new one; more than a chunk gets one of its own size. */
static mr_chunk_t *
arena_chunk(mr_pool_t *pool, size_t len)
{
    size_t size;
    mr_chunk_t *chunk;

    size = len > MR_ARENA_CHUNK ? len : MR_ARENA_CHUNK;

    if (size == MR_ARENA_CHUNK && pool->spare != NULL) {
        chunk = pool->spare;
        pool->spare = chunk->next;

    } else {
        chunk = malloc(sizeof(mr_chunk_t) + size);
        if (chunk == NULL) {
            return NULL;
        }

        chunk->size = size;
    }

    chunk->used = 0;
    pool->used += size;

    return chunk;
}
