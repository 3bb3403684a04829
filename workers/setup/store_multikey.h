/*
 * The indexes of blocks that have an array in them are multikey before the
 * first transaction.
 */
#ifndef MILLRACE_SETUP_STORE_MULTIKEY_H
#define MILLRACE_SETUP_STORE_MULTIKEY_H

#include <millrace/error.h>

#include "../common/mongo.h"


/*
 * After the indexes were made, at every run: it looks for what is missing,
 * and takes away what a run before left behind.
 */
int mr_store_multikey(
    mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err);

#endif /* MILLRACE_SETUP_STORE_MULTIKEY_H */
