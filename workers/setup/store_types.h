/* The registry of event types that have windows of their own. */
#ifndef MILLRACE_SETUP_STORE_TYPES_H
#define MILLRACE_SETUP_STORE_TYPES_H

#include "../common/mongo.h"
#include "setup.h"


/*
 * Where there is no registry, make one of the types that have windows or
 * partials already: all of them, be they more than [stats] max_types.  Where
 * there is one, raise its number of places to max_types; it is never lowered.
 *
 * To be called before events are removed by age: the registry notes that
 * they may be, for then a type that no block holds may have been counted all
 * the same.  Fails with MR_ERROR_MONGODB or MR_ERROR_MEMORY.
 */
int mr_store_types(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err);

#endif /* MILLRACE_SETUP_STORE_TYPES_H */
