#include "store_private.h"


typedef void (*write_pt)(
    mongoc_bulk_operation_t *bulk, const mr_merged_t *window);


static int write_bulk(mr_store_t *store, const mr_merged_list_t *windows,
    write_pt add, const char *what, mr_error_t *err);
static int write_result(const bson_t *reply, const bson_error_t *error, bool ok,
    size_t n, const char *what, mr_error_t *err);
static void write_revision(
    mongoc_bulk_operation_t *bulk, const mr_merged_t *window);
static void write_published(
    mongoc_bulk_operation_t *bulk, const mr_merged_t *window);
static bool write_conflict(const bson_t *reply);
static int64_t write_count(const bson_t *reply, const char *name);


int
mr_store_write(
    mr_store_t *store, const mr_merged_list_t *windows, mr_error_t *err)
{
    return write_bulk(
        store, windows, write_revision, "cannot store windows", err);
}


int
mr_store_published(
    mr_store_t *store, const mr_merged_list_t *windows, mr_error_t *err)
{
    return write_bulk(store, windows, write_published,
        "cannot mark windows as published", err);
}


static int
write_bulk(mr_store_t *store, const mr_merged_list_t *windows, write_pt add,
    const char *what, mr_error_t *err)
{
    int rc;
    bool ok;
    size_t i;
    bson_t opts, reply;
    bson_error_t error;
    mongoc_bulk_operation_t *bulk;

    if (windows->n == 0) {
        return 0;
    }

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    BSON_APPEND_BOOL(&opts, "ordered", false);

    bulk = mongoc_collection_create_bulk_operation_with_opts(
        store->windows, &opts);

    for (i = 0; i < windows->n; i++) {
        add(bulk, windows->list[i]);
    }

    ok = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
    rc = write_result(&reply, &error, ok, windows->n, what, err);

    bson_destroy(&reply);
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(&opts);

    return rc;
}


static int
write_result(const bson_t *reply, const bson_error_t *error, bool ok, size_t n,
    const char *what, mr_error_t *err)
{
    int64_t written;

    if (!ok && !write_conflict(reply)) {
        return mr_mongo_error(err, what, error);
    }

    written = write_count(reply, "nMatched") + write_count(reply, "nInserted");

    if (written != (int64_t) n) {
        return mr_error_set(err, MR_ERROR_FENCED, NULL,
            "%s: %lld of %zu were changed by another member or have expired",
            what, (long long) ((int64_t) n - written), n);
    }

    return 0;
}


/* Whether the only errors are of windows that exist already. */
static bool
write_conflict(const bson_t *reply)
{
    size_t n;
    bson_iter_t iter, item, code;

    if (!bson_iter_init_find(&iter, reply, "writeErrors")
        || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &item))
    {
        return false;
    }

    for (n = 0; bson_iter_next(&item); n++) {

        if (!bson_iter_recurse(&item, &code) || !bson_iter_find(&code, "code")
            || bson_iter_as_int64(&code) != 11000)
        {
            return false;
        }
    }

    return n > 0;
}


static int64_t
write_count(const bson_t *reply, const char *name)
{
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, reply, name)) {
        return 0;
    }

    return bson_iter_as_int64(&iter);
}


static void
write_revision(mongoc_bulk_operation_t *bulk, const mr_merged_t *window)
{
    bson_t doc, selector, set;

    bson_init(&doc);

    if (window->revision == 1) {
        mr_bson_append_id(&doc, "_id", &window->key, -1);
        BSON_APPEND_INT64(&doc, "count", window->scalars.count);
        mr_bson_append_measures(&doc, &window->scalars);
        BSON_APPEND_INT64(&doc, "revision", window->revision);
        BSON_APPEND_BOOL(&doc, "final", window->final);
        BSON_APPEND_INT64(&doc, "published", 0);
        BSON_APPEND_BOOL(&doc, "dirty", window->dirty);
        BSON_APPEND_DATE_TIME(&doc, "closes", window->closes);

        if (window->expire != 0) {
            BSON_APPEND_DATE_TIME(&doc, "expire", window->expire);
        }

        mongoc_bulk_operation_insert(bulk, &doc);
        bson_destroy(&doc);

        return;
    }

    bson_init(&selector);
    mr_bson_append_id(&selector, "_id", &window->key, -1);
    BSON_APPEND_INT64(&selector, "revision", window->revision - 1);

    BSON_APPEND_DOCUMENT_BEGIN(&doc, "$set", &set);
    BSON_APPEND_INT64(&set, "count", window->scalars.count);
    mr_bson_append_measures(&set, &window->scalars);
    BSON_APPEND_INT64(&set, "revision", window->revision);
    BSON_APPEND_BOOL(&set, "final", window->final);
    BSON_APPEND_BOOL(&set, "dirty", window->dirty);
    bson_append_document_end(&doc, &set);

    mongoc_bulk_operation_update_one(bulk, &selector, &doc, false);

    bson_destroy(&selector);
    bson_destroy(&doc);
}


static void
write_published(mongoc_bulk_operation_t *bulk, const mr_merged_t *window)
{
    bson_t selector, update, set;

    bson_init(&selector);
    mr_bson_append_id(&selector, "_id", &window->key, -1);
    BSON_APPEND_INT64(&selector, "revision", window->revision);

    bson_init(&update);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_INT64(&set, "published", window->revision);
    BSON_APPEND_BOOL(&set, "dirty", false);
    bson_append_document_end(&update, &set);

    mongoc_bulk_operation_update_one(bulk, &selector, &update, false);

    bson_destroy(&selector);
    bson_destroy(&update);
}
