#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <millrace/time.h>

#include "cursor.h"
#include "events.h"
#include "export.h"
#include "page.h"
#include "pool.h"
#include "relay.h"
#include "render.h"


/*
 * Parts in which a piece becomes text at the same time, each of so many rows
 * at least.
 */
#define MR_EXPORT_PARTS 4
#define MR_EXPORT_PART 2048


typedef struct {
    mr_plan_t plan;
    mr_params_t params; /* what the plan's views point into */
    size_t left;        /* events still to be given */
    size_t row_size;    /* mean bytes of the events given, 0 at first */
    int counted;        /* among mr_exports */
    mr_pool_t *pool;

    /* What the place's strings lie in. */
    char event_id[MR_EVENT_ID_MAX];
    char user_id[MR_USER_ID_MAX];
} mr_export_t;


typedef struct {
    mr_buf_t text;
    int rc;
    mr_error_t err;
} mr_export_part_t;


typedef struct {
    const mr_page_t *page;
    mr_export_part_t parts[MR_EXPORT_PARTS];
    size_t n;
} mr_export_lines_t;


static int mr_export_next(void *ctx, const mr_app_t *app,
    const mr_request_t *request, mr_reply_t *reply);
static int mr_export_piece(mr_export_t *export, const mr_app_t *app,
    const mr_request_t *request, mr_reply_t *reply, int *ret_more,
    mr_error_t *err);
static int mr_export_render(mr_export_t *export, const mr_app_t *app,
    const mr_page_t *page, int more, mr_buf_t *body, mr_error_t *err);
static int mr_export_lines(
    mr_crew_t *crew, const mr_page_t *page, mr_buf_t *body, mr_error_t *err);
static void mr_export_part(void *ctx, size_t number);
static void mr_export_go_on(mr_export_t *export, const mr_page_t *page);
static int mr_export_headers(mr_reply_t *reply, int more);
static void mr_export_free(void *ctx);


/* Streams at once. */
static atomic_llong mr_exports;


void
mr_export_begin(const mr_app_t *app, const mr_request_t *request,
    mr_plan_t *plan, mr_params_t *params, mr_reply_t *reply)
{
    mr_export_t *export;

    export = calloc(1, sizeof(mr_export_t));

    if (export == NULL) {
        mr_plan_free(plan);
        mr_params_free(params);
        mr_reply_problem(reply, 503, NULL, "out of memory; try again");
        return;
    }

    export->plan = *plan;
    export->params = *params;
    export->left = plan->limit;
    export->pool = request->pool;

    if (export->left > MR_EXPORT_PAGE) {
        if (atomic_fetch_add(&mr_exports, 1) >= app->options->query.exports) {
            atomic_fetch_sub(&mr_exports, 1);
            mr_export_free(export);
            mr_reply_problem(reply, 503, NULL,
                "too many exports are under way; ask for at most %d events, "
                "or try again",
                MR_EXPORT_PAGE);
            return;
        }

        export->counted = 1;
    }

    if (!mr_export_next(export, app, request, reply)) {
        mr_export_free(export);
        return;
    }

    mr_relay_start(request, app->options->query.export_patience, mr_export_next,
        export, mr_export_free, reply);
}


/* An mr_piece_t. */
static int
mr_export_next(void *ctx, const mr_app_t *app, const mr_request_t *request,
    mr_reply_t *reply)
{
    int more = 0;
    mr_error_t err = MR_ERROR_INIT;

    if (mr_export_piece(ctx, app, request, reply, &more, &err) == -1) {
        mr_reply_error(reply, &err);
        return 0;
    }

    return more;
}


static int
mr_export_piece(mr_export_t *export, const mr_app_t *app,
    const mr_request_t *request, mr_reply_t *reply, int *ret_more,
    mr_error_t *err)
{
    int rc, more;
    size_t most, fit;
    mr_page_t page;
    mr_budget_t budget;

    /* The first line comes soon; what does not fit is not read in vain. */
    most = MR_EXPORT_PAGE;

    if (export->row_size != 0) {
        fit = MR_EXPORT_SIZE / 8 * 7 / export->row_size + 1;
        most = fit < MR_EXPORT_ROWS ? fit : MR_EXPORT_ROWS;
    }

    export->plan.limit = export->left < most ? export->left : most;

    budget.blocks =
        export->counted ? SIZE_MAX : (size_t) app->options->query.scan_blocks;
    budget.bytes = MR_EXPORT_SIZE;
    budget.row_size = export->row_size;
    budget.until = mr_time_monotonic();
    budget.until += (request->deadline - budget.until) / 2;
    budget.stopped = request->stopped;
    budget.ctx = request->ctx;

    if (mr_events_read(app, request, &export->plan, &budget, &page, err) == -1)
    {
        return -1;
    }

    /*
     * While nothing is found nothing is sent, and who waits for a line, as
     * nginx does, will not for long: better a cursor than a cut.  And only so
     * many may take the memory of a second piece.
     */
    export->left -= page.n;
    more = page.more && page.n > 0 && export->left > 0 && export->counted;

    rc = mr_export_render(export, app, &page, more, &reply->body, err);

    if (rc == 0) {
        mr_export_go_on(export, &page);
    }

    mr_page_free(&page);

    if (rc == -1) {
        return -1;
    }

    if (mr_export_headers(reply, more) == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    *ret_more = more;

    return 0;
}


static int
mr_export_render(mr_export_t *export, const mr_app_t *app,
    const mr_page_t *page, int more, mr_buf_t *body, mr_error_t *err)
{
    int rc;
    mr_buf_t token = MR_BUF_INIT;
    mr_str_t cursor;

    if (mr_export_lines(app->crew, page, body, err) == -1) {
        return -1;
    }

    if (more) {
        return 0;
    }

    rc = 0;

    if (page->more) {
        rc =
            mr_cursor_write(&token, mr_plan_digest(&export->plan), &page->next);
    }

    cursor.data = token.data;
    cursor.len = token.len;

    if (rc == 0) {
        rc = mr_render_cursor(body, cursor);
    }

    mr_buf_free(&token);

    if (rc == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


/* One event a line, by as many threads as are free for it. */
static int
mr_export_lines(
    mr_crew_t *crew, const mr_page_t *page, mr_buf_t *body, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_export_lines_t lines;

    lines.page = page;
    lines.n = page->n / MR_EXPORT_PART;

    if (lines.n == 0) {
        lines.n = 1;

    } else if (lines.n > MR_EXPORT_PARTS) {
        lines.n = MR_EXPORT_PARTS;
    }

    memset(lines.parts, 0, sizeof(lines.parts));
    mr_crew_run(crew, mr_export_part, &lines, lines.n);

    rc = 0;

    for (i = 0; i < lines.n; i++) {

        if (rc == 0 && lines.parts[i].rc == -1) {
            *err = lines.parts[i].err;
            rc = -1;
        }

        /* The first one's text begins the body as it is. */
        if (rc == 0 && i == 0) {
            *body = lines.parts[0].text;
            continue;
        }

        if (rc == 0 && lines.parts[i].text.len > 0
            && mr_buf_append(
                   body, lines.parts[i].text.data, lines.parts[i].text.len)
                   == -1)
        {
            rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        mr_buf_free(&lines.parts[i].text);
    }

    return rc;
}


/* An mr_crew_task_t. */
static void
mr_export_part(void *ctx, size_t number)
{
    size_t i, end;
    mr_export_lines_t *lines;
    mr_export_part_t *part;

    lines = ctx;
    part = &lines->parts[number];
    i = number * lines->page->n / lines->n;
    end = (number + 1) * lines->page->n / lines->n;

    for (/* void */; i < end; i++) {

        if (mr_render_event(&part->text, &lines->page->rows[i], &part->err)
            == -1) {
            part->rc = -1;
            return;
        }

        if (mr_buf_append(&part->text, "\n", 1) == -1) {
            part->rc = mr_error_set(
                &part->err, MR_ERROR_MEMORY, NULL, "out of memory");
            return;
        }
    }
}


/* The next piece begins where this one has ended. */
static void
mr_export_go_on(mr_export_t *export, const mr_page_t *page)
{
    size_t i, size;
    mr_position_t *start;

    size = 0;

    for (i = 0; i < page->n; i++) {
        size += page->rows[i].data.len;
    }

    if (page->n > 0) {
        export->row_size = size / page->n + 1;
    }

    if (!page->more) {
        return;
    }

    start = &export->plan.start;
    *start = page->next;

    if (start->kind == MR_POSITION_EVENT) {
        memcpy(export->event_id, start->key.event_id.data,
            start->key.event_id.len);
        memcpy(
            export->user_id, start->key.user_id.data, start->key.user_id.len);
        start->key.event_id.data = export->event_id;
        start->key.user_id.data = export->user_id;
    }
}


static int
mr_export_headers(mr_reply_t *reply, int more)
{
    reply->status = 200;
    reply->type = MR_TYPE_NDJSON;

    if (mr_reply_header(reply, "Cache-Control", "no-store") == -1
        || mr_reply_header(reply, "Vary", "Accept") == -1)
    {
        return -1;
    }

    /*
     * nginx is to pass a stream on as it comes.  Of what is complete it can
     * take all at once, however slow its client is.
     */
    return more ? mr_reply_header(reply, "X-Accel-Buffering", "no") : 0;
}


/* In any thread, and of the HTTP server mostly. */
static void
mr_export_free(void *ctx)
{
    int counted;
    mr_pool_t *pool;
    mr_export_t *export;

    export = ctx;
    counted = export->counted;
    pool = export->pool;

    if (counted) {
        atomic_fetch_sub(&mr_exports, 1);
    }

    mr_plan_free(&export->plan);
    mr_params_free(&export->params);
    free(export);

    if (counted) {
        mr_pool_trim(pool);
    }
}
