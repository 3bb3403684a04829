/*
 * Threads that help query threads with work that can be done in parts at the
 * same time, such as reading from MongoDB on several connections.
 *
 * Nobody ever waits for a helper to become free: whoever has the work does it
 * himself, part by part, and helpers that have nothing to do take parts from
 * him.  So a lone query is answered sooner, and many at once no later.
 */
#ifndef MILLRACE_QUERY_CREW_H
#define MILLRACE_QUERY_CREW_H

#include <stddef.h>

#include <millrace/error.h>


typedef struct mr_crew_s mr_crew_t;

/* Do one part.  Called in any thread, each part once, several at a time. */
typedef void(mr_crew_task_t)(void *ctx, size_t part);


/* With `n` helpers.  MR_ERROR_SYSTEM, MR_ERROR_MEMORY.  Main thread. */
int mr_crew_start(size_t n, mr_crew_t **ret_crew, mr_error_t *err);

/* Nothing may be under way any more.  NULL is allowed. */
void mr_crew_stop(mr_crew_t *crew);

/* Have parts 0..n-1 done, and return when all of them are.  Any thread. */
void mr_crew_run(mr_crew_t *crew, mr_crew_task_t *task, void *ctx, size_t n);

#endif /* MILLRACE_QUERY_CREW_H */
