/* What the store*.c files share; nobody else includes it. */
#ifndef MILLRACE_QUERY_STORE_SESSION_H
#define MILLRACE_QUERY_STORE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "../common/mongo.h"
#include "../common/mongo_columns.h"
#include "crew.h"
#include "store.h"


/* What a user's walk has to know beforehand (store_known.c). */
typedef struct {
    int earlier; /* there are blocks with `users` instead of `who` */
    int bits;    /* of ../common/layout.h, any of which a block has to have */
} mr_known_t;

struct mr_store_s {
    mr_mongo_t *mongo;
    mr_crew_t *crew;

    pthread_mutex_t mutex; /* guards: */
    mr_session_t *closed;  /* put aside */
    int64_t read;          /* when what follows was read, monotonic; 0: never */
    int reading;
    int earlier;
    mr_type_t *types; /* in bytewise order; names are owned */
    size_t n_types;
    int slow; /* how sure it is that blocks take long (store_stretch.c) */

    int64_t slow_block; /* us; 0: every walk is */
    atomic_int unsure;  /* walks for which they are taken to, unless told */
};


/*
 * Stretches of a walk that begin at the same time, and all that it has then;
 * what may begin at the same time, walks and the reading of keys, or stretches
 * of one walk and two others that have waited; and connections that all walks
 * of a session may have, of which those by tmin and in blocks of earlier
 * versions are never divided.
 */
#define MR_WALK_STRETCHES 4
#define MR_WALK_LIST (MR_WALK_STRETCHES + 1)
#define MR_WALK_ALL (MR_COURSES + 1)
#define MR_WALK_CLIENTS (2 * (MR_WALK_LIST + 1) + MR_COURSES - 2)

_Static_assert(MR_WALK_ALL >= MR_WALK_STRETCHES + 2, "what has waited");


/*
 * The blocks of a walk with from <= tmax < to, or tmin where it is in order of
 * that, by one cursor.
 */
typedef struct {
    int64_t from;
    int64_t to;
    unsigned spans;          /* 1 << span of the classes it has; 0: all */
    int ends;                /* where the range does, not with its cursor */
    uint32_t resume;         /* headers to be asked for when it goes on */
    mongoc_client_t *client; /* NULL: the session's */
    mongoc_collection_t *blocks;
    mongoc_cursor_t *cursor; /* NULL: it could not be made; see err */
    mr_error_t err;
    int begun;           /* `first` was read, or its end was met (NULL), */
    const bson_t *first; /* and was not given yet */
    int64_t took;        /* us until then; 0 once that was told */
    uint32_t asked;      /* headers, in all batches so far */
    uint32_t left;       /* of the current one */
} mr_stretch_t;


static inline int
mr_stretch_has(const mr_stretch_t *stretch, int span)
{
    return stretch->spans == 0 || (stretch->spans & 1U << span) != 0;
}


/* A block of the plan's user, as the index has it. */
typedef struct {
    int64_t tmax;
    int span;
} mr_entry_t;

/* The first ones of a walk, in its order. */
typedef struct {
    mr_entry_t *list; /* NULL: not read */
    size_t n;
    size_t next; /* mr_entries_skip() */
    size_t need; /* so many of them a page is expected to need */
    int all;     /* there are no others */
} mr_entries_t;


typedef struct {
    mr_stretch_t stretches[MR_WALK_LIST]; /* in the order of the walk */
    size_t n;
    size_t at;
    int begun;
    int none; /* the keys say that there are no blocks */

    /* Of a walk that may be divided. */
    mr_entries_t entries;
    int64_t last;      /* tmax of the block that was given last */
    mr_stretch_t past; /* one whose cursor MongoDB has to be told of */
} mr_walk_t;


/* The event types of a block; memory is kept for the next one. */
typedef struct {
    mr_str_t *list;
    size_t n;
    size_t cap;
} mr_types_list_t;

/* The events in a block, or those of them that MongoDB sent, by place. */
typedef struct {
    enum {
        MR_EVENTS_LIST, /* [ event, ... ] */
        MR_EVENTS_USERS /* { key of a user: { place: event, ... } } */
    } kind;
    uint32_t row;      /* the place of the present one */
    uint32_t next;     /* in a list, of the next one */
    bson_iter_t iter;  /* at the present one */
    bson_iter_t users; /* at its user, */
    int in_user;       /* if there is one */
    uint32_t n;        /* in each of these: */
    mr_times_t times;
    const uint8_t *kinds; /* little-endian uint16, index into types */
    const mr_types_list_t *types;
} mr_events_t;

struct mr_session_s {
    mr_store_t *store;
    mr_session_t *next; /* of those put aside */
    mongoc_client_t *client;
    int64_t deadline;

    /* The reading of blocks (store_blocks.c). */
    const mr_plan_t *plan;
    int apart; /* a walk that is come to begins alone, on its connection */
    int away;  /* rows could not be fetched */
    int begun; /* and then this is known: */
    mr_known_t known;
    mongoc_collection_t *blocks;
    mr_walk_t walks[MR_COURSES];
    uint8_t *wanted;
    size_t n_wanted;

    /* The header that came last (store_header.c). */
    const bson_t *doc;
    mr_header_t header;
    bson_iter_t users; /* up to the present one */
    uint32_t n_users;
    uint32_t next_user; /* number of the next one */
    uint32_t user_end;  /* the row after the last one of the present one */

    /* uint16 a user: how many rows; in blocks of earlier versions user_end. */
    const uint8_t *counts;
    int are_ends;

    mr_str_t user;
    mr_types_list_t types;

    size_t headers; /* read so far, and */
    size_t rows;    /* the rows of these blocks */
    size_t bytes;   /* and of what came of them */
    size_t lacking; /* rows that the page has not yet */
};


/* One connection's part in a fetch. */
typedef struct {
    mr_session_t *session;       /* read only */
    mongoc_collection_t *blocks; /* the connection's own */
    int whole;                   /* send all of a block's events */
    pthread_mutex_t *mutex;      /* held while the observer is called */
    mr_row_observer_t *observer;
    void *ctx;
} mr_rows_t;


/* Append maxTimeMS; fails with MR_ERROR_TIMEOUT once it is too late. */
int mr_session_limit(mr_session_t *session, bson_t *opts, mr_error_t *err);

/*
 * What a collection has that fits; opts get maxTimeMS.  The caller destroys
 * the cursor; NULL with MR_ERROR_TIMEOUT where it is too late.
 */
mongoc_cursor_t *mr_session_find(mr_session_t *session, const char *name,
    const bson_t *filter, bson_t *opts, mr_error_t *err);

/* Takes one document; an error of it ends the reading. */
typedef int mr_document_observer_t(
    void *ctx, const bson_t *doc, mr_error_t *err);

/*
 * All that mr_session_find() finds, one after the other.  `what` is being done,
 * for errors: those of the observer, MR_ERROR_TIMEOUT, MR_ERROR_MONGODB.
 */
int mr_session_each(mr_session_t *session, const char *name,
    const bson_t *filter, bson_t *opts, const char *what,
    mr_document_observer_t *observer, void *ctx, mr_error_t *err);

/*
 * Why a cursor has ended: 0, or -1 with MR_ERROR_TIMEOUT, MR_ERROR_MONGODB.
 */
int mr_session_cursor_end(
    mongoc_cursor_t *cursor, const char *what, mr_error_t *err);

/* An int32, int64 or date field as a number; -1 if it is none of them. */
int mr_bson_int64(const bson_iter_t *iter, int64_t *ret_value);
int mr_bson_date(const bson_iter_t *iter, int64_t *ret_time);
int mr_bson_text(const bson_iter_t *iter, mr_str_t *ret_text);

/* A block's _id; -1 if it is none. */
int mr_session_block_id(const bson_iter_t *iter, mr_block_id_t *ret_id);

/* Fill *err: what is stored is not as docs/data-model.md says; returns -1. */
int mr_session_damaged(mr_error_t *err);

/*
 * The next block of a walk (store_walk.c): 1 with *ret_doc set, which is valid
 * until the next call, 0 at the end, or -1.
 */
int mr_walk_next(mr_session_t *session, size_t course, const bson_t **ret_doc,
    mr_error_t *err);

/* Has it cursors that MongoDB has to be told of when it ends? */
int mr_walk_unread(const mr_walk_t *walk);
void mr_walk_end(mr_session_t *session, mr_walk_t *walk);

/*
 * What is known for a plan with a user, read again where it is older than some
 * seconds.  The store's; any thread.
 */
int mr_session_known(
    mr_session_t *session, mr_known_t *ret_known, mr_error_t *err);
void mr_known_free(mr_store_t *store);

/* What a block's header says; -1: it is damaged. */
int mr_header_read(
    mr_session_t *session, const bson_t *doc, mr_header_t *ret_header);

/* mr_source_t's user() and rows() of a session. */
mr_str_t mr_header_user(void *ctx, uint32_t row);
int mr_header_rows(void *ctx, mr_row_observer_t *observer, void *observer_ctx,
    mr_error_t *err);

/*
 * Have a stretch's first blocks, `asked` of them, read (store_stretch.c), or
 * the next `resume` ones of one whose batch is used up.  What fails is told by
 * the next call of mr_stretch_next().  Any thread.
 */
void mr_stretch_begin(
    mr_session_t *session, size_t course, mr_stretch_t *stretch);
void mr_stretch_resume(mr_stretch_t *stretch);

/* Has it a cursor that MongoDB has to be told of when it ends? */
int mr_stretch_unread(const mr_stretch_t *stretch);

/* Did MongoDB not answer it? */
int mr_stretch_unanswered(const mr_stretch_t *stretch);

/* Will its next block be of another batch? */
int mr_stretch_used_up(mr_session_t *session, mr_stretch_t *stretch);

/* Its next block: 1 with *ret_doc set, 0 at the end, or -1. */
int mr_stretch_next(mr_session_t *session, mr_stretch_t *stretch,
    const bson_t **ret_doc, mr_error_t *err);

/*
 * Blocks that the page still needs, `spare` and a quarter of those before more,
 * and as many at most as may come at once.
 */
size_t mr_stretch_expected(const mr_session_t *session, size_t spare);

/*
 * Do a user's blocks take long to come?  Once for each walk.  Of a server that
 * has just been found it is thought that they do, until some have come.
 */
int mr_stretch_slow(mr_store_t *store);
void mr_stretch_unsure(void *ctx); /* an mr_mongo_found_t */

/*
 * Read which blocks the user has, by `blocks`, into the entries of all walks
 * that can be divided (store_entries.c).  What fails is no more than a reason
 * not to divide them.  Any thread.
 */
void mr_entries_read(mr_session_t *session, mongoc_collection_t *blocks);
void mr_entries_free(mr_entries_t *entries);

/*
 * On to the first entry behind a block with this tmax.  Others of its tmax come
 * from the stretch that goes on.
 */
void mr_entries_skip(
    mr_entries_t *entries, const mr_plan_t *plan, int64_t last);

/*
 * The stretches of n entries from the first on, MR_WALK_STRETCHES at most, with
 * about as many each; how many, 0 where they are too few to be divided.  The
 * last has what is behind them as well.
 */
size_t mr_entries_cut(const mr_entries_t *entries, const mr_plan_t *plan,
    size_t first, size_t n, mr_stretch_t *list);

/* A stretch ends before an entry, which is not the first. */
void mr_entries_end(const mr_entries_t *entries, const mr_plan_t *plan,
    size_t end, mr_stretch_t *stretch);

/*
 * Make a stretch's cursor, with `asked` as its batch (store_blocks.c); or one
 * over the keys of a user's index, `asked` at most.
 */
int mr_blocks_find(mr_session_t *session, size_t course, mr_stretch_t *stretch,
    mr_error_t *err);
int mr_blocks_keys(mr_session_t *session, const mr_course_t *course,
    mr_stretch_t *stretch, mr_error_t *err);

/* mr_source_t's fetch() of a session (store_fetch.c). */
int mr_session_fetch(void *ctx, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);

/* Read the rows by one connection (store_rows.c).  Any thread. */
int mr_rows_read(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err);

/*
 * Read the events of a block (store_events.c), or those that MongoDB sent.
 * `types` is filled.
 */
int mr_events_open(mr_events_t *events, const bson_t *doc,
    mr_types_list_t *types, mr_error_t *err);

/* On to the next one: 1, 0 at the end, or -1: the block is damaged. */
int mr_events_next(mr_events_t *events);

/* Whether it is the user's, as far as its place says that. */
int mr_events_is_of(const mr_events_t *events, mr_str_t user);

/*
 * The present one, with views into the block; `user` is whose it is, data
 * NULL: it says that itself.  -1: it is damaged.
 */
int mr_events_row(const mr_events_t *events, const mr_block_id_t *id,
    mr_str_t user, mr_row_t *row);

/* How many refs from the i-th on are of the same block. */
size_t mr_rows_same(const mr_ref_t *refs, size_t n, size_t i);

/* Append a condition: the ledgers of a topic. */
void mr_session_of_topic(bson_t *filter, const char *topic);

/* Append a string, which may be empty but not NULL. */
void mr_bson_append_text(bson_t *bson, const char *key, mr_str_t text);

#endif /* MILLRACE_QUERY_STORE_SESSION_H */
