#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <millrace/time.h>

#include "../common/metrics.h"
#include "job.h"


mr_job_t *
mr_job_create(const char *uri)
{
    char *mark;
    size_t len;
    mr_job_t *job;

    job = calloc(1, sizeof(mr_job_t));

    if (job == NULL) {
        return NULL;
    }

    job->uri = strdup(uri);

    if (job->uri == NULL) {
        free(job);
        return NULL;
    }

    pthread_mutex_init(&job->mutex, NULL);
    atomic_init(&job->refs, 1);
    job->fd = -1;
    job->started = mr_time_monotonic();

    len = strlen(job->uri);
    mark = memchr(job->uri, '?', len);

    job->request.path.data = job->uri;
    job->request.path.len = mark != NULL ? (size_t) (mark - job->uri) : len;
    job->request.query.data = mark != NULL ? mark + 1 : job->uri + len;
    job->request.query.len =
        (size_t) (job->uri + len - job->request.query.data);
    job->request.stopped = mr_job_stopped;
    job->request.ctx = job;

    return job;
}


void
mr_job_ref(mr_job_t *job)
{
    atomic_fetch_add(&job->refs, 1);
}


void
mr_job_unref(mr_job_t *job)
{
    if (atomic_fetch_sub(&job->refs, 1) > 1) {
        return;
    }

    if (job->release != NULL) {
        job->release(job->connection);
    }

    pthread_mutex_destroy(&job->mutex);
    mr_reply_free(&job->reply);
    free(job->uri);
    free(job->ingest);
    free(job->if_none_match);
    free(job->last_event_id);
    free(job->method);
    free(job->after);
    free(job->accept);
    free(job);
}


void
mr_job_suspend(mr_job_t *job)
{
    job->state = MR_JOB_WAITING;
}


int
mr_job_answer(mr_job_t *job, mr_reply_t *reply)
{
    int first;

    pthread_mutex_lock(&job->mutex);

    first = job->state == MR_JOB_WAITING;

    if (first) {
        job->state = MR_JOB_DONE;
        job->reply = *reply;
        memset(reply, 0, sizeof(mr_reply_t));

        job->resume(job->connection);

        /* From here on the socket may be closed and its number reused. */
        job->fd = -1;
    }

    pthread_mutex_unlock(&job->mutex);

    if (!first) {
        mr_reply_free(reply);
    }

    return first;
}


int
mr_job_stopped(void *ctx, mr_error_t *err)
{
    int rc;
    char byte;
    ssize_t n;
    mr_job_t *job;

    job = ctx;
    rc = 0;

    pthread_mutex_lock(&job->mutex);

    if (job->state == MR_JOB_DONE
        || mr_time_monotonic() >= job->request.deadline) {
        (void) mr_error_set(
            err, MR_ERROR_TIMEOUT, NULL, "the query took longer than it may");
        rc = 1;

    } else if (job->fd != -1) {
        n = recv(job->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
            (void) mr_error_set(
                err, MR_ERROR_TIMEOUT, NULL, "the client has left");
            rc = 1;

            mr_metric_add(
                mr_metric(MR_METRIC_COUNTER, "millrace_query_cancelled_total",
                    "", "Queries given up: the client had left."),
                1);
        }
    }

    pthread_mutex_unlock(&job->mutex);

    return rc;
}
