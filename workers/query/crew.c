#include <pthread.h>
#include <stdlib.h>

#include "crew.h"


/* On the stack of whoever has it done. */
typedef struct mr_crew_work_s mr_crew_work_t;

struct mr_crew_work_s {
    mr_crew_task_t *task;
    void *ctx;
    size_t n;
    size_t next;    /* part that nobody has begun yet */
    size_t helpers; /* which are at one of its parts */
    pthread_cond_t done;
    mr_crew_work_t *later;
};


struct mr_crew_s {
    pthread_mutex_t mutex; /* guards all below but the threads, and works */
    pthread_cond_t work;
    mr_crew_work_t *head; /* what has parts left, oldest first */
    int stopping;
    pthread_t *threads;
    size_t n_threads;
};


static void *mr_crew_help(void *ctx);
static void mr_crew_add(mr_crew_t *crew, mr_crew_work_t *work);
static size_t mr_crew_take(mr_crew_t *crew, mr_crew_work_t *work);


int
mr_crew_start(size_t n, mr_crew_t **ret_crew, mr_error_t *err)
{
    mr_crew_t *crew;

    crew = calloc(1, sizeof(mr_crew_t));

    if (crew == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->work, NULL);
    crew->threads = calloc(n, sizeof(pthread_t));

    if (crew->threads == NULL) {
        mr_crew_stop(crew);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    while (crew->n_threads < n) {

        if (pthread_create(
                &crew->threads[crew->n_threads], NULL, mr_crew_help, crew)
            != 0)
        {
            mr_crew_stop(crew);
            return mr_error_set(
                err, MR_ERROR_SYSTEM, NULL, "cannot start a helper");
        }

        crew->n_threads++;
    }

    *ret_crew = crew;

    return 0;
}


void
mr_crew_stop(mr_crew_t *crew)
{
    size_t i;

    if (crew == NULL) {
        return;
    }

    pthread_mutex_lock(&crew->mutex);
    crew->stopping = 1;
    pthread_cond_broadcast(&crew->work);
    pthread_mutex_unlock(&crew->mutex);

    for (i = 0; i < crew->n_threads; i++) {
        pthread_join(crew->threads[i], NULL);
    }

    pthread_cond_destroy(&crew->work);
    pthread_mutex_destroy(&crew->mutex);
    free(crew->threads);
    free(crew);
}


void
mr_crew_run(mr_crew_t *crew, mr_crew_task_t *task, void *ctx, size_t n)
{
    size_t i, part;
    mr_crew_work_t work;

    if (n <= 1) {

        if (n == 1) {
            task(ctx, 0);
        }

        return;
    }

    work.task = task;
    work.ctx = ctx;
    work.n = n;
    work.next = 0;
    work.helpers = 0;
    pthread_cond_init(&work.done, NULL);

    pthread_mutex_lock(&crew->mutex);

    mr_crew_add(crew, &work);

    for (i = 1; i < n; i++) {
        pthread_cond_signal(&crew->work);
    }

    while (work.next < work.n) {
        part = mr_crew_take(crew, &work);
        pthread_mutex_unlock(&crew->mutex);

        task(ctx, part);

        pthread_mutex_lock(&crew->mutex);
    }

    while (work.helpers > 0) {
        pthread_cond_wait(&work.done, &crew->mutex);
    }

    pthread_mutex_unlock(&crew->mutex);
    pthread_cond_destroy(&work.done);
}


static void *
mr_crew_help(void *ctx)
{
    size_t part;
    mr_crew_t *crew;
    mr_crew_work_t *work;

    crew = ctx;

    pthread_mutex_lock(&crew->mutex);

    for (;;) {

        while (crew->head == NULL && !crew->stopping) {
            pthread_cond_wait(&crew->work, &crew->mutex);
        }

        work = crew->head;

        if (work == NULL) {
            break;
        }

        part = mr_crew_take(crew, work);
        work->helpers++;
        pthread_mutex_unlock(&crew->mutex);

        work->task(work->ctx, part);

        pthread_mutex_lock(&crew->mutex);

        if (--work->helpers == 0) {
            pthread_cond_signal(&work->done);
        }
    }

    pthread_mutex_unlock(&crew->mutex);

    return NULL;
}


static void
mr_crew_add(mr_crew_t *crew, mr_crew_work_t *work)
{
    mr_crew_work_t **last;

    for (last = &crew->head; *last != NULL; last = &(*last)->later) {
        /* void */
    }

    work->later = NULL;
    *last = work;
}


/* The next part of a work; with the last one it leaves the list. */
static size_t
mr_crew_take(mr_crew_t *crew, mr_crew_work_t *work)
{
    mr_crew_work_t **link;

    if (work->next + 1 == work->n) {

        for (link = &crew->head; *link != work; link = &(*link)->later) {
            /* void */
        }

        *link = work->later;
    }

    return work->next++;
}
