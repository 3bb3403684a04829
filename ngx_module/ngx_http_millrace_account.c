/* What became of a request: for the counters and the variables. */
#include "ngx_http_millrace_request.h"


static ngx_http_millrace_counter_t ngx_http_millrace_outcome(
    ngx_http_request_t *r);


void
ngx_http_millrace_account(ngx_http_millrace_request_t *req)
{
    ngx_shm_zone_t *zone;
    ngx_http_millrace_ctx_t *ctx;

    if (req->counted) {
        return;
    }

    req->counted = 1;

    ctx = &req->ctx;
    zone = req->worker->conf->zone;

    if (ctx->outcome == NGX_HTTP_MILLRACE_UNDECIDED) {
        ctx->outcome = ngx_http_millrace_outcome(req->request);
    }

    ctx->rejected = req->rejected;

    if (ctx->produced) {
        ctx->ack_time = ngx_http_millrace_clock() - req->start;
    }

    ngx_http_millrace_count(zone, ctx->outcome, 1);
    ngx_http_millrace_count(zone, NGX_HTTP_MILLRACE_BODY_BYTES, ctx->bytes);

    if (ctx->outcome == NGX_HTTP_MILLRACE_ACCEPTED) {
        ctx->events = req->accepted;

        ngx_http_millrace_count_ack(zone, ctx->ack_time);
        ngx_http_millrace_count(
            zone, NGX_HTTP_MILLRACE_EVENTS_ACCEPTED, req->accepted);
        ngx_http_millrace_count(
            zone, NGX_HTTP_MILLRACE_ACCEPTED_BYTES, req->accepted_bytes);

    } else if (!ctx->produced) {
        ngx_http_millrace_count(
            zone, NGX_HTTP_MILLRACE_EVENTS_REFUSED, req->seen - req->rejected);

    } else if (ctx->outcome == NGX_HTTP_MILLRACE_ABORTED) {
        ngx_http_millrace_count(
            zone, NGX_HTTP_MILLRACE_EVENTS_ABORTED, req->accepted);

    } else {
        ngx_http_millrace_count(
            zone, NGX_HTTP_MILLRACE_EVENTS_UNACKNOWLEDGED, req->accepted);
    }
}


/* Of a request that nginx has ended by itself. */
static ngx_http_millrace_counter_t
ngx_http_millrace_outcome(ngx_http_request_t *r)
{
    ngx_uint_t status;

    if (r->connection->error) {
        return NGX_HTTP_MILLRACE_ABORTED;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;

    switch (status) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return NGX_HTTP_MILLRACE_TOO_LARGE;

    case NGX_HTTP_REQUEST_TIME_OUT:
        return NGX_HTTP_MILLRACE_SLOW;

    case NGX_HTTP_BAD_REQUEST:
        return NGX_HTTP_MILLRACE_MALFORMED;

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return NGX_HTTP_MILLRACE_FAILED;

    default:
        return NGX_HTTP_MILLRACE_ABORTED;
    }
}


uint64_t
ngx_http_millrace_clock(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}
