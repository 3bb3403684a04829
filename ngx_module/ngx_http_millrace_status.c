/* The content handler of millrace_status: Prometheus' text format 0.0.4. */
#include "ngx_http_millrace.h"


#define NGX_HTTP_MILLRACE_NAMED(name) "millrace_ingest_" name


typedef struct {
    ngx_http_millrace_counter_t counter;
    const char *name; /* NULL: the family of the one before */
    const char *help;
    const char *outcome; /* the labels, or NULL */
    const char *reason;
} ngx_http_millrace_metric_t;


static ngx_int_t ngx_http_millrace_status_handler(ngx_http_request_t *r);
static int ngx_http_millrace_status_write(
    mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf);
static int ngx_http_millrace_status_family(
    mr_buf_t *buf, const char *name, const char *type, const char *help);
static int ngx_http_millrace_status_gauge(
    mr_buf_t *buf, const char *name, const char *help, uint64_t value);
static int ngx_http_millrace_status_histogram(
    mr_buf_t *buf, ngx_http_millrace_counts_t *counts);


/* clang-format off */

static ngx_http_millrace_metric_t ngx_http_millrace_metrics[] = {

    { NGX_HTTP_MILLRACE_ACCEPTED,
      NGX_HTTP_MILLRACE_NAMED("requests_total"),
      "POST requests by outcome.",
      "accepted", NULL },
    { NGX_HTTP_MILLRACE_INVALID, NULL, NULL,
      "rejected", "invalid_event" },
    { NGX_HTTP_MILLRACE_MALFORMED, NULL, NULL,
      "rejected", "malformed" },
    { NGX_HTTP_MILLRACE_TOO_LARGE, NULL, NULL,
      "rejected", "too_large" },
    { NGX_HTTP_MILLRACE_UNSUPPORTED, NULL, NULL,
      "rejected", "unsupported" },
    { NGX_HTTP_MILLRACE_SLOW, NULL, NULL,
      "rejected", "slow_body" },
    { NGX_HTTP_MILLRACE_QUEUE_FULL, NULL, NULL,
      "unavailable", "queue_full" },
    { NGX_HTTP_MILLRACE_UNACKNOWLEDGED, NULL, NULL,
      "unavailable", "not_acknowledged" },
    { NGX_HTTP_MILLRACE_TOPIC_MISSING, NULL, NULL,
      "unavailable", "topic_missing" },
    { NGX_HTTP_MILLRACE_KAFKA_AWAY, NULL, NULL,
      "unavailable", "kafka_away" },
    { NGX_HTTP_MILLRACE_PRODUCER_MISSING, NULL, NULL,
      "unavailable", "producer_missing" },
    { NGX_HTTP_MILLRACE_KAFKA_ERROR, NULL, NULL,
      "unavailable", "kafka_error" },
    { NGX_HTTP_MILLRACE_NO_MEMORY, NULL, NULL,
      "unavailable", "no_memory" },
    { NGX_HTTP_MILLRACE_ABORTED, NULL, NULL,
      "aborted", NULL },
    { NGX_HTTP_MILLRACE_FAILED, NULL, NULL,
      "failed", NULL },

    { NGX_HTTP_MILLRACE_EVENTS_ACCEPTED,
      NGX_HTTP_MILLRACE_NAMED("events_total"),
      "Events by outcome.",
      "accepted", NULL },
    { NGX_HTTP_MILLRACE_EVENTS_SYNTAX, NULL, NULL,
      "rejected", "syntax" },
    { NGX_HTTP_MILLRACE_EVENTS_FORMAT, NULL, NULL,
      "rejected", "format" },
    { NGX_HTTP_MILLRACE_EVENTS_POLICY, NULL, NULL,
      "rejected", "policy" },
    { NGX_HTTP_MILLRACE_EVENTS_REFUSED, NULL, NULL,
      "refused", NULL },
    { NGX_HTTP_MILLRACE_EVENTS_UNACKNOWLEDGED, NULL, NULL,
      "unavailable", NULL },
    { NGX_HTTP_MILLRACE_EVENTS_ABORTED, NULL, NULL,
      "aborted", NULL },

    { NGX_HTTP_MILLRACE_BODY_BYTES,
      NGX_HTTP_MILLRACE_NAMED("body_bytes_total"),
      "Bytes of the bodies that were read, inflated.", NULL, NULL },

    { NGX_HTTP_MILLRACE_ACCEPTED_BYTES,
      NGX_HTTP_MILLRACE_NAMED("accepted_bytes_total"),
      "Bytes of the accepted events, with their keys.", NULL, NULL },

    { NGX_HTTP_MILLRACE_DELIVERED,
      NGX_HTTP_MILLRACE_NAMED("delivered_events_total"),
      "Events that Kafka has acknowledged, whether or not anybody still "
      "waited for it.", NULL, NULL },

    { NGX_HTTP_MILLRACE_DELIVERY_ERRORS,
      NGX_HTTP_MILLRACE_NAMED("delivery_errors_total"),
      "Produced events that were given up without an acknowledgement.",
      NULL, NULL },

    { NGX_HTTP_MILLRACE_PRODUCE_ERRORS,
      NGX_HTTP_MILLRACE_NAMED("produce_errors_total"),
      "Events that librdkafka did not take.", NULL, NULL },

    { NGX_HTTP_MILLRACE_PRODUCERS,
      NGX_HTTP_MILLRACE_NAMED("producers_created_total"),
      "Kafka producers created: one a worker, and its replacements.",
      NULL, NULL },

    { NGX_HTTP_MILLRACE_PRODUCER_FAILURES,
      NGX_HTTP_MILLRACE_NAMED("producer_failures_total"),
      "Kafka producers that could not be created.", NULL, NULL },

    { NGX_HTTP_MILLRACE_FATAL_ERRORS,
      NGX_HTTP_MILLRACE_NAMED("producer_fatal_errors_total"),
      "Kafka producers that were replaced after a fatal error.", NULL, NULL },

    { NGX_HTTP_MILLRACE_UNDECIDED, NULL, NULL, NULL, NULL }
};

/* clang-format on */


char *
ngx_http_millrace_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_millrace_module);
    mmcf->status = 1;

    return ngx_http_millrace_answers(
        cf, cmd, conf, ngx_http_millrace_status_handler);
}


const char *
ngx_http_millrace_outcome_text(ngx_http_millrace_counter_t outcome)
{
    ngx_http_millrace_metric_t *metric;

    for (metric = ngx_http_millrace_metrics;
         metric->counter != NGX_HTTP_MILLRACE_UNDECIDED; metric++)
    {
        if (metric->counter == outcome) {
            return metric->reason ? metric->reason : metric->outcome;
        }
    }

    return "undecided";
}


static ngx_int_t
ngx_http_millrace_status_handler(ngx_http_request_t *r)
{
    return ngx_http_millrace_tell(r, "counters are asked for with GET or HEAD",
        mr_str("text/plain; version=0.0.4; charset=utf-8"),
        ngx_http_millrace_status_write);
}


static int
ngx_http_millrace_status_write(
    mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf)
{
    int failed;
    const char *name;
    ngx_http_millrace_counts_t counts;
    ngx_http_millrace_metric_t *metric;

    ngx_http_millrace_counters_sum(mmcf->zone, &counts);

    failed = 0;
    name = NULL;

    for (metric = ngx_http_millrace_metrics;
         metric->counter != NGX_HTTP_MILLRACE_UNDECIDED; metric++)
    {
        if (metric->name) {
            name = metric->name;
            failed |= ngx_http_millrace_status_family(
                buf, name, "counter", metric->help);
        }

        failed |= mr_buf_printf(buf, "%s", name);

        if (metric->outcome) {
            failed |= mr_buf_printf(buf, "{outcome=\"%s\"", metric->outcome);

            if (metric->reason) {
                failed |= mr_buf_printf(buf, ",reason=\"%s\"", metric->reason);
            }

            failed |= mr_buf_append(buf, "}", 1);
        }

        failed |= mr_buf_printf(
            buf, " %lu\n", (unsigned long) counts.counters[metric->counter]);
    }

    failed |= ngx_http_millrace_status_gauge(buf,
        NGX_HTTP_MILLRACE_NAMED("queue_events"),
        "Events that wait for Kafka now.", counts.queue_events);
    failed |= ngx_http_millrace_status_gauge(buf,
        NGX_HTTP_MILLRACE_NAMED("queue_bytes"),
        "Memory reserved for them and for copies of bodies, in bytes.",
        counts.queue_bytes);
    failed |=
        ngx_http_millrace_status_gauge(buf, NGX_HTTP_MILLRACE_NAMED("workers"),
            "nginx worker processes.", counts.workers);

    failed |= ngx_http_millrace_status_histogram(buf, &counts);

    return failed ? -1 : 0;
}


static int
ngx_http_millrace_status_family(
    mr_buf_t *buf, const char *name, const char *type, const char *help)
{
    return mr_buf_printf(
        buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}


static int
ngx_http_millrace_status_gauge(
    mr_buf_t *buf, const char *name, const char *help, uint64_t value)
{
    int failed;

    failed = ngx_http_millrace_status_family(buf, name, "gauge", help);
    failed |= mr_buf_printf(buf, "%s %lu\n", name, (unsigned long) value);

    return failed;
}


static int
ngx_http_millrace_status_histogram(
    mr_buf_t *buf, ngx_http_millrace_counts_t *counts)
{
    int failed;
    uint64_t n;
    ngx_uint_t i;
    static const char name[] = NGX_HTTP_MILLRACE_NAMED("ack_seconds");

    failed = ngx_http_millrace_status_family(buf, name, "histogram",
        "Time from an accepted request's first event produced to its last "
        "one acknowledged.");

    n = 0;

    for (i = 0; i < NGX_HTTP_MILLRACE_BUCKETS; i++) {
        n += counts->buckets[i];
        failed |= mr_buf_printf(buf, "%s_bucket{le=\"%g\"} %lu\n", name,
            (double) ngx_http_millrace_bounds[i] / 1e6, (unsigned long) n);
    }

    n += counts->buckets[i];

    failed |= mr_buf_printf(
        buf, "%s_bucket{le=\"+Inf\"} %lu\n", name, (unsigned long) n);
    failed |= mr_buf_printf(buf, "%s_sum %lu.%06lu\n", name,
        (unsigned long) (counts->ack_time / 1000000),
        (unsigned long) (counts->ack_time % 1000000));
    failed |= mr_buf_printf(buf, "%s_count %lu\n", name, (unsigned long) n);

    return failed;
}
