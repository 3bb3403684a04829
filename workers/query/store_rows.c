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

/* The event types of a block; memory is kept for the next one. */
typedef struct {
    mr_str_t *list;
    size_t n;
    size_t cap;
} mr_rows_types_t;

/* A block, or a part of it, as MongoDB sent it. */
typedef struct {
    mr_block_id_t id;
    bson_iter_t names;      /* the types, */
    mr_rows_types_t *types; /* and where they are put */
    uint32_t n;             /* in each of these: */
    const uint8_t *times;   /* little-endian int64, ms */
    const uint8_t *kinds;   /* little-endian uint16, index into types */
    bson_iter_t events;
} mr_rows_block_t;


static mr_rows_group_t *mr_rows_group(
    const mr_ref_t *refs, size_t n, size_t *ret_n);
static mongoc_cursor_t *mr_rows_pick(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, bson_t *opts);
static mongoc_cursor_t *mr_rows_whole(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, bson_t *opts);
static int mr_rows_take(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_rows_types_t *types,
    mr_error_t *err);
static int mr_rows_block(const bson_t *doc, mr_rows_block_t *ret_block);
static int mr_rows_types(mr_rows_block_t *block, mr_error_t *err);
static int mr_rows_columns(
    const mr_rows_block_t *block, uint32_t i, mr_row_t *row);
static int mr_rows_group_cmp(const void *a, const void *b);
static int mr_rows_id_cmp(const mr_block_id_t *a, const mr_block_id_t *b);
static void mr_rows_pipeline(const mr_ref_t *refs, size_t n, bson_t *pipeline);
static void mr_rows_ids(
    const mr_ref_t *refs, size_t n, bson_t *parent, const char *key);
static void mr_rows_lists(const mr_ref_t *refs, size_t n, bson_t *parent);
static int mr_rows_one(
    const mr_rows_block_t *block, const mr_ref_t *ref, mr_row_t *row);
static int mr_rows_key(const bson_iter_t *event, mr_row_t *row);
static int mr_rows_hand(
    const mr_rows_t *rows, const mr_row_t *list, size_t n, mr_error_t *err);


int
mr_rows_read(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err)
{
    int rc;
    size_t n_groups;
    bson_t opts;
    const bson_t *doc;
    mongoc_cursor_t *cursor;
    mr_rows_group_t *groups;
    mr_rows_types_t types = {NULL, 0, 0};

    groups = mr_rows_group(refs, n, &n_groups);

    if (groups == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    bson_init(&opts);

    if (mr_session_limit(rows->session, &opts, err) == -1) {
        bson_destroy(&opts);
        free(groups);
        return -1;
    }

    cursor = rows->whole ? mr_rows_whole(rows, refs, n, &opts)
                         : mr_rows_pick(rows, refs, n, &opts);
    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_take(rows, doc, groups, n_groups, &types, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading events", err);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&opts);
    free(types.list);
    free(groups);

    return rc;
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


static mongoc_cursor_t *
mr_rows_pick(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, bson_t *opts)
{
    bson_t pipeline;
    mongoc_cursor_t *cursor;

    bson_init(&pipeline);
    mr_rows_pipeline(refs, n, &pipeline);

    cursor = mongoc_collection_aggregate(
        rows->blocks, MONGOC_QUERY_NONE, &pipeline, opts, NULL);

    bson_destroy(&pipeline);

    return cursor;
}


static mongoc_cursor_t *
mr_rows_whole(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, bson_t *opts)
{
    bson_t filter, child;
    mongoc_cursor_t *cursor;

    bson_init(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    mr_rows_ids(refs, n, &child, "$in");
    bson_append_document_end(&filter, &child);

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &child);
    BSON_APPEND_INT32(&child, "types", 1);
    BSON_APPEND_INT32(&child, "times", 1);
    BSON_APPEND_INT32(&child, "kinds", 1);
    BSON_APPEND_INT32(&child, "events", 1);
    bson_append_document_end(opts, &child);
    BSON_APPEND_INT64(opts, "batchSize", MR_ROWS_BATCH);

    cursor =
        mongoc_collection_find_with_opts(rows->blocks, &filter, opts, NULL);

    bson_destroy(&filter);

    return cursor;
}


/* One group a block, ordered by block; free() them.  NULL: out of memory. */
static mr_rows_group_t *
mr_rows_group(const mr_ref_t *refs, size_t n, size_t *ret_n)
{
    size_t i, k;
    mr_rows_group_t *list;

    list = malloc(n * sizeof(mr_rows_group_t));

    if (list == NULL) {
        return NULL;
    }

    for (i = 0, k = 0; i < n; i += list[k++].n) {
        list[k].refs = &refs[i];
        list[k].n = mr_rows_same(refs, n, i);
    }

    qsort(list, k, sizeof(mr_rows_group_t), mr_rows_group_cmp);

    *ret_n = k;

    return list;
}


/* The rows wanted of a block, which came whole or with these rows alone. */
static int
mr_rows_take(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_rows_types_t *types,
    mr_error_t *err)
{
    size_t k, m, left;
    uint32_t i;
    mr_ref_t ref;
    mr_row_t list[MR_ROWS_HANDED];
    mr_rows_block_t block;
    mr_rows_group_t key;
    const mr_rows_group_t *group;

    if (mr_rows_block(doc, &block) == -1) {
        return mr_session_damaged(err);
    }

    block.types = types;

    if (mr_rows_types(&block, err) == -1) {
        return -1;
    }

    ref.id = block.id;
    key.refs = &ref;
    key.n = 1;
    group = bsearch(&key, groups, n, sizeof(key), mr_rows_group_cmp);

    if (group == NULL) {
        return mr_session_damaged(err);
    }

    /* millrace-erase may have taken rows out since the header was read. */
    left = group->n;

    while (left > 0 && group->refs[left - 1].row >= block.n) {
        left--;
    }

    k = 0;
    m = 0;

    for (i = 0; k < left && bson_iter_next(&block.events); i++) {

        if (rows->whole && group->refs[k].row != i) {
            continue;
        }

        if (mr_rows_one(&block, &group->refs[k++], &list[m++]) == -1) {
            return mr_session_damaged(err);
        }

        if (m == MR_ROWS_HANDED) {
            if (mr_rows_hand(rows, list, m, err) == -1) {
                return -1;
            }

            m = 0;
        }
    }

    if (k < left) {
        return mr_session_damaged(err);
    }

    return mr_rows_hand(rows, list, m, err);
}


static int
mr_rows_block(const bson_t *doc, mr_rows_block_t *ret_block)
{
    uint32_t times, kinds;
    bson_iter_t iter;
    bson_subtype_t subtype;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_session_block_id(&iter, &ret_block->id) == -1
        || !bson_iter_init_find(&iter, doc, "types")
        || !BSON_ITER_HOLDS_ARRAY(&iter)
        || !bson_iter_recurse(&iter, &ret_block->names)
        || !bson_iter_init_find(&iter, doc, "times")
        || !BSON_ITER_HOLDS_BINARY(&iter))
    {
        return -1;
    }

    bson_iter_binary(&iter, &subtype, &times, &ret_block->times);

    if (!bson_iter_init_find(&iter, doc, "kinds")
        || !BSON_ITER_HOLDS_BINARY(&iter)) {
        return -1;
    }

    bson_iter_binary(&iter, &subtype, &kinds, &ret_block->kinds);
    ret_block->n = kinds / 2;

    if (times != (uint64_t) kinds * 4
        || !bson_iter_init_find(&iter, doc, "events")
        || !BSON_ITER_HOLDS_ARRAY(&iter)
        || !bson_iter_recurse(&iter, &ret_block->events))
    {
        return -1;
    }

    return 0;
}


static int
mr_rows_types(mr_rows_block_t *block, mr_error_t *err)
{
    size_t cap;
    mr_str_t *list;
    mr_rows_types_t *types;

    types = block->types;
    types->n = 0;

    while (bson_iter_next(&block->names)) {

        if (types->n == types->cap) {
            cap = types->cap == 0 ? 16 : types->cap * 2;
            list = realloc(types->list, cap * sizeof(mr_str_t));

            if (list == NULL) {
                return mr_error_set(
                    err, MR_ERROR_MEMORY, NULL, "out of memory");
            }

            types->list = list;
            types->cap = cap;
        }

        if (mr_bson_text(&block->names, &types->list[types->n++]) == -1) {
            return mr_session_damaged(err);
        }
    }

    return 0;
}


/* What the columns say of a row: when, and of which type. */
static int
mr_rows_columns(const mr_rows_block_t *block, uint32_t i, mr_row_t *row)
{
    int64_t time;
    uint16_t kind;

    memcpy(&time, block->times + (size_t) i * 8, 8);
    row->key.time = (int64_t) BSON_UINT64_FROM_LE((uint64_t) time);

    memcpy(&kind, block->kinds + (size_t) i * 2, 2);
    kind = BSON_UINT16_FROM_LE(kind);

    if (kind >= block->types->n) {
        return -1;
    }

    row->type = block->types->list[kind];

    return 0;
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
 *     { $project: { types: 1, times: 1, kinds: 1, events: { $map: {
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
    BSON_APPEND_INT32(&project, "types", 1);
    BSON_APPEND_INT32(&project, "times", 1);
    BSON_APPEND_INT32(&project, "kinds", 1);
    BSON_APPEND_DOCUMENT_BEGIN(&project, "events", &rows);
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
mr_rows_one(const mr_rows_block_t *block, const mr_ref_t *ref, mr_row_t *row)
{
    uint32_t len;
    const uint8_t *data;

    memset(row, 0, sizeof(mr_row_t));
    row->key.epoch = ref->id.epoch;
    row->key.partition = ref->id.partition;

    if (mr_rows_columns(block, ref->row, row) == -1
        || !BSON_ITER_HOLDS_DOCUMENT(&block->events))
    {
        return -1;
    }

    bson_iter_document(&block->events, &len, &data);
    row->data.data = (const char *) data;
    row->data.len = len;

    return mr_rows_key(&block->events, row);
}


/* What the event itself says of its key. */
static int
mr_rows_key(const bson_iter_t *event, mr_row_t *row)
{
    int found;
    bson_iter_t field;
    const char *key;

    if (!bson_iter_recurse(event, &field)) {
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

        case 'o':
            if (strcmp(key, "offset") == 0) {
                found += mr_bson_int64(&field, &row->key.offset) == 0;
            }

            break;

        default:
            break;
        }
    }

    return found == 3 ? 0 : -1;
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
