#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "../common/metrics.h"
#include "pool.h"


/*
 * A query ends itself at its deadline, with a better message: the watchdog
 * is for those that cannot.
 */
#define MR_POOL_GRACE 250


struct mr_pool_s {
    const mr_app_t *app;
    pthread_mutex_t mutex; /* guards all below but the threads */
    pthread_cond_t work;
    pthread_cond_t watch;
    int stopping;

    mr_job_t *head; /* queue, oldest first */
    mr_job_t *tail;
    int64_t waiting;
    int64_t idle; /* threads without a job */
    int trim;     /* free memory is to be given back */

    mr_job_t *oldest; /* every job that is in here */
    mr_job_t *newest;
    int unwatched; /* the watchdog sleeps until a job comes */

    pthread_t *threads;
    int64_t n_threads;
    pthread_t watchdog;
    int watched;
    mr_metric_t *depth;
};


static void *mr_pool_run(void *ctx);
static void mr_pool_job(mr_pool_t *pool, mr_job_t *job);
static void *mr_pool_watch(void *ctx);
static int mr_pool_expire(mr_pool_t *pool, mr_job_t *job);
static void mr_pool_forget(mr_pool_t *pool, mr_job_t *job);


int
mr_pool_start(const mr_app_t *app, mr_pool_t **ret_pool, mr_error_t *err)
{
    int64_t n;
    mr_pool_t *pool;
    pthread_condattr_t attr;

    n = app->options->query.threads;
    pool = calloc(1, sizeof(mr_pool_t));

    if (pool == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    pool->app = app;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->watch, &attr);
    pthread_condattr_destroy(&attr);

    pool->depth = mr_metric(MR_METRIC_GAUGE, "millrace_query_waiting", "",
        "Requests that wait for a query thread.");
    pool->threads = calloc((size_t) n, sizeof(pthread_t));

    if (pool->threads == NULL) {
        mr_pool_free(pool);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (pthread_create(&pool->watchdog, NULL, mr_pool_watch, pool) != 0) {
        mr_pool_free(pool);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "cannot start the watchdog");
    }

    pool->watched = 1;

    while (pool->n_threads < n) {

        if (pthread_create(
                &pool->threads[pool->n_threads], NULL, mr_pool_run, pool)
            != 0)
        {
            mr_pool_stop(pool);
            mr_pool_free(pool);
            return mr_error_set(
                err, MR_ERROR_SYSTEM, NULL, "cannot start a query thread");
        }

        pool->n_threads++;
    }

    *ret_pool = pool;

    return 0;
}


void
mr_pool_stop(mr_pool_t *pool)
{
    int64_t i;

    if (pool == NULL) {
        return;
    }

    pthread_mutex_lock(&pool->mutex);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->watch);
    pthread_mutex_unlock(&pool->mutex);

    if (pool->watched) {
        pthread_join(pool->watchdog, NULL);
    }

    for (i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i], NULL);
    }
}


int
mr_pool_push(mr_pool_t *pool, mr_job_t *job, int begun)
{
    int full;

    pthread_mutex_lock(&pool->mutex);

    full =
        pool->stopping
        || (!begun
            && pool->waiting - pool->idle >= pool->app->options->query.queue);

    if (!full) {
        mr_job_ref(job);

        job->queued = NULL;

        if (pool->tail != NULL) {
            pool->tail->queued = job;

        } else {
            pool->head = job;
        }

        pool->tail = job;
        pool->waiting++;
        mr_metric_set(pool->depth, (double) pool->waiting);

        job->older = pool->newest;
        job->newer = NULL;

        if (pool->newest != NULL) {
            pool->newest->newer = job;

        } else {
            pool->oldest = job;
        }

        /* Those that it knows of already have their answers. */
        if (pool->unwatched) {
            pthread_cond_signal(&pool->watch);
        }

        pool->newest = job;

        pthread_cond_signal(&pool->work);
    }

    pthread_mutex_unlock(&pool->mutex);

    return full ? -1 : 0;
}


void
mr_pool_trim(mr_pool_t *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->trim = 1;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}


static void *
mr_pool_run(void *ctx)
{
    mr_job_t *job;
    mr_pool_t *pool;

    pool = ctx;

    pthread_mutex_lock(&pool->mutex);

    for (;;) {

        pool->idle++;

        while (pool->head == NULL && !pool->trim && !pool->stopping) {
            pthread_cond_wait(&pool->work, &pool->mutex);
        }

        pool->idle--;

        if (pool->trim) {
            pool->trim = 0;
            pthread_mutex_unlock(&pool->mutex);
            (void) malloc_trim(0);
            pthread_mutex_lock(&pool->mutex);
            continue;
        }

        job = pool->head;

        if (job == NULL) {
            break;
        }

        pool->head = job->queued;

        if (pool->head == NULL) {
            pool->tail = NULL;
        }

        pool->waiting--;
        mr_metric_set(pool->depth, (double) pool->waiting);
        pthread_mutex_unlock(&pool->mutex);

        mr_pool_job(pool, job);

        pthread_mutex_lock(&pool->mutex);
        mr_pool_forget(pool, job);
        pthread_mutex_unlock(&pool->mutex);

        /* Its end may be that of a long answer. */
        mr_job_unref(job);

        pthread_mutex_lock(&pool->mutex);
    }

    pthread_mutex_unlock(&pool->mutex);

    return NULL;
}


static void
mr_pool_job(mr_pool_t *pool, mr_job_t *job)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_reply_t reply;

    memset(&reply, 0, sizeof(reply));

    if (mr_job_stopped(job, &err)) {
        mr_reply_error(&reply, &err);

    } else {
        job->route->handler(pool->app, &job->request, &reply);
    }

    (void) mr_job_answer(job, &reply);
    mr_store_tidy(pool->app->store);
}


/* All jobs have the same time, so the oldest is the first to run out. */
static void *
mr_pool_watch(void *ctx)
{
    int64_t due;
    mr_job_t *job;
    mr_pool_t *pool;
    struct timespec until;

    pool = ctx;

    pthread_mutex_lock(&pool->mutex);

    while (!pool->stopping) {

        for (job = pool->oldest; job != NULL; job = job->newer) {
            if (!mr_pool_expire(pool, job)) {
                break;
            }
        }

        if (job == NULL) {
            pool->unwatched = 1;
            pthread_cond_wait(&pool->watch, &pool->mutex);
            pool->unwatched = 0;
            continue;
        }

        due = job->request.deadline + MR_POOL_GRACE;
        until.tv_sec = due / 1000;
        until.tv_nsec = due % 1000 * 1000000;

        (void) pthread_cond_timedwait(&pool->watch, &pool->mutex, &until);
    }

    for (job = pool->oldest; job != NULL; job = job->newer) {
        (void) mr_pool_expire(pool, job);
    }

    pthread_mutex_unlock(&pool->mutex);

    return NULL;
}


/* Non-zero if the job has its answer; nothing is left to watch for. */
static int
mr_pool_expire(mr_pool_t *pool, mr_job_t *job)
{
    mr_reply_t reply;

    memset(&reply, 0, sizeof(reply));

    if (pool->stopping) {
        mr_reply_problem(
            &reply, 503, NULL, "the query daemon is being stopped; try again");

    } else if (mr_time_monotonic() >= job->request.deadline + MR_POOL_GRACE) {
        mr_reply_problem(&reply, 503, NULL,
            "the answer was not ready in time: MongoDB is away, or the "
            "query daemon has too much to do; try again");

    } else {
        return 0;
    }

    if (mr_job_answer(job, &reply)) {
        mr_metric_add(
            mr_metric(MR_METRIC_COUNTER, "millrace_query_expired_total", "",
                "Requests answered by the watchdog."),
            1);
    }

    return 1;
}


static void
mr_pool_forget(mr_pool_t *pool, mr_job_t *job)
{
    if (job->older != NULL) {
        job->older->newer = job->newer;

    } else {
        pool->oldest = job->newer;
    }

    if (job->newer != NULL) {
        job->newer->older = job->older;

    } else {
        pool->newest = job->older;
    }
}


void
mr_pool_free(mr_pool_t *pool)
{
    if (pool == NULL) {
        return;
    }

    pthread_cond_destroy(&pool->watch);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool);
}
