/* 128-bit hashes (XXH3): where a collision would lose an event. */
#ifndef MILLRACE_HASH_H
#define MILLRACE_HASH_H

#include <stdint.h>

#include <millrace/str.h>


typedef struct {
    uint64_t lo;
    uint64_t hi;
} mr_hash_t;

/* XXH3-128 of the bytes, seed 0.  The same on every machine. */
mr_hash_t mr_hash(mr_str_t data);

/*
 * The identity of an event: XXH3-128 over user_id, one NUL byte, event_id.
 * Neither holds a control character, so the pair is unambiguous.
 */
mr_hash_t mr_hash_identity(mr_str_t user_id, mr_str_t event_id);

#endif /* MILLRACE_HASH_H */
