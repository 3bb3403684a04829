#include <string.h>

#include "store_session.h"


static void mr_rows_pipeline(const mr_ref_t *refs, size_t n, bson_t *pipeline);
static void mr_rows_ids(
    const mr_ref_t *refs, size_t n, bson_t *parent, const char *key);
static void mr_rows_lists(const mr_ref_t *refs, size_t n, bson_t *parent);
static size_t mr_rows_same(const mr_ref_t *refs, size_t n, size_t i);
static int mr_rows_deliver(const bson_t *doc, mr_row_observer_t *observer,
    void *observer_ctx, mr_error_t *err);
static int mr_rows_one(const bson_iter_t *iter, mr_row_t *row);


int
mr_session_fetch(void *ctx, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    int rc;
    bson_t pipeline, opts;
    const bson_t *doc;
    mr_session_t *session;
    mongoc_cursor_t *cursor;

    session = ctx;
    bson_init(&opts);

    if (mr_session_limit(session, &opts, err) == -1) {
        bson_destroy(&opts);
        return -1;
    }

    bson_init(&pipeline);
    mr_rows_pipeline(refs, n, &pipeline);

    cursor = mongoc_collection_aggregate(
        session->blocks, MONGOC_QUERY_NONE, &pipeline, &opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_deliver(doc, observer, observer_ctx, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading events", err);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&pipeline);
    bson_destroy(&opts);

    return rc;
}


/*
 * Of each block only the rows asked for travel:
 *
 *   [ { $match: { _id: { $in: ids } } },
 *     { $project: { rows: { $map: {
 *         input: { $arrayElemAt: [ { $literal: rows of each id },
 *                                  { $indexOfArray: [ ids, "$_id" ] } ] },
 *         in: { $arrayElemAt: [ "$events", "$$this" ] } } } } } ]
 */
static void
mr_rows_pipeline(const mr_ref_t *refs, size_t n, bson_t *pipeline)
{
    bson_t stages, stage, match, id, project, rows, map, input, pick, literal,
        index, args, in;

    BSON_APPEND_ARRAY_BEGIN(pipeline, "pipeline", &stages);

    BSON_APPEND_DOCUMENT_BEGIN(&stages, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &match);
    BSON_APPEND_DOCUMENT_BEGIN(&match, "_id", &id);
    mr_rows_ids(refs, n, &id, "$in");
    bson_append_document_end(&match, &id);
    bson_append_document_end(&stage, &match);
    bson_append_document_end(&stages, &stage);

    BSON_APPEND_DOCUMENT_BEGIN(&stages, "1", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$project", &project);
    BSON_APPEND_DOCUMENT_BEGIN(&project, "rows", &rows);
    BSON_APPEND_DOCUMENT_BEGIN(&rows, "$map", &map);

    BSON_APPEND_DOCUMENT_BEGIN(&map, "input", &input);
    BSON_APPEND_ARRAY_BEGIN(&input, "$arrayElemAt", &pick);
    BSON_APPEND_DOCUMENT_BEGIN(&pick, "0", &literal);
    mr_rows_lists(refs, n, &literal);
    bson_append_document_end(&pick, &literal);
    BSON_APPEND_DOCUMENT_BEGIN(&pick, "1", &index);
    BSON_APPEND_ARRAY_BEGIN(&index, "$indexOfArray", &args);
    BSON_APPEND_DOCUMENT_BEGIN(&args, "0", &literal);
    mr_rows_ids(refs, n, &literal, "$literal");
    bson_append_document_end(&args, &literal);
    BSON_APPEND_UTF8(&args, "1", "$_id");
    bson_append_array_end(&index, &args);
    bson_append_document_end(&pick, &index);
    bson_append_array_end(&input, &pick);
    bson_append_document_end(&map, &input);

    BSON_APPEND_DOCUMENT_BEGIN(&map, "in", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$arrayElemAt", &pick);
    BSON_APPEND_UTF8(&pick, "0", "$events");
    BSON_APPEND_UTF8(&pick, "1", "$$this");
    bson_append_array_end(&in, &pick);
    bson_append_document_end(&map, &in);

    bson_append_document_end(&rows, &map);
    bson_append_document_end(&project, &rows);
    bson_append_document_end(&stage, &project);
    bson_append_document_end(&stages, &stage);

    bson_append_array_end(pipeline, &stages);
}


static void
mr_rows_ids(const mr_ref_t *refs, size_t n, bson_t *parent, const char *key)
{
    char digits[16];
    bson_t list, id;
    size_t i;
    uint32_t k;
    const char *index;

    BSON_APPEND_ARRAY_BEGIN(parent, key, &list);

    for (i = 0, k = 0; i < n; i += mr_rows_same(refs, n, i), k++) {
        bson_uint32_to_string(k, &index, digits, sizeof(digits));

        BSON_APPEND_DOCUMENT_BEGIN(&list, index, &id);
        BSON_APPEND_INT64(&id, "epoch", refs[i].id.epoch);
        BSON_APPEND_INT32(&id, "partition", refs[i].id.partition);
        BSON_APPEND_INT64(&id, "offset", refs[i].id.offset);
        BSON_APPEND_INT32(&id, "number", refs[i].id.number);
        bson_append_document_end(&list, &id);
    }

    bson_append_array_end(parent, &list);
}


static void
mr_rows_lists(const mr_ref_t *refs, size_t n, bson_t *parent)
{
    char digits[16];
    bson_t lists, rows;
    size_t i, j, same;
    uint32_t k;
    const char *index;

    BSON_APPEND_ARRAY_BEGIN(parent, "$literal", &lists);

    for (i = 0, k = 0; i < n; i += same, k++) {
        same = mr_rows_same(refs, n, i);

        bson_uint32_to_string(k, &index, digits, sizeof(digits));
        BSON_APPEND_ARRAY_BEGIN(&lists, index, &rows);

        for (j = 0; j < same; j++) {
            bson_uint32_to_string((uint32_t) j, &index, digits, sizeof(digits));
            BSON_APPEND_INT32(&rows, index, (int32_t) refs[i + j].row);
        }

        bson_append_array_end(&lists, &rows);
    }

    bson_append_array_end(parent, &lists);
}


/* How many refs from the i-th on are of the same block. */
static size_t
mr_rows_same(const mr_ref_t *refs, size_t n, size_t i)
{
    size_t j;
    const mr_block_id_t *a, *b;

    a = &refs[i].id;

    for (j = i + 1; j < n; j++) {
        b = &refs[j].id;

        if (a->epoch != b->epoch || a->partition != b->partition
            || a->offset != b->offset || a->number != b->number)
        {
            break;
        }
    }

    return j - i;
}


static int
mr_rows_deliver(const bson_t *doc, mr_row_observer_t *observer,
    void *observer_ctx, mr_error_t *err)
{
    mr_row_t row;
    bson_iter_t iter, rows;
    mr_block_id_t id;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_session_block_id(&iter, &id) == -1
        || !bson_iter_init_find(&iter, doc, "rows")
        || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &rows))
    {
        return mr_session_damaged(err);
    }

    while (bson_iter_next(&rows)) {

        memset(&row, 0, sizeof(row));

        if (mr_rows_one(&rows, &row) == -1) {
            return mr_session_damaged(err);
        }

        row.key.epoch = id.epoch;
        row.key.partition = id.partition;

        if (observer(observer_ctx, &row, err) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
mr_rows_one(const bson_iter_t *iter, mr_row_t *row)
{
    uint32_t len;
    bson_iter_t field;
    const uint8_t *data;

    if (!BSON_ITER_HOLDS_DOCUMENT(iter)) {
        return -1;
    }

    bson_iter_document(iter, &len, &data);
    row->data.data = (const char *) data;
    row->data.len = len;

    if (!bson_iter_recurse(iter, &field) || !bson_iter_find(&field, "event_id")
        || mr_bson_text(&field, &row->key.event_id) == -1
        || !bson_iter_find(&field, "user_id")
        || mr_bson_text(&field, &row->key.user_id) == -1
        || !bson_iter_recurse(iter, &field)
        || !bson_iter_find(&field, "timestamp")
        || mr_bson_date(&field, &row->key.time) == -1
        || !bson_iter_recurse(iter, &field) || !bson_iter_find(&field, "offset")
        || mr_bson_int64(&field, &row->key.offset) == -1)
    {
        return -1;
    }

    return 0;
}
