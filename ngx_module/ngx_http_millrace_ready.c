/* Readiness: the content handler of millrace_ready, and $millrace_ready. */
#include "ngx_http_millrace.h"


static ngx_int_t ngx_http_millrace_ready_handler(ngx_http_request_t *r);
static ngx_http_millrace_state_t ngx_http_millrace_ready_state(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_millrace_ready_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


static ngx_str_t ngx_http_millrace_ready_name = ngx_string("millrace_ready");


char *
ngx_http_millrace_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    ngx_http_core_loc_conf_t *clcf;

    if (mlcf->ready) {
        return "is duplicate";
    }

    mlcf->ready = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_millrace_ready_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_millrace_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var;

    var = ngx_http_add_variable(
        cf, &ngx_http_millrace_ready_name, NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_millrace_ready_variable;

    return NGX_OK;
}


static ngx_int_t
ngx_http_millrace_ready_handler(ngx_http_request_t *r)
{
    char detail[96];
    ngx_int_t rc;
    ngx_http_millrace_state_t state;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {

        if (ngx_http_millrace_header(r, "Allow", "GET, HEAD") != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_millrace_send_problem(r, NGX_HTTP_NOT_ALLOWED,
            "readiness is asked for with GET or HEAD", NULL, 0);
    }

    if (ngx_http_millrace_header(r, "Cache-Control", "no-store") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    state = ngx_http_millrace_ready_state(r);

    if (state == NGX_HTTP_MILLRACE_OK) {
        return ngx_http_millrace_send(r, NGX_HTTP_OK,
            mr_str("application/json"), mr_str("{\"status\":\"ok\"}\n"));
    }

    (void) ngx_snprintf((u_char *) detail, sizeof(detail),
        "events cannot be taken: %s%Z", ngx_http_millrace_state_text(state));

    return ngx_http_millrace_send_unavailable(r, detail);
}


/*
 * The state of the location's topic; in a location whose topic takes no part
 * in anything, the worst of all.
 */
static ngx_http_millrace_state_t
ngx_http_millrace_ready_state(ngx_http_request_t *r)
{
    ngx_uint_t i;
    ngx_str_t *topic;
    ngx_http_millrace_state_t state, worst;
    ngx_http_millrace_worker_t *worker;
    ngx_http_millrace_loc_conf_t *mlcf;
    ngx_http_millrace_main_conf_t *mmcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_millrace_module);
    mmcf = ngx_http_get_module_main_conf(r, ngx_http_millrace_module);

    worker = ngx_http_millrace_worker(mmcf);

    if (worker == NULL) {
        return NGX_HTTP_MILLRACE_NO_PRODUCER;
    }

    worst = NGX_HTTP_MILLRACE_OK;
    topic = mmcf->topics.elts;

    for (i = 0; i < mmcf->topics.nelts; i++) {
        state = ngx_http_millrace_state(worker, i);

        if (topic[i].len == mlcf->topic.len
            && ngx_strncmp(topic[i].data, mlcf->topic.data, topic[i].len) == 0)
        {
            return state;
        }

        if (state != NGX_HTTP_MILLRACE_OK) {
            worst = state;
        }
    }

    return worst;
}


static ngx_int_t
ngx_http_millrace_ready_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const char *text;

    text = ngx_http_millrace_state_text(ngx_http_millrace_ready_state(r));

    v->data = (u_char *) text;
    v->len = (unsigned) ngx_strlen(text) & 0xfffffff;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
