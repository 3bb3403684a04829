#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>
#include <millrace/time.h>

#include "handlers.h"
#include "stats_plan.h"
#include "stats_render.h"


/* Seconds that an answer may be kept by a cache. */
#define MR_STATS_AGE_OPEN 1
#define MR_STATS_AGE_CLOSED 10

#define MR_STATS_ETAG 40


/* The buckets of the series that is being read, and the sum of them all. */
typedef struct {
    const mr_stats_plan_t *plan;
    mr_bucket_t *buckets;
    mr_bucket_t total;
    int64_t now;
    size_t series; /* rendered so far */
    mr_buf_t buf;
} mr_stats_t;


static int mr_stats_read(const mr_app_t *app, const mr_request_t *request,
    mr_stats_t *stats, mr_merged_t *ret_merged, mr_error_t *err);
static int mr_stats_series(mr_session_t *session, const mr_request_t *request,
    mr_stats_t *stats, mr_error_t *err);
static int mr_stats_every_type(mr_session_t *session,
    const mr_request_t *request, mr_stats_t *stats, mr_error_t *err);
static int mr_stats_add(mr_session_t *session, const mr_request_t *request,
    mr_stats_t *stats, mr_str_t event_type, mr_error_t *err);
static int mr_stats_window(
    void *ctx, int64_t start, int64_t count, const mr_measure_stats_t *measure);
static int mr_stats_finish(mr_stats_t *stats, const mr_str_t *event_type,
    int even_if_empty, mr_error_t *err);
static int mr_stats_answer(const mr_request_t *request, mr_stats_t *stats,
    const mr_merged_t *merged, mr_reply_t *reply, mr_error_t *err);
static void mr_stats_etag(
    char *etag, const mr_buf_t *head, const mr_buf_t *tail);


static const mr_param_spec_t mr_stats_params[] = {
    {"event_type", 1},
    {"group_by", 0},
    {"time_interval", 0},
    {"from", 0},
    {"to", 0},
    {"measure", 0},
    {NULL, 0},
};


void
mr_stats_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_stats_t stats;
    mr_merged_t merged;
    mr_params_t params;
    mr_stats_plan_t plan;

    if (mr_params_parse(request->query, mr_stats_params, &params, &err) == -1) {
        mr_reply_error(reply, &err);
        return;
    }

    memset(&stats, 0, sizeof(stats));
    stats.now = mr_time_now();

    if (mr_stats_plan_create(&params, app->options, stats.now, &plan, &err)
        == -1) {
        mr_params_free(&params);
        mr_reply_error(reply, &err);
        return;
    }

    stats.plan = &plan;

    if (mr_stats_read(app, request, &stats, &merged, &err) == -1
        || mr_stats_answer(request, &stats, &merged, reply, &err) == -1)
    {
        mr_reply_error(reply, &err);
    }

    free(stats.buckets);
    mr_buf_free(&stats.buf);
    mr_stats_plan_free(&plan);
    mr_params_free(&params);
}


static int
mr_stats_read(const mr_app_t *app, const mr_request_t *request,
    mr_stats_t *stats, mr_merged_t *ret_merged, mr_error_t *err)
{
    int rc;
    mr_session_t *session;

    stats->buckets = calloc(stats->plan->buckets + 1, sizeof(mr_bucket_t));

    if (stats->buckets == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (mr_session_open(app->store, request->deadline, &session, err) == -1) {
        return -1;
    }

    /* First: as_of must vouch for all windows that are read after it. */
    rc = mr_session_merged(session, ret_merged, err);

    if (rc == 0) {
        rc = mr_stats_series(session, request, stats, err);
    }

    mr_session_close(session);

    return rc;
}


static int
mr_stats_series(mr_session_t *session, const mr_request_t *request,
    mr_stats_t *stats, mr_error_t *err)
{
    size_t i;
    const mr_stats_plan_t *plan;

    plan = stats->plan;

    if (plan->grouped && plan->n_types == 0) {
        return mr_stats_every_type(session, request, stats, err);
    }

    if (plan->n_types == 0) {
        return mr_stats_add(session, request, stats, mr_str(""), err) == -1
                   ? -1
                   : mr_stats_finish(stats, NULL, 1, err);
    }

    for (i = 0; i < plan->n_types; i++) {

        if (mr_stats_add(session, request, stats, plan->types[i], err) == -1) {
            return -1;
        }

        if (plan->grouped
            && mr_stats_finish(stats, &plan->types[i], 1, err) == -1) {
            return -1;
        }
    }

    if (plan->grouped) {
        return 0;
    }

    return mr_stats_finish(
        stats, plan->n_types == 1 ? &plan->types[0] : NULL, 1, err);
}


/*
 * Every type that has events in the range.  The days are the smallest set of
 * windows that knows all types.
 */
static int
mr_stats_every_type(mr_session_t *session, const mr_request_t *request,
    mr_stats_t *stats, mr_error_t *err)
{
    int rc;
    mr_buf_t type = MR_BUF_INIT;
    mr_str_t name;

    name = mr_str("");

    while ((rc = mr_session_next_type(session, MR_WIDTH_DAY, name, &type, err))
           == 1)
    {
        name.data = type.data;
        name.len = type.len;

        if (mr_stats_add(session, request, stats, name, err) == -1
            || mr_stats_finish(stats, &name, 0, err) == -1)
        {
            rc = -1;
            break;
        }
    }

    mr_buf_free(&type);

    return rc;
}


static int
mr_stats_add(mr_session_t *session, const mr_request_t *request,
    mr_stats_t *stats, mr_str_t event_type, mr_error_t *err)
{
    const mr_stats_plan_t *plan;

    plan = stats->plan;

    if (request->stopped(request->ctx, err)) {
        return -1;
    }

    return mr_session_windows(session, plan->interval->width, event_type,
        plan->from, plan->to, plan->measure, mr_stats_window, stats, err);
}


static int
mr_stats_window(
    void *ctx, int64_t start, int64_t count, const mr_measure_stats_t *measure)
{
    mr_stats_t *stats;
    mr_bucket_t *bucket;

    stats = ctx;
    bucket = &stats->buckets[(start - stats->plan->from)
                             / stats->plan->interval->length];

    bucket->count += count;
    mr_measure_merge(&bucket->measure, measure);

    return 0;
}


/* Render what was added as one series, and begin the next. */
static int
mr_stats_finish(mr_stats_t *stats, const mr_str_t *event_type,
    int even_if_empty, mr_error_t *err)
{
    int wanted;
    size_t i;
    const mr_bucket_t *bucket;
    const mr_stats_plan_t *plan;

    plan = stats->plan;
    wanted = even_if_empty;

    for (i = 0; i < plan->buckets; i++) {
        wanted = wanted || stats->buckets[i].count > 0;
    }

    if (!wanted) {
        return 0;
    }

    if (mr_stats_points(plan->buckets, stats->series + 1, err) == -1) {
        return -1;
    }

    for (i = 0; i < plan->buckets; i++) {
        bucket = &stats->buckets[i];

        if (mr_stats_render_point(&stats->buf, plan, i, event_type, bucket,
                stats->now, stats->series == 0 && i == 0)
            == -1)
        {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        stats->total.count += bucket->count;
        mr_measure_merge(&stats->total.measure, &bucket->measure);
    }

    memset(stats->buckets, 0, plan->buckets * sizeof(mr_bucket_t));
    stats->series++;

    return 0;
}


static int
mr_stats_answer(const mr_request_t *request, mr_stats_t *stats,
    const mr_merged_t *merged, mr_reply_t *reply, mr_error_t *err)
{
    int rc, closed;
    char etag[MR_STATS_ETAG];
    mr_buf_t head = MR_BUF_INIT, tail = MR_BUF_INIT;
    const mr_stats_plan_t *plan;

    plan = stats->plan;

    rc = mr_stats_render_head(&head, plan);

    if (rc == 0) {
        rc = mr_stats_render_tail(
            &tail, plan, &stats->total, &stats->buf, stats->now);
    }

    if (rc == 0) {
        mr_stats_etag(etag, &head, &tail);

        /* While it is not merged, what is over can still grow. */
        closed = merged->known && plan->to <= merged->as_of
                 && plan->to <= stats->now;

        rc = mr_reply_header(reply, "ETag", "%s", etag);
        rc |= mr_reply_header(reply, "Cache-Control",
            "public, max-age=%d, must-revalidate",
            closed ? MR_STATS_AGE_CLOSED : MR_STATS_AGE_OPEN);
    }

    if (rc == 0 && mr_stats_etag_matches(request->if_none_match, etag)) {
        reply->status = 304;

    } else if (rc == 0) {
        reply->status = 200;
        reply->type = MR_TYPE_JSON;

        rc = mr_buf_append(&reply->body, head.data, head.len);
        rc |= mr_stats_render_merged(&reply->body, merged, stats->now);
        rc |= mr_buf_append(&reply->body, tail.data, tail.len);
    }

    mr_buf_free(&head);
    mr_buf_free(&tail);

    if (rc != 0) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


/* Weak: as_of and lag_seconds, which change all the time, are left out. */
static void
mr_stats_etag(char *etag, const mr_buf_t *head, const mr_buf_t *tail)
{
    mr_str_t text;
    mr_hash_t first, second;

    text.data = head->data;
    text.len = head->len;
    first = mr_hash(text);

    text.data = tail->data;
    text.len = tail->len;
    second = mr_hash(text);

    (void) snprintf(etag, MR_STATS_ETAG, "W/\"%016llx%016llx\"",
        (unsigned long long) (first.lo ^ second.lo),
        (unsigned long long) (first.hi ^ second.hi));
}
