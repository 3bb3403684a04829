#include <string.h>

#include "../common/log.h"
#include "store_private.h"


/* Rows of one bulk write, and so of one look-up of sketches. */
#define STORE_ROWS 1000


/* What an update adds to, and what it holds down or up. */
typedef struct {
    bson_t inc;
    bson_t min;
    bson_t max;
} store_numbers_t;


static int store_load(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, size_t from, size_t to, mr_error_t *err);
static int store_read(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, const bson_t *filter, mr_error_t *err);
static int store_fill(
    mr_store_t *store, int32_t partition, const bson_t *doc, mr_error_t *err);
static int store_row_of(const bson_t *doc, mr_partial_t *ret_row);
static int store_sketch(const mr_store_t *store, const bson_t *doc,
    mr_sketch_t *sketch, mr_error_t *err);
static int store_users(const mr_store_t *store, const bson_iter_t *field,
    mr_hll_t *users, mr_error_t *err);
static int store_measures(const mr_store_t *store, const bson_iter_t *fields,
    mr_sketch_t *sketch, mr_error_t *err);
static int store_damaged(const mr_store_t *store, const mr_error_t *err);
static int store_rows(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, size_t from, size_t to, mr_error_t *err);
static void store_id(
    bson_t *doc, const char *key, const mr_partial_t *row, int32_t partition);
static int store_update(mr_store_t *store, const mr_work_t *work, size_t i,
    const mr_partial_t *row, bson_t *update, mr_error_t *err);
static int store_set_sketch(mr_store_t *store, const mr_work_t *work, size_t i,
    const mr_partial_t *row, bson_t *set, bool *ret_unset, mr_error_t *err);
static int store_set_users(mr_store_t *store, mr_sketch_t *sketch,
    int64_t flush, bson_t *set, bool *ret_unset);
static void store_numbers(const mr_store_t *store, const mr_work_t *work,
    const mr_partial_t *row, bson_t *set, bson_t *update);
static void store_stats(const mr_store_t *store, const char *path,
    int64_t count, const mr_measure_stats_t *measures,
    store_numbers_t *numbers);


/*
 * What is not cached is read after the ledger was moved in this very
 * transaction: nobody else can change a partial of this partition now, and
 * what is read is what the flushes before this one left.
 */
int
mr_store_partials(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err)
{
    size_t from, to, n;

    if (mr_sketches_begin(store->sketches, work->partition, work->before->flush)
        != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    n = mr_partials_rows(&work->flush->partials);

    for (from = 0; from < n; from = to) {
        to = n - from < STORE_ROWS ? n : from + STORE_ROWS;

        if (store_load(store, work, opts, from, to, err) != 0
            || store_rows(store, work, opts, from, to, err) != 0)
        {
            return -1;
        }

        mr_sketches_trim(store->sketches);
    }

    return 0;
}


/* Have the sketches of these rows cached. */
static int
store_load(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    size_t from, size_t to, mr_error_t *err)
{
    int rc;
    char text[16];
    size_t i;
    bson_t filter, in, list;
    uint32_t n;
    const char *key;
    mr_partial_t row;

    n = 0;
    rc = 0;

    bson_init(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);

    for (i = from; i < to && rc == 0; i++) {
        mr_partials_row(
            &work->flush->partials, i, work->flush->types.names, &row);

        if (mr_sketches_find(store->sketches, work->partition, &row) != NULL) {
            continue;
        }

        if (mr_sketches_add(store->sketches, work->partition, &row) == NULL) {
            rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        bson_uint32_to_string(n++, &key, text, sizeof(text));
        store_id(&list, key, &row, work->partition);
    }

    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);

    if (rc == 0 && n > 0) {
        rc = store_read(store, work, opts, &filter, err);
    }

    bson_destroy(&filter);

    return rc;
}


static int
store_read(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    const bson_t *filter, mr_error_t *err)
{
    int rc;
    bson_t find, projection;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    bson_copy_to(opts, &find);
    BSON_APPEND_DOCUMENT_BEGIN(&find, "projection", &projection);
    BSON_APPEND_INT32(&projection, "sketches", 1);
    bson_append_document_end(&find, &projection);

    /* All in one answer as a rule, rather than 101 documents first. */
    BSON_APPEND_INT32(&find, "batchSize", STORE_ROWS + 1);

    cursor =
        mongoc_collection_find_with_opts(store->partials, filter, &find, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = store_fill(store, work->partition, doc, err);
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read partials", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&find);

    return rc;
}


static int
store_fill(
    mr_store_t *store, int32_t partition, const bson_t *doc, mr_error_t *err)
{
    mr_sketch_t *sketch;
    mr_partial_t row;

    if (store_row_of(doc, &row) != 0) {
        return mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "a partial is not as docs/data-model.md says");
    }

    sketch = mr_sketches_find(store->sketches, partition, &row);

    return sketch != NULL ? store_sketch(store, doc, sketch, err) : 0;
}


/* As much of a row as makes its key; a view of the document. */
static int
store_row_of(const bson_t *doc, mr_partial_t *ret_row)
{
    uint32_t len;
    bson_iter_t iter, id;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || !BSON_ITER_HOLDS_DOCUMENT(&iter) || !bson_iter_recurse(&iter, &id)
        || !bson_iter_next(&id)
        || mr_width_find(bson_iter_as_int64(&id), &ret_row->width) != 0
        || !bson_iter_next(&id) || !BSON_ITER_HOLDS_UTF8(&id))
    {
        return -1;
    }

    ret_row->type.data = bson_iter_utf8(&id, &len);
    ret_row->type.len = len;

    if (!bson_iter_next(&id) || !BSON_ITER_HOLDS_DATE_TIME(&id)) {
        return -1;
    }

    ret_row->start = bson_iter_date_time(&id);

    return 0;
}


static int
store_sketch(const mr_store_t *store, const bson_t *doc, mr_sketch_t *sketch,
    mr_error_t *err)
{
    int rc;
    const char *name;
    bson_iter_t iter, field, fields;

    if (!bson_iter_init_find(&iter, doc, "sketches")
        || !BSON_ITER_HOLDS_DOCUMENT(&iter)
        || !bson_iter_recurse(&iter, &field))
    {
        return 0;
    }

    rc = 0;

    while (rc != -1 && bson_iter_next(&field)) {
        name = bson_iter_key(&field);

        if (strcmp(name, "users") == 0) {
            rc = store_users(store, &field, &sketch->users, err);
            sketch->based = rc == 0;

        } else if (strcmp(name, "tail") == 0) {
            rc = store_users(store, &field, &sketch->tail, err);
            sketch->tailed = 1;

        } else if (strcmp(name, "measures") == 0
                   && BSON_ITER_HOLDS_DOCUMENT(&field)
                   && bson_iter_recurse(&field, &fields))
        {
            rc = store_measures(store, &fields, sketch, err);
        }
    }

    if (rc != -1 && mr_hll_merge(&sketch->users, &sketch->tail) == -1) {
        rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return rc == -1 ? -1 : 0;
}


/* 1: they are damaged. */
static int
store_users(const mr_store_t *store, const bson_iter_t *field, mr_hll_t *users,
    mr_error_t *err)
{
    uint32_t len;
    mr_str_t bytes;
    const uint8_t *data;

    bytes = mr_str("");

    if (BSON_ITER_HOLDS_BINARY(field)) {
        bson_iter_binary(field, NULL, &len, &data);
        bytes = (mr_str_t){(const char *) data, len};
    }

    if (mr_hll_merge_bytes(users, bytes, err) == -1) {
        return store_damaged(store, err);
    }

    return 0;
}


static int
store_measures(const mr_store_t *store, const bson_iter_t *fields,
    mr_sketch_t *sketch, mr_error_t *err)
{
    size_t i;
    uint32_t len;
    mr_str_t bytes;
    bson_iter_t iter;
    const uint8_t *data;

    iter = *fields;

    while (bson_iter_next(&iter)) {

        for (i = 0; i < store->options->measures.n; i++) {
            if (strcmp(
                    bson_iter_key(&iter), store->options->measures.list[i].name)
                == 0) {
                break;
            }
        }

        /* A measure that is configured no more stays as it is. */
        if (i == store->options->measures.n || !BSON_ITER_HOLDS_BINARY(&iter)) {
            continue;
        }

        bson_iter_binary(&iter, NULL, &len, &data);
        bytes = (mr_str_t){(const char *) data, len};

        if (mr_ddsketch_merge_bytes(&sketch->measures[i], bytes, err) != 0
            && store_damaged(store, err) == -1)
        {
            return -1;
        }
    }

    return 0;
}


/*
 * Returns 1 for a damaged sketch, which is taken for empty and written anew
 * when something is added to it: counts and sums must not wait for it.
 */
static int
store_damaged(const mr_store_t *store, const mr_error_t *err)
{
    if (err->code != MR_ERROR_CODING) {
        return -1;
    }

    mr_metric_add(store->damaged, 1);
    mr_log_error(
        "a sketch in the partials is damaged and begun anew: %s", err->message);

    return 1;
}


static int
store_rows(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    size_t from, size_t to, mr_error_t *err)
{
    int rc;
    size_t i;
    bson_t id, update, upsert;
    mr_partial_t row;
    bson_error_t error;
    mongoc_bulk_operation_t *bulk;

    bulk = mongoc_collection_create_bulk_operation_with_opts(
        store->partials, opts);

    bson_init(&upsert);
    BSON_APPEND_BOOL(&upsert, "upsert", true);

    rc = 0;

    for (i = from; i < to && rc == 0; i++) {
        mr_partials_row(
            &work->flush->partials, i, work->flush->types.names, &row);

        bson_init(&id);
        bson_init(&update);

        store_id(&id, "_id", &row, work->partition);
        rc = store_update(store, work, i, &row, &update, err);

        if (rc == 0
            && !mongoc_bulk_operation_update_one_with_opts(
                bulk, &id, &update, &upsert, &error))
        {
            rc = mr_mongo_error(err, "cannot update partials", &error);
        }

        bson_destroy(&id);
        bson_destroy(&update);
    }

    if (rc == 0 && mongoc_bulk_operation_execute(bulk, NULL, &error) == 0) {
        rc = mr_mongo_error(err, "cannot update partials", &error);
    }

    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(&upsert);

    return rc;
}


static void
store_id(
    bson_t *doc, const char *key, const mr_partial_t *row, int32_t partition)
{
    bson_t id;

    BSON_APPEND_DOCUMENT_BEGIN(doc, key, &id);
    BSON_APPEND_INT32(&id, "width", mr_width_seconds(row->width));
    bson_append_utf8(
        &id, "event_type", -1, row->type.data, (int) row->type.len);
    BSON_APPEND_DATE_TIME(&id, "start", row->start);
    BSON_APPEND_INT32(&id, "partition", partition);
    bson_append_document_end(doc, &id);
}


static int
store_update(mr_store_t *store, const mr_work_t *work, size_t i,
    const mr_partial_t *row, bson_t *update, mr_error_t *err)
{
    int rc;
    bool unset;
    bson_t set, other;

    unset = false;

    bson_init(&set);
    BSON_APPEND_INT64(&set, "flush", work->after->flush);

    rc = store_set_sketch(store, work, i, row, &set, &unset, err);

    store_numbers(store, work, row, &set, update);
    BSON_APPEND_DOCUMENT(update, "$set", &set);
    bson_destroy(&set);

    if (unset) {
        BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &other);
        BSON_APPEND_INT32(&other, "sketches.tail", 1);
        bson_append_document_end(update, &other);
    }

    if (row->expire != 0) {
        BSON_APPEND_DOCUMENT_BEGIN(update, "$setOnInsert", &other);
        BSON_APPEND_DATE_TIME(&other, "expire", row->expire);
        bson_append_document_end(update, &other);
    }

    return rc;
}


static int
store_set_sketch(mr_store_t *store, const mr_work_t *work, size_t i,
    const mr_partial_t *row, bson_t *set, bool *ret_unset, mr_error_t *err)
{
    int rc;
    char key[64];
    size_t m;
    mr_sketch_t *sketch;

    sketch = mr_sketches_find(store->sketches, work->partition, row);

    if (sketch == NULL || mr_sketch_add(sketch, &work->flush->partials, i) != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    rc = 0;

    if (sketch->changed) {
        rc = store_set_users(store, sketch, work->after->flush, set, ret_unset);
    }

    for (m = 0; m < store->options->measures.n && rc == 0; m++) {

        if ((sketch->measured & (UINT32_C(1) << m)) == 0) {
            continue;
        }

        mr_buf_reset(&store->sketch);
        rc = mr_ddsketch_write(&sketch->measures[m], &store->sketch);

        (void) snprintf(key, sizeof(key), "sketches.measures.%s",
            store->options->measures.list[m].name);

        if (rc == 0) {
            BSON_APPEND_BINARY(set, key, BSON_SUBTYPE_BINARY,
                (const uint8_t *) store->sketch.data,
                (uint32_t) store->sketch.len);
        }
    }

    return rc == 0 ? 0
                   : mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}


/* The tail alone while it is short, else a new base. */
static int
store_set_users(mr_store_t *store, mr_sketch_t *sketch, int64_t flush,
    bson_t *set, bool *ret_unset)
{
    const char *key;

    BSON_APPEND_INT64(set, "sketches.flush", flush);

    key = "sketches.tail";
    mr_buf_reset(&store->sketch);

    if (mr_hll_write(&sketch->tail, &store->sketch) != 0) {
        return -1;
    }

    if (!sketch->based || store->sketch.len > MR_SKETCH_TAIL_MAX) {
        key = "sketches.users";
        mr_buf_reset(&store->sketch);

        if (mr_hll_write(&sketch->users, &store->sketch) != 0) {
            return -1;
        }

        *ret_unset = sketch->tailed;
        sketch->based = 1;
        sketch->tailed = 0;
        mr_hll_free(&sketch->tail);

    } else {
        sketch->tailed = 1;
    }

    BSON_APPEND_BINARY(set, key, BSON_SUBTYPE_BINARY,
        (const uint8_t *) store->sketch.data, (uint32_t) store->sketch.len);

    return 0;
}


/* The row's own and those of its seconds, of which each says its flush. */
static void
store_numbers(const mr_store_t *store, const mr_work_t *work,
    const mr_partial_t *row, bson_t *set, bson_t *update)
{
    char path[32], key[64];
    uint32_t at;
    mr_second_t second;
    store_numbers_t numbers;

    bson_init(&numbers.inc);
    bson_init(&numbers.min);
    bson_init(&numbers.max);

    store_stats(store, "", row->count, row->measures, &numbers);

    if (row->forget != 0) {
        BSON_APPEND_DATE_TIME(set, "forget", row->forget);
    }

    at = row->seconds;

    while (mr_partials_second(&work->flush->partials, &at, &second)) {
        (void) snprintf(path, sizeof(path), "seconds.%d.", second.number);
        (void) snprintf(key, sizeof(key), "%sflush", path);

        BSON_APPEND_INT64(set, key, work->after->flush);
        store_stats(store, path, second.count, second.measures, &numbers);
    }

    BSON_APPEND_DOCUMENT(update, "$inc", &numbers.inc);

    if (bson_count_keys(&numbers.min) != 0) {
        BSON_APPEND_DOCUMENT(update, "$min", &numbers.min);
        BSON_APPEND_DOCUMENT(update, "$max", &numbers.max);
    }

    bson_destroy(&numbers.inc);
    bson_destroy(&numbers.min);
    bson_destroy(&numbers.max);
}


static void
store_stats(const mr_store_t *store, const char *path, int64_t count,
    const mr_measure_stats_t *measures, store_numbers_t *numbers)
{
    char key[96];
    size_t i;
    const mr_measure_stats_t *stats;

    (void) snprintf(key, sizeof(key), "%scount", path);
    BSON_APPEND_INT64(&numbers->inc, key, count);

    for (i = 0; i < store->options->measures.n; i++) {
        stats = &measures[i];

        if (stats->count == 0) {
            continue;
        }

#define MEASURE(field)                                                         \
    (void) snprintf(key, sizeof(key), "%smeasures.%s." field, path,            \
        store->options->measures.list[i].name)

        MEASURE("count");
        BSON_APPEND_INT64(&numbers->inc, key, stats->count);
        MEASURE("sum");
        BSON_APPEND_DOUBLE(&numbers->inc, key, stats->sum);
        MEASURE("min");
        BSON_APPEND_DOUBLE(&numbers->min, key, stats->min);
        MEASURE("max");
        BSON_APPEND_DOUBLE(&numbers->max, key, stats->max);

#undef MEASURE
    }
}
