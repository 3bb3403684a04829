#include <string.h>

#include "store_session.h"


#define MR_WINDOWS_BATCH 2000


typedef struct {
    const char *measure;
    mr_window_observer_t *observer;
    void *ctx;
} mr_windows_reader_t;


static int mr_windows_read(void *ctx, const bson_t *doc, mr_error_t *err);
static int mr_windows_one(
    const bson_t *doc, const char *measure, mr_window_row_t *row);
static int mr_windows_measure(
    const bson_iter_t *measures, const char *measure, mr_window_row_t *row);
static int mr_windows_sketches(
    const bson_iter_t *sketches, const char *measure, mr_window_row_t *row);
static int mr_windows_bytes(const bson_iter_t *iter, mr_str_t *ret_bytes);
static void mr_windows_filter(bson_t *filter, const mr_windows_t *windows);
static void mr_windows_range(
    bson_t *filter, const mr_windows_t *windows, mr_str_t event_type);
static void mr_windows_id(bson_t *parent, const char *key, mr_width_t width,
    mr_str_t event_type, int64_t start);


int
mr_session_merged(
    mr_session_t *session, mr_merged_t *ret_merged, mr_error_t *err)
{
    int rc;
    bson_t filter, opts;
    bson_iter_t iter;
    mr_merged_t merged;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    memset(&merged, 0, sizeof(merged));

    bson_init(&filter);
    BSON_APPEND_UTF8(&filter, "_id", "merge");
    bson_init(&opts);

    cursor = mr_session_find(session, MR_MONGO_STATE, &filter, &opts, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    if (cursor == NULL) {
        return -1;
    }

    if (mongoc_cursor_next(cursor, &doc)
        && bson_iter_init_find(&iter, doc, "as_of")
        && mr_bson_date(&iter, &merged.as_of) == 0)
    {
        merged.known = 1;
    }

    rc = mr_session_cursor_end(cursor, "reading the state", err);
    mongoc_cursor_destroy(cursor);

    if (rc == 0) {
        *ret_merged = merged;
    }

    return rc;
}


int
mr_session_windows(mr_session_t *session, const mr_windows_t *windows,
    mr_window_observer_t *observer, void *ctx, mr_error_t *err)
{
    int rc;
    bson_t filter, opts, child;
    mr_windows_reader_t reader = {windows->measure, observer, ctx};

    bson_init(&filter);
    mr_windows_filter(&filter, windows);

    /* Whole fields of the top level: a path costs MongoDB twice as much. */
    bson_init(&opts);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "count", 1);
    BSON_APPEND_INT32(&child, "unique_users", 1);
    BSON_APPEND_INT32(&child, "measures", 1);

    if (windows->sketches) {
        BSON_APPEND_INT32(&child, "sketches", 1);
    }

    bson_append_document_end(&opts, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "sort", &child);
    BSON_APPEND_INT32(&child, "_id", 1);
    bson_append_document_end(&opts, &child);
    BSON_APPEND_INT32(&opts, "batchSize", MR_WINDOWS_BATCH);

    rc = mr_session_each(session, MR_MONGO_WINDOWS, &filter, &opts,
        "reading windows", mr_windows_read, &reader, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    return rc;
}


/* An mr_document_observer_t. */
static int
mr_windows_read(void *ctx, const bson_t *doc, mr_error_t *err)
{
    mr_window_row_t row;
    const mr_windows_reader_t *reader;

    reader = ctx;

    if (mr_windows_one(doc, reader->measure, &row) == -1) {
        return mr_error_set(err, MR_ERROR_EVENT, NULL,
            "a window in MongoDB is not as docs/data-model.md says");
    }

    return reader->observer(reader->ctx, &row, err);
}


static int
mr_windows_one(const bson_t *doc, const char *measure, mr_window_row_t *row)
{
    const char *key;
    bson_iter_t iter, id;

    if (!bson_iter_init(&iter, doc)) {
        return -1;
    }

    memset(row, 0, sizeof(mr_window_row_t));
    row->start = -1;
    row->count = -1;

    while (bson_iter_next(&iter)) {
        key = bson_iter_key(&iter);

        if (strcmp(key, "_id") == 0) {
            if (!BSON_ITER_HOLDS_DOCUMENT(&iter)
                || !bson_iter_recurse(&iter, &id)
                || !bson_iter_find(&id, "event_type")
                || mr_bson_text(&id, &row->event_type) == -1
                || !bson_iter_find(&id, "start")
                || mr_bson_date(&id, &row->start) == -1)
            {
                return -1;
            }

        } else if (strcmp(key, "count") == 0) {
            if (mr_bson_int64(&iter, &row->count) == -1) {
                return -1;
            }

        } else if (strcmp(key, "unique_users") == 0) {
            row->estimated = mr_bson_int64(&iter, &row->unique_users) == 0;

        } else if (strcmp(key, "measures") == 0) {
            if (mr_windows_measure(&iter, measure, row) == -1) {
                return -1;
            }

        } else if (strcmp(key, "sketches") == 0) {
            if (mr_windows_sketches(&iter, measure, row) == -1) {
                return -1;
            }
        }
    }

    return row->start >= 0 && row->count >= 0 ? 0 : -1;
}


/* A measure that the window does not have leaves the row as it is. */
static int
mr_windows_measure(
    const bson_iter_t *measures, const char *measure, mr_window_row_t *row)
{
    int ranked;
    size_t i;
    const char *key;
    bson_iter_t names, fields;
    static const char *const quantiles[] = {"p50", "p95", "p99"};

    if (!BSON_ITER_HOLDS_DOCUMENT(measures)
        || !bson_iter_recurse(measures, &names)) {
        return -1;
    }

    if (measure == NULL || !bson_iter_find(&names, measure)) {
        return 0;
    }

    if (!BSON_ITER_HOLDS_DOCUMENT(&names)
        || !bson_iter_recurse(&names, &fields)) {
        return -1;
    }

    ranked = 0;

    while (bson_iter_next(&fields)) {
        key = bson_iter_key(&fields);

        if (!BSON_ITER_HOLDS_NUMBER(&fields)) {
            continue;
        }

        if (strcmp(key, "count") == 0) {
            row->measure.count = bson_iter_as_int64(&fields);

        } else if (strcmp(key, "sum") == 0) {
            row->measure.sum = bson_iter_as_double(&fields);

        } else if (strcmp(key, "min") == 0) {
            row->measure.min = bson_iter_as_double(&fields);

        } else if (strcmp(key, "max") == 0) {
            row->measure.max = bson_iter_as_double(&fields);
        }

        for (i = 0; i < MR_QUANTILES; i++) {
            if (strcmp(key, quantiles[i]) == 0) {
                row->quantiles[i] = bson_iter_as_double(&fields);
                ranked |= 1 << i;
            }
        }
    }

    row->ranked = ranked == (1 << MR_QUANTILES) - 1;

    return 0;
}


static int
mr_windows_sketches(
    const bson_iter_t *sketches, const char *measure, mr_window_row_t *row)
{
    bson_iter_t fields, names;

    if (!BSON_ITER_HOLDS_DOCUMENT(sketches)
        || !bson_iter_recurse(sketches, &fields))
    {
        return -1;
    }

    while (bson_iter_next(&fields)) {

        if (strcmp(bson_iter_key(&fields), "users") == 0) {
            if (mr_windows_bytes(&fields, &row->users) == -1) {
                return -1;
            }

        } else if (strcmp(bson_iter_key(&fields), "measures") == 0
                   && measure != NULL) {
            if (!BSON_ITER_HOLDS_DOCUMENT(&fields)
                || !bson_iter_recurse(&fields, &names)) {
                return -1;
            }

            if (bson_iter_find(&names, measure)
                && mr_windows_bytes(&names, &row->values) == -1)
            {
                return -1;
            }
        }
    }

    return 0;
}


static int
mr_windows_bytes(const bson_iter_t *iter, mr_str_t *ret_bytes)
{
    uint32_t len;
    const uint8_t *data;
    bson_subtype_t subtype;

    if (!BSON_ITER_HOLDS_BINARY(iter)) {
        return -1;
    }

    bson_iter_binary(iter, &subtype, &len, &data);
    ret_bytes->data = (const char *) data;
    ret_bytes->len = len;

    return 0;
}


/*
 * MongoDB makes one scan of the index out of all ranges, and so one sequence
 * of windows in the order of _id.
 */
static void
mr_windows_filter(bson_t *filter, const mr_windows_t *windows)
{
    char digits[16];
    size_t i;
    bson_t list, range;
    const char *key;

    if (windows->n == 1) {
        mr_windows_range(filter, windows, windows->types[0]);
        return;
    }

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &list);

    for (i = 0; i < windows->n; i++) {
        bson_uint32_to_string((uint32_t) i, &key, digits, sizeof(digits));
        BSON_APPEND_DOCUMENT_BEGIN(&list, key, &range);
        mr_windows_range(&range, windows, windows->types[i]);
        bson_append_document_end(&list, &range);
    }

    bson_append_array_end(filter, &list);
}


static void
mr_windows_range(
    bson_t *filter, const mr_windows_t *windows, mr_str_t event_type)
{
    bson_t child;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &child);
    mr_windows_id(&child, "$gte", windows->width, event_type, windows->from);
    mr_windows_id(&child, "$lt", windows->width, event_type, windows->to);
    bson_append_document_end(filter, &child);
}


/* The fields' order makes a range of _id a range of starts of one type. */
static void
mr_windows_id(bson_t *parent, const char *key, mr_width_t width,
    mr_str_t event_type, int64_t start)
{
    bson_t id;

    BSON_APPEND_DOCUMENT_BEGIN(parent, key, &id);
    BSON_APPEND_INT32(&id, "width", mr_width_seconds(width));
    mr_bson_append_text(&id, "event_type", event_type);
    BSON_APPEND_DATE_TIME(&id, "start", start);
    bson_append_document_end(parent, &id);
}
