#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/metrics.h"
#include "flow.h"
#include "job.h"
#include "pool.h"
#include "relay.h"


/*
 * The flow's owner holds one reference, the job in the making another.  A
 * job's lock is taken before the relay's, never after.
 */
typedef struct {
    mr_flow_t flow;
    atomic_uint refs;
    mr_pool_t *pool;
    int64_t timeout;  /* ms that the making of a piece may take */
    int64_t patience; /* and the taking */

    mr_piece_t *next;
    void *ctx; /* used by the job in the making alone */
    void (*release)(void *ctx);

    pthread_mutex_t mutex; /* guards all below */
    mr_buf_t body;         /* being sent, from */
    size_t pos;
    int64_t due;    /* monotonic: until when the client has to take it */
    mr_buf_t ahead; /* what comes then, if */
    int ready;
    int more;      /* whether there is anything to make after that */
    mr_job_t *job; /* which makes it now; or NULL */
    int suspended;
    int failed;
} mr_relay_t;


static ssize_t mr_relay_read(mr_flow_t *flow, char *buf, size_t size);
static mr_job_t *mr_relay_make(mr_relay_t *relay);
static void mr_relay_push(mr_relay_t *relay, mr_job_t *job);
static void mr_relay_piece(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply);
static void mr_relay_made(void *ctx);
static void mr_relay_close(mr_flow_t *flow);
static void mr_relay_unref(void *ctx);


static const mr_flow_type_t mr_relay_type = {
    .read = mr_relay_read,
    .close = mr_relay_close,
};


void
mr_relay_start(const mr_request_t *request, int64_t patience, mr_piece_t *next,
    void *ctx, void (*release)(void *ctx), mr_reply_t *reply)
{
    mr_relay_t *relay;

    relay = calloc(1, sizeof(mr_relay_t));

    if (relay == NULL) {
        release(ctx);
        mr_reply_problem(reply, 503, NULL, "out of memory; try again");
        return;
    }

    pthread_mutex_init(&relay->mutex, NULL);
    atomic_init(&relay->refs, 1);

    relay->flow.type = &mr_relay_type;
    relay->pool = request->pool;
    relay->timeout = request->timeout;
    relay->patience = patience;
    relay->due = mr_time_monotonic() + patience;
    relay->next = next;
    relay->ctx = ctx;
    relay->release = release;
    relay->more = 1;
    relay->body = reply->body;
    memset(&reply->body, 0, sizeof(mr_buf_t));

    reply->flow = &relay->flow;
}


static ssize_t
mr_relay_read(mr_flow_t *flow, char *buf, size_t size)
{
    size_t n;
    ssize_t rc;
    mr_job_t *job;
    mr_relay_t *relay;

    relay = (mr_relay_t *) flow;

    pthread_mutex_lock(&relay->mutex);

    job = mr_relay_make(relay);

    if (relay->pos == relay->body.len && relay->ready) {
        mr_buf_free(&relay->body);
        relay->body = relay->ahead;
        relay->pos = 0;
        relay->due = mr_time_monotonic() + relay->patience;
        relay->ready = 0;
        memset(&relay->ahead, 0, sizeof(mr_buf_t));
        job = mr_relay_make(relay);
    }

    n = relay->body.len - relay->pos;

    if (n > 0 && mr_time_monotonic() > relay->due) {
        relay->failed = 1;
        rc = MR_FLOW_CUT;

        mr_metric_add(
            mr_metric(MR_METRIC_COUNTER, "millrace_query_too_slow_total", "",
                "Exports cut off: the client took longer than it may."),
            1);

    } else if (n > 0) {
        n = n < size ? n : size;
        memcpy(buf, relay->body.data + relay->pos, n);
        relay->pos += n;
        rc = (ssize_t) n;

    } else if (relay->failed) {
        rc = MR_FLOW_CUT;

    } else if (relay->job != NULL) {
        relay->suspended = 1;
        mr_flow_suspend(flow);
        rc = MR_FLOW_WAIT;

    } else {
        rc = MR_FLOW_END;
    }

    pthread_mutex_unlock(&relay->mutex);

    if (job != NULL) {
        mr_relay_push(relay, job);
    }

    return rc;
}


/*
 * A job for the next piece, to be pushed without the lock; NULL if there is
 * one, or none is to come.
 */
static mr_job_t *
mr_relay_make(mr_relay_t *relay)
{
    mr_job_t *job;
    static const mr_route_t route = {
        "/events", NULL, 1, mr_relay_piece, NULL, 0};

    if (!relay->more || relay->ready || relay->job != NULL || relay->failed) {
        return NULL;
    }

    job = mr_job_create("");

    if (job == NULL) {
        relay->failed = 1;
        return NULL;
    }

    job->route = &route;
    job->request.pool = relay->pool;
    job->request.timeout = relay->timeout;
    job->request.deadline = job->started + relay->timeout;
    job->request.owner = relay;
    job->fd = relay->flow.fd;
    job->connection = relay;
    job->resume = mr_relay_made;
    job->release = mr_relay_unref;

    atomic_fetch_add(&relay->refs, 1);
    relay->job = job;
    mr_job_suspend(job);

    return job;
}


/* The watchdog answers jobs with the pool locked, so the order is this. */
static void
mr_relay_push(mr_relay_t *relay, mr_job_t *job)
{
    mr_reply_t reply;

    if (mr_pool_push(relay->pool, job, 1) == -1) {
        memset(&reply, 0, sizeof(reply));
        mr_job_ref(job);
        (void) mr_job_answer(job, &reply);
        mr_job_unref(job);
    }
}


/* The handler of such a job. */
static void
mr_relay_piece(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    int more;
    mr_relay_t *relay;

    relay = request->owner;
    more = relay->next(relay->ctx, app, request, reply);

    pthread_mutex_lock(&relay->mutex);
    relay->more = more;
    pthread_mutex_unlock(&relay->mutex);
}


/*
 * The job has its answer: a piece, or a problem of its own or from the
 * watchdog.  The job is locked.
 */
static void
mr_relay_made(void *ctx)
{
    mr_job_t *job;
    mr_relay_t *relay;

    relay = ctx;

    pthread_mutex_lock(&relay->mutex);

    job = relay->job;
    relay->job = NULL;

    if (job->reply.status == 200) {
        relay->ahead = job->reply.body;
        memset(&job->reply.body, 0, sizeof(mr_buf_t));

        /* Nothing is made after an empty piece until it is asked for. */
        relay->ready = 1;

    } else {
        relay->failed = 1;
    }

    if (relay->suspended) {
        relay->suspended = 0;
        mr_flow_resume(&relay->flow);
    }

    pthread_mutex_unlock(&relay->mutex);

    /* Whoever answers a job has a reference of its own. */
    mr_job_unref(job);
}


static void
mr_relay_close(mr_flow_t *flow)
{
    mr_job_t *job;
    mr_reply_t reply;
    mr_relay_t *relay;

    relay = (mr_relay_t *) flow;

    pthread_mutex_lock(&relay->mutex);

    relay->suspended = 0;
    job = relay->job;

    if (job != NULL) {
        mr_job_ref(job);
    }

    pthread_mutex_unlock(&relay->mutex);

    /* An answer that nobody gets: the query thread sees it and stops. */
    if (job != NULL) {
        memset(&reply, 0, sizeof(reply));
        (void) mr_job_answer(job, &reply);
        mr_job_unref(job);
    }

    mr_relay_unref(relay);
}


static void
mr_relay_unref(void *ctx)
{
    mr_relay_t *relay;

    relay = ctx;

    if (atomic_fetch_sub(&relay->refs, 1) > 1) {
        return;
    }

    mr_buf_free(&relay->body);
    mr_buf_free(&relay->ahead);
    relay->release(relay->ctx);
    pthread_mutex_destroy(&relay->mutex);
    free(relay);
}
