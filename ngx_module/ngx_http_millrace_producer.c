/*
 * One librdkafka producer: created, woken by its queue's eventfd, fed, read,
 * closed.  Nothing here blocks, but for what ngx_http_millrace_producer_poll
 * is told to wait at exit.
 */
#include "ngx_http_millrace.h"

#include <sys/eventfd.h>


/* Reports that are read at a turn; each may finish a request. */
#define NGX_HTTP_MILLRACE_REPORTS 8192


static ngx_int_t ngx_http_millrace_producer_topics(
    ngx_http_millrace_producer_t *producer);
static ngx_int_t ngx_http_millrace_producer_wake(
    ngx_http_millrace_producer_t *producer);
static void ngx_http_millrace_wake_handler(ngx_event_t *ev);
static void ngx_http_millrace_again_handler(ngx_event_t *ev);
static void ngx_http_millrace_producer_run(
    ngx_http_millrace_producer_t *producer);
static void ngx_http_millrace_report(
    ngx_http_millrace_producer_t *producer, const rd_kafka_message_t *message);
static void ngx_http_millrace_place(
    ngx_http_millrace_delivery_t *delivery, const rd_kafka_message_t *message);
static void ngx_http_millrace_event_log(
    ngx_log_t *log, rd_kafka_event_t *event);
static void ngx_http_millrace_event_error(
    ngx_http_millrace_producer_t *producer);
static void ngx_http_millrace_producer_free(
    ngx_http_millrace_producer_t *producer);


ngx_http_millrace_producer_t *
ngx_http_millrace_producer_create(ngx_http_millrace_worker_t *worker)
{
    char errstr[512];
    ngx_log_t *log;
    rd_kafka_conf_t *conf;
    ngx_http_millrace_producer_t *producer;

    log = worker->cycle->log;

    producer = ngx_calloc(sizeof(ngx_http_millrace_producer_t), log);
    if (producer == NULL) {
        return NULL;
    }

    producer->worker = worker;

    conf = rd_kafka_conf_dup(worker->conf->kafka);
    rd_kafka_conf_set_events(
        conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);

    producer->rk =
        rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
    if (producer->rk == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
            "millrace: the Kafka producer could not be created: %s", errstr);
        rd_kafka_conf_destroy(conf);
        ngx_free(producer);
        return NULL;
    }

    /* librdkafka's threads may not log through nginx: this thread does */
    rd_kafka_set_log_queue(producer->rk, NULL);

    producer->queue = rd_kafka_queue_get_main(producer->rk);

    if (ngx_http_millrace_producer_topics(producer) != NGX_OK
        || ngx_http_millrace_producer_wake(producer) != NGX_OK)
    {
        ngx_http_millrace_producer_free(producer);
        return NULL;
    }

    producer->probe = ngx_http_millrace_probe_start(
        producer->rk, producer->topics, producer->ntopics, log);

    if (producer->probe == NULL) {
        ngx_http_millrace_producer_free(producer);
        return NULL;
    }

    return producer;
}


static ngx_int_t
ngx_http_millrace_producer_topics(ngx_http_millrace_producer_t *producer)
{
    ngx_uint_t i;
    ngx_str_t *name;
    ngx_log_t *log;
    ngx_array_t *topics;
    rd_kafka_topic_conf_t *conf;

    topics = &producer->worker->conf->topics;
    log = producer->worker->cycle->log;

    producer->topics =
        ngx_calloc(topics->nelts * sizeof(rd_kafka_topic_t *), log);
    if (producer->topics == NULL) {
        return NGX_ERROR;
    }

    name = topics->elts;

    for (i = 0; i < topics->nelts; i++) {

        /* a delivery report then tells of which topic it is */
        conf = rd_kafka_default_topic_conf_dup(producer->rk);
        rd_kafka_topic_conf_set_opaque(
            conf, (void *) (uintptr_t) ngx_http_millrace_topic_hash(&name[i]));

        producer->topics[i] =
            rd_kafka_topic_new(producer->rk, (char *) name[i].data, conf);
        if (producer->topics[i] == NULL) {
            rd_kafka_topic_conf_destroy(conf);
            ngx_log_error(NGX_LOG_ERR, log, 0, "millrace: topic \"%V\": %s",
                &name[i], rd_kafka_err2str(rd_kafka_last_error()));
            return NGX_ERROR;
        }

        producer->ntopics++;
    }

    return NGX_OK;
}


/*
 * librdkafka writes to the eventfd when its queue stops being empty.  The
 * write happens under the queue's lock, so the fd must never block.
 */
static ngx_int_t
ngx_http_millrace_producer_wake(ngx_http_millrace_producer_t *producer)
{
    int fd;
    uint64_t one;
    ngx_log_t *log;
    ngx_event_t *rev;
    ngx_connection_t *c;

    log = producer->worker->cycle->log;

    fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd == -1) {
        ngx_log_error(
            NGX_LOG_ERR, log, ngx_errno, "millrace: eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, log);
    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->data = producer;

    rev = c->read;
    rev->log = log;
    rev->channel = 1;
    rev->handler = ngx_http_millrace_wake_handler;
    c->write->log = log;
    c->write->channel = 1;

    producer->again.data = c;
    producer->again.log = log;
    producer->again.handler = ngx_http_millrace_again_handler;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) == NGX_ERROR) {
        ngx_free_connection(c);
        (void) close(fd);
        return NGX_ERROR;
    }

    producer->wake = c;

    one = 1;
    rd_kafka_queue_io_event_enable(producer->queue, fd, &one, sizeof(one));

    /* what came before that has written nothing */
    ngx_post_event(&producer->again, &ngx_posted_next_events);

    return NGX_OK;
}


static void
ngx_http_millrace_wake_handler(ngx_event_t *ev)
{
    uint64_t n;
    ngx_connection_t *c;

    c = ev->data;

    /* first this, then the queue: the other way round loses a wake-up */
    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, ev->log, ngx_errno,
            "millrace: read() from eventfd failed");
    }

    ngx_http_millrace_producer_run(c->data);
}


static void
ngx_http_millrace_again_handler(ngx_event_t *ev)
{
    ngx_http_millrace_producer_run(
        ngx_http_millrace_owner(ev, ngx_http_millrace_producer_t, again));
}


static void
ngx_http_millrace_producer_run(ngx_http_millrace_producer_t *producer)
{
    if (ngx_http_millrace_producer_poll(producer, NGX_HTTP_MILLRACE_REPORTS, 0))
    {
        ngx_post_event(&producer->again, &ngx_posted_next_events);
    }

    if (producer->fatal && producer == producer->worker->producer) {
        ngx_http_millrace_worker_replace(producer->worker);
    }
}


ngx_uint_t
ngx_http_millrace_producer_poll(
    ngx_http_millrace_producer_t *producer, ngx_uint_t budget, ngx_msec_t wait)
{
    const rd_kafka_message_t *message;

    for (;;) {

        if (producer->event == NULL) {
            producer->event = rd_kafka_queue_poll(producer->queue, (int) wait);
            wait = 0;

            if (producer->event == NULL) {
                return 0;
            }
        }

        switch (rd_kafka_event_type(producer->event)) {

        case RD_KAFKA_EVENT_DR:

            while ((message = rd_kafka_event_message_next(producer->event))
                   != NULL) {
                ngx_http_millrace_report(producer, message);

                if (--budget == 0) {
                    return 1;
                }
            }

            break;

        case RD_KAFKA_EVENT_LOG:
            ngx_http_millrace_event_log(
                producer->worker->cycle->log, producer->event);
            break;

        case RD_KAFKA_EVENT_ERROR:
            ngx_http_millrace_event_error(producer);
            break;

        default:
            break;
        }

        rd_kafka_event_destroy(producer->event);
        producer->event = NULL;
    }
}


static void
ngx_http_millrace_report(
    ngx_http_millrace_producer_t *producer, const rd_kafka_message_t *message)
{
    ngx_http_millrace_delivery_t *delivery;

    ngx_http_millrace_release(
        producer->worker, 1, message->len + message->key_len);

    ngx_http_millrace_count(producer->worker->conf->zone,
        message->err ? NGX_HTTP_MILLRACE_DELIVERY_ERRORS
                     : NGX_HTTP_MILLRACE_DELIVERED,
        1);

    delivery = message->_private;

    if (producer->worker->exiting) {
        delivery->data = NULL;
    }

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->delivered = 1;
        producer->worker->reports++;
        producer->worker->acked = ngx_current_msec;

        /* where the place is not known, the broker's time is not either */
        if (message->offset >= 0) {
            ngx_http_millrace_count_minute(producer->worker->conf->zone,
                (uint64_t) (uintptr_t) rd_kafka_topic_opaque(message->rkt),
                rd_kafka_message_timestamp(message, NULL));
        }

        if (delivery->data) {
            ngx_http_millrace_place(delivery, message);
        }
    }

    ngx_http_millrace_delivery_done(delivery, message->err);
}


/*
 * A broker that has seen a batch before, because its answer to the first try
 * was lost, does not say where it is: then the request gets no receipt, since
 * one without that partition would promise what nobody knows.
 */
static void
ngx_http_millrace_place(
    ngx_http_millrace_delivery_t *delivery, const rd_kafka_message_t *message)
{
    ngx_uint_t i;
    mr_receipt_part_t *parts;

    if (message->offset < 0 || message->partition < 0) {
        delivery->unplaced = 1;
        return;
    }

    parts = delivery->parts;
    i = delivery->last;

    if (i >= delivery->nparts || parts[i].partition != message->partition) {

        for (i = 0; i < delivery->nparts; i++) {
            if (parts[i].partition == message->partition) {
                break;
            }
        }

        if (i == delivery->nalloc) {
            delivery->unplaced = 1;
            return;
        }

        if (i == delivery->nparts) {
            delivery->nparts++;
            parts[i].partition = message->partition;
            parts[i].offset = message->offset;
        }

        delivery->last = i;
    }

    parts[i].offset = ngx_max(parts[i].offset, message->offset);
}


void
ngx_http_millrace_delivery_done(
    ngx_http_millrace_delivery_t *delivery, rd_kafka_resp_err_t err)
{
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR
        && delivery->err == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        delivery->err = err;
    }

    /*
     * Called while the reference is still held: the handler may drop the one
     * of the producing code.
     */
    if (delivery->data
        && (delivery->err != RD_KAFKA_RESP_ERR_NO_ERROR
            || delivery->pending == 1))
    {
        delivery->handler(delivery);
    }

    if (--delivery->pending == 0) {
        ngx_free(delivery);
    }
}


static void
ngx_http_millrace_event_log(ngx_log_t *log, rd_kafka_event_t *event)
{
    int level;
    ngx_uint_t to;
    const char *facility, *text;

    if (rd_kafka_event_log(event, &facility, &text, &level) != 0) {
        return;
    }

    /* a producer's default is another than that of a consumer; it heeds it */
    if (ngx_strcmp(facility, "CONFWARN") == 0
        && ngx_strstr(text, "allow.auto.create.topics") != NULL)
    {
        return;
    }

    /* syslog's levels; nothing of Kafka's is an emergency of nginx */

    switch (level) {

    case 4:
        to = NGX_LOG_WARN;
        break;

    case 5:
        to = NGX_LOG_NOTICE;
        break;

    case 6:
    case 7:
        /* 7 only with millrace_kafka debug: then it is wanted */
        to = NGX_LOG_INFO;
        break;

    default:
        to = NGX_LOG_ERR;
    }

    ngx_log_error(to, log, 0, "millrace: librdkafka: %s: %s", facility, text);
}


static void
ngx_http_millrace_event_error(ngx_http_millrace_producer_t *producer)
{
    char errstr[512];
    ngx_log_t *log;
    rd_kafka_resp_err_t err;

    log = producer->worker->cycle->log;

    /* an event's own code does not always say that it is the fatal one */

    err = rd_kafka_fatal_error(producer->rk, errstr, sizeof(errstr));

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR || producer->told) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "millrace: Kafka: %s",
            rd_kafka_event_error_string(producer->event));
        return;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0,
        "millrace: fatal error of the Kafka producer, it is replaced: %s: %s",
        rd_kafka_err2name(err), errstr);

    producer->fatal = 1;
    producer->told = 1;
}


ngx_uint_t
ngx_http_millrace_produce(ngx_http_millrace_producer_t *producer,
    ngx_uint_t topic, rd_kafka_message_t *messages, ngx_uint_t n)
{
    char errstr[256];
    ngx_uint_t taken;

    taken = (ngx_uint_t) rd_kafka_produce_batch(producer->topics[topic],
        RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, messages, (int) n);

    if (taken == n) {
        return taken;
    }

    ngx_http_millrace_count(producer->worker->conf->zone,
        NGX_HTTP_MILLRACE_PRODUCE_ERRORS, n - taken);

    /* the messages have the cause, which does not say that it is fatal */

    if (!producer->fatal
        && rd_kafka_fatal_error(producer->rk, errstr, sizeof(errstr))
               != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        producer->fatal = 1;
        ngx_post_event(&producer->again, &ngx_posted_next_events);
    }

    return taken;
}


void
ngx_http_millrace_producer_purge(ngx_http_millrace_producer_t *producer)
{
    (void) rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE
                                            | RD_KAFKA_PURGE_F_INFLIGHT
                                            | RD_KAFKA_PURGE_F_NON_BLOCKING);
}


void
ngx_http_millrace_producer_close(ngx_http_millrace_producer_t *producer)
{
    rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0);

    if (producer->again.posted) {
        ngx_delete_posted_event(&producer->again);
    }

    if (producer->event) {
        rd_kafka_event_destroy(producer->event);
        producer->event = NULL;
    }

    rd_kafka_queue_destroy(producer->queue);

    ngx_close_connection(producer->wake);
    producer->wake = NULL;

    producer->closing = 1;

    ngx_http_millrace_probe_stop(producer->probe);
}


ngx_int_t
ngx_http_millrace_producer_join(
    ngx_http_millrace_producer_t *producer, ngx_uint_t wait)
{
    if (ngx_http_millrace_probe_join(producer->probe, wait) != NGX_OK) {
        return NGX_AGAIN;
    }

    ngx_free(producer->topics);
    ngx_free(producer);

    return NGX_OK;
}


/* What a failed creation leaves behind. */
static void
ngx_http_millrace_producer_free(ngx_http_millrace_producer_t *producer)
{
    ngx_uint_t i;

    rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(producer->queue);

    if (producer->again.posted) {
        ngx_delete_posted_event(&producer->again);
    }

    if (producer->wake) {
        ngx_close_connection(producer->wake);
    }

    for (i = 0; i < producer->ntopics; i++) {
        rd_kafka_topic_destroy(producer->topics[i]);
    }

    rd_kafka_destroy(producer->rk);

    if (producer->topics) {
        ngx_free(producer->topics);
    }

    ngx_free(producer);
}
