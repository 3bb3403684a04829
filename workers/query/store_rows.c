#include <stdlib.h>
#include <string.h>

#include "store_session.h"


/*
 * Rows wanted of a block, on average, from which on it costs less to send
 * all of the block's events than to have MongoDB pick those.
 */
#define MR_ROWS_WHOLE 48


/* The rows wanted of one block. */
typedef struct {
    const mr_ref_t *refs;
    size_t n;
} mr_rows_group_t;


static int mr_rows_pick(mr_session_t *session, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);
static int mr_rows_whole(mr_session_t *session, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);
static int mr_rows_select(const bson_t *doc, const mr_rows_group_t *groups,
    size_t n, mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);
static int mr_rows_group_cmp(const void *a, const void *b);
static int mr_rows_id_cmp(const mr_block_id_t *a, const mr_block_id_t *b);
static size_t mr_rows_blocks(const mr_ref_t *refs, size_t n);
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
    if (n / MR_ROWS_WHOLE >= mr_rows_blocks(refs, n)) {
        return mr_rows_whole(ctx, refs, n, observer, observer_ctx, err);
    }

    return mr_rows_pick(ctx, refs, n, observer, observer_ctx, err);
}


static int
mr_rows_pick(mr_session_t *session, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    int rc;
    bson_t pipeline, opts;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

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


static int
mr_rows_whole(mr_session_t *session, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    int rc;
    size_t i, n_groups;
    bson_t filter, opts, child;
    const bson_t *doc;
    mongoc_cursor_t *cursor;
    mr_rows_group_t *groups;

    groups = malloc(mr_rows_blocks(refs, n) * sizeof(mr_rows_group_t));

    if (groups == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    n_groups = 0;

    for (i = 0; i < n; i += groups[n_groups++].n) {
        groups[n_groups].refs = &refs[i];
        groups[n_groups].n = mr_rows_same(refs, n, i);
    }

    qsort(groups, n_groups, sizeof(mr_rows_group_t), mr_rows_group_cmp);

    bson_init(&opts);

    if (mr_session_limit(session, &opts, err) == -1) {
        bson_destroy(&opts);
        free(groups);
        return -1;
    }

    bson_init(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    mr_rows_ids(refs, n, &child, "$in");
    bson_append_document_end(&filter, &child);

    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "events", 1);
    bson_append_document_end(&opts, &child);

    cursor =
        mongoc_collection_find_with_opts(session->blocks, &filter, &opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_select(doc, groups, n_groups, observer, observer_ctx, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading events", err);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(&opts);
    free(groups);

    return rc;
}


/* The rows wanted of a block that came whole. */
static int
mr_rows_select(const bson_t *doc, const mr_rows_group_t *groups, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    size_t k;
    uint32_t i;
    mr_ref_t ref;
    mr_row_t row;
    bson_iter_t iter, events;
    mr_rows_group_t key;
    const mr_rows_group_t *group;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_session_block_id(&iter, &ref.id) == -1
        || !bson_iter_init_find(&iter, doc, "events")
        || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &events))
    {
        return mr_session_damaged(err);
    }

    key.refs = &ref;
    key.n = 1;
    group = bsearch(&key, groups, n, sizeof(key), mr_rows_group_cmp);

    if (group == NULL) {
        return mr_session_damaged(err);
    }

    for (i = 0, k = 0; k < group->n && bson_iter_next(&events); i++) {

        if (group->refs[k].row != i) {
            continue;
        }

        k++;
        memset(&row, 0, sizeof(row));

        if (mr_rows_one(&events, &row) == -1) {
            return mr_session_damaged(err);
        }

        row.key.epoch = ref.id.epoch;
        row.key.partition = ref.id.partition;

        if (observer(observer_ctx, &row, err) != 0) {
            return -1;
        }
    }

    return k == group->n ? 0 : mr_session_damaged(err);
}


static int
mr_rows_group_cmp(const void *a, const void *b)
{
    const mr_rows_group_t *left, *right;

    left = a;
    right = b;

    return mr_rows_id_cmp(&left->refs->id, &right->refs->id);
}


static int
mr_rows_id_cmp(const mr_block_id_t *a, const mr_block_id_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch ? -1 : 1;
    }

    if (a->partition != b->partition) {
        return a->partition < b->partition ? -1 : 1;
    }

    if (a->offset != b->offset) {
        return a->offset < b->offset ? -1 : 1;
    }

    return (a->number > b->number) - (a->number < b->number);
}


static size_t
mr_rows_blocks(const mr_ref_t *refs, size_t n)
{
    size_t i, blocks;

    blocks = 0;

    for (i = 0; i < n; i += mr_rows_same(refs, n, i)) {
        blocks++;
    }

    return blocks;
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

    for (j = i + 1; j < n; j++) {
        if (mr_rows_id_cmp(&refs[i].id, &refs[j].id) != 0) {
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
    int found;
    uint32_t len;
    bson_iter_t field;
    const char *key;
    const uint8_t *data;

    if (!BSON_ITER_HOLDS_DOCUMENT(iter)) {
        return -1;
    }

    bson_iter_document(iter, &len, &data);
    row->data.data = (const char *) data;
    row->data.len = len;

    if (!bson_iter_recurse(iter, &field)) {
        return -1;
    }

    for (found = 0; bson_iter_next(&field); /* void */) {
        key = bson_iter_key(&field);

        if (strcmp(key, "event_id") == 0) {
            found += mr_bson_text(&field, &row->key.event_id) == 0;

        } else if (strcmp(key, "user_id") == 0) {
            found += mr_bson_text(&field, &row->key.user_id) == 0;

        } else if (strcmp(key, "timestamp") == 0) {
            found += mr_bson_date(&field, &row->key.time) == 0;

        } else if (strcmp(key, "offset") == 0) {
            found += mr_bson_int64(&field, &row->key.offset) == 0;
        }
    }

    return found == 4 ? 0 : -1;
}
