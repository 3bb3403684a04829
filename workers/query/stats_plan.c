#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <millrace/time.h>

#include "stats_plan.h"


#define MR_SECOND INT64_C(1000)
#define MR_MINUTE (60 * MR_SECOND)
#define MR_HOUR (60 * MR_MINUTE)
#define MR_DAY (24 * MR_HOUR)

#define MR_INTERVALS                                                           \
    "1, 2, 5, 10, 15 or 30 s or m; 1, 2, 3, 4, 6, 8 or 12 h; 1d"


static int mr_stats_plan_read(const mr_params_t *params,
    const mr_options_t *options, int64_t now, mr_stats_plan_t *plan,
    mr_error_t *err);
static int mr_stats_plan_types(
    const mr_params_t *params, mr_stats_plan_t *plan, mr_error_t *err);
static int mr_stats_plan_measure(const mr_params_t *params,
    const mr_options_t *options, mr_stats_plan_t *plan, mr_error_t *err);
static int mr_stats_plan_range(const mr_params_t *params, int64_t now,
    mr_stats_plan_t *plan, mr_error_t *err);
static int mr_stats_plan_kept(const mr_stats_plan_t *plan,
    const mr_options_t *options, int64_t now, mr_error_t *err);
static int mr_stats_kept(
    mr_width_t width, int64_t from, const mr_options_t *options, int64_t now);
static void mr_stats_span(
    mr_width_t width, int64_t from, int64_t to, mr_span_t *spans, size_t *n);
static int64_t mr_stats_clamp(int64_t time);


static const mr_interval_t mr_intervals[] = {
    {"1s", MR_SECOND, MR_WIDTH_SECOND},
    {"2s", 2 * MR_SECOND, MR_WIDTH_SECOND},
    {"5s", 5 * MR_SECOND, MR_WIDTH_SECOND},
    {"10s", 10 * MR_SECOND, MR_WIDTH_SECOND},
    {"15s", 15 * MR_SECOND, MR_WIDTH_SECOND},
    {"30s", 30 * MR_SECOND, MR_WIDTH_SECOND},
    {"1m", MR_MINUTE, MR_WIDTH_MINUTE},
    {"2m", 2 * MR_MINUTE, MR_WIDTH_MINUTE},
    {"5m", 5 * MR_MINUTE, MR_WIDTH_MINUTE},
    {"10m", 10 * MR_MINUTE, MR_WIDTH_MINUTE},
    {"15m", 15 * MR_MINUTE, MR_WIDTH_MINUTE},
    {"30m", 30 * MR_MINUTE, MR_WIDTH_MINUTE},
    {"1h", MR_HOUR, MR_WIDTH_HOUR},
    {"2h", 2 * MR_HOUR, MR_WIDTH_HOUR},
    {"3h", 3 * MR_HOUR, MR_WIDTH_HOUR},
    {"4h", 4 * MR_HOUR, MR_WIDTH_HOUR},
    {"6h", 6 * MR_HOUR, MR_WIDTH_HOUR},
    {"8h", 8 * MR_HOUR, MR_WIDTH_HOUR},
    {"12h", 12 * MR_HOUR, MR_WIDTH_HOUR},
    {"1d", MR_DAY, MR_WIDTH_DAY},
};


const mr_interval_t *
mr_interval_find(mr_str_t name)
{
    size_t i;

    for (i = 0; i < sizeof(mr_intervals) / sizeof(mr_intervals[0]); i++) {
        if (strlen(mr_intervals[i].name) == name.len
            && memcmp(mr_intervals[i].name, name.data, name.len) == 0)
        {
            return &mr_intervals[i];
        }
    }

    return NULL;
}


int
mr_stats_plan_create(const mr_params_t *params, const mr_options_t *options,
    int64_t now, mr_stats_plan_t *ret_plan, mr_error_t *err)
{
    mr_stats_plan_t plan;

    memset(&plan, 0, sizeof(plan));

    if (mr_stats_plan_read(params, options, now, &plan, err) == -1) {
        mr_stats_plan_free(&plan);
        return -1;
    }

    *ret_plan = plan;

    return 0;
}


void
mr_stats_plan_free(mr_stats_plan_t *plan)
{
    free(plan->types);
    plan->types = NULL;
}


int64_t
mr_stats_elapsed(int64_t from, int64_t to, int64_t now)
{
    int64_t elapsed;

    if (now <= from || now >= to) {
        return to - from;
    }

    elapsed = (now - from + MR_SECOND - 1) / MR_SECOND * MR_SECOND;

    return elapsed < to - from ? elapsed : to - from;
}


size_t
mr_stats_spans(const mr_stats_plan_t *plan, mr_span_t spans[MR_SPANS_OF_RANGE])
{
    size_t n;

    n = 0;

    if (plan->from % MR_MINUTE == 0 && plan->to % MR_MINUTE == 0) {
        mr_stats_span(MR_WIDTH_DAY, plan->from, plan->to, spans, &n);
    }

    return n;
}


int
mr_stats_points(size_t buckets, size_t series, mr_error_t *err)
{
    if (series > 0 && buckets > MR_POINTS_MAX / series) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "time_interval",
            "%zu buckets of %zu series are more than %d points; choose a "
            "longer time_interval, a shorter range or fewer event types",
            buckets, series, MR_POINTS_MAX);
    }

    return 0;
}


int
mr_stats_measure_unknown(const mr_options_t *options, mr_error_t *err)
{
    int len;
    char list[160];
    size_t i, used;

    used = 0;
    list[0] = '\0';

    for (i = 0; i < options->measures.n; i++) {
        len = snprintf(list + used, sizeof(list) - used, "%s%s",
            i > 0 ? ", " : "", options->measures.list[i].name);

        if (len > 0 && (size_t) len < sizeof(list) - used) {
            used += (size_t) len;
        }

        list[used] = '\0';
    }

    return mr_error_set(err, MR_ERROR_ARGUMENT, "measure",
        "measure must be one of those configured: %s",
        used > 0 ? list : "none is");
}


static int
mr_stats_plan_read(const mr_params_t *params, const mr_options_t *options,
    int64_t now, mr_stats_plan_t *plan, mr_error_t *err)
{
    mr_str_t text;

    if (mr_stats_plan_types(params, plan, err) == -1
        || mr_stats_plan_measure(params, options, plan, err) == -1)
    {
        return -1;
    }

    text = mr_params_get(params, "group_by");

    if (text.data != NULL) {

        if (!mr_str_eq(text, mr_str("event_type"))) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, "group_by",
                "group_by must be event_type, or be left out");
        }

        plan->grouped = 1;
    }

    text = mr_params_get(params, "time_interval");
    plan->interval = mr_interval_find(text.data != NULL ? text : mr_str("1m"));

    if (plan->interval == NULL) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "time_interval",
            "time_interval must be one of: " MR_INTERVALS " (5m, for one; "
            "the default is 1m)");
    }

    if (mr_stats_plan_range(params, now, plan, err) == -1
        || mr_stats_points(plan->buckets,
               plan->grouped && plan->n_types > 0 ? plan->n_types : 1, err)
               == -1)
    {
        return -1;
    }

    plan->merged =
        plan->interval->width != MR_WIDTH_SECOND
        && (plan->interval->length
                != mr_width_seconds(plan->interval->width) * MR_SECOND
            || (!plan->grouped && plan->n_types > 1));

    return mr_stats_plan_kept(plan, options, now, err);
}


static int
mr_stats_plan_types(
    const mr_params_t *params, mr_stats_plan_t *plan, mr_error_t *err)
{
    size_t i;

    if (mr_params_set(params, "event_type", &plan->types, &plan->n_types, err)
        == -1)
    {
        return -1;
    }

    for (i = 0; i < plan->n_types; i++) {
        if (mr_param_string(
                "event_type", plan->types[i], MR_EVENT_TYPE_MAX, err)
            == -1) {
            return -1;
        }
    }

    return 0;
}


static int
mr_stats_plan_measure(const mr_params_t *params, const mr_options_t *options,
    mr_stats_plan_t *plan, mr_error_t *err)
{
    size_t i;
    mr_str_t text;

    text = mr_params_get(params, "measure");

    if (text.data == NULL) {
        plan->measure =
            options->measures.n > 0 ? options->measures.list[0].name : NULL;
        return 0;
    }

    for (i = 0; i < options->measures.n; i++) {
        if (strlen(options->measures.list[i].name) == text.len
            && memcmp(options->measures.list[i].name, text.data, text.len) == 0)
        {
            plan->measure = options->measures.list[i].name;
            return 0;
        }
    }

    return mr_stats_measure_unknown(options, err);
}


static int
mr_stats_plan_range(const mr_params_t *params, int64_t now,
    mr_stats_plan_t *plan, mr_error_t *err)
{
    int64_t from, to, length;
    mr_str_t text_from, text_to;

    length = plan->interval->length;

    text_from = mr_params_get(params, "from");
    text_to = mr_params_get(params, "to");

    from = 0;
    to = mr_time_floor(now, length) + length;

    if (text_to.data != NULL && mr_param_time("to", text_to, &to, err) == -1) {
        return -1;
    }

    if (text_from.data != NULL
        && mr_param_time("from", text_from, &from, err) == -1)
    {
        return -1;
    }

    if (text_from.data != NULL && from > to) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "from",
            "from must not be later than to, which is by default the end of "
            "the current bucket");
    }

    to = mr_time_floor(mr_stats_clamp(to) + length - 1, length);

    if (text_from.data == NULL) {
        from = to - MR_BUCKETS_DEFAULT * length;
    }

    from = mr_time_floor(mr_stats_clamp(from), length);

    plan->from = from;
    plan->to = to;
    plan->buckets = (size_t) ((to - from) / length);

    return 0;
}


static int
mr_stats_plan_kept(const mr_stats_plan_t *plan, const mr_options_t *options,
    int64_t now, mr_error_t *err)
{
    char list[32];
    size_t used;
    mr_width_t width;

    if (mr_stats_kept(plan->interval->width, plan->from, options, now)) {
        return 0;
    }

    used = 0;
    list[0] = '\0';

    for (width = MR_WIDTH_SECOND; width < MR_WIDTHS; width++) {
        if (mr_stats_kept(width, plan->from, options, now)) {
            used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%s",
                used > 0 ? ", " : "", mr_width_name(width));
        }
    }

    return mr_error_set(err, MR_ERROR_ARGUMENT, "time_interval",
        "a time_interval of %s is made of %s windows, which are kept for "
        "%lld s; this range is served by %s and their multiples",
        plan->interval->name, mr_width_name(plan->interval->width),
        (long long) (mr_width_keep(plan->interval->width, options) / 1000),
        list);
}


/* A window is kept for so long after its end; it expires at that moment. */
static int
mr_stats_kept(
    mr_width_t width, int64_t from, const mr_options_t *options, int64_t now)
{
    int64_t keep;

    keep = mr_width_keep(width, options);

    return keep == 0 || from + mr_width_seconds(width) * MR_SECOND + keep > now;
}


/* As much of a range as is whole windows of `width`; the rest by narrower. */
static void
mr_stats_span(
    mr_width_t width, int64_t from, int64_t to, mr_span_t *spans, size_t *n)
{
    int64_t length, first, last;

    length = mr_width_seconds(width) * MR_SECOND;
    first = mr_time_floor(from + length - 1, length);
    last = mr_time_floor(to, length);

    if (from >= to) {
        return;
    }

    if (first >= last) {
        mr_stats_span(width - 1, from, to, spans, n);
        return;
    }

    if (from < first) {
        mr_stats_span(width - 1, from, first, spans, n);
    }

    spans[*n].width = width;
    spans[*n].from = first;
    spans[*n].to = last;
    (*n)++;

    if (last < to) {
        mr_stats_span(width - 1, last, to, spans, n);
    }
}


/* No event lies outside of these, and the arithmetic is safe inside. */
static int64_t
mr_stats_clamp(int64_t time)
{
    if (time < 0) {
        return 0;
    }

    return time > MR_TIMESTAMP_MAX ? MR_TIMESTAMP_MAX + 1 : time;
}
