/* Answers: 202 and RFC 9457 problems, as JSON text in the request's pool. */
#include "ngx_http_millrace.h"


typedef struct {
    ngx_uint_t status;
    const char *title;
} ngx_http_millrace_title_t;


static const char *ngx_http_millrace_title_find(ngx_uint_t status);
static int ngx_http_millrace_problem_write(mr_buf_t *buf, ngx_uint_t status,
    const char *detail, const mr_buf_t *errors, ngx_uint_t total);


/* RFC 9110's names: with type about:blank the title is the status' own. */
static ngx_http_millrace_title_t ngx_http_millrace_titles[] = {
    {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
    {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"},
    {409, "Conflict"}, {411, "Length Required"}, {412, "Precondition Failed"},
    {413, "Content Too Large"}, {414, "URI Too Long"},
    {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
    {421, "Misdirected Request"}, {429, "Too Many Requests"},
    {500, "Internal Server Error"}, {501, "Not Implemented"},
    {502, "Bad Gateway"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"}, {0, NULL}};


ngx_int_t
ngx_http_millrace_header(
    ngx_http_request_t *r, const char *name, const char *value)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return NGX_OK;
}


ngx_int_t
ngx_http_millrace_only_get(ngx_http_request_t *r, const char *detail)
{
    ngx_int_t rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_millrace_header(r, "Cache-Control", "no-store") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) {
        return NGX_DECLINED;
    }

    if (ngx_http_millrace_header(r, "Allow", "GET, HEAD") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_millrace_send_problem(
        r, NGX_HTTP_NOT_ALLOWED, detail, NULL, 0);
}


ngx_int_t
ngx_http_millrace_tell(ngx_http_request_t *r, const char *detail, mr_str_t type,
    int (*write)(mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf))
{
    ngx_int_t rc;
    mr_buf_t buf = MR_BUF_INIT;

    rc = ngx_http_millrace_only_get(r, detail);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (write(&buf, ngx_http_get_module_main_conf(r, ngx_http_millrace_module))
        != 0)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else {
        rc = ngx_http_millrace_send(
            r, NGX_HTTP_OK, type, (mr_str_t){buf.data, buf.len});
    }

    mr_buf_free(&buf);

    return rc;
}


ngx_int_t
ngx_http_millrace_send(
    ngx_http_request_t *r, ngx_uint_t status, mr_str_t type, mr_str_t body)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_chain_t out;

    r->headers_out.status = status;
    r->headers_out.content_length_n = (off_t) body.len;
    r->headers_out.content_type.data = (u_char *) type.data;
    r->headers_out.content_type.len = type.len;
    r->headers_out.content_type_len = type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    if (body.len == 0) {
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    b = ngx_create_temp_buf(r->pool, body.len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, body.data, body.len);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_millrace_send_accepted(ngx_http_request_t *r, ngx_uint_t accepted,
    ngx_uint_t rejected, ngx_uint_t lenient, const mr_buf_t *errors)
{
    int failed;
    char text[sizeof("{\"accepted\":}\n") + NGX_INT_T_LEN];
    u_char *last;
    mr_str_t body;
    ngx_int_t rc;
    mr_buf_t buf = MR_BUF_INIT;

    if (!lenient) {
        /* what nearly every request gets */
        last = ngx_snprintf(
            (u_char *) text, sizeof(text), "{\"accepted\":%ui}\n", accepted);
        body.data = text;
        body.len = (size_t) (last - (u_char *) text);

        return ngx_http_millrace_send(
            r, NGX_HTTP_ACCEPTED, mr_str("application/json"), body);
    }

    if (ngx_http_millrace_header(r, "Preference-Applied", "handling=lenient")
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    failed =
        mr_buf_printf(&buf, "{\"accepted\":%lu,\"rejected\":%lu,\"errors\":[",
            (unsigned long) accepted, (unsigned long) rejected);
    failed |= mr_buf_append(&buf, errors->data, errors->len);
    failed |= mr_buf_printf(
        &buf, "],\"errors_total\":%lu}\n", (unsigned long) rejected);

    if (failed) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else {
        rc = ngx_http_millrace_send(r, NGX_HTTP_ACCEPTED,
            mr_str("application/json"), (mr_str_t){buf.data, buf.len});
    }

    mr_buf_free(&buf);

    return rc;
}


ngx_int_t
ngx_http_millrace_send_problem(ngx_http_request_t *r, ngx_uint_t status,
    const char *detail, const mr_buf_t *errors, ngx_uint_t total)
{
    ngx_int_t rc;
    mr_buf_t buf = MR_BUF_INIT;

    if (ngx_http_millrace_problem_write(&buf, status, detail, errors, total)
        != 0) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else {
        rc = ngx_http_millrace_send(r, status,
            mr_str("application/problem+json"), (mr_str_t){buf.data, buf.len});
    }

    mr_buf_free(&buf);

    return rc;
}


ngx_int_t
ngx_http_millrace_send_unavailable(ngx_http_request_t *r, const char *detail)
{
    if (ngx_http_millrace_header(
            r, "Retry-After", NGX_HTTP_MILLRACE_RETRY_AFTER)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_millrace_send_problem(
        r, NGX_HTTP_SERVICE_UNAVAILABLE, detail, NULL, 0);
}


ngx_int_t
ngx_http_millrace_problem(ngx_pool_t *pool, ngx_uint_t status,
    const char *detail, ngx_str_t *ret_text)
{
    u_char *p;
    mr_buf_t buf = MR_BUF_INIT;

    p = NULL;

    if (ngx_http_millrace_problem_write(&buf, status, detail, NULL, 0) == 0) {
        p = ngx_pnalloc(pool, buf.len);
    }

    if (p) {
        ngx_memcpy(p, buf.data, buf.len);
        ret_text->data = p;
        ret_text->len = buf.len;
    }

    mr_buf_free(&buf);

    return p ? NGX_OK : NGX_ERROR;
}


static int
ngx_http_millrace_problem_write(mr_buf_t *buf, ngx_uint_t status,
    const char *detail, const mr_buf_t *errors, ngx_uint_t total)
{
    int failed;
    const char *title;

    title = ngx_http_millrace_title_find(status);

    failed = mr_buf_printf(buf,
        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%lu,"
        "\"detail\":",
        title, (unsigned long) status);
    failed |= mr_json_string(buf, (mr_str_t){detail, ngx_strlen(detail)});

    if (errors) {
        failed |=
            mr_buf_append(buf, ",\"errors\":[", sizeof(",\"errors\":[") - 1);
        failed |= mr_buf_append(buf, errors->data, errors->len);
        failed |=
            mr_buf_printf(buf, "],\"errors_total\":%lu", (unsigned long) total);
    }

    failed |= mr_buf_append(buf, "}\n", 2);

    return failed ? -1 : 0;
}


static const char *
ngx_http_millrace_title_find(ngx_uint_t status)
{
    ngx_http_millrace_title_t *title;

    for (title = ngx_http_millrace_titles; title->title; title++) {
        if (title->status == status) {
            return title->title;
        }
    }

    return (status < 500) ? "Bad Request" : "Internal Server Error";
}
