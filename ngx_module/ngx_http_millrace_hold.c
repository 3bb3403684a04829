/*
 * Waiting for room in the queue, before the body is read: a request that
 * finds the queue full is not refused at once, but stands in a line for
 * millrace_queue_wait.  Senders that are refused at once and come back at
 * once would use up the time for the events that are taken; and a moment
 * later there may be room.
 *
 * A held request costs its headers and what the kernel has received of the
 * body.  At most half as many are held as there are worker_connections, so
 * that there are always some for everything else; the rest is refused.
 */
#include "ngx_http_millrace.h"


/* Requests that are admitted at a turn: others are to have theirs. */
#define NGX_HTTP_MILLRACE_ADMIT 16


typedef struct {
    ngx_http_millrace_ctx_t ctx; /* must be first */
    ngx_http_request_t *request;
    ngx_http_millrace_worker_t *worker;
    ngx_queue_t link; /* in worker->held */
    ngx_event_t timer;
    mr_format_t format;
    mr_coding_t coding;
    ngx_uint_t lenient;
    unsigned waiting : 1;
} ngx_http_millrace_held_t;


static ngx_uint_t ngx_http_millrace_hold_may(
    ngx_http_request_t *r, ngx_http_millrace_worker_t *worker);
static void ngx_http_millrace_hold_end(ngx_http_millrace_held_t *held);
static void ngx_http_millrace_hold_leave(ngx_http_millrace_held_t *held);
static void ngx_http_millrace_hold_timer_handler(ngx_event_t *ev);
static void ngx_http_millrace_hold_room_handler(ngx_event_t *ev);
static void ngx_http_millrace_hold_cleanup(void *data);


void
ngx_http_millrace_hold_init(ngx_http_millrace_worker_t *worker)
{
    ngx_queue_init(&worker->held);

    worker->room.handler = ngx_http_millrace_hold_room_handler;
    worker->room.data = &worker->ident;
    worker->room.log = worker->cycle->log;
}


ngx_int_t
ngx_http_millrace_hold(ngx_http_request_t *r, mr_format_t format,
    mr_coding_t coding, ngx_uint_t lenient)
{
    ngx_http_cleanup_t *cln;
    ngx_http_millrace_held_t *held;
    ngx_http_millrace_worker_t *worker;
    ngx_http_millrace_loc_conf_t *mlcf;
    ngx_http_millrace_main_conf_t *mmcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);
    mmcf = ngx_http_get_module_main_conf(r, ngx_http_millrace_module);

    worker = ngx_http_millrace_worker(mmcf);

    if (worker == NULL || !ngx_http_millrace_hold_may(r, worker)) {
        return NGX_DECLINED;
    }

    held = ngx_pcalloc(r->pool, sizeof(ngx_http_millrace_held_t));
    if (held == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_millrace_hold_cleanup;
    cln->data = held;

    held->request = r;
    held->worker = worker;
    held->format = format;
    held->coding = coding;
    held->lenient = lenient;
    held->timer.handler = ngx_http_millrace_hold_timer_handler;
    held->timer.data = r->connection;
    held->timer.log = r->connection->log;

    ngx_http_set_ctx(r, &held->ctx, ngx_http_millrace_module);

    if (ngx_http_millrace_watch(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->connection->log->action = "waiting for room in the queue";

    held->waiting = 1;
    worker->nheld++;
    ngx_queue_insert_tail(&worker->held, &held->link);

    /* not cancelable: a worker that shuts down waits for it */
    ngx_add_timer(&held->timer, mlcf->queue_wait);

    r->main->count++;

    return NGX_DONE;
}


static ngx_uint_t
ngx_http_millrace_hold_may(
    ngx_http_request_t *r, ngx_http_millrace_worker_t *worker)
{
    ngx_http_millrace_counter_t outcome;
    ngx_http_millrace_loc_conf_t *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    /* who comes while others still wait has them before him */

    if (!worker->full && worker->nheld == 0) {
        return 0;
    }

    if (mlcf->queue_wait == 0 || worker->nheld >= ngx_cycle->connection_n / 2) {
        return 0;
    }

    return ngx_http_millrace_refusal(worker, mlcf, &outcome) == NULL
           || outcome == NGX_HTTP_MILLRACE_QUEUE_FULL;
}


void
ngx_http_millrace_hold_wake(ngx_http_millrace_worker_t *worker)
{
    /* not from here: the caller may be in the middle of a request's end */

    if (worker->nheld) {
        ngx_post_event(&worker->room, &ngx_posted_next_events);
    }
}


static void
ngx_http_millrace_hold_room_handler(ngx_event_t *ev)
{
    ngx_uint_t n;
    ngx_queue_t *first;
    ngx_http_millrace_worker_t *worker;

    worker = ngx_http_millrace_owner(ev, ngx_http_millrace_worker_t, room);

    for (n = 0; n < NGX_HTTP_MILLRACE_ADMIT; n++) {

        if (worker->full || worker->nheld == 0) {
            return;
        }

        first = ngx_queue_head(&worker->held);

        ngx_http_millrace_hold_end(
            ngx_queue_data(first, ngx_http_millrace_held_t, link));
    }

    ngx_http_millrace_hold_wake(worker);
}


static void
ngx_http_millrace_hold_timer_handler(ngx_event_t *ev)
{
    ngx_http_millrace_hold_end(
        ngx_http_millrace_owner(ev, ngx_http_millrace_held_t, timer));
}


/* Go on as if it had come just now. */
static void
ngx_http_millrace_hold_end(ngx_http_millrace_held_t *held)
{
    ngx_int_t rc;
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = held->request;
    c = r->connection;

    ngx_http_millrace_hold_leave(held);
    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;

    rc = ngx_http_millrace_admit(r, held->format, held->coding, held->lenient);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_millrace_hold_leave(ngx_http_millrace_held_t *held)
{
    held->waiting = 0;
    held->worker->nheld--;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the line */
    ngx_queue_remove(&held->link);

    if (held->timer.timer_set) {
        ngx_del_timer(&held->timer);
    }
}


/* The end of the request; of interest only if nobody has admitted it. */
static void
ngx_http_millrace_hold_cleanup(void *data)
{
    ngx_http_millrace_held_t *held = data;

    if (!held->waiting) {
        return;
    }

    ngx_http_millrace_hold_leave(held);

    held->ctx.outcome = NGX_HTTP_MILLRACE_ABORTED;
    ngx_http_millrace_count(
        held->worker->conf->zone, NGX_HTTP_MILLRACE_ABORTED, 1);
}
