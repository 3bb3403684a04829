/*
 * What the database says of itself in `state` (docs/data-model.md).
 */
#ifndef MILLRACE_MONGO_STATE_H
#define MILLRACE_MONGO_STATE_H

#include "mongo.h"


/*
 * For who would take a database in which there is nothing for one in which
 * nothing is wrong: fails with MR_ERROR_CONFIG unless millrace-setup has set
 * it up, and for `topic` (databases of earlier versions do not say for
 * which), and with MR_ERROR_MONGODB if that cannot be learnt.
 */
int mr_mongo_state_check(mr_mongo_t *mongo, mongoc_client_t *client,
    const char *topic, mr_error_t *err);

#endif /* MILLRACE_MONGO_STATE_H */
