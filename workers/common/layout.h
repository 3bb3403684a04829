/*
 * How the events of a block lie in it: docs/data-model.md, `blocks.layout`.
 */
#ifndef MILLRACE_LAYOUT_H
#define MILLRACE_LAYOUT_H

#include <stdint.h>

#include <millrace/str.h>


/*
 * Blocks of earlier versions have no such field: their events are a list, and
 * each says its user itself.
 */
#define MR_LAYOUT_LIST 0
#define MR_LAYOUT_USERS 1 /* { key of a user: { place in the block: event } } */

/*
 * Append a user's key: the user_id, where `.`, `$` and `%` are written as in
 * URIs (RFC 3986, 2.1), since the first two mean something in a path of
 * MongoDB's.  Returns -1 on out of memory.
 */
int mr_layout_key(mr_buf_t *buf, mr_str_t user);

/* Append the path to the user's events, `events.<key>`; as mr_layout_key(). */
int mr_layout_path(mr_buf_t *buf, mr_str_t user);

#define MR_LAYOUT_EVENTS "events." /* how it begins; the key follows */

/* Is it the user's key? */
int mr_layout_is_key(mr_str_t key, mr_str_t user);

/* A key is at most so many times as long as its user_id. */
#define MR_LAYOUT_KEY_GROWTH 3

/*
 * Which event types a user has in a block, `who.t`: a bit for each, by the
 * type's number in the registry.  Types share a bit with others, and one that
 * has no number yet has them all: who looks for a type by its bit finds it.
 */
#define MR_LAYOUT_BITS 7
#define MR_LAYOUT_ALL_BITS ((1 << MR_LAYOUT_BITS) - 1)

static inline int
mr_layout_bit(int64_t number)
{
    return 1 << (number % MR_LAYOUT_BITS);
}

#endif /* MILLRACE_LAYOUT_H */
