#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"


#define MR_METRIC_BOUNDS (sizeof(mr_metric_bounds) / sizeof(int64_t))


struct mr_metric_s {
    char *name;
    char *labels;
    char *help;
    mr_metric_type_t type;

    /* A counter's integer, a gauge's double by its bits, or a sum of ms. */
    _Atomic uint64_t value;

    /* Of a histogram: how many were in each, the last one without a bound. */
    _Atomic uint64_t *buckets;
};


static mr_metric_t *mr_metric_create(mr_metric_type_t type, const char *name,
    const char *labels, const char *help);
static int mr_metric_cmp(
    const mr_metric_t *metric, const char *name, const char *labels);
static int mr_metrics_write_head(mr_buf_t *buf, const mr_metric_t *metric);
static int mr_metrics_write_value(mr_buf_t *buf, mr_metric_t *metric);
static int mr_metrics_write_histogram(mr_buf_t *buf, mr_metric_t *metric);
static int mr_metrics_write_name(mr_buf_t *buf, const mr_metric_t *metric,
    const char *suffix, const char *more);
static int mr_metrics_write_seconds(mr_buf_t *buf, uint64_t ms);
static double mr_metric_double(uint64_t bits);
static uint64_t mr_metric_bits(double value);


/* ms */
static const int64_t mr_metric_bounds[] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};

static pthread_mutex_t mr_metrics_mutex = PTHREAD_MUTEX_INITIALIZER;
static mr_metric_t **mr_metrics; /* sorted by name and labels */
static size_t mr_metrics_n;
static size_t mr_metrics_size;


mr_metric_t *
mr_metric(mr_metric_type_t type, const char *name, const char *labels,
    const char *help)
{
    int cmp;
    size_t low, high, middle, size;
    mr_metric_t *metric, **list;

    metric = NULL;

    pthread_mutex_lock(&mr_metrics_mutex);

    low = 0;
    high = mr_metrics_n;

    while (low < high) {

        middle = low + (high - low) / 2;
        cmp = mr_metric_cmp(mr_metrics[middle], name, labels);

        if (cmp == 0) {
            metric = mr_metrics[middle];
            goto done;
        }

        if (cmp < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (mr_metrics_n == mr_metrics_size) {

        size = mr_metrics_size == 0 ? 64 : mr_metrics_size * 2;
        list = realloc(mr_metrics, size * sizeof(mr_metric_t *));

        if (list == NULL) {
            goto done;
        }

        mr_metrics = list;
        mr_metrics_size = size;
    }

    metric = mr_metric_create(type, name, labels, help);

    if (metric == NULL) {
        goto done;
    }

    memmove(mr_metrics + low + 1, mr_metrics + low,
        (mr_metrics_n - low) * sizeof(mr_metric_t *));

    mr_metrics[low] = metric;
    mr_metrics_n++;

done:

    pthread_mutex_unlock(&mr_metrics_mutex);

    return metric;
}


void
mr_metric_add(mr_metric_t *metric, int64_t value)
{
    uint64_t old, new;

    if (metric == NULL) {
        return;
    }

    if (metric->type != MR_METRIC_GAUGE) {
        atomic_fetch_add_explicit(
            &metric->value, (uint64_t) value, memory_order_relaxed);
        return;
    }

    old = atomic_load_explicit(&metric->value, memory_order_relaxed);

    do {
        new = mr_metric_bits(mr_metric_double(old) + (double) value);
    } while (!atomic_compare_exchange_weak_explicit(
        &metric->value, &old, new, memory_order_relaxed, memory_order_relaxed));
}


void
mr_metric_set(mr_metric_t *metric, double value)
{
    if (metric == NULL) {
        return;
    }

    atomic_store_explicit(&metric->value,
        metric->type == MR_METRIC_GAUGE ? mr_metric_bits(value)
                                        : (uint64_t) llround(value),
        memory_order_relaxed);
}


void
mr_metric_observe(mr_metric_t *metric, int64_t ms)
{
    size_t i;

    if (metric == NULL) {
        return;
    }

    if (ms < 0) {
        ms = 0;
    }

    for (i = 0; i < MR_METRIC_BOUNDS && ms > mr_metric_bounds[i]; i++) {
        /* void */
    }

    atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(
        &metric->value, (uint64_t) ms, memory_order_relaxed);
}


int
mr_metric_label(char *buf, size_t size, const char *name, const char *value)
{
    size_t start, len, name_len;
    const char *p;

    start = strlen(buf);
    name_len = strlen(name);

    /* comma, name, =, two quotes, NUL */
    if (start + name_len + 5 > size) {
        return -1;
    }

    len = start;

    if (len > 0) {
        buf[len++] = ',';
    }

    memcpy(buf + len, name, name_len);
    len += name_len;
    buf[len++] = '=';
    buf[len++] = '"';

    for (p = value; *p != '\0'; p++) {

        /* Two bytes for this one, then the quote and NUL. */
        if (len + 4 > size) {
            buf[start] = '\0';
            return -1;
        }

        if (*p == '\\' || *p == '"' || *p == '\n') {
            buf[len++] = '\\';
        }

        buf[len++] = *p == '\n' ? 'n' : *p;
    }

    buf[len++] = '"';
    buf[len] = '\0';

    return 0;
}


int
mr_metrics_write(mr_buf_t *buf)
{
    int rc;
    size_t i;

    rc = 0;

    pthread_mutex_lock(&mr_metrics_mutex);

    for (i = 0; i < mr_metrics_n && rc == 0; i++) {

        if (i == 0 || strcmp(mr_metrics[i - 1]->name, mr_metrics[i]->name) != 0)
        {
            rc = mr_metrics_write_head(buf, mr_metrics[i]);
        }

        if (rc == 0) {
            rc = mr_metrics_write_value(buf, mr_metrics[i]);
        }
    }

    pthread_mutex_unlock(&mr_metrics_mutex);

    return rc;
}


static mr_metric_t *
mr_metric_create(mr_metric_type_t type, const char *name, const char *labels,
    const char *help)
{
    mr_metric_t *metric;

    metric = calloc(1, sizeof(mr_metric_t));

    if (metric == NULL) {
        return NULL;
    }

    metric->type = type;
    metric->name = strdup(name);
    metric->labels = strdup(labels);
    metric->help = strdup(help);

    if (type == MR_METRIC_HISTOGRAM) {
        metric->buckets =
            calloc(MR_METRIC_BOUNDS + 1, sizeof(metric->buckets[0]));
    }

    if (metric->name == NULL || metric->labels == NULL || metric->help == NULL
        || (type == MR_METRIC_HISTOGRAM && metric->buckets == NULL))
    {
        free(metric->buckets);
        free(metric->name);
        free(metric->labels);
        free(metric->help);
        free(metric);
        return NULL;
    }

    /* The bits of 0.0 are those of 0. */
    atomic_init(&metric->value, 0);

    return metric;
}


static int
mr_metric_cmp(const mr_metric_t *metric, const char *name, const char *labels)
{
    int cmp;

    cmp = strcmp(metric->name, name);

    return cmp != 0 ? cmp : strcmp(metric->labels, labels);
}


static int
mr_metrics_write_head(mr_buf_t *buf, const mr_metric_t *metric)
{
    int rc;
    const char *p;
    static const char *const types[] = {
        [MR_METRIC_COUNTER] = "counter",
        [MR_METRIC_GAUGE] = "gauge",
        [MR_METRIC_SECONDS] = "counter",
        [MR_METRIC_HISTOGRAM] = "histogram",
    };

    if (mr_buf_printf(buf, "# HELP %s ", metric->name) == -1) {
        return -1;
    }

    for (p = metric->help; *p != '\0'; p++) {

        if (*p == '\n') {
            rc = mr_buf_append(buf, "\\n", 2);

        } else if (*p == '\\') {
            rc = mr_buf_append(buf, "\\\\", 2);

        } else {
            rc = mr_buf_append(buf, p, 1);
        }

        if (rc == -1) {
            return -1;
        }
    }

    return mr_buf_printf(
        buf, "\n# TYPE %s %s\n", metric->name, types[metric->type]);
}


static int
mr_metrics_write_value(mr_buf_t *buf, mr_metric_t *metric)
{
    double value;
    uint64_t bits;

    if (metric->type == MR_METRIC_HISTOGRAM) {
        return mr_metrics_write_histogram(buf, metric);
    }

    bits = atomic_load_explicit(&metric->value, memory_order_relaxed);

    if (mr_metrics_write_name(buf, metric, "", "") == -1) {
        return -1;
    }

    if (metric->type == MR_METRIC_SECONDS) {
        return mr_metrics_write_seconds(buf, bits);
    }

    if (metric->type == MR_METRIC_COUNTER) {
        return mr_buf_printf(buf, "%llu\n", (unsigned long long) bits);
    }

    value = mr_metric_double(bits);

    if (isnan(value)) {
        return mr_buf_printf(buf, "NaN\n");
    }

    if (isinf(value)) {
        return mr_buf_printf(buf, value > 0 ? "+Inf\n" : "-Inf\n");
    }

    return mr_buf_printf(buf, "%.17g\n", value);
}


/*
 * The buckets add up as they are written, and so does the count: a reader
 * sees a histogram that is right in itself while others observe.
 */
static int
mr_metrics_write_histogram(mr_buf_t *buf, mr_metric_t *metric)
{
    int rc;
    char le[40];
    size_t i;
    uint64_t n, sum;

    rc = 0;
    n = 0;
    sum = atomic_load_explicit(&metric->value, memory_order_relaxed);

    for (i = 0; i <= MR_METRIC_BOUNDS; i++) {

        n += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);

        if (i < MR_METRIC_BOUNDS) {
            (void) snprintf(le, sizeof(le), "le=\"%g\"",
                (double) mr_metric_bounds[i] / 1000);

        } else {
            (void) snprintf(le, sizeof(le), "le=\"+Inf\"");
        }

        rc |= mr_metrics_write_name(buf, metric, "_bucket", le);
        rc |= mr_buf_printf(buf, "%llu\n", (unsigned long long) n);
    }

    rc |= mr_metrics_write_name(buf, metric, "_sum", "");
    rc |= mr_metrics_write_seconds(buf, sum);
    rc |= mr_metrics_write_name(buf, metric, "_count", "");
    rc |= mr_buf_printf(buf, "%llu\n", (unsigned long long) n);

    return rc == 0 ? 0 : -1;
}


/* Name, labels and a space; `more` is one more label, or "". */
static int
mr_metrics_write_name(mr_buf_t *buf, const mr_metric_t *metric,
    const char *suffix, const char *more)
{
    if (*metric->labels == '\0' && *more == '\0') {
        return mr_buf_printf(buf, "%s%s ", metric->name, suffix);
    }

    return mr_buf_printf(buf, "%s%s{%s%s%s} ", metric->name, suffix,
        metric->labels, *metric->labels == '\0' || *more == '\0' ? "" : ",",
        more);
}


static int
mr_metrics_write_seconds(mr_buf_t *buf, uint64_t ms)
{
    return mr_buf_printf(buf, "%llu.%03llu\n", (unsigned long long) (ms / 1000),
        (unsigned long long) (ms % 1000));
}


static double
mr_metric_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));

    return value;
}


static uint64_t
mr_metric_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));

    return bits;
}
