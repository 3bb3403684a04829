#include <stdlib.h>
#include <string.h>

#include "stats_read.h"
#include "stats_render.h"
#include "stats_types.h"


/* Buckets whose sketches are in memory at once: 64 of at most 30 KiB. */
#define MR_STATS_CHUNK 64


typedef struct {
    const mr_stats_plan_t *plan;
    const mr_request_t *request;
    const char *topic;
    mr_session_t *session;
    int64_t now;
    mr_stats_result_t *result;

    /* The buckets that are being read, of one series. */
    mr_point_t *points;
    mr_sketches_t *sketches; /* one each; only where plan->merged */
    size_t size;
    size_t first; /* index of points[0] in the range */

    size_t series; /* read so far */
    mr_sketches_t total;
} mr_stats_reader_t;


static int mr_stats_all(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_every_type(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_series(mr_stats_reader_t *reader, const mr_str_t *types,
    size_t n, const mr_str_t *name, int even_if_empty, mr_error_t *err);
static int mr_stats_chunk(mr_stats_reader_t *reader, const mr_str_t *types,
    size_t n, size_t buckets, mr_error_t *err);
static int mr_stats_window(
    void *ctx, const mr_window_row_t *row, mr_error_t *err);
static int mr_stats_render(mr_stats_reader_t *reader, const mr_str_t *name,
    size_t buckets, int *any, mr_error_t *err);
static int mr_stats_total(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_total_window(
    void *ctx, const mr_window_row_t *row, mr_error_t *err);


int
mr_stats_read(const mr_app_t *app, const mr_request_t *request,
    const mr_stats_plan_t *plan, int64_t now, mr_stats_result_t *result,
    mr_error_t *err)
{
    int rc;
    size_t i;
    mr_stats_reader_t reader;

    memset(&reader, 0, sizeof(reader));
    reader.plan = plan;
    reader.request = request;
    reader.topic = app->options->kafka.topic;
    reader.now = now;
    reader.result = result;

    reader.size = plan->buckets;

    if (plan->merged && reader.size > MR_STATS_CHUNK) {
        reader.size = MR_STATS_CHUNK;
    }

    reader.points = calloc(reader.size + 1, sizeof(mr_point_t));
    reader.sketches =
        calloc(plan->merged ? reader.size + 1 : 1, sizeof(mr_sketches_t));

    if (reader.points == NULL || reader.sketches == NULL) {
        rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");

    } else {
        rc = mr_session_open(
            app->store, request->deadline, &reader.session, err);
    }

    if (rc == 0) {
        rc = mr_stats_all(&reader, err);
    }

    mr_session_close(reader.session);

    for (i = 0; plan->merged && reader.sketches != NULL && i < reader.size; i++)
    {
        mr_sketches_free(&reader.sketches[i]);
    }

    mr_sketches_free(&reader.total);
    free(reader.sketches);
    free(reader.points);

    return rc;
}


static int
mr_stats_all(mr_stats_reader_t *reader, mr_error_t *err)
{
    size_t i;
    const mr_str_t any = mr_str("");
    const mr_stats_plan_t *plan;

    plan = reader->plan;

    /* First: as_of must vouch for all windows that are read after it. */
    if (mr_session_merged(reader->session, &reader->result->merged, err) == -1)
    {
        return -1;
    }

    if (mr_stats_types(
            reader->session, reader->topic, plan, &reader->result->partial, err)
        == -1)
    {
        return -1;
    }

    if (plan->grouped && plan->n_types == 0) {
        if (mr_stats_every_type(reader, err) == -1) {
            return -1;
        }

    } else if (plan->grouped) {
        for (i = 0; i < plan->n_types; i++) {
            if (mr_stats_series(
                    reader, &plan->types[i], 1, &plan->types[i], 1, err)
                == -1) {
                return -1;
            }
        }

    } else if (mr_stats_series(reader, plan->n_types > 0 ? plan->types : &any,
                   plan->n_types > 0 ? plan->n_types : 1,
                   plan->n_types == 1 ? &plan->types[0] : NULL, 1, err)
               == -1)
    {
        return -1;
    }

    return mr_stats_total(reader, err);
}


/*
 * Every type that has events in the range.  The days are the smallest set of
 * windows that knows all types.
 */
static int
mr_stats_every_type(mr_stats_reader_t *reader, mr_error_t *err)
{
    int rc;
    mr_buf_t type = MR_BUF_INIT;
    mr_str_t name;

    name = mr_str("");

    while ((rc = mr_session_next_type(
                reader->session, MR_WIDTH_DAY, name, &type, err))
           == 1)
    {
        name.data = type.data;
        name.len = type.len;

        if (mr_stats_series(reader, &name, 1, &name, 0, err) == -1) {
            rc = -1;
            break;
        }
    }

    mr_buf_free(&type);

    return rc;
}


/* One series over `n` types; an empty one leaves no trace if it may. */
static int
mr_stats_series(mr_stats_reader_t *reader, const mr_str_t *types, size_t n,
    const mr_str_t *name, int even_if_empty, mr_error_t *err)
{
    int any;
    size_t len, left;
    const mr_stats_plan_t *plan;

    plan = reader->plan;
    any = even_if_empty;
    len = reader->result->points.len;

    for (reader->first = 0; reader->first < plan->buckets;
         reader->first += reader->size)
    {
        left = plan->buckets - reader->first;
        left = left < reader->size ? left : reader->size;

        if (mr_stats_chunk(reader, types, n, left, err) == -1
            || mr_stats_render(reader, name, left, &any, err) == -1)
        {
            return -1;
        }
    }

    if (!any) {
        reader->result->points.len = len;
        return 0;
    }

    reader->series++;

    return mr_stats_points(plan->buckets, reader->series, err);
}


static int
mr_stats_chunk(mr_stats_reader_t *reader, const mr_str_t *types, size_t n,
    size_t buckets, mr_error_t *err)
{
    size_t i;
    int64_t length;
    mr_windows_t windows;
    const mr_stats_plan_t *plan;

    plan = reader->plan;
    length = plan->interval->length;

    memset(reader->points, 0, reader->size * sizeof(mr_point_t));

    windows.width = plan->interval->width;
    windows.from = plan->from + (int64_t) reader->first * length;
    windows.to = windows.from + (int64_t) buckets * length;
    windows.measure = plan->measure;
    windows.sketches = plan->merged;

    for (i = 0; i < n; i++) {
        windows.event_type = types[i];

        if (reader->request->stopped(reader->request->ctx, err)) {
            return -1;
        }

        if (mr_session_windows(
                reader->session, &windows, mr_stats_window, reader, err)
            == -1)
        {
            return -1;
        }
    }

    return 0;
}


static int
mr_stats_window(void *ctx, const mr_window_row_t *row, mr_error_t *err)
{
    size_t i;
    mr_point_t point;
    mr_stats_reader_t *reader;
    const mr_stats_plan_t *plan;

    reader = ctx;
    plan = reader->plan;
    i = (size_t) ((row->start - plan->from) / plan->interval->length)
        - reader->first;

    memset(&point, 0, sizeof(point));
    mr_point_set(&point, row);

    if (plan->merged) {
        mr_point_add(&reader->points[i], &point);
        return mr_sketches_add(&reader->sketches[i], row, err);
    }

    if (plan->interval->width == MR_WIDTH_SECOND) {
        mr_point_add(&reader->points[i], &point);

    } else {
        reader->points[i] = point;
    }

    return 0;
}


static int
mr_stats_render(mr_stats_reader_t *reader, const mr_str_t *name, size_t buckets,
    int *any, mr_error_t *err)
{
    size_t i;
    mr_point_t *point;
    const mr_stats_plan_t *plan;

    plan = reader->plan;

    for (i = 0; i < buckets; i++) {
        point = &reader->points[i];

        if (plan->merged) {
            mr_sketches_estimate(&reader->sketches[i], point);

            if (mr_sketches_merge(&reader->total, &reader->sketches[i], err)
                == -1) {
                return -1;
            }

            mr_sketches_free(&reader->sketches[i]);

        } else if (plan->interval->width == MR_WIDTH_SECOND) {
            point->unestimated = 1;
            point->unranked = 1;
        }

        if (mr_stats_render_point(&reader->result->points, plan,
                reader->first + i, name, point, reader->now,
                reader->series == 0 && reader->first + i == 0)
            == -1)
        {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        *any = *any || point->count > 0;
        mr_point_add(&reader->result->total, point);
    }

    return 0;
}


/*
 * The total's estimates.  Of series that were merged they are there already.
 */
static int
mr_stats_total(mr_stats_reader_t *reader, mr_error_t *err)
{
    size_t i, k, n, n_types;
    mr_span_t spans[MR_SPANS_OF_RANGE];
    mr_point_t *total;
    const mr_str_t any = mr_str(""), *types;
    mr_windows_t windows;
    const mr_stats_plan_t *plan;

    plan = reader->plan;
    total = &reader->result->total;
    n = plan->merged ? 0 : mr_stats_spans(plan, spans);

    if (!plan->merged && n == 0 && plan->buckets > 0) {
        total->unestimated = 1;
        total->unranked = 1;
        return 0;
    }

    n_types = plan->n_types > 0 ? plan->n_types : 1;
    types = plan->n_types > 0 ? plan->types : &any;
    windows.measure = plan->measure;
    windows.sketches = 1;

    for (i = 0; n > 0 && i < n_types; i++) {
        windows.event_type = types[i];

        if (reader->request->stopped(reader->request->ctx, err)) {
            return -1;
        }

        for (k = 0; k < n; k++) {
            windows.width = spans[k].width;
            windows.from = spans[k].from;
            windows.to = spans[k].to;

            if (mr_session_windows(reader->session, &windows,
                    mr_stats_total_window, reader, err)
                == -1)
            {
                return -1;
            }
        }
    }

    mr_sketches_estimate(&reader->total, total);

    return 0;
}


static int
mr_stats_total_window(void *ctx, const mr_window_row_t *row, mr_error_t *err)
{
    mr_stats_reader_t *reader;

    reader = ctx;

    return mr_sketches_add(&reader->total, row, err);
}
