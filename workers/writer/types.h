/*
 * Distinct event types, numbered in the order of their first appearance: those
 * of a flush, so that an event carries a small number and not a string, and
 * those of the registry.
 *
 * One thread at a time.
 */
#ifndef MR_WRITER_TYPES_H
#define MR_WRITER_TYPES_H

#include <stdint.h>

#include <millrace/str.h>


typedef struct {
    mr_str_t *names; /* by number; the bytes are owned */
    size_t n;
    size_t cap;
    uint32_t *table; /* number + 1; 0: free */
    size_t mask;
    uint32_t recent; /* the number found last: types come in runs */
} mr_types_t;

#define MR_TYPES_INIT                                                          \
    {                                                                          \
        NULL, 0, 0, NULL, 0, 0                                                 \
    }


/* The number of `name`, which is copied when new; -1 on out of memory. */
int mr_types_find(mr_types_t *types, mr_str_t name, uint32_t *ret_number);

/* 1 with *ret_number set if `name` is there, else 0. */
int mr_types_known(
    const mr_types_t *types, mr_str_t name, uint32_t *ret_number);

/* Forget all of them; the tables' memory is kept. */
void mr_types_reset(mr_types_t *types);
void mr_types_free(mr_types_t *types);

#endif /* MR_WRITER_TYPES_H */
