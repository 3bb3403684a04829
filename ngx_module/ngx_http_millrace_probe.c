/*
 * The thread of a producer that does what may block: every second or two it
 * asks a broker for the topics' metadata, so that the worker knows whether
 * events could be acknowledged, and at the end it destroys the handle, which
 * may have to wait for a name look-up.
 *
 * The thread touches librdkafka's handles and the struct below, no nginx
 * structure.  States go to the worker through atomics.
 */
#include "ngx_http_millrace.h"

#include <pthread.h>
#include <signal.h>


#define NGX_HTTP_MILLRACE_PROBE_OK 2000 /* ms between questions */
#define NGX_HTTP_MILLRACE_PROBE_BAD 1000
#define NGX_HTTP_MILLRACE_PROBE_WAIT 500 /* ms for an answer */

/*
 * One unanswered question says little on a busy machine: what was good stays
 * so until the second.
 */
#define NGX_HTTP_MILLRACE_PROBE_FAILS 2


typedef enum {
    NGX_HTTP_MILLRACE_PROBE_RUN,
    NGX_HTTP_MILLRACE_PROBE_QUIET,
    NGX_HTTP_MILLRACE_PROBE_DESTROY
} ngx_http_millrace_probe_order_t;


/* A state and since when, in one word: since << 8 | state. */
typedef struct {
    uint64_t word;       /* atomic */
    uint32_t partitions; /* atomic */
    ngx_uint_t fails;    /* the thread's own */
} ngx_http_millrace_probe_topic_t;


struct ngx_http_millrace_probe_s {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards order */
    pthread_cond_t changed;
    ngx_http_millrace_probe_order_t order;
    int done; /* atomic: the thread has destroyed everything */
    rd_kafka_t *rk;
    rd_kafka_topic_t **topics;
    ngx_uint_t ntopics;
    ngx_http_millrace_probe_topic_t states[];
};


static void *ngx_http_millrace_probe_cycle(void *data);
static ngx_uint_t ngx_http_millrace_probe_sleep(
    ngx_http_millrace_probe_t *probe, ngx_uint_t ms);
static ngx_uint_t ngx_http_millrace_probe_ordered(
    ngx_http_millrace_probe_t *probe);
static ngx_http_millrace_state_t ngx_http_millrace_probe_ask(
    ngx_http_millrace_probe_t *probe, ngx_uint_t topic);
static ngx_http_millrace_state_t ngx_http_millrace_probe_judge(
    const rd_kafka_metadata_t *metadata);
static ngx_http_millrace_state_t ngx_http_millrace_probe_set(
    ngx_http_millrace_probe_topic_t *topic, ngx_http_millrace_state_t state);
static void ngx_http_millrace_probe_order(
    ngx_http_millrace_probe_t *probe, ngx_http_millrace_probe_order_t order);


ngx_http_millrace_probe_t *
ngx_http_millrace_probe_start(rd_kafka_t *rk, rd_kafka_topic_t **topics,
    ngx_uint_t ntopics, ngx_log_t *log)
{
    int err;
    sigset_t all, old;
    ngx_uint_t i;
    pthread_condattr_t attr;
    ngx_http_millrace_probe_t *probe;

    probe = ngx_calloc(sizeof(ngx_http_millrace_probe_t)
                           + ntopics * sizeof(ngx_http_millrace_probe_topic_t),
        log);
    if (probe == NULL) {
        return NULL;
    }

    probe->rk = rk;
    probe->topics = topics;
    probe->ntopics = ntopics;

    for (i = 0; i < ntopics; i++) {
        (void) ngx_http_millrace_probe_set(
            &probe->states[i], NGX_HTTP_MILLRACE_STARTING);
    }

    pthread_mutex_init(&probe->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&probe->changed, &attr);
    pthread_condattr_destroy(&attr);

    /* nginx's signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    err = pthread_create(
        &probe->thread, NULL, ngx_http_millrace_probe_cycle, probe);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (err != 0) {
        ngx_log_error(
            NGX_LOG_ERR, log, err, "millrace: pthread_create() failed");
        pthread_cond_destroy(&probe->changed);
        pthread_mutex_destroy(&probe->mutex);
        ngx_free(probe);
        return NULL;
    }

    return probe;
}


ngx_http_millrace_state_t
ngx_http_millrace_probe_state(
    ngx_http_millrace_probe_t *probe, ngx_uint_t topic, int64_t *ret_since)
{
    uint64_t word;

    word = __atomic_load_n(&probe->states[topic].word, __ATOMIC_ACQUIRE);

    *ret_since = (int64_t) (word >> 8);

    return (ngx_http_millrace_state_t) (word & 0xff);
}


ngx_uint_t
ngx_http_millrace_probe_partitions(
    ngx_http_millrace_probe_t *probe, ngx_uint_t topic)
{
    return __atomic_load_n(&probe->states[topic].partitions, __ATOMIC_RELAXED);
}


void
ngx_http_millrace_probe_quiet(ngx_http_millrace_probe_t *probe)
{
    ngx_http_millrace_probe_order(probe, NGX_HTTP_MILLRACE_PROBE_QUIET);
}


void
ngx_http_millrace_probe_stop(ngx_http_millrace_probe_t *probe)
{
    ngx_http_millrace_probe_order(probe, NGX_HTTP_MILLRACE_PROBE_DESTROY);
}


static void
ngx_http_millrace_probe_order(
    ngx_http_millrace_probe_t *probe, ngx_http_millrace_probe_order_t order)
{
    pthread_mutex_lock(&probe->mutex);
    probe->order = order;
    pthread_cond_signal(&probe->changed);
    pthread_mutex_unlock(&probe->mutex);
}


ngx_int_t
ngx_http_millrace_probe_join(ngx_http_millrace_probe_t *probe, ngx_uint_t wait)
{
    if (!wait && !__atomic_load_n(&probe->done, __ATOMIC_ACQUIRE)) {
        return NGX_AGAIN;
    }

    pthread_join(probe->thread, NULL);
    pthread_cond_destroy(&probe->changed);
    pthread_mutex_destroy(&probe->mutex);
    ngx_free(probe);

    return NGX_OK;
}


static void *
ngx_http_millrace_probe_cycle(void *data)
{
    ngx_uint_t i, wait;
    ngx_http_millrace_state_t state;
    ngx_http_millrace_probe_t *probe = data;

    do {
        wait = NGX_HTTP_MILLRACE_PROBE_OK;

        for (i = 0; i < probe->ntopics; i++) {

            if (ngx_http_millrace_probe_ordered(probe)) {
                break;
            }

            state = ngx_http_millrace_probe_ask(probe, i);
            state = ngx_http_millrace_probe_set(&probe->states[i], state);

            if (state != NGX_HTTP_MILLRACE_OK || probe->states[i].fails) {
                wait = NGX_HTTP_MILLRACE_PROBE_BAD;
            }
        }
    } while (ngx_http_millrace_probe_sleep(probe, wait));

    pthread_mutex_lock(&probe->mutex);

    while (probe->order != NGX_HTTP_MILLRACE_PROBE_DESTROY) {
        pthread_cond_wait(&probe->changed, &probe->mutex);
    }

    pthread_mutex_unlock(&probe->mutex);

    for (i = 0; i < probe->ntopics; i++) {
        rd_kafka_topic_destroy(probe->topics[i]);
    }

    rd_kafka_destroy(probe->rk);

    __atomic_store_n(&probe->done, 1, __ATOMIC_RELEASE);

    return NULL;
}


/* Returns 0 when there is another order than to run. */
static ngx_uint_t
ngx_http_millrace_probe_sleep(ngx_http_millrace_probe_t *probe, ngx_uint_t ms)
{
    int err;
    ngx_uint_t run;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);

    until.tv_sec += (time_t) (ms / 1000);
    until.tv_nsec += (long) (ms % 1000) * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }

    err = 0;

    pthread_mutex_lock(&probe->mutex);

    while (probe->order == NGX_HTTP_MILLRACE_PROBE_RUN && err == 0) {
        err = pthread_cond_timedwait(&probe->changed, &probe->mutex, &until);
    }

    run = (probe->order == NGX_HTTP_MILLRACE_PROBE_RUN);

    pthread_mutex_unlock(&probe->mutex);

    return run;
}


static ngx_uint_t
ngx_http_millrace_probe_ordered(ngx_http_millrace_probe_t *probe)
{
    ngx_uint_t ordered;

    pthread_mutex_lock(&probe->mutex);
    ordered = (probe->order != NGX_HTTP_MILLRACE_PROBE_RUN);
    pthread_mutex_unlock(&probe->mutex);

    return ordered;
}


static ngx_http_millrace_state_t
ngx_http_millrace_probe_ask(ngx_http_millrace_probe_t *probe, ngx_uint_t topic)
{
    rd_kafka_resp_err_t err;
    ngx_http_millrace_state_t state;
    const rd_kafka_metadata_t *metadata;

    err = rd_kafka_metadata(probe->rk, 0, probe->topics[topic], &metadata,
        NGX_HTTP_MILLRACE_PROBE_WAIT);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return NGX_HTTP_MILLRACE_NO_BROKER;
    }

    state = ngx_http_millrace_probe_judge(metadata);

    if (state == NGX_HTTP_MILLRACE_OK) {
        __atomic_store_n(&probe->states[topic].partitions,
            (uint32_t) metadata->topics[0].partition_cnt, __ATOMIC_RELAXED);
    }

    rd_kafka_metadata_destroy(metadata);

    return state;
}


static ngx_http_millrace_state_t
ngx_http_millrace_probe_judge(const rd_kafka_metadata_t *metadata)
{
    int i;
    const rd_kafka_metadata_topic_t *topic;

    if (metadata->topic_cnt == 0) {
        return NGX_HTTP_MILLRACE_NO_TOPIC;
    }

    topic = &metadata->topics[0];

    switch (topic->err) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        break;

    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return NGX_HTTP_MILLRACE_NO_TOPIC;

    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return NGX_HTTP_MILLRACE_REFUSED;

    default:
        return NGX_HTTP_MILLRACE_NO_LEADER;
    }

    for (i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0) {
            return NGX_HTTP_MILLRACE_NO_LEADER;
        }
    }

    return NGX_HTTP_MILLRACE_OK;
}


/* Returns the state that the topic has now. */
static ngx_http_millrace_state_t
ngx_http_millrace_probe_set(
    ngx_http_millrace_probe_topic_t *topic, ngx_http_millrace_state_t state)
{
    uint64_t word;
    ngx_http_millrace_state_t old;

    /* only this thread writes it, and before the thread its creator */
    old = (ngx_http_millrace_state_t) (topic->word & 0xff);

    if (state == NGX_HTTP_MILLRACE_OK) {
        topic->fails = 0;

    } else if (old == NGX_HTTP_MILLRACE_OK
               && ++topic->fails < NGX_HTTP_MILLRACE_PROBE_FAILS)
    {
        return old;
    }

    if (topic->word == 0 || old != state) {
        word = (uint64_t) mr_time_monotonic() << 8 | (uint64_t) state;
        __atomic_store_n(&topic->word, word, __ATOMIC_RELEASE);
    }

    return state;
}
