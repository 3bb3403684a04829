/* What the store's files share; nobody else includes this. */
#ifndef MILLRACE_STATS_STORE_PRIVATE_H
#define MILLRACE_STATS_STORE_PRIVATE_H

#include "../common/mongo.h"

#include "store.h"


struct mr_store_s {
    const mr_options_t *options;
    mr_mongo_t *mongo;
    mongoc_client_t *client;
    mongoc_client_session_t *session;
    mongoc_collection_t *ledger;
    mongoc_collection_t *partials;
    mongoc_collection_t *windows;
    mongoc_collection_t *state;
    bool alone; /* there may be seconds that are documents of their own */
};

/* The seconds inside a minute's document: a view of it. */
typedef struct {
    bson_iter_t iter;
    bool any;
    mr_window_key_t key; /* the minute's */
    int32_t partition;
    int64_t flush;
    int64_t forget; /* when the last is kept no longer; 0: never */
} mr_seconds_t;


/* Start `opts` with the session; the caller destroys it. */
int mr_store_opts(mr_store_t *store, bson_t *opts, mr_error_t *err);

int mr_store_memory(mr_error_t *err);


/* Append a window's or a partial's _id; `partition` -1 leaves it out. */
void mr_bson_append_id(bson_t *doc, const char *name,
    const mr_window_key_t *key, int32_t partition);

void mr_bson_append_measures(bson_t *doc, const mr_scalars_t *scalars);

/* Append `sketches`, if there are some. */
void mr_bson_append_sketches(bson_t *doc, const mr_scalars_t *scalars);

/*
 * Read a document of partials or windows.  Text is copied into the arena.
 * Return 0, 1 for a document that is none of ours (to be passed over), or -1
 * on out of memory.
 */
int mr_bson_partial(const bson_t *doc, mr_arena_t *arena,
    mr_window_key_t *ret_key, mr_partial_t **ret_partial);
int mr_bson_window(
    const bson_t *doc, mr_arena_t *arena, mr_merged_t **ret_window);

/* A document's _id; text is a view of it where `arena` is NULL. */
int mr_bson_key(const bson_iter_t *id, mr_arena_t *arena,
    mr_window_key_t *ret_key, int32_t *ret_partition);

int mr_bson_measures(
    const bson_iter_t *field, mr_arena_t *arena, mr_scalars_t *ret_scalars);


/*
 * Begin with what is inside a partial; 1 for a document that is none of ours.
 */
int mr_seconds_begin(const bson_t *doc, mr_seconds_t *ret_seconds);

/* Go to the next that was changed after `flush`; false after the last. */
bool mr_seconds_next(
    mr_seconds_t *seconds, int64_t flush, mr_window_key_t *ret_key);

/* Read it: as mr_bson_partial(). */
int mr_seconds_read(const mr_seconds_t *seconds, const mr_window_key_t *key,
    mr_arena_t *arena, mr_partial_t **ret_partial);

#endif /* MILLRACE_STATS_STORE_PRIVATE_H */
