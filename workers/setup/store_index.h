/* The indexes of docs/data-model.md.  Private to store*.c. */
#ifndef MILLRACE_SETUP_STORE_INDEX_H
#define MILLRACE_SETUP_STORE_INDEX_H

#include "../common/mongo.h"


/*
 * How WiredTiger stores all collections and indexes: compressed to half of what
 * snappy, its default, makes of them, and in units of 512 bytes instead of 4
 * KiB, of which half a one is lost with each page (docs/decisions/0018).
 */
#define MR_STORE_ENGINE "block_compressor=zstd,allocation_size=512B"

/* Version 0.1.0's, of the blocks and all indexes. */
#define MR_STORE_ENGINE_OLD "block_compressor=zstd"


/* Create what is missing. */
int mr_store_indexes(
    mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err);

/*
 * Bring the TTL index of the blocks to `retention` (ms; 0: events are kept
 * for ever, so there is none).
 */
int mr_store_ttl(mr_mongo_t *mongo, mongoc_client_t *client, int64_t retention,
    mr_error_t *err);

#endif /* MILLRACE_SETUP_STORE_INDEX_H */
