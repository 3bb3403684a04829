/*
 * Requests that wait until the events of a receipt can be read: until every
 * partition that it names has been stored beyond the offset that it names.
 *
 * However many wait, the ledger is read by one thread, and only while
 * somebody waits.  Another thread hands those whose events are there to the
 * pool and answers the others: at their deadline, or with nothing to anybody
 * when their client has left.  It never asks MongoDB, so a deadline holds
 * though MongoDB does not answer.
 */
#ifndef MILLRACE_QUERY_WATCH_H
#define MILLRACE_QUERY_WATCH_H

#include <millrace/error.h>

#include "job.h"
#include "pool.h"
#include "route.h"


/* ms that a request waits at most. */
#define MR_WATCH_MAX 10000


typedef struct mr_watch_s mr_watch_t;

/* `pool` must outlive the watch.  Fails with MR_ERROR_SYSTEM, _MEMORY. */
int mr_watch_start(const mr_app_t *app, mr_pool_t *pool, mr_watch_t **ret_watch,
    mr_error_t *err);

/*
 * Answer all that still wait with 503 and join the threads.  From here on
 * every push is refused.
 */
void mr_watch_stop(mr_watch_t *watch);

/*
 * Release a watch that was stopped, once nothing can push any more.  NULL is
 * allowed.
 */
void mr_watch_free(mr_watch_t *watch);

/*
 * Take a suspended job that has job->after, with a reference of its own; its
 * deadline is set here, and again when it is handed to the pool.  -1 when as
 * many wait already as may wait for a query thread (query.queue).  Any
 * thread.
 */
int mr_watch_push(mr_watch_t *watch, mr_job_t *job);

#endif /* MILLRACE_QUERY_WATCH_H */
