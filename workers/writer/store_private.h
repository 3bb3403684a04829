/* What the writer's store files share. */
#ifndef MR_WRITER_STORE_PRIVATE_H
#define MR_WRITER_STORE_PRIVATE_H

#include "../common/metrics.h"
#include "../common/mongo.h"
#include "registry.h"
#include "sketches.h"
#include "store.h"


#define MR_STORE_ID 280


struct mr_store_s {
    mr_mongo_t *mongo;
    const mr_options_t *options;
    mongoc_client_t *client;
    mongoc_collection_t *ledger;
    mongoc_collection_t *blocks;
    mongoc_collection_t *partials;
    mongoc_collection_t *accounts;
    mongoc_collection_t *types;
    mongoc_collection_t *state;

    mr_registry_t registry;
    size_t registered; /* of it, known by a transaction that was committed */

    mr_buf_t bits;     /* of the flush's types */
    mr_buf_t chunk;    /* blocks on their way */
    bson_t *documents; /* views of them */
    size_t documents_cap;

    mr_sketches_t *sketches;
    mr_buf_t sketch; /* one on its way */
    mr_metric_t *damaged;
};


/* The ledger's _id, "topic/partition", into `id` of MR_STORE_ID bytes. */
void mr_store_id(const mr_store_t *store, int32_t partition, char *id);

/* { _id, epoch, next }: the fence.  The caller destroys it. */
bson_t *mr_store_fence(
    const mr_store_t *store, int32_t partition, int64_t epoch, int64_t next);

/*
 * Add the flush's account, in the transaction of `opts`: a late flush adds to
 * the account that its minute has.
 */
int mr_store_accounts(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, mr_error_t *err);

/* The registry as it is now; MR_ERROR_CONFIG: the database has none. */
int mr_store_types_check(mr_store_t *store, mr_error_t *err);

/*
 * What mr_store_prepare() left open, in the transaction of `opts`, after the
 * ledger was moved: types get their places, the partials are rolled up anew,
 * and the ledger is told what is counted under MR_EVENT_TYPE_OTHER.  When the
 * transaction has ended, mr_store_types_end() must hear how.
 */
int mr_store_types(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err);
void mr_store_types_end(mr_store_t *store, int committed);

/* Part of the flush's transaction, after the ledger: see store_flush.c. */
int mr_store_partials(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, mr_error_t *err);

#endif /* MR_WRITER_STORE_PRIVATE_H */
