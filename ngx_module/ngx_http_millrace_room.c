/*
 * Room in the queue: what is reserved, and when no more requests are let in.
 *
 * millrace_queue_events and millrace_queue_size bound the memory, and no
 * reservation exceeds them.  Before that, requests are kept out whose bodies
 * are still unread, for two reasons:
 *
 * - the queue is all but full: to read and parse a request only to refuse it
 *   costs as much as to take it;
 * - Kafka is too slow for as many events as that: what would wait longer than
 *   millrace_ack_timeout is stored and answered 503 all the same, so that all
 *   the work is for nothing just when there is too much of it.
 */
#include "ngx_http_millrace.h"


/* The part of the acknowledgement's time that the queue may stand for. */
#define NGX_HTTP_MILLRACE_PART 8

/*
 * The least part of the queue that is used in any case: bursts, and what
 * piles up while a broker is away for a moment, are no overload.
 */
#define NGX_HTTP_MILLRACE_LEAST 8


static ngx_uint_t ngx_http_millrace_above(
    ngx_http_millrace_worker_t *worker, ngx_uint_t part);


void
ngx_http_millrace_room_init(ngx_http_millrace_worker_t *worker)
{
    worker->limit = worker->conf->queue_events;
    worker->looked = ngx_current_msec;
}


ngx_int_t
ngx_http_millrace_reserve(ngx_http_millrace_worker_t *worker, ngx_uint_t events,
    size_t bytes, size_t held)
{
    bytes += events * NGX_HTTP_MILLRACE_MESSAGE_OVERHEAD;

    if (events > worker->conf->queue_events
        || bytes + held > worker->conf->queue_size)
    {
        return NGX_DECLINED;
    }

    if (worker->events > worker->conf->queue_events - events
        || worker->bytes > worker->conf->queue_size - bytes)
    {
        worker->spent = worker->full;
        return NGX_BUSY;
    }

    worker->events += events;
    worker->bytes += bytes;

    /* the last eighth is for what is on its way */

    if (ngx_http_millrace_above(worker, 8)) {
        worker->full = 1;
    }

    ngx_http_millrace_count_queue(
        worker->conf->zone, worker->events, worker->bytes);

    return NGX_OK;
}


void
ngx_http_millrace_release(
    ngx_http_millrace_worker_t *worker, ngx_uint_t events, size_t bytes)
{
    worker->events -= events;
    worker->bytes -= bytes + events * NGX_HTTP_MILLRACE_MESSAGE_OVERHEAD;

    worker->lowest = ngx_min(worker->lowest, worker->events);

    if (worker->full && !ngx_http_millrace_above(worker, 4)) {
        worker->full = 0;
        worker->spent = 0;
        ngx_http_millrace_hold_wake(worker);
    }

    ngx_http_millrace_count_queue(
        worker->conf->zone, worker->events, worker->bytes);
}


/* Is no more than a `part`-th of the queue free? */
static ngx_uint_t
ngx_http_millrace_above(ngx_http_millrace_worker_t *worker, ngx_uint_t part)
{
    size_t size;

    size = worker->conf->queue_size;

    return worker->events >= worker->limit - worker->limit / part
           || worker->bytes >= size - size / part;
}


/*
 * What was not less than `lowest` for a while takes at least lowest / rate:
 * the queue is too long when that is too much, and only then; however many
 * events a burst may bring.
 */
void
ngx_http_millrace_room_look(ngx_http_millrace_worker_t *worker)
{
    uint64_t fit, least, n;
    ngx_msec_t passed;
    ngx_uint_t all, lowest;

    all = worker->conf->queue_events;
    lowest = worker->lowest;
    n = worker->reports;
    passed = ngx_current_msec - worker->looked;

    worker->lowest = worker->events;
    worker->reports = 0;
    worker->looked = ngx_current_msec;

    /* nothing to do, or an outage: that says nothing of how fast Kafka is */

    if (n == 0 || passed == 0) {
        return;
    }

    n = n * 1000 / passed;
    worker->rate = worker->rate ? (3 * worker->rate + n) / 4 : n;

    fit = worker->rate * worker->conf->ack_timeout / 1000
          / NGX_HTTP_MILLRACE_PART;
    least = ngx_max(all / NGX_HTTP_MILLRACE_LEAST, 1);

    /*
     * Once it is limited, it stays so for as long as it is made use of, and
     * it grows again little by little: what was limited is ready to fill it.
     */
    if (lowest > ((worker->limit < all) ? worker->limit / 2 : fit)) {
        worker->limit = (ngx_uint_t) ngx_min(ngx_max(fit, least), all);

    } else {
        worker->limit = ngx_min(worker->limit + worker->limit / 4 + 1, all);
    }

    if (ngx_http_millrace_above(worker, 8)) {
        worker->full = 1;
    }
}
