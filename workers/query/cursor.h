/*
 * The cursor of GET /events: a place in the order of events, as a token
 * that a client passes back unread.
 *
 * base64url (RFC 4648, no padding) of, all integers little-endian:
 *
 *   1  version, 1
 *   1  kind: MR_POSITION_FRONTIER or MR_POSITION_EVENT
 *   8  digest of the order and the filters that it belongs to
 *   8  time, ms
 *   --- of MR_POSITION_EVENT only
 *   4  partition
 *   8  offset
 *   8  epoch
 *   1  bytes of event_id, followed by them
 *   2  bytes of user_id, followed by them
 *   ---
 *   8  the low half of XXH3-128 over all before
 *
 * The checksum finds what was altered by accident; it is no signature, and
 * needs to be none: a cursor gives access to nothing that the filters alone
 * do not.
 */
#ifndef MILLRACE_QUERY_CURSOR_H
#define MILLRACE_QUERY_CURSOR_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "key.h"


/* Append the token of `position`, which is not MR_POSITION_START. */
int mr_cursor_write(
    mr_buf_t *buf, uint64_t digest, const mr_position_t *position);

/*
 * Read a token that was made for `digest`.  *ret_memory is what the
 * position's strings lie in; the caller frees it.  Fails with
 * MR_ERROR_ARGUMENT or MR_ERROR_MEMORY.
 */
int mr_cursor_read(mr_str_t text, uint64_t digest, mr_position_t *ret_position,
    char **ret_memory, mr_error_t *err);

#endif /* MILLRACE_QUERY_CURSOR_H */
