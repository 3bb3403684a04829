/*
 * Between judging and librdkafka: events wait for their partition's turn.
 *
 * librdkafka sends a request a partition, and each costs the broker as much
 * as a hundred events do; so a partition's events are collected for
 * millrace_linger.  librdkafka's own linger.ms would begin for all partitions
 * with the same burst of requests: all would be sent, acknowledged and
 * answered at the same moment, the clients would come back together, and
 * nginx, its clients and the broker would wait for each other in turn.  Here
 * the partitions are spread over lanes, and the lanes' turns evenly over the
 * time, so that some events are on their way while others come.
 *
 * A lane whose turn has passed with nothing in it lets the next event go at
 * once: where there is little to do, nothing waits.
 *
 * Events stay in the memory of their request.  A request is never ended from
 * here while it is on the stack: what librdkafka refuses is answered by a
 * posted event.
 */
#include "ngx_http_millrace_request.h"


#define NGX_HTTP_MILLRACE_TICK 1 /* ms between two looks at the lanes */


/* What is handed over at a time. */
typedef struct {
    ngx_http_millrace_event_t *events[NGX_HTTP_MILLRACE_CHUNK];
    rd_kafka_message_t messages[NGX_HTTP_MILLRACE_CHUNK];
    ngx_uint_t topic;
    ngx_uint_t n;
} ngx_http_millrace_chunk_t;


static void ngx_http_millrace_outbox_timer(ngx_event_t *ev);
static void ngx_http_millrace_outbox_again(ngx_event_t *ev);
static ngx_http_millrace_lane_t *ngx_http_millrace_outbox_lane(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_event_t *event);
static void ngx_http_millrace_outbox_next(
    ngx_http_millrace_outbox_t *outbox, ngx_uint_t lane, uint64_t now);
static size_t ngx_http_millrace_chunk_add(
    ngx_http_millrace_chunk_t *chunk, ngx_http_millrace_event_t *event);
static void ngx_http_millrace_chunk_hand(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_chunk_t *chunk);


void
ngx_http_millrace_outbox_init(ngx_http_millrace_worker_t *worker)
{
    ngx_uint_t i;
    ngx_http_millrace_outbox_t *outbox;

    outbox = &worker->outbox;

    outbox->worker = worker;
    outbox->linger = (uint64_t) worker->conf->linger * 1000;
    ngx_queue_init(&outbox->failed);

    for (i = 0; i < NGX_HTTP_MILLRACE_LANES; i++) {
        ngx_queue_init(&outbox->lanes[i].events);
    }

    outbox->timer.handler = ngx_http_millrace_outbox_timer;
    outbox->timer.data = &worker->ident;
    outbox->timer.log = worker->cycle->log;
    /* a request that waits has a timer of its own, which is not */
    outbox->timer.cancelable = 1;

    outbox->again.handler = ngx_http_millrace_outbox_again;
    outbox->again.data = &worker->ident;
    outbox->again.log = worker->cycle->log;
}


void
ngx_http_millrace_outbox_exit(ngx_http_millrace_outbox_t *outbox)
{
    if (outbox->timer.timer_set) {
        ngx_del_timer(&outbox->timer);
    }

    if (outbox->again.posted) {
        ngx_delete_posted_event(&outbox->again);
    }
}


void
ngx_http_millrace_outbox_add(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_event_t *event)
{
    ngx_http_millrace_lane_t *lane;

    lane = ngx_http_millrace_outbox_lane(outbox, event);

    ngx_queue_insert_tail(&lane->events, &event->link);
    event->request->held++;
    outbox->held++;
}


/*
 * The lane of the partition that librdkafka will choose.  Where the topic has
 * changed meanwhile, or is not known yet, it may be another one, and nothing
 * is wrong but the spreading: a request goes by one number of partitions to
 * its end, so that a user's events in it stay in one lane and in order.
 */
static ngx_http_millrace_lane_t *
ngx_http_millrace_outbox_lane(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_event_t *event)
{
    ngx_uint_t topic, lane;
    ngx_http_millrace_request_t *req;
    ngx_http_millrace_producer_t *producer;

    req = event->request;
    topic = req->conf->topic_index;
    producer = outbox->worker->producer;

    if (req->partitions == 0 && producer) {
        req->partitions =
            ngx_http_millrace_probe_partitions(producer->probe, topic);
    }

    if (req->partitions == 0) {
        req->partitions = NGX_HTTP_MILLRACE_LANES;
    }

    lane = (ngx_uint_t) rd_kafka_msg_partitioner_murmur2_random(NULL,
        event->key.data, event->key.len, (int32_t) req->partitions, NULL, NULL);

    /* few partitions are not to have their turns next to each other */

    if (req->partitions < NGX_HTTP_MILLRACE_LANES) {
        lane = lane * NGX_HTTP_MILLRACE_LANES / req->partitions;
    }

    return &outbox->lanes[(lane + topic) % NGX_HTTP_MILLRACE_LANES];
}


void
ngx_http_millrace_outbox_run(ngx_http_millrace_outbox_t *outbox)
{
    size_t budget, size;
    uint64_t now;
    ngx_uint_t i;
    ngx_queue_t *q;
    ngx_http_millrace_lane_t *lane;
    ngx_http_millrace_event_t *event;
    ngx_http_millrace_chunk_t chunk;

    now = ngx_http_millrace_clock();
    budget = NGX_HTTP_MILLRACE_TURN;
    chunk.n = 0;
    chunk.topic = 0;

    for (i = 0; i < NGX_HTTP_MILLRACE_LANES; i++) {
        lane = &outbox->lanes[i];

        if (ngx_queue_empty(&lane->events) || now < lane->due) {
            continue;
        }

        do {
            q = ngx_queue_head(&lane->events);
            event = ngx_queue_data(q, ngx_http_millrace_event_t, link);

            if (chunk.n == NGX_HTTP_MILLRACE_CHUNK
                || (chunk.n
                    && chunk.topic != event->request->conf->topic_index))
            {
                ngx_http_millrace_chunk_hand(outbox, &chunk);
            }

            size = ngx_http_millrace_chunk_add(&chunk, event);
            budget -= ngx_min(size, budget);

        } while (budget && !ngx_queue_empty(&lane->events));

        if (budget == 0) {
            ngx_post_event(&outbox->again, &ngx_posted_next_events);
            break;
        }

        ngx_http_millrace_outbox_next(outbox, i, now);
    }

    ngx_http_millrace_chunk_hand(outbox, &chunk);

    if (outbox->held && !outbox->timer.timer_set) {
        ngx_add_timer(&outbox->timer, NGX_HTTP_MILLRACE_TICK);
    }
}


/* When it is the lane's turn again. */
static void
ngx_http_millrace_outbox_next(
    ngx_http_millrace_outbox_t *outbox, ngx_uint_t lane, uint64_t now)
{
    uint64_t phase;

    if (outbox->linger == 0) {
        return;
    }

    phase = outbox->linger * lane / NGX_HTTP_MILLRACE_LANES;

    outbox->lanes[lane].due =
        now + outbox->linger - (now - phase) % outbox->linger;
}


/* Takes it out of its lane; returns its size. */
static size_t
ngx_http_millrace_chunk_add(
    ngx_http_millrace_chunk_t *chunk, ngx_http_millrace_event_t *event)
{
    rd_kafka_message_t *message;

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the lane */
    ngx_queue_remove(&event->link);
    event->link.next = NULL;

    chunk->topic = event->request->conf->topic_index;
    chunk->events[chunk->n] = event;

    message = &chunk->messages[chunk->n++];

    ngx_memzero(message, sizeof(rd_kafka_message_t));

    message->payload = (void *) event->value.data;
    message->len = event->value.len;
    message->key = (void *) event->key.data;
    message->key_len = event->key.len;
    message->_private = event->request->delivery;

    return event->value.len + event->key.len;
}


static void
ngx_http_millrace_chunk_hand(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_chunk_t *chunk)
{
    ngx_uint_t i;
    rd_kafka_message_t *message;
    ngx_http_millrace_request_t *req;
    ngx_http_millrace_producer_t *producer;

    if (chunk->n == 0) {
        return;
    }

    producer = outbox->worker->producer;

    if (producer) {
        (void) ngx_http_millrace_produce(
            producer, chunk->topic, chunk->messages, chunk->n);
    }

    /* the reports come in this thread, so later than what is done here */

    for (i = 0; i < chunk->n; i++) {
        req = chunk->events[i]->request;
        message = &chunk->messages[i];

        outbox->held--;
        req->held--;

        if (producer && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            req->delivery->pending++;
            req->reserved--;
            req->reserved_bytes -= message->len + message->key_len;

        } else if (req->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            req->err = producer ? message->err : RD_KAFKA_RESP_ERR__STATE;
        }
    }

    for (i = 0; i < chunk->n; i++) {
        req = chunk->events[i]->request;

        if (req->err == RD_KAFKA_RESP_ERR_NO_ERROR
            && ngx_http_millrace_handed(req) == NGX_OK)
        {
            continue;
        }

        if (req->failed.next == NULL) {
            ngx_queue_insert_tail(&outbox->failed, &req->failed);
            ngx_post_event(&outbox->again, &ngx_posted_events);
        }
    }

    chunk->n = 0;
}


static void
ngx_http_millrace_outbox_timer(ngx_event_t *ev)
{
    ngx_http_millrace_outbox_run(
        ngx_http_millrace_owner(ev, ngx_http_millrace_outbox_t, timer));
}


static void
ngx_http_millrace_outbox_again(ngx_event_t *ev)
{
    ngx_queue_t *q;
    ngx_http_millrace_outbox_t *outbox;

    outbox = ngx_http_millrace_owner(ev, ngx_http_millrace_outbox_t, again);

    /* one that ends may take others of its connection along */

    while (!ngx_queue_empty(&outbox->failed)) {
        q = ngx_queue_head(&outbox->failed);
        ngx_http_millrace_request_failed(
            ngx_queue_data(q, ngx_http_millrace_request_t, failed));
    }

    ngx_http_millrace_outbox_run(outbox);
}


void
ngx_http_millrace_outbox_withdraw(
    ngx_http_millrace_request_t *req, ngx_uint_t hand)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_http_millrace_event_t *event;
    ngx_http_millrace_chunk_t chunk;
    ngx_http_millrace_outbox_t *outbox;

    outbox = &req->worker->outbox;
    chunk.n = 0;
    chunk.topic = 0;

    for (part = req->held ? &req->events->part : NULL; part; part = part->next)
    {
        event = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (event[i].link.next == NULL) {
                continue;
            }

            if (!hand) {
                ngx_queue_remove(&event[i].link);
                event[i].link.next = NULL;
                req->held--;
                outbox->held--;
                continue;
            }

            if (chunk.n == NGX_HTTP_MILLRACE_CHUNK) {
                ngx_http_millrace_chunk_hand(outbox, &chunk);
            }

            (void) ngx_http_millrace_chunk_add(&chunk, &event[i]);
        }
    }

    ngx_http_millrace_chunk_hand(outbox, &chunk);

    if (req->failed.next) {
        ngx_queue_remove(&req->failed);
        req->failed.next = NULL;
    }
}
