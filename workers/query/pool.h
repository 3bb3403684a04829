/*
 * The query threads, their bounded queue and the watchdog.
 *
 * MongoDB's client blocks, so requests that need it run here and not in the
 * threads of the HTTP server.  A request that finds the queue full is
 * refused at once; one that is not answered at its deadline is answered by
 * the watchdog, even though its thread may still be stuck in MongoDB.
 */
#ifndef MILLRACE_QUERY_POOL_H
#define MILLRACE_QUERY_POOL_H

#include <millrace/error.h>

#include "job.h"
#include "route.h"


typedef struct mr_pool_s mr_pool_t;

/* query.threads and query.queue of the options.  MR_ERROR_SYSTEM, _MEMORY. */
int mr_pool_start(const mr_app_t *app, mr_pool_t **ret_pool, mr_error_t *err);

/*
 * Answer all that still wait with 503 and join the threads.  From here on
 * every push is refused, as if the queue were full.
 */
void mr_pool_stop(mr_pool_t *pool);

/*
 * Release a pool that was stopped, once nothing can push any more.  NULL is
 * allowed.
 */
void mr_pool_free(mr_pool_t *pool);

/*
 * Take a suspended job, with a reference of its own; -1 when the queue is
 * full, unless it goes on with an answer that has begun.  Any thread; an
 * answer may be given, and the job's resume() called, with the pool locked.
 */
int mr_pool_push(mr_pool_t *pool, mr_job_t *job, int begun);

/*
 * Have a query thread give back to the system what memory is free, which may
 * take long: not for a thread of the HTTP server, nor with a lock held.  Any
 * thread.
 */
void mr_pool_trim(mr_pool_t *pool);

#endif /* MILLRACE_QUERY_POOL_H */
