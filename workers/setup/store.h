/*
 * The MongoDB side of millrace-setup: replica set, collections, indexes and
 * the values that are fixed at the first set-up (docs/data-model.md).
 *
 * Errors: MR_ERROR_MONGODB, MR_ERROR_TIMEOUT, MR_ERROR_CONFIG for a database
 * that does not fit the configuration or this version.
 */
#ifndef MILLRACE_SETUP_STORE_H
#define MILLRACE_SETUP_STORE_H

#include "../common/mongo.h"
#include "setup.h"


/*
 * Make the mongod of the URI a replica set of one member, named as the URI
 * says, unless it is a member of one already.  The URI must name one host
 * and a replicaSet (store_initiate.c).
 */
int mr_store_initiate(const mr_setup_t *setup, mr_error_t *err);

/* Once, and after mr_store_initiate(); end it with mr_mongo_close(). */
int mr_store_open(
    const mr_setup_t *setup, mr_mongo_t **ret_mongo, mr_error_t *err);

/* Wait for a primary, then bring the database into shape. */
int mr_store_setup(const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err);

/*
 * Have events removed as [writer] retention says: after all else has been
 * found to fit, since what is removed does not come back.
 */
int mr_store_retention(
    const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err);

#endif /* MILLRACE_SETUP_STORE_H */
