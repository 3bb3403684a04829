/*
 * From the first header to the whole body: whose request is it, can it be
 * taken, read it.  What can be refused is refused before the body is read.
 */
#include "ngx_http_millrace.h"


/* Bytes of a body that an HTTP/2 client may finish before it is refused. */
#define NGX_HTTP_MILLRACE_UNREAD 1048576


/* The headers that nginx has no slots for. */
typedef struct {
    ngx_str_t *content_type;
    ngx_str_t *content_encoding;
    ngx_uint_t repeated; /* one of the two came twice */
    ngx_uint_t handling; /* an RFC 7240 preference for it was seen */
    ngx_uint_t lenient;
} ngx_http_millrace_headers_t;


#if (NGX_HTTP_V2)

/* One that waits for the body's end, but not for ever. */
typedef struct {
    ngx_http_millrace_ctx_t ctx; /* must be first */
    ngx_http_request_t *request;
    ngx_event_t timer;
} ngx_http_millrace_refusal_t;

#endif


static ngx_int_t ngx_http_millrace_post_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_millrace_is_cut(ngx_http_request_t *r);
static ngx_int_t ngx_http_millrace_coding(ngx_http_request_t *r,
    ngx_str_t *field, mr_coding_t *ret_coding, const char **ret_detail);
static ngx_int_t ngx_http_millrace_other_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_millrace_refuse(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_millrace_counter_t outcome, const char *detail);
#if (NGX_HTTP_V2)
static ngx_int_t ngx_http_millrace_refuse_later(
    ngx_http_request_t *r, ngx_http_millrace_refusal_t *refusal);
static void ngx_http_millrace_refused(ngx_http_request_t *r);
static void ngx_http_millrace_refusal_timer(ngx_event_t *ev);
static void ngx_http_millrace_refusal_cleanup(void *data);
#endif
static ngx_int_t ngx_http_millrace_send_refusal(
    ngx_http_request_t *r, ngx_http_millrace_ctx_t *ctx);
static ngx_int_t ngx_http_millrace_discard(ngx_http_request_t *r);
static void ngx_http_millrace_headers(
    ngx_http_request_t *r, ngx_http_millrace_headers_t *headers);
static void ngx_http_millrace_prefer(
    ngx_str_t *value, ngx_http_millrace_headers_t *headers);
static ngx_uint_t ngx_http_millrace_prefer_is(u_char *name, u_char *name_end,
    u_char *value, u_char *value_end, const char *wanted);
static ngx_uint_t ngx_http_millrace_is_plain(ngx_str_t *type);


/*
 * Only chooses the content handler, so that auth_request, limit_req and the
 * others of earlier phases have had their say, and mirror and try_files
 * still have theirs.
 */
ngx_int_t
ngx_http_millrace_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_millrace_loc_conf_t *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    if (!mlcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    if (r->method == NGX_HTTP_POST) {
        r->content_handler = ngx_http_millrace_post_handler;

    } else if (r->content_handler == NULL) {
        r->content_handler = ngx_http_millrace_other_handler;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_millrace_post_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    mr_str_t type;
    mr_coding_t coding;
    mr_format_t format;
    const char *detail;
    ngx_http_millrace_headers_t headers;
    ngx_http_millrace_loc_conf_t *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    ngx_memzero(&headers, sizeof(ngx_http_millrace_headers_t));
    ngx_http_millrace_headers(r, &headers);

    if (ngx_http_millrace_is_cut(r)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
            "millrace: an error_page has passed on a request whose body was "
            "not kept as a whole; it cannot be taken here");

        /* what is still to come belongs to no request */
        r->keepalive = 0;
        r->lingering_close = 1;

        return ngx_http_millrace_refuse(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
            NGX_HTTP_MILLRACE_FAILED,
            "an error_page of this server has passed the request on without "
            "the whole of its body; nothing of it was taken");
    }

    if (headers.repeated) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_BAD_REQUEST,
            NGX_HTTP_MILLRACE_MALFORMED,
            "Content-Type and Content-Encoding may come only once each");
    }

    if (ngx_http_millrace_coding(r, headers.content_encoding, &coding, &detail)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (detail) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
            NGX_HTTP_MILLRACE_UNSUPPORTED, detail);
    }

    if (headers.content_type == NULL || headers.content_type->len == 0) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
            NGX_HTTP_MILLRACE_UNSUPPORTED,
            "there is no Content-Type; send application/json for an event or "
            "an array of events, application/x-ndjson for one event a line");
    }

    if (!mlcf->beacon && ngx_http_millrace_is_plain(headers.content_type)) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
            NGX_HTTP_MILLRACE_UNSUPPORTED,
            "text/plain is switched off here (millrace_beacon); send "
            "application/json or application/x-ndjson");
    }

    type.data = (char *) headers.content_type->data;
    type.len = headers.content_type->len;

    if (mr_format_find(type, &format) != 0) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
            NGX_HTTP_MILLRACE_UNSUPPORTED,
            "this Content-Type is not supported; send application/json for "
            "an event or an array of events, application/x-ndjson for one "
            "event a line, in UTF-8");
    }

    rc = ngx_http_millrace_hold(r, format, coding, headers.lenient);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_millrace_admit(r, format, coding, headers.lenient);
}


/*
 * Another location may have begun to read the body, and an error_page have
 * passed the request on to this one before it was there, or, where it was
 * not buffered, after it was gone.  nginx would give what is left of it as if
 * that were all.
 */
static ngx_uint_t
ngx_http_millrace_is_cut(ngx_http_request_t *r)
{
    ngx_http_request_body_t *rb;

    rb = r->request_body;

    if (rb == NULL) {
        return 0;
    }

    return r->request_body_no_buffering || rb->rest > 0
           || (rb->rest == 0 && !rb->last_saved);
}


ngx_int_t
ngx_http_millrace_admit(ngx_http_request_t *r, mr_format_t format,
    mr_coding_t coding, ngx_uint_t lenient)
{
    ngx_int_t rc;
    const char *detail;
    ngx_http_millrace_counter_t outcome;
    ngx_http_millrace_loc_conf_t *mlcf;
    ngx_http_millrace_main_conf_t *mmcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);
    mmcf = ngx_http_get_module_main_conf(r, ngx_http_millrace_module);

    detail = ngx_http_millrace_refusal(
        ngx_http_millrace_worker(mmcf), mlcf, &outcome);

    if (detail) {
        return ngx_http_millrace_refuse(
            r, NGX_HTTP_SERVICE_UNAVAILABLE, outcome, detail);
    }

    if (ngx_http_millrace_request_create(r, format, coding, lenient) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_millrace_request_start);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    if (rc == NGX_AGAIN) {
        ngx_http_millrace_request_expect(r);
    }

    return NGX_DONE;
}


/* Sets *ret_detail, and the header that goes with it, if it is not known. */
static ngx_int_t
ngx_http_millrace_coding(ngx_http_request_t *r, ngx_str_t *field,
    mr_coding_t *ret_coding, const char **ret_detail)
{
    u_char *detail;
    size_t len;
    mr_str_t name;
    mr_error_t err = MR_ERROR_INIT;

    *ret_detail = NULL;
    *ret_coding = MR_CODING_IDENTITY;

    if (field == NULL) {
        return NGX_OK;
    }

    name.data = (char *) field->data;
    name.len = field->len;

    if (mr_coding_find(name, ret_coding, &err) == 0) {
        return NGX_OK;
    }

    len = ngx_strlen(err.message) + 1;

    detail = ngx_pnalloc(r->pool, len);
    if (detail == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(detail, err.message, len);
    *ret_detail = (char *) detail;

    return ngx_http_millrace_header(
        r, "Accept-Encoding", MR_CODING_ACCEPT ", identity");
}


/* A location without a handler of its own for the other methods. */
static ngx_int_t
ngx_http_millrace_other_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;

    if (ngx_http_millrace_header(r, "Allow", "POST, OPTIONS") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method != NGX_HTTP_OPTIONS) {
        return ngx_http_millrace_refuse(r, NGX_HTTP_NOT_ALLOWED,
            NGX_HTTP_MILLRACE_UNDECIDED, "events are sent with POST");
    }

    rc = ngx_http_millrace_discard(r);
    if (rc != NGX_OK) {
        return rc;
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


/*
 * Answer without looking at the body; `detail` lives as long as the request.
 * Only POST has an outcome, for the counters.
 */
static ngx_int_t
ngx_http_millrace_refuse(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_millrace_counter_t outcome, const char *detail)
{
    size_t size;
    ngx_int_t rc;
    ngx_http_millrace_ctx_t *ctx;
    ngx_http_millrace_main_conf_t *mmcf;

#if (NGX_HTTP_V2)
    size = sizeof(ngx_http_millrace_refusal_t);
#else
    size = sizeof(ngx_http_millrace_ctx_t);
#endif

    if (outcome != NGX_HTTP_MILLRACE_UNDECIDED) {
        mmcf = ngx_http_get_module_main_conf(r, ngx_http_millrace_module);
        ngx_http_millrace_count(mmcf->zone, outcome, 1);
    }

    ctx = ngx_pcalloc(r->pool, size);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->outcome = outcome;
    ctx->status = status;
    ctx->detail = detail;

    ngx_http_set_ctx(r, ctx, ngx_http_millrace_module);

#if (NGX_HTTP_V2)

    /*
     * An answer ahead of the body's end is followed by RST_STREAM, and then
     * common clients report an error instead of the answer.
     */
    if (r->stream && !r->stream->in_closed
        && r->headers_in.content_length_n >= 0
        && r->headers_in.content_length_n <= NGX_HTTP_MILLRACE_UNREAD)
    {
        return ngx_http_millrace_refuse_later(
            r, (ngx_http_millrace_refusal_t *) ctx);
    }

#endif

    rc = ngx_http_millrace_discard(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_millrace_send_refusal(r, ctx);
}


#if (NGX_HTTP_V2)

static ngx_int_t
ngx_http_millrace_refuse_later(
    ngx_http_request_t *r, ngx_http_millrace_refusal_t *refusal)
{
    ngx_int_t rc;
    ngx_http_cleanup_t *cln;
    ngx_http_millrace_loc_conf_t *mlcf;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_millrace_refusal_cleanup;
    cln->data = refusal;

    refusal->request = r;
    refusal->timer.handler = ngx_http_millrace_refusal_timer;
    refusal->timer.data = r->connection;
    refusal->timer.log = r->connection->log;

    rc = ngx_http_read_client_request_body(r, ngx_http_millrace_refused);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    if (rc == NGX_AGAIN) {
        mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);
        ngx_add_timer(&refusal->timer, mlcf->body_timeout);
    }

    return NGX_DONE;
}


static void
ngx_http_millrace_refused(ngx_http_request_t *r)
{
    ngx_http_millrace_refusal_t *refusal;

    refusal = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    ngx_http_millrace_refusal_cleanup(refusal);

    ngx_http_finalize_request(
        r, ngx_http_millrace_send_refusal(r, &refusal->ctx));
}


/* The client is told nevertheless, though it may not look any more. */
static void
ngx_http_millrace_refusal_timer(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;
    ngx_http_millrace_refusal_t *refusal;

    refusal = ngx_http_millrace_owner(ev, ngx_http_millrace_refusal_t, timer);

    r = refusal->request;
    c = r->connection;

    /* nginx has refused the body meanwhile, and answers by itself */

    if (r->header_sent
        || ngx_http_get_module_ctx(r, ngx_http_millrace_module)
               != &refusal->ctx)
    {
        return;
    }

    ngx_http_set_log_request(c->log, r);

    ngx_http_finalize_request(
        r, ngx_http_millrace_send_refusal(r, &refusal->ctx));
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_millrace_refusal_cleanup(void *data)
{
    ngx_http_millrace_refusal_t *refusal = data;

    if (refusal->timer.timer_set) {
        ngx_del_timer(&refusal->timer);
    }
}

#endif


static ngx_int_t
ngx_http_millrace_send_refusal(
    ngx_http_request_t *r, ngx_http_millrace_ctx_t *ctx)
{
    if (ctx->status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        return ngx_http_millrace_send_unavailable(r, ctx->detail);
    }

    return ngx_http_millrace_send_problem(r, ctx->status, ctx->detail, NULL, 0);
}


static ngx_int_t
ngx_http_millrace_discard(ngx_http_request_t *r)
{
    /*
     * A client that was to ask first gets its answer instead of "100
     * Continue"; whether it sends the body all the same is not known, so the
     * connection cannot be used any more.
     */
    if (r->headers_in.expect && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    return ngx_http_discard_request_body(r);
}


static void
ngx_http_millrace_headers(
    ngx_http_request_t *r, ngx_http_millrace_headers_t *headers)
{
    ngx_str_t **slot;
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        slot = NULL;

        switch (h[i].key.len) {

        case sizeof("Prefer") - 1:
            if (ngx_strncmp(h[i].lowcase_key, "prefer", 6) == 0) {
                ngx_http_millrace_prefer(&h[i].value, headers);
            }
            break;

        case sizeof("Content-Type") - 1:
            if (ngx_strncmp(h[i].lowcase_key, "content-type", 12) == 0) {
                slot = &headers->content_type;
            }
            break;

        case sizeof("Content-Encoding") - 1:
            if (ngx_strncmp(h[i].lowcase_key, "content-encoding", 16) == 0) {
                slot = &headers->content_encoding;
            }
            break;

        default:
            break;
        }

        if (slot == NULL) {
            continue;
        }

        if (*slot) {
            headers->repeated = 1;
            continue;
        }

        *slot = &h[i].value;
    }
}


/*
 * RFC 7240: Prefer: a, handling=lenient; parameter, b="quoted, text".  Of a
 * preference that comes twice the first counts.
 */
static void
ngx_http_millrace_prefer(
    ngx_str_t *header, ngx_http_millrace_headers_t *headers)
{
    u_char *p, *end, *name, *name_end, *value, *value_end;

    p = header->data;
    end = p + header->len;

    while (p < end) {

        while (p < end && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        name = p;

        while (p < end && *p != '=' && *p != ',' && *p != ';' && *p != ' '
               && *p != '\t')
        {
            p++;
        }

        name_end = p;

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        value = p;
        value_end = p;

        if (p < end && *p == '=') {

            do {
                p++;
            } while (p < end && (*p == ' ' || *p == '\t'));

            value = p;

            if (p < end && *p == '"') {
                value++;

                do {
                    p++;
                } while (p < end && *p != '"');

                value_end = p;

            } else {
                while (p < end && *p != ',' && *p != ';' && *p != ' '
                       && *p != '\t') {
                    p++;
                }

                value_end = p;
            }
        }

        if (!headers->handling) {

            if (ngx_http_millrace_prefer_is(
                    name, name_end, value, value_end, "lenient")) {
                headers->handling = 1;
                headers->lenient = 1;

            } else if (ngx_http_millrace_prefer_is(
                           name, name_end, value, value_end, "strict"))
            {
                headers->handling = 1;
            }
        }

        /* parameters: up to the next comma that is not in quotes */

        while (p < end && *p != ',') {
            if (*p == '"' && p != value_end) {
                do {
                    p++;
                } while (p < end && *p != '"');
            }

            if (p < end) {
                p++;
            }
        }
    }
}


static ngx_uint_t
ngx_http_millrace_prefer_is(u_char *name, u_char *name_end, u_char *value,
    u_char *value_end, const char *wanted)
{
    size_t len;

    len = ngx_strlen(wanted);

    return name_end - name == sizeof("handling") - 1
           && ngx_strncasecmp(
                  name, (u_char *) "handling", sizeof("handling") - 1)
                  == 0
           && (size_t) (value_end - value) == len
           && ngx_strncasecmp(value, (u_char *) wanted, len) == 0;
}


static ngx_uint_t
ngx_http_millrace_is_plain(ngx_str_t *type)
{
    static const char plain[] = "text/plain";

    u_char ch;

    if (type->len < sizeof(plain) - 1
        || ngx_strncasecmp(type->data, (u_char *) plain, sizeof(plain) - 1)
               != 0)
    {
        return 0;
    }

    if (type->len == sizeof(plain) - 1) {
        return 1;
    }

    ch = type->data[sizeof(plain) - 1];

    return ch == ';' || ch == ' ' || ch == '\t';
}
