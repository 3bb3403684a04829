/*
 * A body with a Content-Encoding: inflated into memory of its own, in turns.
 * What that and the decoder take is counted against millrace_queue_size as
 * it grows, so that many of them at a time cannot take it all.
 */
#include "ngx_http_millrace_request.h"


/*
 * A byte of input costs as much as so many of output: hostile input can make
 * work without giving any.
 */
#define NGX_HTTP_MILLRACE_RATIO 16

/* Bytes of a body in a file that are read at a time. */
#define NGX_HTTP_MILLRACE_PIECE 16384

/* A decoder that is larger, because of zstd's window, is not kept. */
#define NGX_HTTP_MILLRACE_SPARE 524288

#define NGX_HTTP_MILLRACE_DETAIL 160 /* bytes of a sentence made here */


static ngx_int_t ngx_http_millrace_inflate_start(
    ngx_http_millrace_request_t *req);
static off_t ngx_http_millrace_inflate_left(ngx_http_millrace_request_t *req);
static ngx_int_t ngx_http_millrace_inflate_piece(
    ngx_http_millrace_request_t *req, mr_str_t *ret_piece);
static ngx_int_t ngx_http_millrace_inflate_reserve(
    ngx_http_millrace_request_t *req);
static ngx_int_t ngx_http_millrace_inflate_failed(
    ngx_http_millrace_request_t *req, mr_error_t *err);
static ngx_int_t ngx_http_millrace_inflate_end(
    ngx_http_millrace_request_t *req);
static void ngx_http_millrace_inflate_spare(ngx_http_millrace_request_t *req);


ngx_int_t
ngx_http_millrace_inflate(ngx_http_millrace_request_t *req)
{
    size_t budget, cost, consumed, before;
    mr_str_t piece;
    ngx_int_t rc;
    mr_inflate_status_t status;
    mr_error_t err = MR_ERROR_INIT;

    if (req->inflate == NULL) {
        rc = ngx_http_millrace_inflate_start(req);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    budget = NGX_HTTP_MILLRACE_TURN;

    while (req->link) {
        rc = ngx_http_millrace_inflate_piece(req, &piece);
        if (rc != NGX_OK) {
            return rc;
        }

        before = req->inflated.len;

        status = mr_inflate_feed(
            req->inflate, piece, budget, &req->inflated, &consumed, &err);

        if (status == MR_INFLATE_BROKEN || status == MR_INFLATE_TOO_LARGE) {
            return ngx_http_millrace_inflate_failed(req, &err);
        }

        rc = ngx_http_millrace_inflate_reserve(req);
        if (rc != NGX_OK) {
            return rc;
        }

        req->offset += (off_t) consumed;

        if (status == MR_INFLATE_AGAIN) {
            return NGX_AGAIN;
        }

        if (ngx_http_millrace_inflate_left(req) == 0) {
            req->link = req->link->next;
            req->offset = 0;
        }

        cost = ngx_max(
            req->inflated.len - before, consumed * NGX_HTTP_MILLRACE_RATIO);

        if (cost >= budget) {
            return NGX_AGAIN;
        }

        budget -= cost;
    }

    return ngx_http_millrace_inflate_end(req);
}


static ngx_int_t
ngx_http_millrace_inflate_start(ngx_http_millrace_request_t *req)
{
    mr_error_t err = MR_ERROR_INIT;

    req->inflate = req->worker->inflate;
    req->worker->inflate = NULL;

    if (req->inflate == NULL) {
        req->inflate = mr_inflate_create();
        if (req->inflate == NULL) {
            (void) mr_error_set(&err, MR_ERROR_MEMORY, NULL, "out of memory");
            return ngx_http_millrace_inflate_failed(req, &err);
        }
    }

    if (mr_inflate_reset(
            req->inflate, req->coding, req->conf->max_inflated_size, &err)
        != 0)
    {
        return ngx_http_millrace_inflate_failed(req, &err);
    }

    return NGX_OK;
}


/* Bytes of the current buffer that were not fed yet. */
static off_t
ngx_http_millrace_inflate_left(ngx_http_millrace_request_t *req)
{
    ngx_buf_t *b;

    b = req->link->buf;

    return (b->in_file ? b->file_last - b->file_pos : b->last - b->pos)
           - req->offset;
}


/* What comes next of the current buffer; there may be nothing left of it. */
static ngx_int_t
ngx_http_millrace_inflate_piece(
    ngx_http_millrace_request_t *req, mr_str_t *ret_piece)
{
    off_t left;
    size_t size;
    ssize_t n;
    ngx_buf_t *b;

    b = req->link->buf;
    left = ngx_http_millrace_inflate_left(req);

    if (left == 0) {
        *ret_piece = mr_str("");
        return NGX_OK;
    }

    if (!b->in_file) {
        ret_piece->data = (char *) b->pos + req->offset;
        ret_piece->len = (size_t) left;

        return NGX_OK;
    }

    if (req->piece == NULL) {
        req->piece = ngx_pnalloc(req->request->pool, NGX_HTTP_MILLRACE_PIECE);
        if (req->piece == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    size = (size_t) ngx_min(left, NGX_HTTP_MILLRACE_PIECE);

    n = ngx_read_file(b->file, req->piece, size, b->file_pos + req->offset);

    if (n <= 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ret_piece->data = (char *) req->piece;
    ret_piece->len = (size_t) n;

    return NGX_OK;
}


/* The memory is there already: this says whether it may stay. */
static ngx_int_t
ngx_http_millrace_inflate_reserve(ngx_http_millrace_request_t *req)
{
    size_t size;
    ngx_int_t rc;

    size = req->inflated.cap + mr_inflate_size(req->inflate);

    if (size <= req->inflated_bytes) {
        return NGX_OK;
    }

    rc = ngx_http_millrace_reserve(
        req->worker, 0, size - req->inflated_bytes, req->inflated_bytes);

    if (rc == NGX_OK) {
        req->inflated_bytes = size;
        return NGX_OK;
    }

    return ngx_http_millrace_answer_no_room(req, rc);
}


static ngx_int_t
ngx_http_millrace_inflate_failed(
    ngx_http_millrace_request_t *req, mr_error_t *err)
{
    char detail[NGX_HTTP_MILLRACE_DETAIL];

    switch (err->code) {

    case MR_ERROR_MEMORY:
        return ngx_http_millrace_answer_no_memory(req);

    case MR_ERROR_TOO_LARGE:
        (void) ngx_snprintf((u_char *) detail, sizeof(detail),
            "the body inflates to more than %uz bytes "
            "(millrace_max_inflated_size); send fewer events a request%Z",
            req->conf->max_inflated_size);
        return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_TOO_LARGE,
            ngx_http_millrace_send_problem(req->request,
                NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, detail, NULL, 0));

    default:
        return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_MALFORMED,
            ngx_http_millrace_send_problem(
                req->request, NGX_HTTP_BAD_REQUEST, err->message, NULL, 0));
    }
}


static ngx_int_t
ngx_http_millrace_inflate_end(ngx_http_millrace_request_t *req)
{
    mr_error_t err = MR_ERROR_INIT;

    if (mr_inflate_finish(req->inflate, &err) != 0) {
        return ngx_http_millrace_inflate_failed(req, &err);
    }

    ngx_http_millrace_inflate_spare(req);

    req->body.data = req->inflated.data;
    req->body.len = req->inflated.len;
    req->ctx.bytes = req->body.len;
    req->phase = NGX_HTTP_MILLRACE_JUDGING;

    mr_batch_init(&req->batch, req->format, req->body);
    mr_batch_limit(&req->batch, NGX_HTTP_MILLRACE_TURN);
    mr_batch_max_event_size(&req->batch, req->conf->max_event_size);

    return NGX_OK;
}


/* The decoder is for the next request of this worker, if it is a small one. */
static void
ngx_http_millrace_inflate_spare(ngx_http_millrace_request_t *req)
{
    size_t size;
    ngx_http_millrace_worker_t *worker;

    worker = req->worker;

    /* from here on only the output counts */
    size =
        req->inflated_bytes - ngx_min(req->inflated_bytes, req->inflated.cap);
    ngx_http_millrace_release(worker, 0, size);
    req->inflated_bytes -= size;

    if (worker->inflate == NULL
        && mr_inflate_size(req->inflate) <= NGX_HTTP_MILLRACE_SPARE)
    {
        worker->inflate = req->inflate;

    } else {
        mr_inflate_destroy(req->inflate);
    }

    req->inflate = NULL;
}


void
ngx_http_millrace_inflate_free(ngx_http_millrace_request_t *req)
{
    if (req->inflate) {
        ngx_http_millrace_inflate_spare(req);
    }

    mr_buf_free(&req->inflated);

    if (req->inflated_bytes) {
        ngx_http_millrace_release(req->worker, 0, req->inflated_bytes);
        req->inflated_bytes = 0;
    }
}
