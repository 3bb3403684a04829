#include "store_private.h"


typedef void (*write_pt)(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window);


static int write_bulk(mr_store_t *store, int64_t term,
    const mr_merged_list_t *windows, write_pt add, const char *what,
    mr_error_t *err);
static int write_result(const bson_t *reply, const bson_error_t *error, bool ok,
    size_t n, const char *what, mr_error_t *err);
static void write_revision(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window);
static void write_new(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window);
static void write_published(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window);
static void write_estimate(bson_t *doc, const mr_scalars_t *scalars);
static bool write_conflict(const bson_t *reply);
static int64_t write_count(const bson_t *reply, const char *name);


int
mr_store_write(mr_store_t *store, int64_t term, const mr_merged_list_t *windows,
    mr_error_t *err)
{
    return write_bulk(
        store, term, windows, write_revision, "cannot store windows", err);
}


int
mr_store_published(
    mr_store_t *store, const mr_merged_list_t *windows, mr_error_t *err)
{
    return write_bulk(store, 0, windows, write_published,
        "cannot mark windows as published", err);
}


static int
write_bulk(mr_store_t *store, int64_t term, const mr_merged_list_t *windows,
    write_pt add, const char *what, mr_error_t *err)
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
        add(bulk, term, windows->list[i]);
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


/*
 * On the condition that what is stored is what it was made of.  A revision
 * that was not sent is replaced under its own number, and so would a member
 * replace it whose term is over: hence the term.
 */
static void
write_revision(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window)
{
    bson_t doc, selector, set, frozen;

    if (window->replaces == 0) {
        write_new(bulk, term, window);
        return;
    }

    bson_init(&selector);
    mr_bson_append_id(&selector, "_id", &window->key, -1);
    BSON_APPEND_INT64(&selector, "revision", window->replaces);
    BCON_APPEND(
        &selector, "term", "{", "$not", "{", "$gt", BCON_INT64(term), "}", "}");

    if (window->revision == window->replaces) {
        BSON_APPEND_INT64(&selector, "frozen.revision", window->frozen);
    }

    bson_init(&doc);
    BSON_APPEND_DOCUMENT_BEGIN(&doc, "$set", &set);
    BSON_APPEND_INT64(&set, "count", window->scalars.count);
    write_estimate(&set, &window->scalars);
    mr_bson_append_measures(&set, &window->scalars);
    BSON_APPEND_INT64(&set, "revision", window->revision);
    BSON_APPEND_BOOL(&set, "final", window->final);
    BSON_APPEND_BOOL(&set, "dirty", window->dirty);
    BSON_APPEND_INT64(&set, "term", term);

    if (window->frozen != 0 && window->frozen == window->replaces) {
        BSON_APPEND_DOCUMENT_BEGIN(&set, "frozen", &frozen);
        BSON_APPEND_INT64(&frozen, "revision", window->frozen);
        BSON_APPEND_BINARY(&frozen, "text", BSON_SUBTYPE_BINARY,
            (const uint8_t *) window->text.data, (uint32_t) window->text.len);
        bson_append_document_end(&set, &frozen);
    }

    mr_bson_append_sketches(&set, &window->scalars);
    bson_append_document_end(&doc, &set);

    mongoc_bulk_operation_update_one(bulk, &selector, &doc, false);

    bson_destroy(&selector);
    bson_destroy(&doc);
}


static void
write_new(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window)
{
    bson_t doc;

    bson_init(&doc);
    mr_bson_append_id(&doc, "_id", &window->key, -1);
    BSON_APPEND_INT64(&doc, "count", window->scalars.count);
    write_estimate(&doc, &window->scalars);
    mr_bson_append_measures(&doc, &window->scalars);
    BSON_APPEND_INT64(&doc, "revision", window->revision);
    BSON_APPEND_BOOL(&doc, "final", window->final);
    BSON_APPEND_INT64(&doc, "published", 0);
    BSON_APPEND_BOOL(&doc, "dirty", window->dirty);
    BSON_APPEND_DATE_TIME(&doc, "closes", window->closes);
    BSON_APPEND_INT64(&doc, "term", term);

    if (window->expire != 0) {
        BSON_APPEND_DATE_TIME(&doc, "expire", window->expire);
    }

    /* The last field, so that a projection need not walk it. */
    mr_bson_append_sketches(&doc, &window->scalars);

    mongoc_bulk_operation_insert(bulk, &doc);
    bson_destroy(&doc);
}


static void
write_estimate(bson_t *doc, const mr_scalars_t *scalars)
{
    if (scalars->users.len > 0) {
        BSON_APPEND_INT64(doc, "unique_users", scalars->unique_users);
    }
}


static void
write_published(
    mongoc_bulk_operation_t *bulk, int64_t term, const mr_merged_t *window)
{
    bson_t selector, update, set, unset;

    (void) term;

    bson_init(&selector);
    mr_bson_append_id(&selector, "_id", &window->key, -1);

    bson_init(&update);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);

    if (window->frozen != 0) {
        /* The one after it is still to be sent. */
        BSON_APPEND_INT64(&selector, "frozen.revision", window->frozen);
        BSON_APPEND_INT64(&set, "published", window->frozen);
        bson_append_document_end(&update, &set);
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &unset);
        BSON_APPEND_INT32(&unset, "frozen", 1);
        bson_append_document_end(&update, &unset);

    } else {
        BSON_APPEND_INT64(&selector, "revision", window->revision);
        BSON_APPEND_INT64(&set, "published", window->revision);
        BSON_APPEND_BOOL(&set, "dirty", false);
        bson_append_document_end(&update, &set);
    }

    mongoc_bulk_operation_update_one(bulk, &selector, &update, false);

    bson_destroy(&selector);
    bson_destroy(&update);
}
