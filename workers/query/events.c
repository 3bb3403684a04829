#include <string.h>

#include <millrace/time.h>

#include "../common/metrics.h"
#include "accept.h"
#include "cursor.h"
#include "events.h"
#include "export.h"
#include "handlers.h"
#include "page.h"
#include "params.h"
#include "plan.h"
#include "render.h"


/* Bytes of events in one answer; a page that has more ends there. */
#define MR_EVENTS_SIZE (16 * 1024 * 1024)

/*
 * A longer Link is left out: nginx takes 4 KiB of header lines from an
 * upstream by default, and next_cursor says the same.
 */
#define MR_EVENTS_LINK 3072


static int mr_events_after(const mr_app_t *app, mr_str_t token,
    mr_receipt_t *ret_after, mr_error_t *err);
static int64_t mr_events_limit(const mr_request_t *request);
static void mr_events_page(const mr_app_t *app, const mr_request_t *request,
    const mr_plan_t *plan, const mr_params_t *params, mr_reply_t *reply);
static int mr_events_answer(const mr_params_t *params, const mr_plan_t *plan,
    const mr_page_t *page, mr_reply_t *reply, mr_error_t *err);
static int mr_events_link(const mr_params_t *params, mr_str_t cursor,
    mr_reply_t *reply, mr_error_t *err);
static void mr_events_count(const mr_page_t *page);


static const mr_param_spec_t mr_events_params[] = {
    {"user_id", 0},
    {"event_type", 1},
    {"event_id", 0},
    {"from", 0},
    {"to", 0},
    {"order", 0},
    {"limit", 0},
    {"cursor", 0},
    {"after", 0},
    {NULL, 0},
};


int
mr_events_prepare(const mr_app_t *app, const mr_request_t *request,
    mr_receipt_t *ret_after, mr_reply_t *reply)
{
    int rc;
    mr_plan_t plan;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;

    rc = mr_params_parse(request->query, mr_events_params, &params, &err);

    if (rc == -1) {
        mr_reply_error(reply, &err);
        return -1;
    }

    token = mr_params_get(&params, "after");

    /* A request that is wrong otherwise is not let wait to hear so. */
    if (token.data != NULL) {
        rc = mr_plan_create(&params, mr_events_limit(request), &plan, &err);

        if (rc == 0) {
            mr_plan_free(&plan);
            rc = mr_events_after(app, token, ret_after, &err);
        }

        if (rc == -1) {
            mr_reply_error(reply, &err);
        }
    }

    mr_params_free(&params);

    return rc;
}


void
mr_events_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;

    if (mr_params_parse(request->query, mr_events_params, &params, &err) == -1)
    {
        mr_reply_error(reply, &err);
        return;
    }

    if (mr_plan_create(&params, mr_events_limit(request), &plan, &err) == -1) {
        mr_params_free(&params);
        mr_reply_error(reply, &err);
        return;
    }

    if (mr_accept_lines(request->accept)) {
        mr_export_begin(app, request, &plan, &params, reply);
        return;
    }

    mr_events_page(app, request, &plan, &params, reply);

    mr_plan_free(&plan);
    mr_params_free(&params);
}


int
mr_events_read(const mr_app_t *app, const mr_request_t *request,
    const mr_plan_t *plan, const mr_budget_t *budget, mr_page_t *ret_page,
    mr_error_t *err)
{
    int rc;
    mr_source_t source;
    mr_session_t *session;

    if (mr_session_open(app->store, request->deadline, &session, err) == -1) {
        return -1;
    }

    source = mr_session_blocks(session, plan);
    rc = mr_page_read(plan, &source, budget, ret_page, err);

    mr_session_close(session);

    if (rc == 0) {
        mr_events_count(ret_page);
    }

    return rc;
}


/* 1 with *ret_after set, or -1. */
static int
mr_events_after(const mr_app_t *app, mr_str_t token, mr_receipt_t *ret_after,
    mr_error_t *err)
{
    mr_str_t topic;
    mr_receipt_t after;
    mr_error_t inner = MR_ERROR_INIT;

    topic.data = app->options->kafka.topic;
    topic.len = strlen(topic.data);

    if (mr_receipt_decode(token, &after, &inner) == -1) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "after",
            "after is none of the receipts that POST /events gives out, or "
            "was altered; pass Millrace-Receipt back as it was");
    }

    if (after.topic != mr_receipt_topic(topic)) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "after",
            "after is a receipt of another topic than the one whose events "
            "can be read here");
    }

    *ret_after = after;

    return 1;
}


static int64_t
mr_events_limit(const mr_request_t *request)
{
    return mr_accept_lines(request->accept) ? MR_LIMIT_LINES : MR_LIMIT_MAX;
}


static void
mr_events_page(const mr_app_t *app, const mr_request_t *request,
    const mr_plan_t *plan, const mr_params_t *params, mr_reply_t *reply)
{
    mr_page_t page;
    mr_error_t err = MR_ERROR_INIT;
    mr_budget_t budget;

    budget.blocks = (size_t) app->options->query.scan_blocks;
    budget.bytes = MR_EVENTS_SIZE;
    budget.row_size = 0;
    budget.until = mr_time_monotonic();
    budget.until += (request->deadline - budget.until) / 2;
    budget.stopped = request->stopped;
    budget.ctx = request->ctx;

    if (mr_events_read(app, request, plan, &budget, &page, &err) == -1) {
        mr_reply_error(reply, &err);
        return;
    }

    if (mr_events_answer(params, plan, &page, reply, &err) == -1) {
        mr_reply_error(reply, &err);
    }

    mr_page_free(&page);
}


static int
mr_events_answer(const mr_params_t *params, const mr_plan_t *plan,
    const mr_page_t *page, mr_reply_t *reply, mr_error_t *err)
{
    int rc;
    mr_buf_t token = MR_BUF_INIT;
    mr_str_t cursor;

    cursor.data = NULL;
    cursor.len = 0;

    if (page->more) {
        if (mr_cursor_write(&token, mr_plan_digest(plan), &page->next) == -1) {
            mr_buf_free(&token);
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        cursor.data = token.data;
        cursor.len = token.len;
    }

    rc = mr_render_page(&reply->body, page, cursor, err);

    if (rc == 0 && page->more) {
        rc = mr_events_link(params, cursor, reply, err);
    }

    mr_buf_free(&token);

    if (rc == 0) {
        reply->status = 200;
        reply->type = MR_TYPE_JSON;
        (void) mr_reply_header(reply, "Cache-Control", "no-cache");
        (void) mr_reply_header(reply, "Vary", "Accept");
    }

    return rc;
}


/*
 * The same request with the next cursor, relative to its own address; what
 * it has waited for needs no waiting again.
 */
static int
mr_events_link(const mr_params_t *params, mr_str_t cursor, mr_reply_t *reply,
    mr_error_t *err)
{
    int rc;
    size_t i;
    mr_buf_t link = MR_BUF_INIT;

    rc = 0;

    for (i = 0; rc == 0 && i < params->n; i++) {

        if (strcmp(params->list[i].name, "cursor") == 0
            || strcmp(params->list[i].name, "after") == 0)
        {
            continue;
        }

        rc = mr_buf_printf(&link, "%s=", params->list[i].name);

        if (rc == 0) {
            rc = mr_param_encode(&link, params->list[i].value);
        }

        if (rc == 0) {
            rc = mr_buf_append(&link, "&", 1);
        }
    }

    if (rc == 0 && link.len + cursor.len <= MR_EVENTS_LINK) {
        rc = mr_reply_header(reply, "Link", "<?%.*scursor=%.*s>; rel=\"next\"",
            (int) link.len, link.data != NULL ? link.data : "",
            (int) cursor.len, cursor.data);
    }

    mr_buf_free(&link);

    if (rc == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


static void
mr_events_count(const mr_page_t *page)
{
    mr_metric_add(
        mr_metric(MR_METRIC_COUNTER, "millrace_query_blocks_read_total", "",
            "Block headers read for GET /events."),
        (int64_t) page->blocks);

    mr_metric_add(mr_metric(MR_METRIC_COUNTER, "millrace_query_rows_read_total",
                      "", "Events read from blocks for GET /events."),
        (int64_t) page->fetched);

    mr_metric_add(
        mr_metric(MR_METRIC_COUNTER, "millrace_query_events_returned_total", "",
            "Events given in answers of GET /events."),
        (int64_t) page->n);
}
