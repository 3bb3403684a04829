#include <stdlib.h>
#include <string.h>

#include "store_session.h"


/*
 * Whole blocks in a batch: some 2.6 MB of usual ones, and more than one
 * connection reads for a page, so that this takes one round.
 */
#define MR_ROWS_BATCH 32

/* Rows that are handed over at once. */
#define MR_ROWS_HANDED 64


/* The rows wanted of one block. */
typedef struct {
    const mr_ref_t *refs;
    size_t n;
} mr_rows_group_t;


static int mr_rows_pick(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err);
static int mr_rows_whole(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err);
static size_t mr_rows_group(
    const mr_ref_t *refs, size_t n, mr_rows_group_t *groups);
static int mr_rows_select(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_error_t *err);
static int mr_rows_group_cmp(const void *a, const void *b);
static int mr_rows_id_cmp(const mr_block_id_t *a, const mr_block_id_t *b);
static void mr_rows_pipeline(const mr_ref_t *refs, size_t n, bson_t *pipeline);
static void mr_rows_ids(
    const mr_ref_t *refs, size_t n, bson_t *parent, const char *key);
static void mr_rows_lists(const mr_ref_t *refs, size_t n, bson_t *parent);
static int mr_rows_deliver(
    const mr_rows_t *rows, const bson_t *doc, mr_error_t *err);
static int mr_rows_one(
    const bson_iter_t *iter, const mr_block_id_t *id, mr_row_t *row);
static int mr_rows_hand(
    const mr_rows_t *rows, const mr_row_t *list, size_t n, mr_error_t *err);


int
mr_rows_read(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err)
{
    return rows->whole ? mr_rows_whole(rows, refs, n, err)
                       : mr_rows_pick(rows, refs, n, err);
}


size_t
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
mr_rows_pick(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err)
{
    int rc;
    bson_t pipeline, opts;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    bson_init(&opts);

    if (mr_session_limit(rows->session, &opts, err) == -1) {
        bson_destroy(&opts);
        return -1;
    }

    bson_init(&pipeline);
    mr_rows_pipeline(refs, n, &pipeline);

    cursor = mongoc_collection_aggregate(
        rows->blocks, MONGOC_QUERY_NONE, &pipeline, &opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_deliver(rows, doc, err);
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
mr_rows_whole(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err)
{
    int rc;
    size_t n_groups;
    bson_t filter, opts, child;
    const bson_t *doc;
    mongoc_cursor_t *cursor;
    mr_rows_group_t *groups;

    groups = malloc(n * sizeof(mr_rows_group_t));

    if (groups == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    n_groups = mr_rows_group(refs, n, groups);

    bson_init(&opts);

    if (mr_session_limit(rows->session, &opts, err) == -1) {
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
    BSON_APPEND_INT64(&opts, "batchSize", MR_ROWS_BATCH);

    cursor =
        mongoc_collection_find_with_opts(rows->blocks, &filter, &opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_select(rows, doc, groups, n_groups, err);
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


/* One group a block, ordered by block; how many there are. */
static size_t
mr_rows_group(const mr_ref_t *refs, size_t n, mr_rows_group_t *groups)
{
    size_t i, k;

    for (i = 0, k = 0; i < n; i += groups[k++].n) {
        groups[k].refs = &refs[i];
        groups[k].n = mr_rows_same(refs, n, i);
    }

    qsort(groups, k, sizeof(mr_rows_group_t), mr_rows_group_cmp);

    return k;
}


/* The rows wanted of a block that came whole. */
static int
mr_rows_select(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_error_t *err)
{
    size_t k, m;
    uint32_t i;
    mr_ref_t ref;
    mr_row_t list[MR_ROWS_HANDED];
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

    k = 0;
    m = 0;

    for (i = 0; k < group->n && bson_iter_next(&events); i++) {

        if (group->refs[k].row != i) {
            continue;
        }

        k++;

        if (mr_rows_one(&events, &ref.id, &list[m++]) == -1) {
            return mr_session_damaged(err);
        }

        if (m == MR_ROWS_HANDED) {
            if (mr_rows_hand(rows, list, m, err) == -1) {
                return -1;
            }

            m = 0;
        }
    }

    if (k < group->n) {
        return mr_session_damaged(err);
    }

    return mr_rows_hand(rows, list, m, err);
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


static int
mr_rows_deliver(const mr_rows_t *rows, const bson_t *doc, mr_error_t *err)
{
    size_t m;
    mr_row_t list[MR_ROWS_HANDED];
    bson_iter_t iter, events;
    mr_block_id_t id;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_session_block_id(&iter, &id) == -1
        || !bson_iter_init_find(&iter, doc, "rows")
        || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &events))
    {
        return mr_session_damaged(err);
    }

    m = 0;

    while (bson_iter_next(&events)) {

        if (mr_rows_one(&events, &id, &list[m++]) == -1) {
            return mr_session_damaged(err);
        }

        if (m == MR_ROWS_HANDED) {
            if (mr_rows_hand(rows, list, m, err) == -1) {
                return -1;
            }

            m = 0;
        }
    }

    return mr_rows_hand(rows, list, m, err);
}


static int
mr_rows_one(const bson_iter_t *iter, const mr_block_id_t *id, mr_row_t *row)
{
    int found;
    uint32_t len;
    bson_iter_t field;
    const char *key;
    const uint8_t *data;

    if (!BSON_ITER_HOLDS_DOCUMENT(iter)) {
        return -1;
    }

    memset(row, 0, sizeof(mr_row_t));
    row->key.epoch = id->epoch;
    row->key.partition = id->partition;

    bson_iter_document(iter, &len, &data);
    row->data.data = (const char *) data;
    row->data.len = len;

    if (!bson_iter_recurse(iter, &field)) {
        return -1;
    }

    for (found = 0; bson_iter_next(&field); /* void */) {
        key = bson_iter_key(&field);

        /* Most names are told apart by their first letter. */
        switch (key[0]) {

        case 'e':
            if (strcmp(key, "event_id") == 0) {
                found += mr_bson_text(&field, &row->key.event_id) == 0;
            }

            break;

        case 'u':
            if (strcmp(key, "user_id") == 0) {
                found += mr_bson_text(&field, &row->key.user_id) == 0;
            }

            break;

        case 't':
            if (strcmp(key, "timestamp") == 0) {
                found += mr_bson_date(&field, &row->key.time) == 0;
            }

            break;

        case 'o':
            if (strcmp(key, "offset") == 0) {
                found += mr_bson_int64(&field, &row->key.offset) == 0;
            }

            break;

        default:
            break;
        }
    }

    return found == 4 ? 0 : -1;
}


/* Several connections are read at the same time, and one observer hears. */
static int
mr_rows_hand(
    const mr_rows_t *rows, const mr_row_t *list, size_t n, mr_error_t *err)
{
    int rc;
    size_t i;

    rc = 0;

    pthread_mutex_lock(rows->mutex);

    for (i = 0; rc == 0 && i < n; i++) {
        rc = rows->observer(rows->ctx, &list[i], err);
    }

    pthread_mutex_unlock(rows->mutex);

    return rc == 0 ? 0 : -1;
}
