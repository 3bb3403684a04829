/*
 * A daemon's metrics as Prometheus text, on its own loopback port:
 * GET /metrics and GET /healthz, served by libmicrohttpd in its own thread.
 */
#ifndef MILLRACE_METRICS_H
#define MILLRACE_METRICS_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


typedef struct mr_metric_s mr_metric_t;

typedef enum {
    MR_METRIC_COUNTER,
    MR_METRIC_GAUGE,
    MR_METRIC_SECONDS,  /* a counter that is added to in ms */
    MR_METRIC_HISTOGRAM /* of durations; its name ends with _seconds */
} mr_metric_type_t;


/*
 * Register a metric, or find the one of the same name and labels.  `name`
 * follows Prometheus' conventions (millrace_writer_events_stored_total);
 * `labels` is the inside of the braces (`partition="3"`) or "".  All strings
 * are copied.  The registry lives as long as the process; NULL on out of
 * memory, and every function below accepts NULL.  Any thread.
 */
mr_metric_t *mr_metric(mr_metric_type_t type, const char *name,
    const char *labels, const char *help);

/*
 * Any thread, without a lock.  A counter of seconds is added to and set in
 * ms; a histogram is only observed.
 */
void mr_metric_add(mr_metric_t *metric, int64_t value);
void mr_metric_set(mr_metric_t *metric, double value);

/* A duration in ms, into a histogram; below 0 counts as 0. */
void mr_metric_observe(mr_metric_t *metric, int64_t ms);

/*
 * Append name="value" to the labels in `buf`, after a comma where something
 * stands there already, with the value escaped as the format wants it.
 * -1, with `buf` as it was, if it does not fit.
 */
int mr_metric_label(
    char *buf, size_t size, const char *name, const char *value);


/*
 * Set what is asked of the operating system at each scrape: the process_*
 * metrics that Prometheus' own clients have, and millrace_build_info.  Any
 * thread.
 */
void mr_metrics_process(void);

/*
 * Append the registry to `buf` in text format 0.0.4, sorted by name and
 * labels.  -1 on out of memory.  Any thread.
 */
int mr_metrics_write(mr_buf_t *buf);

/*
 * Serve on "address:port", once a process; fails with MR_ERROR_SYSTEM when
 * it is taken.  Main thread.
 */
int mr_metrics_start(const char *listen, mr_error_t *err);
void mr_metrics_stop(void);

#endif /* MILLRACE_METRICS_H */
