/*
 * Judging: every event of the body is parsed and checked, and the room for
 * all that will be produced is reserved.
 */
#include "ngx_http_millrace_request.h"


#define NGX_HTTP_MILLRACE_ERRORS 100 /* that are listed in an answer */
#define NGX_HTTP_MILLRACE_DETAIL 192 /* bytes of a sentence made here */


static ngx_int_t ngx_http_millrace_keep(
    ngx_http_millrace_request_t *req, mr_str_t slice, mr_event_t *event);
static ngx_int_t ngx_http_millrace_reject(
    ngx_http_millrace_request_t *req, mr_error_t *err);
static ngx_int_t ngx_http_millrace_judged(ngx_http_millrace_request_t *req);
static ngx_int_t ngx_http_millrace_invalid(ngx_http_millrace_request_t *req);


ngx_int_t
ngx_http_millrace_judge(ngx_http_millrace_request_t *req)
{
    int64_t now;
    mr_str_t slice;
    ngx_int_t rc;
    mr_event_t event;
    const char *start;
    mr_policy_t policy;
    mr_batch_status_t status;
    char detail[NGX_HTTP_MILLRACE_DETAIL];
    mr_error_t err = MR_ERROR_INIT;

    now = mr_time_now();
    start = NULL;

    policy.max_event_size = req->conf->max_event_size;
    policy.max_future = (int64_t) req->conf->max_future;

    for (;;) {
        err.code = MR_OK;
        err.field = NULL;

        status = mr_batch_next(
            &req->batch, req->worker->parser, &slice, &event, &err);

        if (status == MR_BATCH_MORE) {
            return NGX_AGAIN;
        }

        if (status == MR_BATCH_DONE) {
            return ngx_http_millrace_judged(req);
        }

        if (err.code == MR_ERROR_MEMORY) {
            return ngx_http_millrace_answer_no_memory(req);
        }

        if (status == MR_BATCH_BROKEN) {
            return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_MALFORMED,
                ngx_http_millrace_send_problem(
                    req->request, NGX_HTTP_BAD_REQUEST, err.message, NULL, 0));
        }

        if (req->seen++ == req->conf->max_batch) {
            (void) ngx_snprintf((u_char *) detail, sizeof(detail),
                "more than %ui events in one request (millrace_max_batch); "
                "send fewer events a request%Z",
                req->conf->max_batch);
            return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_TOO_LARGE,
                ngx_http_millrace_send_problem(req->request,
                    NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, detail, NULL, 0));
        }

        if (status == MR_BATCH_EVENT
            && mr_event_admit(&event, slice.len, &policy, now, &err) == 0)
        {
            rc = ngx_http_millrace_keep(req, slice, &event);

        } else {
            rc = ngx_http_millrace_reject(req, &err);
        }

        if (rc != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (start == NULL) {
            start = slice.data;
        }

        if (slice.data + slice.len - start >= NGX_HTTP_MILLRACE_TURN) {
            return NGX_AGAIN;
        }
    }
}


static ngx_int_t
ngx_http_millrace_keep(
    ngx_http_millrace_request_t *req, mr_str_t slice, mr_event_t *event)
{
    u_char *key;
    ngx_uint_t n;
    ngx_http_millrace_event_t *kept;

    if (req->rejected && !req->lenient) {
        /* nothing of the request will be produced */
        return NGX_OK;
    }

    if (req->events == NULL) {

        /* about what the rest of the body can hold, within reason */
        n = ngx_min(req->body.len / 256 + 1, 256);

        req->events = ngx_list_create(
            req->request->pool, n, sizeof(ngx_http_millrace_event_t));
        if (req->events == NULL) {
            return NGX_ERROR;
        }
    }

    kept = ngx_list_push(req->events);
    if (kept == NULL) {
        return NGX_ERROR;
    }

    /* the key is in the parser's memory, unescaped, until the next event */

    key = ngx_pnalloc(req->request->pool, event->user_id.len);
    if (key == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(key, event->user_id.data, event->user_id.len);

    kept->value = slice;
    kept->key.data = (char *) key;
    kept->key.len = event->user_id.len;
    kept->request = req;
    kept->link.next = NULL;

    req->accepted++;
    req->reserved_bytes += slice.len + kept->key.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_millrace_reject(ngx_http_millrace_request_t *req, mr_error_t *err)
{
    int failed;
    mr_str_t id;
    mr_buf_t *buf;
    ngx_http_millrace_counter_t class;

    switch (err->code) {

    case MR_ERROR_SYNTAX:
        class = NGX_HTTP_MILLRACE_EVENTS_SYNTAX;
        break;

    case MR_ERROR_POLICY:
        class = NGX_HTTP_MILLRACE_EVENTS_POLICY;
        break;

    default:
        class = NGX_HTTP_MILLRACE_EVENTS_FORMAT;
    }

    ngx_http_millrace_count(req->worker->conf->zone, class, 1);

    if (req->rejected++ >= NGX_HTTP_MILLRACE_ERRORS) {
        return NGX_OK;
    }

    buf = &req->errors;
    id = mr_parser_event_id(req->worker->parser);

    failed = mr_buf_printf(buf,
        "%s{\"index\":%zu,\"event_id\":", buf->len ? "," : "",
        req->batch.index);

    failed |= id.len ? mr_json_string(buf, id) : mr_buf_append(buf, "null", 4);

    failed |= err->field ? mr_buf_printf(
                  buf, ",\"field\":\"%s\",\"message\":", err->field)
                         : mr_buf_printf(buf, ",\"field\":null,\"message\":");

    failed |=
        mr_json_string(buf, (mr_str_t){err->message, ngx_strlen(err->message)});
    failed |= mr_buf_append(buf, "}", 1);

    return failed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_millrace_judged(ngx_http_millrace_request_t *req)
{
    size_t held;
    ngx_int_t rc;

    if (req->rejected && (!req->lenient || req->accepted == 0)) {
        return ngx_http_millrace_invalid(req);
    }

    held = req->inflated_bytes + (req->copy ? req->body.len : 0);

    rc = ngx_http_millrace_reserve(
        req->worker, req->accepted, req->reserved_bytes, held);

    if (rc == NGX_OK) {
        req->reserved = req->accepted;
        req->accepted_bytes = req->reserved_bytes;
        req->phase = NGX_HTTP_MILLRACE_PRODUCING;
        req->part = &req->events->part;

        return NGX_OK;
    }

    return ngx_http_millrace_answer_no_room(req, rc);
}


static ngx_int_t
ngx_http_millrace_invalid(ngx_http_millrace_request_t *req)
{
    char detail[NGX_HTTP_MILLRACE_DETAIL];

    if (req->lenient
        && ngx_http_millrace_header(
               req->request, "Preference-Applied", "handling=lenient")
               != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (req->seen == 1) {
        (void) ngx_snprintf(
            (u_char *) detail, sizeof(detail), "the event is invalid%Z");

    } else {
        (void) ngx_snprintf((u_char *) detail, sizeof(detail),
            "%ui of %ui events are invalid; none of the request was taken%Z",
            req->rejected, req->seen);
    }

    return ngx_http_millrace_answer(req, NGX_HTTP_MILLRACE_INVALID,
        ngx_http_millrace_send_problem(req->request, NGX_HTTP_BAD_REQUEST,
            detail, &req->errors, req->rejected));
}
