/*
 * What one transaction will store of one partition: the events of a stretch
 * of the log, judged and encoded, their window partials, the account of what
 * became of each record, and the records that go to the dead-letter topic.
 *
 * Once judged it is never judged again: it is stored as it is, as often as
 * the transaction has to be repeated, or thrown away with the whole state of
 * its partition.
 *
 * Belongs to one thread.
 */
#ifndef MR_WRITER_FLUSH_H
#define MR_WRITER_FLUSH_H

#include <stdint.h>

#include <millrace/event.h>

#include "../common/options.h"
#include "accounts.h"
#include "arena.h"
#include "block.h"
#include "partials.h"
#include "types.h"


/* A record that is no valid event, copied with the reason. */
typedef struct {
    int64_t offset;
    int has_key;
    int has_value; /* a record may have none at all */
    mr_str_t key;
    mr_str_t value;
    mr_str_t reason;
} mr_dead_t;

typedef struct {
    mr_arena_t arena;
    const mr_options_t *options;
    mr_entry_t *entries;
    size_t n;
    size_t cap;
    mr_types_t types;
    uint8_t *other; /* of each type: counted under MR_EVENT_TYPE_OTHER; */
    size_t other_cap;
    size_t unsure; /* of how many the registry must be asked (registry.h) */
    mr_partials_t partials;
    mr_accounts_t accounts;
    mr_dead_t *dead;
    size_t n_dead;
    size_t dead_cap;
    size_t repeated;
    size_t ignored; /* measures that were no usable number */
    size_t size;    /* bytes of BSON, keys and values */
    size_t records; /* judged, whatever became of them */
    int64_t since;  /* monotonic ms of the first record */
    mr_buf_t scratch;
} mr_flush_t;


/*
 * NULL on out of memory.  `options` (for the measures) and `pool` must
 * outlive it.
 */
mr_flush_t *mr_flush_create(const mr_options_t *options, mr_pool_t *pool);
void mr_flush_destroy(mr_flush_t *flush);

/* Empty it for the next stretch. */
void mr_flush_reset(mr_flush_t *flush);

/* Add a new event; `received` is the record's time.  -1: out of memory. */
int mr_flush_event(mr_flush_t *flush, const mr_event_t *event, int64_t offset,
    int64_t received);

/* Add a dead letter; key and value are views, copied.  -1: out of memory. */
int mr_flush_dead(mr_flush_t *flush, const mr_dead_t *dead);

#endif /* MR_WRITER_FLUSH_H */
