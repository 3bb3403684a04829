/*
 * The body as one piece of memory.  nginx may have it in several buffers or
 * in a temporary file; then it is copied, in turns, and counted against
 * millrace_queue_size while the copy lives.
 */
#include "ngx_http_millrace_request.h"


/* See how the body lies in memory; copy it only where it must be. */
ngx_int_t
ngx_http_millrace_body(ngx_http_millrace_request_t *req)
{
    size_t len;
    ngx_buf_t *b;
    ngx_int_t rc;
    ngx_uint_t pieces;
    ngx_chain_t *cl;
    ngx_http_request_t *r;

    r = req->request;

    req->body = mr_str("");
    req->phase = NGX_HTTP_MILLRACE_JUDGING;

    if (req->coding != MR_CODING_IDENTITY) {
        req->phase = NGX_HTTP_MILLRACE_INFLATING;
        req->link = r->request_body ? r->request_body->bufs : NULL;
        return NGX_OK;
    }

    len = 0;
    pieces = 0;

    /* there is none at all when it was discarded before an error_page */

    for (cl = r->request_body ? r->request_body->bufs : NULL; cl; cl = cl->next)
    {
        b = cl->buf;

        if (b->in_file) {
            len += (size_t) (b->file_last - b->file_pos);
            pieces += 2;
            continue;
        }

        if (b->pos == b->last) {
            continue;
        }

        /* what was read together with the headers often lies right before */

        if (len == 0) {
            req->body.data = (char *) b->pos;
            pieces++;

        } else if (req->body.data + len != (char *) b->pos) {
            pieces++;
        }

        len += (size_t) (b->last - b->pos);
    }

    if (pieces > 1) {
        req->phase = NGX_HTTP_MILLRACE_LOADING;
        req->link = r->request_body->bufs;

        rc = ngx_http_millrace_reserve(req->worker, 0, len, 0);

        if (rc != NGX_OK) {
            return ngx_http_millrace_answer_no_room(req, rc);
        }

        req->copy = ngx_pnalloc(r->pool, len);

        if (req->copy == NULL) {
            ngx_http_millrace_release(req->worker, 0, len);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        req->body.data = (char *) req->copy;
    }

    req->body.len = len;
    req->ctx.bytes = len;

    mr_batch_init(&req->batch, req->format, req->body);
    mr_batch_limit(&req->batch, NGX_HTTP_MILLRACE_TURN);
    mr_batch_max_event_size(&req->batch, req->conf->max_event_size);

    return NGX_OK;
}


ngx_int_t
ngx_http_millrace_load(ngx_http_millrace_request_t *req)
{
    size_t size, budget;
    ssize_t n;
    ngx_buf_t *b;

    budget = NGX_HTTP_MILLRACE_TURN;

    while (req->link) {
        b = req->link->buf;

        size = b->in_file ? (size_t) (b->file_last - b->file_pos - req->offset)
                          : (size_t) (b->last - b->pos - req->offset);

        if (size > budget) {
            size = budget;
        }

        if (size == 0) {

            if (budget == 0) {
                return NGX_AGAIN;
            }

            req->link = req->link->next;
            req->offset = 0;
            continue;
        }

        if (b->in_file) {
            n = ngx_read_file(b->file, req->copy + req->loaded, size,
                b->file_pos + req->offset);

            if (n <= 0) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }

            size = (size_t) n;

        } else {
            ngx_memcpy(req->copy + req->loaded, b->pos + req->offset, size);
        }

        req->offset += (off_t) size;
        req->loaded += size;
        budget -= size;
    }

    req->phase = NGX_HTTP_MILLRACE_JUDGING;

    return NGX_OK;
}


void
ngx_http_millrace_free_copy(ngx_http_millrace_request_t *req)
{
    if (req->copy) {
        (void) ngx_pfree(req->request->pool, req->copy);
        req->copy = NULL;
        ngx_http_millrace_release(req->worker, 0, req->body.len);
    }

    ngx_http_millrace_inflate_free(req);
}
