/*
 * Variables.  Those about a request are meant for the access log: a request
 * has them when it is answered.
 */
#include "ngx_http_millrace.h"


typedef enum {
    NGX_HTTP_MILLRACE_VAR_EVENTS,
    NGX_HTTP_MILLRACE_VAR_REJECTED,
    NGX_HTTP_MILLRACE_VAR_BYTES,
    NGX_HTTP_MILLRACE_VAR_ACK_TIME,
    NGX_HTTP_MILLRACE_VAR_STATUS
} ngx_http_millrace_variable_t;


static ngx_int_t ngx_http_millrace_ready_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_millrace_request_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_millrace_variable_text(
    ngx_http_variable_value_t *v, const char *text);


/* clang-format off */

static ngx_http_variable_t ngx_http_millrace_variables[] = {

    { ngx_string("millrace_ready"), NULL,
      ngx_http_millrace_ready_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("millrace_events"), NULL,
      ngx_http_millrace_request_variable, NGX_HTTP_MILLRACE_VAR_EVENTS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("millrace_rejected"), NULL,
      ngx_http_millrace_request_variable, NGX_HTTP_MILLRACE_VAR_REJECTED,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("millrace_bytes"), NULL,
      ngx_http_millrace_request_variable, NGX_HTTP_MILLRACE_VAR_BYTES,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("millrace_ack_time"), NULL,
      ngx_http_millrace_request_variable, NGX_HTTP_MILLRACE_VAR_ACK_TIME,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("millrace_status"), NULL,
      ngx_http_millrace_request_variable, NGX_HTTP_MILLRACE_VAR_STATUS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    ngx_http_null_variable
};

/* clang-format on */


ngx_int_t
ngx_http_millrace_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var, *v;

    for (v = ngx_http_millrace_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_millrace_request_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char *p;
    ngx_http_millrace_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_http_millrace_module);

    if (ctx == NULL || ctx->outcome == NGX_HTTP_MILLRACE_UNDECIDED
        || (data == NGX_HTTP_MILLRACE_VAR_ACK_TIME && !ctx->produced))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    if (data == NGX_HTTP_MILLRACE_VAR_STATUS) {
        ngx_http_millrace_variable_text(
            v, ngx_http_millrace_outcome_text(ctx->outcome));
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    switch (data) {

    case NGX_HTTP_MILLRACE_VAR_EVENTS:
        p = ngx_sprintf(p, "%ui", ctx->events);
        break;

    case NGX_HTTP_MILLRACE_VAR_REJECTED:
        p = ngx_sprintf(p, "%ui", ctx->rejected);
        break;

    case NGX_HTTP_MILLRACE_VAR_BYTES:
        p = ngx_sprintf(p, "%uz", ctx->bytes);
        break;

    default:
        p = ngx_sprintf(p, "%uL.%03uL", ctx->ack_time / 1000000,
            ctx->ack_time / 1000 % 1000);
    }

    v->len = (unsigned) (p - v->data) & 0xfffffff;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_millrace_ready_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_millrace_variable_text(
        v, ngx_http_millrace_state_text(ngx_http_millrace_ready_state(r)));

    return NGX_OK;
}


static void
ngx_http_millrace_variable_text(ngx_http_variable_value_t *v, const char *text)
{
    v->data = (u_char *) text;
    v->len = (unsigned) ngx_strlen(text) & 0xfffffff;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}
