/*
 * What a worker process owns: one producer, the parser, the line of those
 * that wait for room; its start, its housekeeping and its end.
 */
#include "ngx_http_millrace.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif


#define NGX_HTTP_MILLRACE_HOUSEKEEPING 500 /* ms */
#define NGX_HTTP_MILLRACE_RETRY 10000      /* ms to the next creation */
#define NGX_HTTP_MILLRACE_DELAY 1000       /* ms, doubled up to the above */

/*
 * How long the end of a worker waits for what is still in flight.  The
 * master kills about 1.5 s after TERM; graceful ends have nothing left but
 * events of clients that went away.
 */
#define NGX_HTTP_MILLRACE_DRAIN 500 /* ms */
#define NGX_HTTP_MILLRACE_DRAIN_PURGED 100

/* A broker that has acknowledged within it is no broker that is away. */
#define NGX_HTTP_MILLRACE_ACKING 3000 /* ms */

/*
 * Free memory that an arena of malloc keeps instead of giving it back to the
 * kernel, only to fault it in again a millisecond later; and the size from
 * which an allocation is the kernel's own business.  librdkafka's largest is
 * a batch, of 1 MB unless told otherwise.
 */
#define NGX_HTTP_MILLRACE_KEEP (16 * 1024 * 1024)
#define NGX_HTTP_MILLRACE_MAP (4 * 1024 * 1024)


static void ngx_http_millrace_worker_memory(void);
static ngx_int_t ngx_http_millrace_worker_start(
    ngx_http_millrace_main_conf_t *mmcf, ngx_cycle_t *cycle);
static void ngx_http_millrace_worker_create(ngx_http_millrace_worker_t *worker);
static void ngx_http_millrace_housekeeping(ngx_event_t *ev);
static void ngx_http_millrace_retire(ngx_http_millrace_producer_t *producer);
static void ngx_http_millrace_worker_tell(ngx_http_millrace_worker_t *worker);
static void ngx_http_millrace_drain(
    ngx_http_millrace_producer_t *producer, int64_t deadline);
static ngx_http_millrace_state_t ngx_http_millrace_topic_state(
    ngx_http_millrace_worker_t *worker, ngx_uint_t topic, ngx_msec_t within,
    int64_t *ret_since);


ngx_int_t
ngx_http_millrace_worker_init(ngx_cycle_t *cycle)
{
    ngx_http_millrace_main_conf_t *mmcf;

    /* the cache manager and the cache loader come here as well */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_millrace_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return NGX_OK;
    }

    ngx_http_millrace_counters_enter(mmcf->zone);

    if (mmcf->topics.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_millrace_worker_memory();

    /*
     * Never NGX_ERROR: such a worker would not be started again.  Without a
     * producer it answers 503.
     */
    (void) ngx_http_millrace_worker_start(mmcf, cycle);

    return NGX_OK;
}


/*
 * Messages and batches are allocated and freed at the rate of events, in the
 * worker's thread and in librdkafka's.  With malloc's own thresholds a sixth
 * of the worker's CPU goes into growing and trimming the heap.
 */
static void
ngx_http_millrace_worker_memory(void)
{
#if defined(__GLIBC__)

    /* it is advice: without it all works, only slower */

    (void) mallopt(M_MMAP_THRESHOLD, NGX_HTTP_MILLRACE_MAP);
    (void) mallopt(M_TRIM_THRESHOLD, NGX_HTTP_MILLRACE_KEEP);
    (void) mallopt(M_TOP_PAD, 1024 * 1024);

#endif
}


static ngx_int_t
ngx_http_millrace_worker_start(
    ngx_http_millrace_main_conf_t *mmcf, ngx_cycle_t *cycle)
{
    ngx_http_millrace_worker_t *worker;

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_http_millrace_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    worker->conf = mmcf;
    worker->cycle = cycle;
    worker->ident.fd = (ngx_socket_t) -1;
    ngx_queue_init(&worker->retiring);
    ngx_http_millrace_room_init(worker);
    ngx_http_millrace_hold_init(worker);

    worker->states = ngx_pcalloc(
        cycle->pool, mmcf->topics.nelts * sizeof(ngx_http_millrace_state_t));
    if (worker->states == NULL) {
        return NGX_ERROR;
    }

    worker->parser = mr_parser_create();
    if (worker->parser == NULL) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
            "millrace: no memory for the parser");
        return NGX_ERROR;
    }

    ngx_http_millrace_outbox_init(worker);

    worker->housekeeping.handler = ngx_http_millrace_housekeeping;
    worker->housekeeping.data = &worker->ident;
    worker->housekeeping.log = cycle->log;
    worker->housekeeping.cancelable = 1;

    ngx_http_millrace_worker_create(worker);

    ngx_add_timer(&worker->housekeeping, NGX_HTTP_MILLRACE_HOUSEKEEPING);

    mmcf->worker = worker;

    return NGX_OK;
}


ngx_http_millrace_worker_t *
ngx_http_millrace_worker(ngx_http_millrace_main_conf_t *mmcf)
{
    return mmcf->worker;
}


static void
ngx_http_millrace_worker_create(ngx_http_millrace_worker_t *worker)
{
    worker->producer = ngx_http_millrace_producer_create(worker);

    if (worker->producer == NULL) {
        worker->retry = ngx_current_msec + NGX_HTTP_MILLRACE_RETRY;
        ngx_http_millrace_count(
            worker->conf->zone, NGX_HTTP_MILLRACE_PRODUCER_FAILURES, 1);
        return;
    }

    ngx_http_millrace_count(worker->conf->zone, NGX_HTTP_MILLRACE_PRODUCERS, 1);
}


void
ngx_http_millrace_worker_replace(ngx_http_millrace_worker_t *worker)
{
    ngx_http_millrace_producer_t *old;

    ngx_http_millrace_count(
        worker->conf->zone, NGX_HTTP_MILLRACE_FATAL_ERRORS, 1);

    old = worker->producer;

    /* what is in flight may have been stored: its reports still come */
    old->deadline = ngx_current_msec + worker->conf->ack_timeout;

    ngx_queue_insert_tail(&worker->retiring, &old->queue_link);
    ngx_http_millrace_probe_quiet(old->probe);

    if (old->delivered) {
        worker->delay = 0;
        ngx_http_millrace_worker_create(worker);
        return;
    }

    /*
     * It has never worked: the next one will hardly fare better (the broker
     * may refuse idempotent producers), and each costs threads.
     */
    worker->delay = worker->delay ? ngx_min(
                        2 * worker->delay, (ngx_msec_t) NGX_HTTP_MILLRACE_RETRY)
                                  : NGX_HTTP_MILLRACE_DELAY;
    worker->producer = NULL;
    worker->retry = ngx_current_msec + worker->delay;
}


static void
ngx_http_millrace_housekeeping(ngx_event_t *ev)
{
    ngx_queue_t *q, *next;
    ngx_http_millrace_worker_t *worker;

    worker =
        ngx_http_millrace_owner(ev, ngx_http_millrace_worker_t, housekeeping);

    if (worker->producer == NULL
        && (ngx_msec_int_t) (ngx_current_msec - worker->retry) >= 0)
    {
        ngx_http_millrace_worker_create(worker);
    }

    for (q = ngx_queue_head(&worker->retiring);
         q != ngx_queue_sentinel(&worker->retiring); q = next)
    {
        next = ngx_queue_next(q);
        ngx_http_millrace_retire(
            ngx_queue_data(q, ngx_http_millrace_producer_t, queue_link));
    }

    ngx_http_millrace_room_look(worker);
    ngx_http_millrace_worker_tell(worker);

    ngx_add_timer(ev, NGX_HTTP_MILLRACE_HOUSEKEEPING);
}


/* The next step of a producer that has been replaced. */
static void
ngx_http_millrace_retire(ngx_http_millrace_producer_t *producer)
{
    ngx_queue_t *link;

    if (producer->closing) {
        link = &producer->queue_link;
        ngx_queue_remove(link);

        if (ngx_http_millrace_producer_join(producer, 0) != NGX_OK) {
            ngx_queue_insert_head(&producer->worker->retiring, link);
        }

        return;
    }

    if (producer->event == NULL && rd_kafka_outq_len(producer->rk) == 0) {
        ngx_http_millrace_producer_close(producer);
        return;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - producer->deadline) >= 0) {
        ngx_http_millrace_producer_purge(producer);
    }
}


/* Log what the probe thread has found, when it changes. */
static void
ngx_http_millrace_worker_tell(ngx_http_millrace_worker_t *worker)
{
    ngx_uint_t i, level;
    ngx_str_t *name;
    ngx_http_millrace_state_t state;

    name = worker->conf->topics.elts;

    for (i = 0; i < worker->conf->topics.nelts; i++) {
        state = ngx_http_millrace_state(worker, i);

        if (state == worker->states[i] || state == NGX_HTTP_MILLRACE_STARTING) {
            continue;
        }

        level = (state == NGX_HTTP_MILLRACE_OK) ? NGX_LOG_NOTICE : NGX_LOG_ERR;

        ngx_log_error(level, worker->cycle->log, 0,
            "millrace: Kafka topic \"%V\": %s", &name[i],
            ngx_http_millrace_state_text(state));

        worker->states[i] = state;
    }
}


void
ngx_http_millrace_worker_exit(ngx_cycle_t *cycle)
{
    int64_t deadline;
    ngx_queue_t *q;
    ngx_http_millrace_worker_t *worker;
    ngx_http_millrace_producer_t *producer;
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_millrace_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return;
    }

    if (mmcf->worker == NULL) {
        ngx_http_millrace_counters_leave(mmcf->zone);
        return;
    }

    worker = mmcf->worker;
    worker->exiting = 1;

    if (worker->housekeeping.timer_set) {
        ngx_del_timer(&worker->housekeeping);
    }

    ngx_http_millrace_outbox_exit(&worker->outbox);

    if (worker->producer) {
        ngx_http_millrace_probe_quiet(worker->producer->probe);
        ngx_queue_insert_tail(&worker->retiring, &worker->producer->queue_link);
        worker->producer = NULL;
    }

    deadline = mr_time_monotonic() + NGX_HTTP_MILLRACE_DRAIN;

    for (q = ngx_queue_head(&worker->retiring);
         q != ngx_queue_sentinel(&worker->retiring); q = ngx_queue_next(q))
    {
        producer = ngx_queue_data(q, ngx_http_millrace_producer_t, queue_link);

        if (!producer->closing) {
            ngx_http_millrace_drain(producer, deadline);
            ngx_http_millrace_producer_close(producer);
        }
    }

    while (!ngx_queue_empty(&worker->retiring)) {
        q = ngx_queue_head(&worker->retiring);
        ngx_queue_remove(q);

        (void) ngx_http_millrace_producer_join(
            ngx_queue_data(q, ngx_http_millrace_producer_t, queue_link), 1);
    }

    mr_parser_destroy(worker->parser);
    mr_inflate_destroy(worker->inflate);
    mmcf->worker = NULL;

    ngx_http_millrace_counters_leave(mmcf->zone);
}


static void
ngx_http_millrace_drain(
    ngx_http_millrace_producer_t *producer, int64_t deadline)
{
    int left;
    int64_t wait;
    ngx_uint_t purged;

    for (purged = 0; /* void */; /* void */) {

        left = rd_kafka_outq_len(producer->rk);

        if (left == 0 && producer->event == NULL) {
            return;
        }

        wait = deadline - mr_time_monotonic();

        if (wait <= 0) {

            if (purged) {
                ngx_log_error(NGX_LOG_WARN, producer->worker->cycle->log, 0,
                    "millrace: %d events had no delivery report at exit", left);
                return;
            }

            ngx_http_millrace_producer_purge(producer);
            deadline = mr_time_monotonic() + NGX_HTTP_MILLRACE_DRAIN_PURGED;
            purged = 1;
            continue;
        }

        (void) ngx_http_millrace_producer_poll(
            producer, 1000000, (ngx_msec_t) ngx_min(wait, 50));
    }
}


ngx_http_millrace_state_t
ngx_http_millrace_state(ngx_http_millrace_worker_t *worker, ngx_uint_t topic)
{
    int64_t since;

    if (worker == NULL || worker->producer == NULL) {
        return NGX_HTTP_MILLRACE_NO_PRODUCER;
    }

    return ngx_http_millrace_topic_state(
        worker, topic, NGX_HTTP_MILLRACE_ACKING, &since);
}


/*
 * As the probe knows it.  Its question waits behind the events that are on
 * their way to the broker: where these take long, it finds no answer in time,
 * but who has acknowledged `within` so many milliseconds is there.
 */
static ngx_http_millrace_state_t
ngx_http_millrace_topic_state(ngx_http_millrace_worker_t *worker,
    ngx_uint_t topic, ngx_msec_t within, int64_t *ret_since)
{
    ngx_http_millrace_state_t state;

    state = ngx_http_millrace_probe_state(
        worker->producer->probe, topic, ret_since);

    if (state == NGX_HTTP_MILLRACE_NO_BROKER && worker->acked
        && ngx_current_msec - worker->acked < within)
    {
        return NGX_HTTP_MILLRACE_OK;
    }

    return state;
}


const char *
ngx_http_millrace_state_text(ngx_http_millrace_state_t state)
{
    switch (state) {

    case NGX_HTTP_MILLRACE_STARTING:
        return "starting";

    case NGX_HTTP_MILLRACE_OK:
        return "ok";

    case NGX_HTTP_MILLRACE_NO_PRODUCER:
        return "no producer";

    case NGX_HTTP_MILLRACE_NO_BROKER:
        return "no broker answers";

    case NGX_HTTP_MILLRACE_NO_TOPIC:
        return "the topic is missing";

    case NGX_HTTP_MILLRACE_NO_LEADER:
        return "a partition has no leader";

    case NGX_HTTP_MILLRACE_REFUSED:
        return "the broker refuses access";
    }

    return "unknown";
}


const char *
ngx_http_millrace_refusal(ngx_http_millrace_worker_t *worker,
    ngx_http_millrace_loc_conf_t *mlcf,
    ngx_http_millrace_counter_t *ret_outcome)
{
    int64_t since;

    if (worker == NULL || worker->producer == NULL) {
        *ret_outcome = NGX_HTTP_MILLRACE_PRODUCER_MISSING;
        return "this nginx worker has no Kafka producer; its error log says "
               "why";
    }

    switch (ngx_http_millrace_topic_state(
        worker, mlcf->topic_index, mlcf->ack_timeout, &since))
    {

    case NGX_HTTP_MILLRACE_NO_TOPIC:
        *ret_outcome = NGX_HTTP_MILLRACE_TOPIC_MISSING;
        return "the Kafka topic for events does not exist";

    case NGX_HTTP_MILLRACE_NO_BROKER:
    case NGX_HTTP_MILLRACE_REFUSED:

        /*
         * A broker that is away for a moment is waited for: the events may
         * well be acknowledged in time.
         */
        if (mr_time_monotonic() - since < (int64_t) mlcf->ack_timeout) {
            break;
        }

        *ret_outcome = NGX_HTTP_MILLRACE_KAFKA_AWAY;
        return "Kafka is not available; send the same request again later";

    default:
        break;
    }

    if (worker->full) {
        *ret_outcome = NGX_HTTP_MILLRACE_QUEUE_FULL;
        return "too many events wait for Kafka's acknowledgement; send the "
               "same request again later";
    }

    return NULL;
}
