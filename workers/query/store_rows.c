#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * Whole blocks in a batch: some 2.6 MB of usual ones, and more than one
 * connection reads for a page, so that this takes one round.
 */
#define MR_ROWS_BATCH 32

/* Rows that are asked for at once by their paths. */
#define MR_ROWS_PATHS 512

/* Rows that are handed over at once. */
#define MR_ROWS_HANDED 64


/* The rows wanted of one block. */
typedef struct {
    const mr_ref_t *refs;
    size_t n;
} mr_rows_group_t;


static int mr_rows_some(const mr_rows_t *rows, const mr_ref_t *refs, size_t n,
    int whole, mr_error_t *err);
static int mr_rows_listed(const mr_ref_t *refs, size_t n);
static mr_rows_group_t *mr_rows_group(
    const mr_ref_t *refs, size_t n, size_t *ret_n);
static int mr_rows_group_cmp(const void *a, const void *b);
static int mr_rows_id_cmp(const mr_block_id_t *a, const mr_block_id_t *b);
static void mr_rows_ids(
    const mr_ref_t *refs, size_t n, bson_t *parent, const char *key);
static void mr_rows_columns(bson_t *project);
static void mr_rows_whole(bson_t *opts);
static int mr_rows_paths(const mr_ref_t *refs, size_t n, bson_t *opts);
static int mr_rows_path_cmp(const void *a, const void *b);
static int mr_rows_take(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_types_list_t *types,
    mr_error_t *err);
static int mr_rows_hand(
    const mr_rows_t *rows, const mr_row_t *list, size_t n, mr_error_t *err);


int
mr_rows_read(
    const mr_rows_t *rows, const mr_ref_t *refs, size_t n, mr_error_t *err)
{
    int whole;
    size_t i, some;

    whole = rows->whole || mr_rows_listed(refs, n);

    for (i = 0; i < n; i += some) {
        some = whole || n - i < MR_ROWS_PATHS ? n - i : MR_ROWS_PATHS;

        if (mr_rows_some(rows, &refs[i], some, whole, err) == -1) {
            return -1;
        }
    }

    return 0;
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
mr_rows_some(const mr_rows_t *rows, const mr_ref_t *refs, size_t n, int whole,
    mr_error_t *err)
{
    int rc;
    size_t n_groups;
    bson_t filter, opts, child;
    const bson_t *doc;
    mongoc_cursor_t *cursor;
    mr_rows_group_t *groups;
    mr_types_list_t types = {NULL, 0, 0};

    bson_init(&opts);
    rc = mr_session_limit(rows->session, &opts, err);

    if (rc == -1) {
        bson_destroy(&opts);
        return -1;
    }

    n_groups = 0;
    groups = mr_rows_group(refs, n, &n_groups);

    if (whole) {
        mr_rows_whole(&opts);

    } else {
        rc = mr_rows_paths(refs, n, &opts);
    }

    if (groups == NULL || rc == -1) {
        bson_destroy(&opts);
        free(groups);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    bson_init(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    mr_rows_ids(refs, n, &child, "$in");
    bson_append_document_end(&filter, &child);

    cursor =
        mongoc_collection_find_with_opts(rows->blocks, &filter, &opts, NULL);

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_rows_take(rows, doc, groups, n_groups, &types, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading events", err);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(&opts);
    free(types.list);
    free(groups);

    return rc;
}


/* Is any block of those whose events have no paths? */
static int
mr_rows_listed(const mr_ref_t *refs, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (refs[i].layout != MR_LAYOUT_USERS) {
            return 1;
        }
    }

    return 0;
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


/* What says the times and types of the rows. */
static void
mr_rows_columns(bson_t *project)
{
    BSON_APPEND_INT32(project, "tmin", 1);
    BSON_APPEND_INT32(project, "n", 1);
    BSON_APPEND_INT32(project, "types", 1);
    BSON_APPEND_INT32(project, "since", 1);
    BSON_APPEND_INT32(project, "times", 1);
    BSON_APPEND_INT32(project, "kinds", 1);
}


static void
mr_rows_whole(bson_t *opts)
{
    bson_t project;

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &project);
    mr_rows_columns(&project);
    BSON_APPEND_INT32(&project, "events", 1);
    bson_append_document_end(opts, &project);
    BSON_APPEND_INT64(opts, "batchSize", MR_ROWS_BATCH);
}


/*
 * Of each block only the rows asked for travel:
 *
 *   { ..., events.<key of the user>.<row>: 1, ... }
 *
 * These are the rows of all of them.  A block has none of another's, unless
 * it has the same user in the same place.  Plain paths cost MongoDB less than
 * to compute for each block which rows are its own.
 */
static int
mr_rows_paths(const mr_ref_t *refs, size_t n, bson_t *opts)
{
    int rc;
    size_t i;
    bson_t project;
    mr_buf_t path = MR_BUF_INIT;
    const mr_ref_t **list;

    list = malloc(n * sizeof(mr_ref_t *));

    if (list == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        list[i] = &refs[i];
    }

    qsort(list, n, sizeof(mr_ref_t *), mr_rows_path_cmp);

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &project);
    mr_rows_columns(&project);

    for (i = 0, rc = 0; i < n && rc == 0; i++) {

        if (i > 0 && mr_rows_path_cmp(&list[i - 1], &list[i]) == 0) {
            continue;
        }

        mr_buf_reset(&path);

        if (mr_layout_path(&path, list[i]->user) != 0
            || mr_buf_printf(&path, ".%u", list[i]->row) != 0
            || !bson_append_int32(&project, path.data, (int) path.len, 1))
        {
            rc = -1;
        }
    }

    bson_append_document_end(opts, &project);
    mr_buf_free(&path);
    free(list);

    return rc;
}


static int
mr_rows_path_cmp(const void *a, const void *b)
{
    const mr_ref_t *left, *right;

    left = *(const mr_ref_t *const *) a;
    right = *(const mr_ref_t *const *) b;

    if (left->row != right->row) {
        return left->row < right->row ? -1 : 1;
    }

    return mr_str_cmp(left->user, right->user);
}


/* The rows wanted of a block, which came whole or with these rows alone. */
static int
mr_rows_take(const mr_rows_t *rows, const bson_t *doc,
    const mr_rows_group_t *groups, size_t n, mr_types_list_t *types,
    mr_error_t *err)
{
    int rc;
    size_t k, m, found;
    mr_ref_t ref;
    mr_row_t list[MR_ROWS_HANDED];
    bson_iter_t iter;
    mr_events_t events;
    mr_rows_group_t key;
    const mr_rows_group_t *group;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_session_block_id(&iter, &ref.id) == -1)
    {
        return mr_session_damaged(err);
    }

    if (mr_events_open(&events, doc, types, err) == -1) {
        return -1;
    }

    key.refs = &ref;
    key.n = 1;
    group = bsearch(&key, groups, n, sizeof(key), mr_rows_group_cmp);

    if (group == NULL) {
        return mr_session_damaged(err);
    }

    k = 0;
    m = 0;
    rc = 0;
    found = 0;

    while (k < group->n && (rc = mr_events_next(&events)) == 1) {

        while (k < group->n && group->refs[k].row < events.row) {
            k++;
        }

        if (k == group->n || group->refs[k].row != events.row) {
            continue;
        }

        /* Nor is it that one if another user's has come to its place. */
        if (!mr_events_is_of(&events, group->refs[k].user)) {
            k++;
            continue;
        }

        if (mr_events_row(&events, &ref.id, group->refs[k++].user, &list[m++])
            == -1) {
            return mr_session_damaged(err);
        }

        found++;

        if (m == MR_ROWS_HANDED) {
            if (mr_rows_hand(rows, list, m, err) == -1) {
                return -1;
            }

            m = 0;
        }
    }

    /* None is missing, unless millrace-erase has been there meanwhile. */
    if (rc == -1 || (found < group->n && events.n == group->refs->n)) {
        return mr_session_damaged(err);
    }

    return mr_rows_hand(rows, list, m, err);
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
