/*
 * A block of docs/data-model.md, of any version, without one user's events.
 * Pure: BSON in, BSON out.
 */
#ifndef MILLRACE_ERASE_REWRITE_H
#define MILLRACE_ERASE_REWRITE_H

#include <stdint.h>

#include <bson/bson.h>

#include <millrace/error.h>
#include <millrace/str.h>


typedef struct {
    uint32_t removed; /* events of the user */
    uint32_t left;    /* events of others */
} mr_rewrite_t;

/*
 * Append to *block, which the caller has initialised and destroys, what of
 * `source` is not the user's: events, packed columns, users and types, and
 * the bounds of what is left.  `_id`, span class and `received` stay: the
 * class says within what width the times lie, which is still true.
 *
 * Where `removed` or `left` is 0 nothing is appended: there is nothing to
 * change, or nothing to keep.
 *
 * Fails with MR_ERROR_MONGODB for a block that is not as it should be, or
 * has a field that this version does not know; then *block holds anything.
 */
int mr_rewrite(const bson_t *source, mr_str_t user, bson_t *block,
    mr_rewrite_t *ret_result, mr_error_t *err);

#endif /* MILLRACE_ERASE_REWRITE_H */
