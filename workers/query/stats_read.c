#include <stdlib.h>
#include <string.h>

#include "stats_read.h"
#include "stats_render.h"
#include "stats_types.h"


/* Buckets whose sketches are in memory at once: 64 of at most 30 KiB. */
#define MR_STATS_CHUNK 64


/* Types that one query asks for. */
#define MR_STATS_TYPES 64


typedef struct {
    const mr_stats_plan_t *plan;
    const mr_request_t *request;
    const char *topic;
    mr_session_t *session;
    int64_t now;
    mr_stats_result_t *result;

    /* The series that is being read. */
    const mr_str_t *name; /* NULL: of all types, or of several */
    const mr_str_t *end;  /* behind the last one's name */
    int found;            /* a window has come */
    int counted;          /* with events */
    size_t start;         /* of its text in the result */

    /* The buckets of it that are. */
    mr_point_t *points;
    mr_sketches_t *sketches; /* one each; only where plan->merged */
    size_t size;
    size_t first; /* index of points[0] in the range */

    size_t series; /* read so far */
    mr_sketches_t total;
} mr_stats_reader_t;

/* The event types that may have windows. */
typedef struct {
    mr_str_t *list; /* bytewise order; `text` is one after the other */
    size_t n;
    size_t size;
    mr_buf_t text;
    int other; /* the one for the rest is among them */
} mr_stats_names_t;


static int mr_stats_all(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_every_type(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_name(void *ctx, const mr_type_t *type, mr_error_t *err);
static int mr_stats_name_add(
    mr_stats_names_t *names, mr_str_t name, mr_error_t *err);
static int mr_stats_grouped(mr_stats_reader_t *reader, const mr_str_t *types,
    size_t n, mr_error_t *err);
static int mr_stats_sum(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_windows(mr_stats_reader_t *reader, mr_windows_t *windows,
    const mr_str_t *types, size_t n, mr_window_observer_t *observer,
    mr_error_t *err);
static int mr_stats_window_of_type(
    void *ctx, const mr_window_row_t *row, mr_error_t *err);
static int mr_stats_window(
    void *ctx, const mr_window_row_t *row, mr_error_t *err);
static void mr_stats_begin(mr_stats_reader_t *reader, const mr_str_t *name);
static int mr_stats_next(mr_stats_reader_t *reader, mr_error_t *err);
static int mr_stats_end(
    mr_stats_reader_t *reader, int even_if_empty, mr_error_t *err);
static int mr_stats_render(mr_stats_reader_t *reader, mr_error_t *err);
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
    int rc;
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

    rc = !plan->grouped ? mr_stats_sum(reader, err)
         : plan->n_types > 0
             ? mr_stats_grouped(reader, plan->types, plan->n_types, err)
             : mr_stats_every_type(reader, err);

    return rc == 0 ? mr_stats_total(reader, err) : -1;
}


/* A type is registered before it has windows. */
static int
mr_stats_every_type(mr_stats_reader_t *reader, mr_error_t *err)
{
    int rc;
    size_t i;
    const char *text;
    mr_stats_names_t names = {.text = MR_BUF_INIT};

    rc = mr_session_types(reader->session, mr_stats_name, &names, err);

    if (rc == 0 && !names.other) {
        rc = mr_stats_name_add(&names, mr_str(MR_EVENT_TYPE_OTHER), err);
    }

    if (rc == 0) {
        text = names.text.data;

        for (i = 0; i < names.n; i++) {
            names.list[i].data = text;
            text += names.list[i].len;
        }

        rc = mr_stats_grouped(reader, names.list, names.n, err);
    }

    mr_buf_free(&names.text);
    free(names.list);

    return rc;
}


static int
mr_stats_name(void *ctx, const mr_type_t *type, mr_error_t *err)
{
    int order;
    const mr_str_t other = mr_str(MR_EVENT_TYPE_OTHER);
    mr_stats_names_t *names;

    names = ctx;
    order = names->other ? 1 : mr_str_cmp(other, type->name);

    if (order < 0 && mr_stats_name_add(names, other, err) == -1) {
        return -1;
    }

    names->other = names->other || order <= 0;

    return mr_stats_name_add(names, type->name, err);
}


static int
mr_stats_name_add(mr_stats_names_t *names, mr_str_t name, mr_error_t *err)
{
    size_t size;
    mr_str_t *list;

    if (names->n == names->size) {
        size = names->size > 0 ? 2 * names->size : 64;
        list = reallocarray(names->list, size, sizeof(mr_str_t));

        if (list == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        names->list = list;
        names->size = size;
    }

    if (mr_buf_append(&names->text, name.data, name.len) == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    names->list[names->n++].len = name.len;

    return 0;
}


/*
 * A series for each of `types`; where the plan does not name them, for each
 * that has events.  Windows come one type's after the other's, so a series is
 * complete when a window of another one comes.
 */
static int
mr_stats_grouped(
    mr_stats_reader_t *reader, const mr_str_t *types, size_t n, mr_error_t *err)
{
    mr_windows_t windows;
    const mr_stats_plan_t *plan;

    plan = reader->plan;

    windows.width = plan->interval->width;
    windows.from = plan->from;
    windows.to = plan->to;
    windows.measure = plan->measure;
    windows.sketches = plan->merged;

    reader->end = types + n;
    mr_stats_begin(reader, types);

    if (mr_stats_windows(
            reader, &windows, types, n, mr_stats_window_of_type, err)
        == -1)
    {
        return -1;
    }

    while (reader->name < reader->end) {
        if (mr_stats_next(reader, err) == -1) {
            return -1;
        }
    }

    return 0;
}


/* One series, of all types or of the sum of those that are asked for. */
static int
mr_stats_sum(mr_stats_reader_t *reader, mr_error_t *err)
{
    size_t left;
    const mr_str_t any = mr_str(""), *types;
    mr_windows_t windows;
    const mr_stats_plan_t *plan;

    plan = reader->plan;
    types = plan->n_types > 0 ? plan->types : &any;

    windows.width = plan->interval->width;
    windows.measure = plan->measure;
    windows.sketches = plan->merged;

    mr_stats_begin(reader, plan->n_types == 1 ? types : NULL);

    while (reader->first < plan->buckets) {
        left = plan->buckets - reader->first;
        left = left < reader->size ? left : reader->size;

        windows.from =
            plan->from + (int64_t) reader->first * plan->interval->length;
        windows.to = windows.from + (int64_t) left * plan->interval->length;

        if (mr_stats_windows(reader, &windows, types,
                plan->n_types > 0 ? plan->n_types : 1, mr_stats_window, err)
                == -1
            || mr_stats_render(reader, err) == -1)
        {
            return -1;
        }
    }

    return mr_stats_end(reader, 1, err);
}


static int
mr_stats_windows(mr_stats_reader_t *reader, mr_windows_t *windows,
    const mr_str_t *types, size_t n, mr_window_observer_t *observer,
    mr_error_t *err)
{
    size_t i;

    for (i = 0; i < n; i += windows->n) {
        windows->types = types + i;
        windows->n = n - i < MR_STATS_TYPES ? n - i : MR_STATS_TYPES;

        if (reader->request->stopped(reader->request->ctx, err)
            || mr_session_windows(
                   reader->session, windows, observer, reader, err)
                   == -1)
        {
            return -1;
        }
    }

    return 0;
}


static int
mr_stats_window_of_type(void *ctx, const mr_window_row_t *row, mr_error_t *err)
{
    mr_stats_reader_t *reader;

    reader = ctx;

    while (!mr_str_eq(*reader->name, row->event_type)) {
        if (mr_stats_next(reader, err) == -1) {
            return -1;
        }

        if (reader->name == reader->end) {
            return mr_error_set(err, MR_ERROR_EVENT, NULL,
                "MongoDB gave windows that were not asked for");
        }
    }

    return mr_stats_window(reader, row, err);
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
    reader->found = 1;
    i = (size_t) ((row->start - plan->from) / plan->interval->length);

    while (i >= reader->first + reader->size) {
        if (mr_stats_render(reader, err) == -1) {
            return -1;
        }
    }

    i -= reader->first;
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


static void
mr_stats_begin(mr_stats_reader_t *reader, const mr_str_t *name)
{
    reader->name = name;
    reader->found = 0;
    reader->counted = 0;
    reader->start = reader->result->points.len;
    reader->first = 0;
}


static int
mr_stats_next(mr_stats_reader_t *reader, mr_error_t *err)
{
    if (mr_stats_end(reader, reader->plan->n_types > 0, err) == -1) {
        return -1;
    }

    mr_stats_begin(reader, reader->name + 1);

    return 0;
}


/* An empty series leaves no trace if it may. */
static int
mr_stats_end(mr_stats_reader_t *reader, int even_if_empty, mr_error_t *err)
{
    if (!reader->found && !even_if_empty) {
        return 0;
    }

    while (reader->first < reader->plan->buckets) {
        if (mr_stats_render(reader, err) == -1) {
            return -1;
        }
    }

    if (!reader->counted && !even_if_empty) {
        reader->result->points.len = reader->start;
        return 0;
    }

    reader->series++;

    return mr_stats_points(reader->plan->buckets, reader->series, err);
}


/* The buckets at hand; the next ones are at hand then. */
static int
mr_stats_render(mr_stats_reader_t *reader, mr_error_t *err)
{
    size_t i, k;
    mr_point_t *point;
    const mr_stats_plan_t *plan;

    plan = reader->plan;

    for (i = 0; i < reader->size && reader->first + i < plan->buckets; i++) {
        point = &reader->points[i];
        k = reader->first + i;

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

        if (mr_stats_render_point(&reader->result->points, plan, k,
                reader->name, point, reader->now, reader->series == 0 && k == 0)
            == -1)
        {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        reader->counted = reader->counted || point->count > 0;
        mr_point_add(&reader->result->total, point);
    }

    memset(reader->points, 0, reader->size * sizeof(mr_point_t));
    reader->first += reader->size;

    return 0;
}


/*
 * The total's estimates.  Of series that were merged they are there already.
 */
static int
mr_stats_total(mr_stats_reader_t *reader, mr_error_t *err)
{
    size_t k, n, n_types;
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

    for (k = 0; k < n; k++) {
        windows.width = spans[k].width;
        windows.from = spans[k].from;
        windows.to = spans[k].to;

        if (mr_stats_windows(
                reader, &windows, types, n_types, mr_stats_total_window, err)
            == -1)
        {
            return -1;
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
