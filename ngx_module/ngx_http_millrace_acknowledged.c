/*
 * The content handler of millrace_acknowledged: how many events Kafka has
 * acknowledged, by topic and minute, as JSON for millrace-audit.
 */
#include "ngx_http_millrace.h"

#include <millrace/hash.h>


static ngx_int_t ngx_http_millrace_acknowledged_handler(ngx_http_request_t *r);
static int ngx_http_millrace_acknowledged_write(
    mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf);
static int ngx_http_millrace_acknowledged_topic(
    mr_buf_t *buf, ngx_shm_zone_t *zone, ngx_str_t *topic);


char *
ngx_http_millrace_acknowledged(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_millrace_module);
    mmcf->status = 1;

    return ngx_http_millrace_answers(
        cf, cmd, conf, ngx_http_millrace_acknowledged_handler);
}


uint64_t
ngx_http_millrace_topic_hash(ngx_str_t *topic)
{
    return mr_hash((mr_str_t){(char *) topic->data, topic->len}).lo;
}


static ngx_int_t
ngx_http_millrace_acknowledged_handler(ngx_http_request_t *r)
{
    return ngx_http_millrace_tell(r,
        "acknowledged events are asked for with GET or HEAD",
        mr_str("application/json"), ngx_http_millrace_acknowledged_write);
}


static int
ngx_http_millrace_acknowledged_write(
    mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf)
{
    int failed;
    ngx_str_t *topic;
    ngx_uint_t i;

    failed = mr_buf_printf(buf, "{\"topics\":[");
    topic = mmcf->topics.elts;

    for (i = 0; i < mmcf->topics.nelts; i++) {
        failed |= mr_buf_printf(buf, "%s", i > 0 ? "," : "");
        failed |=
            ngx_http_millrace_acknowledged_topic(buf, mmcf->zone, &topic[i]);
    }

    failed |= mr_buf_printf(buf, "]}\n");

    return failed;
}


/* A topic's name needs no escapes: the directive has checked it. */
static int
ngx_http_millrace_acknowledged_topic(
    mr_buf_t *buf, ngx_shm_zone_t *zone, ngx_str_t *topic)
{
    int failed;
    ngx_uint_t i, n;
    ngx_http_millrace_minute_t minutes[NGX_HTTP_MILLRACE_MINUTES_ALL];

    n = ngx_http_millrace_counters_minutes(
        zone, ngx_http_millrace_topic_hash(topic), minutes);

    failed = mr_buf_printf(buf, "{\"topic\":\"%.*s\",\"minutes\":[",
        (int) topic->len, (char *) topic->data);

    for (i = 0; i < n; i++) {
        failed |= mr_buf_printf(buf, "%s{\"minute\":%lu,\"acknowledged\":%lu}",
            i > 0 ? "," : "", (unsigned long) minutes[i].minute * 60,
            (unsigned long) minutes[i].events);
    }

    failed |= mr_buf_printf(buf, "]}");

    return failed;
}
