/*
 * Where a page's blocks come from: MongoDB (store_blocks.c), or a table in
 * the tests.  Everything above this line is pure logic.
 */
#ifndef MILLRACE_QUERY_SOURCE_H
#define MILLRACE_QUERY_SOURCE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <millrace/error.h>
#include <millrace/uuid.h>

#include "../common/times.h"
#include "key.h"
#include "plan.h"


typedef struct {
    int64_t epoch;
    int64_t offset;
    int32_t partition;
    int32_t number;
} mr_block_id_t;


/*
 * A block without its events.  Views are valid until the next call to the
 * source.  Rows are places among the block's events.
 */
typedef struct {
    mr_block_id_t id;
    int layout;   /* of ../common/layout.h */
    int64_t tmin; /* ms */
    int64_t tmax;
    uint32_t n; /* rows */
    mr_times_t times;
    const uint8_t *kinds;  /* n little-endian uint16: index into wanted */
    const uint8_t *wanted; /* whether a kind is one of the plan's types; */
    size_t n_kinds;        /* both NULL when the plan has no types */
} mr_header_t;


/* Is a row of one of the plan's types, or has the plan none? */
static inline int
mr_header_wants(const mr_header_t *header, uint32_t row)
{
    uint16_t kind;

    if (header->kinds == NULL) {
        return 1;
    }

    memcpy(&kind, header->kinds + (size_t) row * sizeof(kind), sizeof(kind));
    kind = le16toh(kind);

    return kind < header->n_kinds && header->wanted[kind];
}


/* One row to fetch; `user`: whose it is, in a block of MR_LAYOUT_USERS. */
typedef struct {
    mr_block_id_t id;
    uint32_t n; /* rows that its block had */
    int layout;
    uint32_t row;
    mr_str_t user;
} mr_ref_t;


/*
 * A fetched row; views are valid only during the call.  `data` is the event
 * as stored, opaque to all but the renderer; the key's strings may lie in it,
 * the event type does not.  A non-zero return ends the fetch, which then fails;
 * the observer has filled *err.
 */
typedef struct {
    mr_key_t key;
    mr_str_t type;
    mr_str_t data;
    char uuid[MR_UUID_TEXT]; /* an event_id that is stored as one */
} mr_row_t;

typedef int(mr_row_observer_t)(void *ctx, const mr_row_t *row, mr_error_t *err);


/* One thread at a time. */
typedef struct {

    /*
     * The next block of a course of the plan, in its order; the walk begins
     * with the first call.  `lacking`: rows that the page has not yet, which
     * tells how many blocks may be asked for at once: limit + 1 at most.  1
     * with *ret_header set, 0 at the end, -1 on failure.
     */
    int (*next)(void *ctx, size_t course, size_t lacking,
        mr_header_t *ret_header, mr_error_t *err);

    /*
     * Of the header that came last, where the plan has a user: `observer` for
     * each of the user's rows, and perhaps for others, of any time and type.
     * Those of a block of MR_LAYOUT_LIST are fetched, and what fetch() says of
     * retention and erasing holds for them.
     */
    int (*rows)(void *ctx, mr_row_observer_t *observer, void *observer_ctx,
        mr_error_t *err);

    /*
     * Whose a row of the header that came last is; from call to call rows
     * ascend.  data NULL: nobody's, the block is damaged.
     */
    mr_str_t (*user)(void *ctx, uint32_t row);

    /*
     * Call `observer` for every one of `refs`, which are sorted by block
     * and row and each there once, in any order.  A block that has meanwhile
     * passed its retention is left out; in one that millrace-erase has
     * rewritten meanwhile other rows may be found, or fewer.  0 or -1.
     */
    int (*fetch)(void *ctx, const mr_ref_t *refs, size_t n,
        mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);

    void *ctx;
} mr_source_t;

#endif /* MILLRACE_QUERY_SOURCE_H */
