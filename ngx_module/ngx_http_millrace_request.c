/*
 * From the whole body to the answer.  A request goes through phases, in
 * turns of at most NGX_HTTP_MILLRACE_TURN bytes each, so that a large one
 * does not keep the others waiting:
 *
 *     reading -> loading or inflating, where the body is not in one piece of
 *     memory as it is -> judging -> producing -> waiting -> answered
 *
 * Nothing is produced before everything is judged and the room for all of it
 * is reserved, because nothing can be taken back from librdkafka.
 *
 * The request may end at any moment (the client goes away, the worker closes
 * connections): nginx then calls the cleanup, which lets go of everything
 * here; the reports of what was produced find nobody and are counted only.
 */
#include "ngx_http_millrace_request.h"


static void ngx_http_millrace_cleanup(void *data);
static void ngx_http_millrace_timer_handler(ngx_event_t *ev);
static void ngx_http_millrace_turn_handler(ngx_event_t *ev);
static void ngx_http_millrace_run(ngx_http_millrace_request_t *req);
static void ngx_http_millrace_finish(
    ngx_http_millrace_request_t *req, ngx_int_t rc);
static ngx_int_t ngx_http_millrace_watch_once(ngx_http_millrace_request_t *req);
static ngx_int_t ngx_http_millrace_produce_events(
    ngx_http_millrace_request_t *req);
static ngx_int_t ngx_http_millrace_produced(ngx_http_millrace_request_t *req);
static ngx_http_millrace_delivery_t *ngx_http_millrace_delivery_create(
    ngx_http_millrace_request_t *req);
static void ngx_http_millrace_delivered(ngx_http_millrace_delivery_t *delivery);
static ngx_int_t ngx_http_millrace_receipt(
    ngx_http_millrace_request_t *req, ngx_http_millrace_delivery_t *delivery);


ngx_int_t
ngx_http_millrace_request_create(ngx_http_request_t *r, mr_format_t format,
    mr_coding_t coding, ngx_uint_t lenient)
{
    ngx_http_cleanup_t *cln;
    ngx_http_millrace_request_t *req;
    ngx_http_millrace_main_conf_t *mmcf;

    req = ngx_pcalloc(r->pool, sizeof(ngx_http_millrace_request_t));
    if (req == NULL) {
        return NGX_ERROR;
    }

    /* a pool's cleanup would be too late: it runs after the connection's end */
    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_millrace_cleanup;
    cln->data = req;

    mmcf = ngx_http_get_module_main_conf(r, ngx_http_millrace_module);

    req->request = r;
    req->worker = ngx_http_millrace_worker(mmcf);
    req->conf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);
    req->phase = NGX_HTTP_MILLRACE_READING;
    req->format = format;
    req->coding = coding;
    req->lenient = lenient ? 1 : 0;

    req->timer.handler = ngx_http_millrace_timer_handler;
    req->timer.data = r->connection;
    req->timer.log = r->connection->log;

    req->turn.handler = ngx_http_millrace_turn_handler;
    req->turn.data = r->connection;
    req->turn.log = r->connection->log;

    ngx_http_set_ctx(r, &req->ctx, ngx_http_millrace_module);

    return NGX_OK;
}


void
ngx_http_millrace_request_expect(ngx_http_request_t *r)
{
    ngx_http_millrace_request_t *req;

    req = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    ngx_add_timer(&req->timer, req->conf->body_timeout);
}


void
ngx_http_millrace_request_start(ngx_http_request_t *r)
{
    ngx_http_millrace_request_t *req;

    req = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    if (req->timer.timer_set) {
        ngx_del_timer(&req->timer);
    }

    /* many bodies may have been on their way when the queue became full */

    if (req->worker->spent) {
        ngx_http_millrace_finish(
            req, ngx_http_millrace_answer_no_room(req, NGX_BUSY));
        return;
    }

    ngx_http_millrace_run(req);
}


/* The end of the request for whatever reason; may run more than once. */
static void
ngx_http_millrace_cleanup(void *data)
{
    ngx_http_millrace_request_t *req = data;

    ngx_uint_t aborted;
    ngx_http_millrace_delivery_t *delivery;

    aborted = (req->ctx.outcome == NGX_HTTP_MILLRACE_UNDECIDED);

    ngx_http_millrace_account(req);

    if (req->timer.timer_set) {
        ngx_del_timer(&req->timer);
    }

    if (req->turn.posted) {
        ngx_delete_posted_event(&req->turn);
    }

    /* who sends events and does not stay for the answer has sent them */

    ngx_http_millrace_outbox_withdraw(req, aborted);

    delivery = req->delivery;

    if (delivery) {
        req->delivery = NULL;
        delivery->data = NULL;

        if (req->producing) {
            req->producing = 0;
            ngx_http_millrace_delivery_done(
                delivery, RD_KAFKA_RESP_ERR_NO_ERROR);
        }
    }

    if (req->reserved) {
        ngx_http_millrace_release(
            req->worker, req->reserved, req->reserved_bytes);
        req->reserved = 0;
        req->reserved_bytes = 0;
    }

    ngx_http_millrace_free_copy(req);
    mr_buf_free(&req->errors);
}


static void
ngx_http_millrace_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;
    ngx_http_millrace_request_t *req;

    req = ngx_http_millrace_owner(ev, ngx_http_millrace_request_t, timer);

    r = req->request;
    c = r->connection;

    /* nginx has refused the body meanwhile, and answers by itself */

    if (r->header_sent
        || ngx_http_get_module_ctx(r, ngx_http_millrace_module) != &req->ctx)
    {
        return;
    }

    ngx_http_set_log_request(c->log, r);

    if (req->phase == NGX_HTTP_MILLRACE_READING) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
            "millrace: the body did not come within millrace_body_timeout");

        /* what is still to come belongs to no request */
        r->keepalive = 0;
        r->lingering_close = 1;

        (void) ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_SLOW,
            ngx_http_millrace_send_problem(r, NGX_HTTP_REQUEST_TIME_OUT,
                "the body did not come in time (millrace_body_timeout)", NULL,
                0));

    } else {
        ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
            "millrace: Kafka did not acknowledge within millrace_ack_timeout");

        (void) ngx_http_millrace_answer_error(
            req, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT);
    }

    ngx_http_millrace_finish(req, NGX_ABORT);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_millrace_turn_handler(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_millrace_request_t *req;

    req = ngx_http_millrace_owner(ev, ngx_http_millrace_request_t, turn);

    c = req->request->connection;

    ngx_http_set_log_request(c->log, req->request);

    ngx_http_millrace_run(req);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_millrace_run(ngx_http_millrace_request_t *req)
{
    ngx_int_t rc;

    rc = NGX_OK;

    if (req->phase == NGX_HTTP_MILLRACE_READING) {
        rc = ngx_http_millrace_body(req);
    }

    if (rc == NGX_OK && req->phase == NGX_HTTP_MILLRACE_LOADING) {
        rc = ngx_http_millrace_load(req);
    }

    if (rc == NGX_OK && req->phase == NGX_HTTP_MILLRACE_INFLATING) {
        rc = ngx_http_millrace_inflate(req);
    }

    if (rc == NGX_OK && req->phase == NGX_HTTP_MILLRACE_JUDGING) {
        rc = ngx_http_millrace_judge(req);
    }

    if (rc == NGX_OK && req->phase == NGX_HTTP_MILLRACE_PRODUCING) {
        rc = ngx_http_millrace_produce_events(req);
    }

    if (rc == NGX_DONE) {
        return;
    }

    if (rc == NGX_AGAIN) {

        if (ngx_http_millrace_watch_once(req) != NGX_OK) {
            ngx_http_millrace_finish(req, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        /* a graceful end of the worker waits for timers, not for posts */
        if (!req->timer.timer_set) {
            ngx_add_timer(&req->timer, req->conf->ack_timeout);
        }

        ngx_post_event(&req->turn, &ngx_posted_next_events);
        return;
    }

    ngx_http_millrace_finish(req, rc);
}


ngx_int_t
ngx_http_millrace_answer(ngx_http_millrace_request_t *req,
    ngx_http_millrace_counter_t outcome, ngx_int_t rc)
{
    /* no memory for the answer: nginx sends a page of its own */

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        outcome = NGX_HTTP_MILLRACE_FAILED;
    }

    req->ctx.outcome = outcome;
    req->answer = rc;

    return NGX_ABORT;
}


/* `rc` as a phase returns it. */
static void
ngx_http_millrace_finish(ngx_http_millrace_request_t *req, ngx_int_t rc)
{
    if (rc == NGX_ABORT) {
        rc = req->answer;

    } else {
        req->ctx.outcome = NGX_HTTP_MILLRACE_FAILED;
    }

    ngx_http_millrace_cleanup(req);

    ngx_http_finalize_request(req->request, rc);
}


static ngx_int_t
ngx_http_millrace_watch_once(ngx_http_millrace_request_t *req)
{
    if (req->watched) {
        return NGX_OK;
    }

    req->watched = 1;

    return ngx_http_millrace_watch(req->request);
}


/* As limit_req does. */
ngx_int_t
ngx_http_millrace_watch(ngx_http_request_t *r)
{
    ngx_connection_t *c;
    ngx_http_millrace_loc_conf_t *mlcf;

    c = r->connection;
    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    r->write_event_handler = ngx_http_request_empty_handler;

    if (mlcf->ignore_client_abort) {
        r->read_event_handler = ngx_http_block_reading;
        return NGX_OK;
    }

    r->read_event_handler = ngx_http_test_reading;

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
        return NGX_OK;
    }

    return ngx_handle_read_event(c->read, 0);
}


static ngx_int_t
ngx_http_millrace_produce_events(ngx_http_millrace_request_t *req)
{
    size_t budget, size;
    ngx_http_millrace_event_t *event;

    if (req->delivery == NULL) {
        req->delivery = ngx_http_millrace_delivery_create(req);
        if (req->delivery == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        req->producing = 1;
        req->start = ngx_http_millrace_clock();
        req->ctx.produced = 1;

        ngx_add_timer(&req->timer, req->conf->ack_timeout);
    }

    budget = NGX_HTTP_MILLRACE_TURN;

    for (;;) {

        if (req->next >= req->part->nelts) {
            if (req->part->next == NULL) {
                break;
            }

            req->part = req->part->next;
            req->next = 0;
        }

        event = req->part->elts;
        event += req->next++;

        ngx_http_millrace_outbox_add(&req->worker->outbox, event);

        size = event->value.len + event->key.len;

        if (size >= budget) {
            ngx_http_millrace_outbox_run(&req->worker->outbox);
            return NGX_AGAIN;
        }

        budget -= size;
    }

    return ngx_http_millrace_produced(req);
}


/* All events are in the outbox; some may have left it already. */
static ngx_int_t
ngx_http_millrace_produced(ngx_http_millrace_request_t *req)
{
    ngx_http_millrace_outbox_t *outbox;

    req->phase = NGX_HTTP_MILLRACE_WAITING;
    req->request->connection->log->action = "waiting for Kafka";

    if (ngx_http_millrace_watch_once(req) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    outbox = &req->worker->outbox;

    if (req->held == 0 && req->failed.next == NULL) {
        /* none is left whose leaving could do this */
        (void) ngx_http_millrace_handed(req);
        return NGX_DONE;
    }

    ngx_http_millrace_outbox_run(outbox);

    return NGX_DONE;
}


ngx_int_t
ngx_http_millrace_handed(ngx_http_millrace_request_t *req)
{
    if (req->held || !req->producing || req->phase != NGX_HTTP_MILLRACE_WAITING)
    {
        return NGX_OK;
    }

    ngx_http_millrace_free_copy(req);

#ifdef MR_FAULT_NO_ACK_WAIT
    /* As if Kafka had acknowledged all of it. */
    return NGX_DECLINED;
#else
    req->producing = 0;
    ngx_http_millrace_delivery_done(req->delivery, RD_KAFKA_RESP_ERR_NO_ERROR);

    return NGX_OK;
#endif
}


void
ngx_http_millrace_request_failed(ngx_http_millrace_request_t *req)
{
    ngx_connection_t *c;

#ifdef MR_FAULT_NO_ACK_WAIT
    if (req->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ngx_http_millrace_delivered(req->delivery);
        return;
    }
#endif

    c = req->request->connection;

    ngx_http_set_log_request(c->log, req->request);

    ngx_log_error(NGX_LOG_ERR, c->log, 0,
        "millrace: an event could not be produced: %s",
        rd_kafka_err2str(req->err));

    (void) ngx_http_millrace_answer_error(req, req->err);

    ngx_http_millrace_finish(req, NGX_ABORT);
    ngx_http_run_posted_requests(c);
}


static ngx_http_millrace_delivery_t *
ngx_http_millrace_delivery_create(ngx_http_millrace_request_t *req)
{
    ngx_uint_t n;
    ngx_http_millrace_delivery_t *delivery;

    n = ngx_min(req->accepted, MR_RECEIPT_PARTS);

    delivery = ngx_alloc(
        sizeof(ngx_http_millrace_delivery_t) + n * sizeof(mr_receipt_part_t),
        req->request->connection->log);
    if (delivery == NULL) {
        return NULL;
    }

    ngx_memzero(delivery, sizeof(ngx_http_millrace_delivery_t));

    delivery->pending = 1;
    delivery->err = RD_KAFKA_RESP_ERR_NO_ERROR;
    delivery->handler = ngx_http_millrace_delivered;
    delivery->data = req;
    delivery->nalloc = n;

    return delivery;
}


static void
ngx_http_millrace_delivered(ngx_http_millrace_delivery_t *delivery)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;
    ngx_http_millrace_request_t *req;

    req = delivery->data;

    r = req->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (delivery->err == RD_KAFKA_RESP_ERR_NO_ERROR) {

        if (ngx_http_millrace_receipt(req, delivery) != NGX_OK) {
            ngx_http_millrace_finish(req, NGX_HTTP_INTERNAL_SERVER_ERROR);
            ngx_http_run_posted_requests(c);
            return;
        }

        (void) ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_ACCEPTED,
            ngx_http_millrace_send_accepted(
                r, req->accepted, req->rejected, req->lenient, &req->errors));

    } else {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
            "millrace: an event was not acknowledged: %s",
            rd_kafka_err2str(delivery->err));

        (void) ngx_http_millrace_answer_error(req, delivery->err);
    }

    ngx_http_millrace_finish(req, NGX_ABORT);
    ngx_http_run_posted_requests(c);
}


/* The Millrace-Receipt header, if all of what it says is known. */
static ngx_int_t
ngx_http_millrace_receipt(
    ngx_http_millrace_request_t *req, ngx_http_millrace_delivery_t *delivery)
{
    char *token;
    size_t len;
    mr_str_t topic;

    if (delivery->unplaced || delivery->nparts == 0) {
        return NGX_OK;
    }

    token =
        ngx_pnalloc(req->request->pool, MR_RECEIPT_SIZE(delivery->nparts) + 1);
    if (token == NULL) {
        return NGX_ERROR;
    }

    topic.data = (char *) req->conf->topic.data;
    topic.len = req->conf->topic.len;

    if (mr_receipt_encode(mr_receipt_topic(topic), delivery->parts,
            delivery->nparts, token, &len)
        != 0)
    {
        return NGX_ERROR;
    }

    token[len] = '\0';

    return ngx_http_millrace_header(req->request, "Millrace-Receipt", token);
}


ngx_int_t
ngx_http_millrace_answer_error(
    ngx_http_millrace_request_t *req, rd_kafka_resp_err_t err)
{
    const char *detail;
    ngx_http_millrace_counter_t outcome;

    switch (err) {

    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        outcome = NGX_HTTP_MILLRACE_QUEUE_FULL;
        detail = "too many events wait for Kafka's acknowledgement; send the "
                 "same request again later";
        break;

    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        outcome = NGX_HTTP_MILLRACE_TOPIC_MISSING;
        detail = "the Kafka topic for events does not exist";
        break;

    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
        outcome = NGX_HTTP_MILLRACE_UNACKNOWLEDGED;
        detail = "Kafka did not acknowledge in time (millrace_ack_timeout); "
                 "some of the events may have been stored: send the same "
                 "request again, with the same event_ids";
        break;

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        outcome = NGX_HTTP_MILLRACE_KAFKA_ERROR;
        detail = "the Kafka topic takes only smaller batches than this server "
                 "makes (the topic's max.message.bytes, millrace_kafka "
                 "message.max.bytes): its operator has to mend that";
        break;

    default:
        outcome = NGX_HTTP_MILLRACE_KAFKA_ERROR;
        detail = "Kafka did not take all events; send the same request again, "
                 "with the same event_ids";
    }

    return ngx_http_millrace_answer(
        req, outcome, ngx_http_millrace_send_unavailable(req->request, detail));
}


ngx_int_t
ngx_http_millrace_answer_no_room(ngx_http_millrace_request_t *req, ngx_int_t rc)
{
    if (rc == NGX_BUSY) {
        return ngx_http_millrace_answer_error(
            req, RD_KAFKA_RESP_ERR__QUEUE_FULL);
    }

    return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_TOO_LARGE,
        ngx_http_millrace_send_problem(req->request,
            NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
            "the request is larger than what may wait for Kafka at a time "
            "(millrace_queue_events, millrace_queue_size); send fewer events "
            "a request",
            NULL, 0));
}


ngx_int_t
ngx_http_millrace_answer_no_memory(ngx_http_millrace_request_t *req)
{
    return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_NO_MEMORY,
        ngx_http_millrace_send_unavailable(
            req->request, "out of memory; send the same request again later"));
}
