#include <stdio.h>
#include <string.h>

#include <millrace/hash.h>
#include <millrace/time.h>

#include "handlers.h"
#include "stats_plan.h"
#include "stats_read.h"
#include "stats_render.h"


/*
 * Seconds for which a cache may give an answer, and then for as long again
 * while it asks for the next one: docs/caching.md.
 */
#define MR_STATS_AGE_OPEN 1
#define MR_STATS_AGE_CLOSED 10

#define MR_STATS_ETAG 40


static int mr_stats_answer(const mr_request_t *request,
    const mr_stats_plan_t *plan, const mr_options_t *options,
    const mr_stats_result_t *result, int64_t now, mr_reply_t *reply,
    mr_error_t *err);
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
    int64_t now;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    mr_stats_plan_t plan;
    mr_stats_result_t result;

    if (mr_params_parse(request->query, mr_stats_params, &params, &err) == -1) {
        mr_reply_error(reply, &err);
        return;
    }

    now = mr_time_now();

    if (mr_stats_plan_create(&params, app->options, now, &plan, &err) == -1) {
        mr_params_free(&params);
        mr_reply_error(reply, &err);
        return;
    }

    memset(&result, 0, sizeof(result));

    if (mr_stats_read(app, request, &plan, now, &result, &err) == -1
        || mr_stats_answer(
               request, &plan, app->options, &result, now, reply, &err)
               == -1)
    {
        mr_reply_error(reply, &err);
    }

    mr_buf_free(&result.points);
    mr_buf_free(&result.partial);
    mr_stats_plan_free(&plan);
    mr_params_free(&params);
}


static int
mr_stats_answer(const mr_request_t *request, const mr_stats_plan_t *plan,
    const mr_options_t *options, const mr_stats_result_t *result, int64_t now,
    mr_reply_t *reply, mr_error_t *err)
{
    int rc, age;
    char etag[MR_STATS_ETAG];
    mr_buf_t head = MR_BUF_INIT, tail = MR_BUF_INIT;

    rc = mr_stats_render_head(&head, plan);

    if (rc == 0) {
        rc = mr_stats_render_tail(&tail, plan, &result->total, &result->points,
            &result->partial, now);
    }

    if (rc == 0) {
        mr_stats_etag(etag, &head, &tail);

        /* Before that, events that come late still change it often. */
        age = result->merged.known
                      && plan->to + options->stats.grace <= result->merged.as_of
                  ? MR_STATS_AGE_CLOSED
                  : MR_STATS_AGE_OPEN;

        rc = mr_reply_header(reply, "ETag", "%s", etag);
        rc |= mr_reply_header(reply, "Cache-Control",
            "public, max-age=%d, stale-while-revalidate=%d", age, age);
    }

    if (rc == 0 && mr_stats_etag_matches(request->if_none_match, etag)) {
        reply->status = 304;

    } else if (rc == 0) {
        reply->status = 200;
        reply->type = MR_TYPE_JSON;

        rc = mr_buf_append(&reply->body, head.data, head.len);
        rc |= mr_stats_render_merged(&reply->body, &result->merged, now);
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
