/*
 * nginx's own error pages (413 of client_max_body_size, 429 of limit_req,
 * 401 and 403 of the access modules) as application/problem+json in the
 * module's locations, and wherever millrace_problems says so: an API's client
 * should not have to read HTML.  An error_page of the configuration comes
 * first, as everywhere in nginx.
 */
#include "ngx_http_millrace.h"


static ngx_int_t ngx_http_millrace_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_millrace_body_filter(
    ngx_http_request_t *r, ngx_chain_t *in);
static const char *ngx_http_millrace_detail(ngx_uint_t status);


/* As every filter of nginx has them: set while the configuration is read. */
static ngx_http_output_header_filter_pt ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt ngx_http_next_body_filter;


ngx_int_t
ngx_http_millrace_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_millrace_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_millrace_body_filter;

    return NGX_OK;
}


/*
 * The status of an error is there before the phases only where an error_page
 * has sent the request on.  What answers it then may look like nginx's own
 * page, but is the configuration's choice.
 */
ngx_int_t
ngx_http_millrace_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_millrace_ctx_t *ctx;
    ngx_http_millrace_loc_conf_t *mlcf;

    if (r->err_status < NGX_HTTP_BAD_REQUEST || r != r->main) {
        return NGX_DECLINED;
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    if (!mlcf->enable && !mlcf->problems) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_millrace_ctx_t));
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_millrace_module);
    }

    ctx->chosen = 1;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_millrace_header_filter(ngx_http_request_t *r)
{
    ngx_buf_t *b;
    ngx_str_t text;
    ngx_uint_t status;
    ngx_http_millrace_ctx_t *ctx;
    ngx_http_millrace_loc_conf_t *mlcf;

    /* set for nginx's own pages, and kept on the way to an error_page */
    status = r->err_status;

    if (status < NGX_HTTP_BAD_REQUEST || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);

    if (!mlcf->enable && !mlcf->problems) {
        return ngx_http_next_header_filter(r);
    }

    if (r->headers_out.content_type.len != 9
        || ngx_strncmp(r->headers_out.content_type.data, "text/html", 9) != 0)
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    if (ctx && ctx->chosen) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_millrace_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_millrace_module);
    }

    if (ngx_http_millrace_problem(
            r->pool, status, ngx_http_millrace_detail(status), &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->memory = 1;
    b->pos = text.data;
    b->last = text.data + text.len;
    b->last_buf = 1;
    b->last_in_chain = 1;

    ctx->problem = b;

    r->headers_out.content_length_n = (off_t) text.len;
    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_millrace_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t *cl, out;
    ngx_http_millrace_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_millrace_module);

    if (ctx == NULL || ctx->problem == NULL || in == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    out.buf = ctx->problem;
    out.next = NULL;
    ctx->problem = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static const char *
ngx_http_millrace_detail(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        return "this is no valid HTTP request, or its headers are larger than "
               "the server takes (large_client_header_buffers)";

    case NGX_HTTP_NOT_FOUND:
        return "there is nothing at this path";

    case NGX_HTTP_NOT_ALLOWED:
        return "this path does not take this method";

    case NGX_HTTP_REQUEST_URI_TOO_LARGE:
        return "the request line is longer than the server takes "
               "(large_client_header_buffers); send less in the query string";

    case NGX_HTTP_UNAUTHORIZED:
        return "this needs credentials";

    case NGX_HTTP_FORBIDDEN:
        return "this is not allowed";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "the body is larger than the server takes "
               "(client_max_body_size); send fewer events a request";

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return "too many requests; send the same request again later";

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "the service is not available now; send the same request "
               "again later";

    default:
        return (status < NGX_HTTP_INTERNAL_SERVER_ERROR)
                   ? "the server cannot take this request as it is"
                   : "the server failed to answer this request";
    }
}
