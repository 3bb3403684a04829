/* What the audit's store files share. */
#ifndef MR_AUDIT_STORE_PRIVATE_H
#define MR_AUDIT_STORE_PRIVATE_H

#include "../common/mongo.h"
#include "store.h"


struct mr_store_s {
    const mr_options_t *options;
    mr_mongo_t *mongo;
    mongoc_client_t *client;
    mongoc_client_session_t *session;
};


/* Called for each document; returns 0, or -1 on out of memory. */
typedef int (*mr_store_each_t)(void *ctx, const bson_t *document);

/*
 * find() within the snapshot.  `opts` (sort, limit, projection) may be NULL;
 * both are destroyed.
 */
int mr_store_find(mr_store_t *store, const char *collection, bson_t *filter,
    bson_t *opts, mr_store_each_t each, void *ctx, mr_error_t *err);

/* The same for an aggregation; `pipeline` is destroyed. */
int mr_store_aggregate(mr_store_t *store, const char *collection,
    bson_t *pipeline, mr_store_each_t each, void *ctx, mr_error_t *err);

/* A number of the document by its dotted path; 0 when there is none. */
int64_t mr_store_int64(const bson_t *document, const char *path);

#endif /* MR_AUDIT_STORE_PRIVATE_H */
