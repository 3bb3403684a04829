#include <math.h>
#include <string.h>

#include <millrace/json.h>

#include "stats_render.h"


static int mr_stats_render_numbers(
    mr_buf_t *buf, const mr_point_t *point, int64_t elapsed);
static int mr_stats_render_real(
    mr_buf_t *buf, const char *name, int known, double value);


int
mr_stats_render_head(mr_buf_t *buf, const mr_stats_plan_t *plan)
{
    if (mr_buf_printf(
            buf, "{\"time_interval\":\"%s\",\"from\":", plan->interval->name)
            == -1
        || mr_json_time(buf, plan->from) == -1
        || mr_buf_append(buf, ",\"to\":", 6) == -1
        || mr_json_time(buf, plan->to) == -1)
    {
        return -1;
    }

    return 0;
}


int
mr_stats_render_merged(mr_buf_t *buf, const mr_merged_t *merged, int64_t now)
{
    int64_t lag;

    if (!merged->known) {
        return mr_buf_printf(buf, ",\"as_of\":null,\"lag_seconds\":null");
    }

    lag = now > merged->as_of ? now - merged->as_of : 0;

    if (mr_buf_printf(buf, ",\"as_of\":") == -1
        || mr_json_time(buf, merged->as_of) == -1
        || mr_buf_printf(buf, ",\"lag_seconds\":") == -1
        || mr_json_time(buf, lag) == -1)
    {
        return -1;
    }

    return 0;
}


int
mr_stats_render_tail(mr_buf_t *buf, const mr_stats_plan_t *plan,
    const mr_point_t *total, const mr_buf_t *points, const mr_buf_t *partial,
    int64_t now)
{
    if (mr_buf_printf(buf, ",\"total\":{") == -1
        || mr_stats_render_numbers(
               buf, total, mr_stats_elapsed(plan->from, plan->to, now))
               == -1
        || mr_buf_printf(buf, "},\"series\":[") == -1
        || (points->len > 0
            && mr_buf_append(buf, points->data, points->len) == -1)
        || (partial->len > 0
            && (mr_buf_printf(buf, "],\"partial\":[") == -1
                || mr_buf_append(buf, partial->data, partial->len) == -1))
        || mr_buf_append(buf, "]}\n", 3) == -1)
    {
        return -1;
    }

    return 0;
}


int
mr_stats_render_point(mr_buf_t *buf, const mr_stats_plan_t *plan, size_t index,
    const mr_str_t *event_type, const mr_point_t *point, int64_t now, int first)
{
    int64_t start, length;

    length = plan->interval->length;
    start = plan->from + (int64_t) index * length;

    if (mr_buf_printf(buf, "%s{\"event_type\":", first ? "" : ",") == -1
        || (event_type != NULL ? mr_json_string(buf, *event_type)
                               : mr_buf_append(buf, "null", 4))
               == -1
        || mr_buf_append(buf, ",\"start\":", 9) == -1
        || mr_json_time(buf, start) == -1 || mr_buf_append(buf, ",", 1) == -1
        || mr_stats_render_numbers(
               buf, point, mr_stats_elapsed(start, start + length, now))
               == -1)
    {
        return -1;
    }

    return mr_buf_append(buf, "}", 1);
}


int
mr_stats_etag_matches(const char *header, const char *etag)
{
    size_t len, wanted;
    const char *p;

    /* Weak comparison looks at the quoted part alone. */
    etag = strchr(etag, '"');

    if (header == NULL || etag == NULL) {
        return 0;
    }

    wanted = strlen(etag);

    p = header + strspn(header, " \t");

    if (p[0] == '*' && p[1 + strspn(p + 1, " \t")] == '\0') {
        return 1;
    }

    while (*p != '\0') {
        p += strspn(p, " \t,");

        if (strncmp(p, "W/", 2) == 0) {
            p += 2;
        }

        len = p[0] == '"' ? 1 + strcspn(p + 1, "\"") + 1 : strcspn(p, ",");

        if (len == wanted && strncmp(p, etag, len) == 0) {
            return 1;
        }

        p += strnlen(p, len);
    }

    return 0;
}


/* A measure that nobody sent is null, not 0, as is what cannot be known. */
static int
mr_stats_render_numbers(mr_buf_t *buf, const mr_point_t *point, int64_t elapsed)
{
    int known, ranked;
    double average, rate;
    const mr_measure_stats_t *measure;

    measure = &point->measure;
    known = measure->count > 0;
    ranked = known && !point->unranked;
    average = known ? measure->sum / (double) measure->count : 0;
    rate = elapsed > 0 ? (double) point->count * 1000.0 / (double) elapsed : 0;

    if (mr_buf_append(buf, "\"count\":", 8) == -1
        || mr_json_integer(buf, point->count) == -1
        || mr_stats_render_real(buf, "rate", 1, rate) == -1
        || mr_buf_append(buf, ",\"measured\":", 12) == -1
        || mr_json_integer(buf, measure->count) == -1
        || mr_stats_render_real(buf, "average", known, average) == -1
        || mr_stats_render_real(buf, "sum", known, measure->sum) == -1
        || mr_stats_render_real(buf, "min", known, measure->min) == -1
        || mr_stats_render_real(buf, "max", known, measure->max) == -1
        || mr_stats_render_real(buf, "p50", ranked, point->quantiles[0]) == -1
        || mr_stats_render_real(buf, "p95", ranked, point->quantiles[1]) == -1
        || mr_stats_render_real(buf, "p99", ranked, point->quantiles[2]) == -1
        || mr_buf_append(buf, ",\"unique_users\":", 16) == -1
        || (point->unestimated ? mr_buf_append(buf, "null", 4)
                               : mr_json_integer(buf, point->unique_users))
               == -1)
    {
        return -1;
    }

    return 0;
}


static int
mr_stats_render_real(mr_buf_t *buf, const char *name, int known, double value)
{
    if (mr_buf_printf(buf, ",\"%s\":", name) == -1) {
        return -1;
    }

    if (!known || !isfinite(value)) {
        return mr_buf_append(buf, "null", 4);
    }

    return mr_json_real(buf, value);
}
