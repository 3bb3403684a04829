/* Readiness: the content handler of millrace_ready. */
#include "ngx_http_millrace.h"


static ngx_int_t ngx_http_millrace_ready_handler(ngx_http_request_t *r);


char *
ngx_http_millrace_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    mlcf->ready = 1;

    return ngx_http_millrace_answers(
        cf, cmd, mlcf, ngx_http_millrace_ready_handler);
}


static ngx_int_t
ngx_http_millrace_ready_handler(ngx_http_request_t *r)
{
    char detail[96];
    ngx_int_t rc;
    ngx_http_millrace_state_t state;

    rc = ngx_http_millrace_only_get(
        r, "readiness is asked for with GET or HEAD");

    if (rc != NGX_DECLINED) {
        return rc;
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


ngx_http_millrace_state_t
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
