#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/metrics.h"
#include "watch.h"


/* ms between two readings of the ledger while somebody waits. */
#define MR_WATCH_INTERVAL 20

/* ms between two looks at whether clients have left and deadlines passed. */
#define MR_WATCH_LOOK 100

/* ms after a reading that failed. */
#define MR_WATCH_RETRY 500

/* ms that one reading may take. */
#define MR_WATCH_TIMEOUT 5000


typedef struct {
    int32_t partition;
    int64_t next;
} mr_watch_next_t;


/* What one reading found. */
typedef struct {
    mr_watch_next_t *list;
    size_t n;
    size_t cap;
    uint64_t pushed; /* jobs that came before it began */
    int failed;      /* out of memory */
} mr_watch_ledger_t;


struct mr_watch_s {
    const mr_app_t *app;
    mr_pool_t *pool;

    pthread_mutex_t mutex; /* guards all below but the threads */
    pthread_cond_t ask;    /* the reader: somebody waits */
    pthread_cond_t look;   /* the sorter: something is new */
    int stopping;
    mr_job_t *waiting;
    int64_t n_waiting;
    uint64_t pushed; /* jobs ever */
    mr_watch_ledger_t ledger;
    int away; /* the newest reading failed */

    pthread_t reader;
    pthread_t sorter;
    int has_reader;
    int has_sorter;
    mr_metric_t *depth;
};


static void *mr_watch_read(void *ctx);
static int mr_watch_ledger(mr_watch_t *watch, mr_watch_ledger_t *ledger);
static void mr_watch_next(void *ctx, int32_t partition, int64_t next);
static void *mr_watch_sort(void *ctx);
static mr_job_t *mr_watch_take(mr_watch_t *watch);
static int mr_watch_readable(const mr_watch_t *watch, const mr_job_t *job);
static void mr_watch_settle(
    mr_watch_t *watch, mr_job_t *job, int away, int stopping);
static void mr_watch_wait(
    mr_watch_t *watch, pthread_cond_t *condition, int64_t ms);


int
mr_watch_start(const mr_app_t *app, mr_pool_t *pool, mr_watch_t **ret_watch,
    mr_error_t *err)
{
    mr_watch_t *watch;
    pthread_condattr_t attr;

    watch = calloc(1, sizeof(mr_watch_t));

    if (watch == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    watch->app = app;
    watch->pool = pool;
    watch->depth = mr_metric(MR_METRIC_GAUGE, "millrace_query_waiting_after",
        "", "Requests that wait until the events of a receipt can be read.");

    pthread_mutex_init(&watch->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->ask, &attr);
    pthread_cond_init(&watch->look, &attr);
    pthread_condattr_destroy(&attr);

    watch->has_reader =
        pthread_create(&watch->reader, NULL, mr_watch_read, watch) == 0;
    watch->has_sorter =
        pthread_create(&watch->sorter, NULL, mr_watch_sort, watch) == 0;

    if (!watch->has_reader || !watch->has_sorter) {
        mr_watch_stop(watch);
        mr_watch_free(watch);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "cannot start the ledger's threads");
    }

    *ret_watch = watch;

    return 0;
}


void
mr_watch_stop(mr_watch_t *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->stopping = 1;
    pthread_cond_signal(&watch->ask);
    pthread_cond_signal(&watch->look);
    pthread_mutex_unlock(&watch->mutex);

    if (watch->has_sorter) {
        pthread_join(watch->sorter, NULL);
    }

    if (watch->has_reader) {
        pthread_join(watch->reader, NULL);
    }
}


void
mr_watch_free(mr_watch_t *watch)
{
    if (watch == NULL) {
        return;
    }

    pthread_cond_destroy(&watch->look);
    pthread_cond_destroy(&watch->ask);
    pthread_mutex_destroy(&watch->mutex);
    free(watch->ledger.list);
    free(watch);
}


int
mr_watch_push(mr_watch_t *watch, mr_job_t *job)
{
    int full;

    pthread_mutex_lock(&watch->mutex);

    full =
        watch->stopping || watch->n_waiting >= watch->app->options->query.queue;

    if (!full) {
        mr_job_ref(job);

        job->request.deadline = mr_time_monotonic() + MR_WATCH_MAX;
        job->queued = watch->waiting;
        job->number = ++watch->pushed;
        watch->waiting = job;
        watch->n_waiting++;
        mr_metric_set(watch->depth, (double) watch->n_waiting);

        pthread_cond_signal(&watch->ask);
        pthread_cond_signal(&watch->look);
    }

    pthread_mutex_unlock(&watch->mutex);

    return full ? -1 : 0;
}


/*
 * The reader.  Someone who comes while the ledger is being read, or between
 * two readings, does not have to wait for the interval as well.
 */
static void *
mr_watch_read(void *ctx)
{
    int rc;
    mr_watch_t *watch;
    mr_watch_ledger_t ledger, old;

    watch = ctx;

    pthread_mutex_lock(&watch->mutex);

    while (!watch->stopping) {

        if (watch->n_waiting == 0) {
            pthread_cond_wait(&watch->ask, &watch->mutex);
            continue;
        }

        memset(&ledger, 0, sizeof(ledger));
        ledger.pushed = watch->pushed;
        pthread_mutex_unlock(&watch->mutex);

        rc = mr_watch_ledger(watch, &ledger);

        pthread_mutex_lock(&watch->mutex);

        watch->away = rc == -1;

        if (rc == 0) {
            old = watch->ledger;
            watch->ledger = ledger;
            ledger = old;
            pthread_cond_signal(&watch->look);
        }

        free(ledger.list);

        if (!watch->stopping
            && (watch->away || watch->pushed == watch->ledger.pushed)) {
            mr_watch_wait(watch, &watch->ask,
                watch->away ? MR_WATCH_RETRY : MR_WATCH_INTERVAL);
        }
    }

    pthread_mutex_unlock(&watch->mutex);

    return NULL;
}


static int
mr_watch_ledger(mr_watch_t *watch, mr_watch_ledger_t *ledger)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_session_t *session;
    const mr_app_t *app;

    app = watch->app;

    rc = mr_session_open(
        app->store, mr_time_monotonic() + MR_WATCH_TIMEOUT, &session, &err);

    if (rc == 0) {
        rc = mr_session_ledger(
            session, app->options->kafka.topic, mr_watch_next, ledger, &err);
        mr_session_close(session);
    }

    if (rc == 0 && ledger->failed) {
        rc = mr_error_set(&err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (rc == -1) {
        mr_log_warn("%s", err.message);
    }

    return rc;
}


static void
mr_watch_next(void *ctx, int32_t partition, int64_t next)
{
    size_t cap;
    mr_watch_next_t *list;
    mr_watch_ledger_t *ledger;

    ledger = ctx;

    if (ledger->n == ledger->cap) {
        cap = ledger->cap == 0 ? 64 : ledger->cap * 2;
        list = realloc(ledger->list, cap * sizeof(mr_watch_next_t));

        if (list == NULL) {
            ledger->failed = 1;
            return;
        }

        ledger->list = list;
        ledger->cap = cap;
    }

    ledger->list[ledger->n].partition = partition;
    ledger->list[ledger->n].next = next;
    ledger->n++;
}


/* The sorter. */
static void *
mr_watch_sort(void *ctx)
{
    int away, stopping;
    mr_job_t *job, *next;
    mr_watch_t *watch;

    watch = ctx;

    pthread_mutex_lock(&watch->mutex);

    for (;;) {
        job = mr_watch_take(watch);
        away = watch->away;
        stopping = watch->stopping;

        if (job != NULL) {
            pthread_mutex_unlock(&watch->mutex);

            for (/* void */; job != NULL; job = next) {
                next = job->queued;
                mr_watch_settle(watch, job, away, stopping);
            }

            pthread_mutex_lock(&watch->mutex);
            continue;
        }

        if (watch->stopping) {
            break;
        }

        if (watch->n_waiting > 0) {
            mr_watch_wait(watch, &watch->look, MR_WATCH_LOOK);

        } else {
            pthread_cond_wait(&watch->look, &watch->mutex);
        }
    }

    pthread_mutex_unlock(&watch->mutex);

    return NULL;
}


/* Take out of the list all that need not wait any longer. */
static mr_job_t *
mr_watch_take(mr_watch_t *watch)
{
    mr_job_t *job, *taken, **link;
    mr_error_t err = MR_ERROR_INIT;

    taken = NULL;

    for (link = &watch->waiting; *link != NULL; /* void */) {
        job = *link;
        job->readable = mr_watch_readable(watch, job);

        if (!job->readable && !watch->stopping && !mr_job_stopped(job, &err)) {
            link = &job->queued;
            continue;
        }

        *link = job->queued;
        watch->n_waiting--;
        job->queued = taken;
        taken = job;
    }

    mr_metric_set(watch->depth, (double) watch->n_waiting);

    return taken;
}


static int
mr_watch_readable(const mr_watch_t *watch, const mr_job_t *job)
{
    size_t i, k;
    const mr_receipt_part_t *part;
    const mr_watch_ledger_t *ledger;

    ledger = &watch->ledger;

    /* In a topic that was recreated, offsets begin anew. */
    if (job->number > ledger->pushed) {
        return 0;
    }

    for (i = 0; i < job->after->nparts; i++) {
        part = &job->after->parts[i];

        for (k = 0; k < ledger->n; k++) {
            if (ledger->list[k].partition == part->partition) {
                break;
            }
        }

        if (k == ledger->n || ledger->list[k].next <= part->offset) {
            return 0;
        }
    }

    return 1;
}


/* Give up the watch's reference to a job that was taken out. */
static void
mr_watch_settle(mr_watch_t *watch, mr_job_t *job, int away, int stopping)
{
    mr_reply_t reply;

    memset(&reply, 0, sizeof(reply));

    if (job->readable) {
        job->request.deadline =
            mr_time_monotonic() + watch->app->options->query.timeout;

        if (mr_pool_push(watch->pool, job, 0) == 0) {
            mr_job_unref(job);
            return;
        }

        mr_reply_problem(
            &reply, 503, NULL, "too many queries are waiting; try again");

    } else if (stopping) {
        mr_reply_problem(
            &reply, 503, NULL, "the query daemon is being stopped; try again");

    } else if (away) {
        mr_reply_problem(
            &reply, 503, NULL, "MongoDB is away or did not answer; try again");

    } else {
        mr_reply_problem(&reply, 503, "after",
            "the events of this receipt cannot be read yet; try again");
    }

    (void) mr_job_answer(job, &reply);
    mr_job_unref(job);
}


static void
mr_watch_wait(mr_watch_t *watch, pthread_cond_t *condition, int64_t ms)
{
    int64_t due;
    struct timespec until;

    due = mr_time_monotonic() + ms;
    until.tv_sec = due / 1000;
    until.tv_nsec = due % 1000 * 1000000;

    (void) pthread_cond_timedwait(condition, &watch->mutex, &until);
}
