#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"


#define BLOCK_SIZE ((size_t) 256 * 1024)


struct mr_arena_block_s {
    mr_arena_block_t *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char data[];
};


static mr_arena_block_t *arena_block(mr_arena_t *arena, size_t size);


void *
mr_arena_alloc(mr_arena_t *arena, size_t size)
{
    void *data;
    mr_arena_block_t *block;

    if (size > SIZE_MAX / 2) {
        return NULL;
    }

    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

    block = arena->current;

    if (block == NULL || block->size - block->used < size) {
        block = arena_block(arena, size);

        if (block == NULL) {
            return NULL;
        }
    }

    data = block->data + block->used;
    block->used += size;
    arena->used += size;

    return memset(data, 0, size);
}


/* Makes current a block that has room, reusing those that follow. */
static mr_arena_block_t *
arena_block(mr_arena_t *arena, size_t size)
{
    mr_arena_block_t *block, **next;

    next = arena->current ? &arena->current->next : &arena->first;

    if (*next != NULL && (*next)->size >= size) {
        arena->current = *next;
        return *next;
    }

    if (size < BLOCK_SIZE) {
        size = BLOCK_SIZE;
    }

    block = malloc(sizeof(mr_arena_block_t) + size);
    if (block == NULL) {
        return NULL;
    }

    block->size = size;
    block->used = 0;
    block->next = *next;

    *next = block;
    arena->current = block;

    return block;
}


int
mr_arena_copy(mr_arena_t *arena, mr_str_t text, mr_str_t *ret_copy)
{
    char *data;

    data = mr_arena_alloc(arena, text.len + 1);
    if (data == NULL) {
        return -1;
    }

    if (text.len > 0) {
        memcpy(data, text.data, text.len);
    }

    ret_copy->data = data;
    ret_copy->len = text.len;

    return 0;
}


void
mr_arena_reset(mr_arena_t *arena)
{
    size_t kept;
    mr_arena_block_t *block, **link;

    kept = 0;
    link = &arena->first;

    while (*link != NULL) {
        block = *link;

        if (kept + block->size > MR_ARENA_KEEP) {
            *link = block->next;
            free(block);
            continue;
        }

        kept += block->size;
        block->used = 0;
        link = &block->next;
    }

    arena->current = arena->first;
    arena->used = 0;
}


void
mr_arena_free(mr_arena_t *arena)
{
    mr_arena_block_t *block;

    while (arena->first != NULL) {
        block = arena->first;
        arena->first = block->next;
        free(block);
    }

    arena->current = NULL;
    arena->used = 0;
}
