/*
 * Health: a thread asks MongoDB every second, so that an answer costs
 * nothing and never waits, whatever the query threads do.
 */
#ifndef MILLRACE_QUERY_HEALTH_H
#define MILLRACE_QUERY_HEALTH_H

#include <millrace/error.h>

#include "reply.h"
#include "store.h"


typedef struct mr_health_s mr_health_t;

/* Fails with MR_ERROR_MEMORY or MR_ERROR_SYSTEM. */
int mr_health_start(
    mr_store_t *store, mr_health_t **ret_health, mr_error_t *err);
void mr_health_stop(mr_health_t *health);

/*
 * Non-zero if MongoDB answered the last time it was asked, and that was not
 * long ago; else *err says why not.  Any thread.
 */
int mr_health_ready(mr_health_t *health, mr_error_t *err);

#endif /* MILLRACE_QUERY_HEALTH_H */
