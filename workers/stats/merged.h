/*
 * What the daemon reads and writes, without MongoDB's types: partials, and
 * the merged windows that come of them.  docs/data-model.md is the schema.
 *
 * Measures carry the name they are stored under, so that a window's text
 * never depends on which measures are configured today.
 *
 * All memory behind these structures belongs to an arena.  Times are ms.
 */
#ifndef MILLRACE_STATS_MERGED_H
#define MILLRACE_STATS_MERGED_H

#include <stdbool.h>
#include <stdint.h>

#include <millrace/error.h>

#include "../common/window.h"

#include "arena.h"


/*
 * A window is kept for a while after it closes, however short its retention
 * is, so that it is seen final before it goes.
 */
#define MR_CLOSED_KEEP INT64_C(300000)

/*
 * A window is left alone shortly before its partials begin to vanish, as the
 * server that deletes them may be ahead of our idea of its clock.
 */
#define MR_EXPIRE_MARGIN INT64_C(5000)


typedef struct {
    mr_width_t width;
    int64_t start;
    mr_str_t event_type; /* "" is the sum over all types */
} mr_window_key_t;


typedef struct {
    mr_str_t name;
    mr_measure_stats_t stats;
    mr_str_t sketch; /* a DDSketch's bytes; empty: there is none */
    double p50;      /* of it; meaningless while there is none */
    double p95;
    double p99;
} mr_named_measure_t;


/* The numbers of a window; measures in bytewise order of their names. */
typedef struct {
    int64_t count;
    mr_named_measure_t *measures;
    size_t n_measures;
    mr_str_t users;       /* a HyperLogLog's bytes; empty: there is none */
    int64_t unique_users; /* its estimate */
} mr_scalars_t;


/* One partition's part of a window. */
typedef struct mr_partial_s mr_partial_t;

struct mr_partial_s {
    mr_partial_t *next; /* of the same window, by partition */
    int32_t partition;
    bool inside;    /* a second's, from the document of its minute */
    int64_t flush;  /* of the document */
    int64_t expire; /* 0: never */
    mr_scalars_t scalars;
    mr_str_t tail; /* what was added to scalars.users: bytes of the same */
};


/* Sketches that are not what their headers say, and so were left out. */
typedef struct {
    size_t n;
    int32_t partition; /* of the last one; -1: what was merged before */
    mr_str_t name;     /* its measure; empty: users */
} mr_damage_t;


typedef struct {
    mr_window_key_t key;
    mr_scalars_t scalars;
    int64_t revision; /* 0: not stored yet */
    int64_t published;
    int64_t closes;
    int64_t expire; /* 0: never */
    bool final;
    bool dirty;
    bool damaged; /* as stored: something was, and is taken for none */

    /*
     * The text of the revision before this one, which was stored and perhaps
     * sent when the window changed again before Kafka had acknowledged it; 0:
     * there is none.  While there is, this revision was not sent, and may be
     * replaced.
     */
    int64_t frozen;
    mr_str_t text;

    int64_t replaces; /* the revision that must be stored, to be written */
} mr_merged_t;


typedef enum {
    MR_MERGE_SAME,      /* stored already */
    MR_MERGE_WRITE,     /* a new revision */
    MR_MERGE_EXPIRED,   /* its partials are vanishing: leave it alone */
    MR_MERGE_BACKWARDS, /* fewer events than stored: leave it alone */
    MR_MERGE_MEMORY     /* out of memory */
} mr_merge_t;


/* Windows of a second, a minute and an hour of one event type. */
bool mr_window_published(const mr_window_key_t *key);

/* The window's first moment after its end. */
int64_t mr_window_end(const mr_window_key_t *key);

/*
 * Fold a list of partials, in its order, with the users that were merged
 * before (bytes, or empty): so partials whose users have not changed since
 * need not bring theirs.  *ret_expire is the earliest expiry among them, 0
 * for never.  A damaged sketch is left out and told of: counts and sums must
 * not wait for it.  Fails with MR_ERROR_MEMORY.
 */
int mr_partials_fold(mr_arena_t *arena, const mr_partial_t *list,
    mr_str_t users, mr_scalars_t *ret_scalars, int64_t *ret_expire,
    mr_damage_t *ret_damage, mr_error_t *err);

bool mr_scalars_equal(const mr_scalars_t *a, const mr_scalars_t *b);

/* Bring measures into the order of their names. */
void mr_scalars_sort(mr_scalars_t *scalars);

/*
 * Decide what to do with a window whose partials fold to `scalars` and expire
 * at `expire`.  `stored` is the window as stored, or NULL.  `now` is the
 * server's clock.  *ret_next is set for MR_MERGE_WRITE only.
 *
 * A stored revision that Kafka has not acknowledged may have been sent: its
 * text is frozen into *ret_next.
 */
mr_merge_t mr_window_next(mr_arena_t *arena, const mr_window_key_t *key,
    const mr_scalars_t *scalars, int64_t expire, const mr_merged_t *stored,
    int64_t grace, int64_t now, mr_merged_t *ret_next);

/*
 * The revision that makes `stored` final; MR_MERGE_SAME if it is not to be
 * closed: it is final, or its time has not come.
 */
mr_merge_t mr_window_close(mr_arena_t *arena, const mr_merged_t *stored,
    int64_t now, mr_merged_t *ret_next);

#endif /* MILLRACE_STATS_MERGED_H */
