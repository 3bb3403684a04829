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
};


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

#endif /* MILLRACE_STATS_STORE_PRIVATE_H */
