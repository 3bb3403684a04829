#include <stdio.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/log.h"
#include "store_private.h"


#define STORE_KEY 64


static int store_read(mr_store_t *store, const bson_t *opts, int64_t *ret_total,
    int64_t *ret_max, mr_error_t *err);
static int store_learn(
    mr_store_t *store, const bson_t *opts, int64_t total, mr_error_t *err);
static int store_learn_one(mr_store_t *store, const bson_t *document);
static int store_register(
    mr_store_t *store, size_t from, const bson_t *opts, mr_error_t *err);
static int store_count(mr_store_t *store, int64_t before, int64_t after,
    const bson_t *opts, mr_error_t *err);
static int store_insert(
    mr_store_t *store, size_t from, const bson_t *opts, mr_error_t *err);
static int store_other(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, mr_error_t *err);


int
mr_store_types_check(mr_store_t *store, mr_error_t *err)
{
    int64_t total, max;

    if (store_read(store, NULL, &total, &max, err) != 0) {
        return -1;
    }

    store->registry.total = total;
    store->registry.max = max;

    if (max != store->options->stats.max_types) {
        mr_log_warn("[stats] max_types is %lld, but %lld event types may have "
                    "windows of their own: only millrace-setup changes that, "
                    "and only upwards",
            (long long) store->options->stats.max_types, (long long) max);
    }

    return 0;
}


void
mr_store_types_seen(
    const mr_store_t *store, int64_t *ret_total, int64_t *ret_max)
{
    *ret_total = store->registry.total;
    *ret_max = store->registry.max;
}


int
mr_store_prepare(mr_store_t *store, mr_flush_t *flush, mr_error_t *err)
{
    if (mr_registry_mark(&store->registry, flush, &flush->unsure) != 0
        || mr_partials_roll_up(&flush->partials, flush->other) != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


/*
 * Everything is read in the transaction's snapshot.  If there are places in
 * it, a type takes one by writing the number of types: of two transactions
 * that do so at once, one conflicts and begins anew.  If there are none, there
 * never will be under this max, and nothing needs to be written; the ledger
 * notes the max by which it was decided (docs/decisions/0012-other-types.md).
 */
int
mr_store_types(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err)
{
    size_t marked, from;
    int64_t total, max;
    mr_registry_t *registry;

    if (work->flush->unsure == 0) {
        return 0;
    }

    registry = &store->registry;

    if (store_read(store, opts, &total, &max, err) != 0
        || store_learn(store, opts, total, err) != 0)
    {
        return -1;
    }

    registry->total = total;
    registry->max = max;
    from = registry->known.n;

    if (mr_registry_mark(registry, work->flush, &marked) != 0
        || mr_registry_admit(registry, work->flush) != 0
        || mr_partials_roll_up(&work->flush->partials, work->flush->other) != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (registry->known.n != from
        && store_register(store, from, opts, err) != 0) {
        return -1;
    }

    return work->flush->partials.other != 0
               ? store_other(store, work, opts, err)
               : 0;
}


/* What an aborted transaction read or wrote may never have been. */
void
mr_store_types_end(mr_store_t *store, int committed)
{
    mr_registry_t *registry;

    registry = &store->registry;

    if (committed) {
        store->registered = registry->known.n;
        return;
    }

    if (registry->known.n != store->registered) {
        mr_types_reset(&registry->known);
        store->registered = 0;
    }
}


static int
store_read(mr_store_t *store, const bson_t *opts, int64_t *ret_total,
    int64_t *ret_max, mr_error_t *err)
{
    int rc, found;
    int64_t total, max;
    bson_t *filter;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *document;
    mongoc_cursor_t *cursor;

    filter = BCON_NEW("_id", BCON_UTF8("types"));
    cursor = mongoc_collection_find_with_opts(store->state, filter, opts, NULL);

    rc = 0;
    found = 0;
    total = 0;
    max = 0;

    if (mongoc_cursor_next(cursor, &document)) {
        if (bson_iter_init_find(&iter, document, "known")) {
            total = bson_iter_as_int64(&iter);
            found++;
        }

        if (bson_iter_init_find(&iter, document, "max")) {
            max = bson_iter_as_int64(&iter);
            found++;
        }
    }

    if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read state", &error);

    } else if (found != 2) {
        rc = mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "database \"%s\" has no registry of event types: run "
            "millrace-setup first",
            mr_mongo_database(store->mongo));
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);

    if (rc == 0) {
        *ret_total = total;
        *ret_max = max;
    }

    return rc;
}


/* Make our copy of the registry complete. */
static int
store_learn(
    mr_store_t *store, const bson_t *opts, int64_t total, mr_error_t *err)
{
    int rc;
    bson_t *filter, find, sort;
    bson_error_t error;
    const bson_t *document;
    mongoc_cursor_t *cursor;

    if ((int64_t) store->registry.known.n == total) {
        return 0;
    }

    filter = BCON_NEW("number", "{", "$gte",
        BCON_INT64((int64_t) store->registry.known.n), "}");

    bson_copy_to(opts, &find);
    BSON_APPEND_DOCUMENT_BEGIN(&find, "sort", &sort);
    BSON_APPEND_INT32(&sort, "number", 1);
    bson_append_document_end(&find, &sort);

    cursor =
        mongoc_collection_find_with_opts(store->types, filter, &find, NULL);
    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &document)) {
        rc = store_learn_one(store, document);
    }

    if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the event types", &error);

    } else if (rc != 0 || (int64_t) store->registry.known.n != total) {
        rc = mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "the registry of event types is not as docs/data-model.md says");
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&find);
    bson_destroy(filter);

    return rc;
}


static int
store_learn_one(mr_store_t *store, const bson_t *document)
{
    uint32_t len, number;
    int64_t expected;
    mr_str_t name;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, document, "_id")
        || !BSON_ITER_HOLDS_UTF8(&iter))
    {
        return -1;
    }

    expected = (int64_t) store->registry.known.n;
    name.data = bson_iter_utf8(&iter, &len);
    name.len = len;

    if (mr_types_find(&store->registry.known, name, &number) != 0
        || number != expected || !bson_iter_init_find(&iter, document, "number")
        || bson_iter_as_int64(&iter) != expected)
    {
        return -1;
    }

    return 0;
}


/* The types from `from` on are new: count them, which may conflict, first. */
static int
store_register(
    mr_store_t *store, size_t from, const bson_t *opts, mr_error_t *err)
{
    int64_t total;

    total = (int64_t) store->registry.known.n;

    if (store_count(store, store->registry.total, total, opts, err) != 0
        || store_insert(store, from, opts, err) != 0)
    {
        return -1;
    }

    store->registry.total = total;

    return 0;
}


static int
store_count(mr_store_t *store, int64_t before, int64_t after,
    const bson_t *opts, mr_error_t *err)
{
    int rc;
    bson_t *filter, *update, reply;
    bson_iter_t iter;
    bson_error_t error;

    filter = BCON_NEW("_id", BCON_UTF8("types"), "known", BCON_INT64(before));
    update = BCON_NEW("$set", "{", "known", BCON_INT64(after), "}");
    rc = 0;

    if (!mongoc_collection_update_one(
            store->state, filter, update, opts, &reply, &error))
    {
        rc = mr_mongo_error(err, "cannot register event types", &error);

    } else if (!bson_iter_init_find(&iter, &reply, "matchedCount")
               || bson_iter_as_int64(&iter) != 1)
    {
        rc = mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "cannot register event types: their number has changed");
    }

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


static int
store_insert(
    mr_store_t *store, size_t from, const bson_t *opts, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_str_t name;
    bson_t document;
    bson_error_t error;
    const mr_registry_t *registry;
    mongoc_bulk_operation_t *bulk;

    registry = &store->registry;
    bulk =
        mongoc_collection_create_bulk_operation_with_opts(store->types, opts);
    rc = 0;

    for (i = from; i < registry->known.n && rc == 0; i++) {
        name = registry->known.names[i];

        bson_init(&document);
        bson_append_utf8(&document, "_id", -1, name.data, (int) name.len);
        BSON_APPEND_INT64(&document, "number", (int64_t) i);
        BSON_APPEND_INT64(&document, "max", registry->max);

        if (!mongoc_bulk_operation_insert_with_opts(
                bulk, &document, NULL, &error)) {
            rc = mr_mongo_error(err, "cannot register event types", &error);
        }

        bson_destroy(&document);
    }

    if (rc == 0 && mongoc_bulk_operation_execute(bulk, NULL, &error) == 0) {
        rc = mr_mongo_error(err, "cannot register event types", &error);
    }

    mongoc_bulk_operation_destroy(bulk);

    return rc;
}


/* By max: a type that came later may be among those of a smaller one. */
static int
store_other(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err)
{
    int rc;
    char id[MR_STORE_ID], events[STORE_KEY], first[STORE_KEY], last[STORE_KEY];
    bson_t *filter, *update;
    long long max;
    bson_error_t error;
    const mr_partials_t *partials;

    partials = &work->flush->partials;
    max = (long long) store->registry.max;

    (void) snprintf(events, sizeof(events), "other.%lld.events", max);
    (void) snprintf(first, sizeof(first), "other.%lld.first", max);
    (void) snprintf(last, sizeof(last), "other.%lld.last", max);

    mr_store_id(store, work->partition, id);

    filter = BCON_NEW("_id", BCON_UTF8(id));
    update = BCON_NEW("$inc", "{", events, BCON_INT64(partials->other), "}",
        "$min", "{", first, BCON_DATE_TIME(partials->other_first), "}", "$max",
        "{", last, BCON_DATE_TIME(partials->other_last + 999), "}");

    rc = 0;

    if (!mongoc_collection_update_one(
            store->ledger, filter, update, opts, NULL, &error))
    {
        rc = mr_mongo_error(err, "cannot update the ledger", &error);
    }

    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}
