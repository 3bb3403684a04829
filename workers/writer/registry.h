/*
 * Which event types have windows of their own: the first ones to come, as
 * many as [stats] max_types says, for all writers together.  All others are
 * counted under MR_EVENT_TYPE_OTHER.
 *
 * The registry is in MongoDB (`types`, and the number of them in `state`),
 * and a type enters it in the transaction of the first flush that brings it.
 * This is a lane's copy: the first `known.n` types in their order, which is
 * all there ever is to know of them, since a type that is in stays in.  That
 * a type is not in the copy says nothing; then store_types.c asks.
 *
 * Pure logic.  Belongs to one thread.
 */
#ifndef MR_WRITER_REGISTRY_H
#define MR_WRITER_REGISTRY_H

#include <stdint.h>

#include "flush.h"
#include "types.h"


typedef struct {
    mr_types_t known; /* by their number in the registry */
    int64_t total;    /* types in the registry, */
    int64_t max;      /* and that there may be, as it was read last */
} mr_registry_t;

#define MR_REGISTRY_INIT                                                       \
    {                                                                          \
        MR_TYPES_INIT, 0, 0                                                    \
    }


void mr_registry_free(mr_registry_t *registry);

/*
 * Mark the flush's types that are not in the copy as other; *ret_marked is
 * how many.  -1 on out of memory.
 */
int mr_registry_mark(
    const mr_registry_t *registry, mr_flush_t *flush, size_t *ret_marked);

/*
 * The copy is complete: give the flush's types that are marked a place each,
 * in the order in which they came, while there is one.  They are known then,
 * and no longer marked.  -1 on out of memory.
 */
int mr_registry_admit(mr_registry_t *registry, mr_flush_t *flush);

/*
 * The types' bits (../common/layout.h), one byte each, by their number there,
 * in `bits`, which is emptied first.  -1 on out of memory.
 */
int mr_registry_bits(
    const mr_registry_t *registry, const mr_types_t *types, mr_buf_t *bits);

#endif /* MR_WRITER_REGISTRY_H */
