/*
 * A request on its way: made when its first line has come in, handed to a
 * query thread while its connection is suspended, and answered once, by
 * whoever is first: the query thread, or the watchdog at the deadline.
 *
 * Reference-counted.  The connection holds one reference and a query thread
 * another, so a job outlives an answer that the watchdog gave early.
 */
#ifndef MILLRACE_QUERY_JOB_H
#define MILLRACE_QUERY_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/receipt.h>

#include "reply.h"
#include "route.h"


typedef enum {
    MR_JOB_NEW,     /* being read, or answered where it was read */
    MR_JOB_WAITING, /* suspended: in the queue, or with a query thread */
    MR_JOB_DONE     /* has its reply */
} mr_job_state_t;


typedef struct mr_job_s mr_job_t;

/* Calls for the connection to go on; called once, with the job locked. */
typedef void(mr_job_resume_t)(void *connection);

struct mr_job_s {
    atomic_uint refs;
    pthread_mutex_t mutex; /* guards state, reply and fd */
    mr_job_state_t state;
    mr_reply_t reply;

    char *uri;            /* as it came in */
    mr_request_t request; /* views into uri and the connection */
    char *ingest;         /* copies of header values */
    char *if_none_match;
    char *last_event_id;
    char *accept;
    char *method;
    const mr_route_t *route;
    int64_t started; /* monotonic, ms */
    int seen;        /* the server has called for it once */

    int fd; /* the client's socket */
    void *connection;
    mr_job_resume_t *resume;
    void (*release)(void *connection); /* at the job's end; or NULL */

    mr_receipt_t *after; /* what it waits for before it is queued; or NULL */
    uint64_t number;     /* in the order of coming (watch.c) */
    int readable;        /* it need not wait any longer (watch.c) */

    mr_job_t *queued; /* next in the queue (pool.c), or list (watch.c) */
    mr_job_t *older;  /* list of the watchdog (pool.c) */
    mr_job_t *newer;
};


/* With one reference; NULL on out of memory.  `uri` is copied. */
mr_job_t *mr_job_create(const char *uri);
void mr_job_ref(mr_job_t *job);
void mr_job_unref(mr_job_t *job);

/*
 * From now on the job waits for an answer.  Before anybody else knows it, so
 * without its lock: the caller may hold one that comes after that.
 */
void mr_job_suspend(mr_job_t *job);

/*
 * Answer a waiting job and let its connection go on; if it has an answer
 * already, `reply` is dropped.  Takes what `reply` holds in either case.
 * Returns non-zero if this was the answer.
 */
int mr_job_answer(mr_job_t *job, mr_reply_t *reply);

/*
 * mr_request_t's stopped(), with the job as its context: the deadline has
 * passed, the client has closed its side of the connection, or there is an
 * answer already.
 */
int mr_job_stopped(void *ctx, mr_error_t *err);

#endif /* MILLRACE_QUERY_JOB_H */
