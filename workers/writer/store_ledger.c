#include <string.h>

#include "store_private.h"


static int ledger_update(mr_store_t *store, bson_t *fence, bson_t *update,
    const char *what, mr_error_t *err);
static void ledger_decode(const bson_t *document, mr_ledger_t *ledger);
static void ledger_decode_last(const bson_iter_t *parent, mr_last_t *last);
static void ledger_decode_resume(
    const bson_iter_t *parent, mr_ledger_t *ledger);
static int64_t ledger_int64(const bson_t *document, const char *key);


static const char *const resume_names[] = {
    [MR_RESUME_NONE] = "",
    [MR_RESUME_GAP] = "gap",
    [MR_RESUME_EPOCH] = "epoch",
};


int
mr_store_read(mr_store_t *store, int32_t partition, int *ret_found,
    mr_ledger_t *ret_ledger, mr_error_t *err)
{
    int found, rc;
    char id[MR_STORE_ID];
    bson_t *filter;
    bson_error_t error;
    mr_ledger_t ledger;
    const bson_t *document;
    mongoc_cursor_t *cursor;

    mr_store_id(store, partition, id);

    filter = BCON_NEW("_id", BCON_UTF8(id));
    cursor =
        mongoc_collection_find_with_opts(store->ledger, filter, NULL, NULL);

    found = mongoc_cursor_next(cursor, &document);

    if (found) {
        ledger_decode(document, &ledger);
    }

    rc = 0;

    if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the ledger", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);

    if (rc != 0) {
        return -1;
    }

    *ret_found = found;

    if (found) {
        *ret_ledger = ledger;
    }

    return 0;
}


int
mr_store_create(
    mr_store_t *store, int32_t partition, int64_t next, mr_error_t *err)
{
    int rc;
    bool ok;
    char id[MR_STORE_ID];
    bson_t *document;
    bson_error_t error;

    mr_store_id(store, partition, id);

    document = BCON_NEW("_id", BCON_UTF8(id), "epoch", BCON_INT64(1), "next",
        BCON_INT64(next), "flush", BCON_INT64(0), "stored", BCON_INT64(0),
        "repeated", BCON_INT64(0), "dead", BCON_INT64(0));

    ok = mongoc_collection_insert_one(
        store->ledger, document, NULL, NULL, &error);

    bson_destroy(document);
    rc = 0;

    if (!ok && error.code != MONGOC_ERROR_DUPLICATE_KEY) {
        rc = mr_mongo_error(err, "cannot create the ledger", &error);
    }

    return rc;
}


int
mr_store_resume(mr_store_t *store, int32_t partition, const mr_ledger_t *ledger,
    mr_resume_t what, int64_t log_start, mr_error_t *err)
{
    bson_t *fence, *update;

    fence = mr_store_fence(store, partition, ledger->epoch, ledger->next);

    if (what == MR_RESUME_EPOCH) {
        update = BCON_NEW("$set", "{", "epoch", BCON_INT64(ledger->epoch + 1),
            "next", BCON_INT64(log_start), "}", "$unset", "{", "last",
            BCON_INT32(1), "reached", BCON_INT32(1), "resume", BCON_INT32(1),
            "}");

    } else {
        update = BCON_NEW("$set", "{", "next", BCON_INT64(log_start), "}",
            "$unset", "{", "resume", BCON_INT32(1), "}");
    }

    return ledger_update(
        store, fence, update, "cannot move the ledger on", err);
}


int
mr_store_order(
    mr_store_t *store, int32_t partition, mr_resume_t what, mr_error_t *err)
{
    int found;
    bson_t *fence, *update;
    mr_ledger_t ledger;

    if (mr_store_read(store, partition, &found, &ledger, err) != 0) {
        return -1;
    }

    if (!found) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "there is no ledger of %s/%d in database \"%s\"",
            store->options->kafka.topic, (int) partition,
            mr_mongo_database(store->mongo));
    }

    fence = mr_store_fence(store, partition, ledger.epoch, ledger.next);
    update = BCON_NEW("$set", "{", "resume", "{", "what",
        BCON_UTF8(resume_names[what]), "next", BCON_INT64(ledger.next), "}",
        "}");

    return ledger_update(store, fence, update, "cannot write the ledger", err);
}


int
mr_store_disarm(mr_store_t *store, int32_t partition, const mr_ledger_t *ledger,
    mr_error_t *err)
{
    bson_t *fence, *update;

    fence = mr_store_fence(store, partition, ledger->epoch, ledger->next);
    BCON_APPEND(fence, "resume.next", BCON_INT64(ledger->resume_next));
    update = BCON_NEW("$unset", "{", "resume", BCON_INT32(1), "}");

    return ledger_update(store, fence, update, "cannot write the ledger", err);
}


/* Both documents are given away. */
static int
ledger_update(mr_store_t *store, bson_t *fence, bson_t *update,
    const char *what, mr_error_t *err)
{
    int rc;
    bson_error_t error;

    rc = 0;

    if (!mongoc_collection_update_one(
            store->ledger, fence, update, NULL, NULL, &error))
    {
        rc = mr_mongo_error(err, what, &error);
    }

    bson_destroy(fence);
    bson_destroy(update);

    return rc;
}


int
mr_store_caught_up(
    mr_store_t *store, const mr_caught_up_t *claims, size_t n, mr_error_t *err)
{
    int rc;
    size_t i;
    bson_t *fence, *update, opts;
    bson_error_t error;
    mongoc_bulk_operation_t *bulk;

    if (n == 0) {
        return 0;
    }

    bson_init(&opts);
    BSON_APPEND_BOOL(&opts, "ordered", false);
    bulk =
        mongoc_collection_create_bulk_operation_with_opts(store->ledger, &opts);
    bson_destroy(&opts);

    rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        fence = mr_store_fence(
            store, claims[i].partition, claims[i].epoch, claims[i].next);

        /*
         * Not $max: a clock may have been ahead when the last one was made.
         * An order that was given meanwhile has nothing to do: what it names
         * is read.
         */
        update =
            BCON_NEW("$set", "{", "caught_up", BCON_DATE_TIME(claims[i].time),
                "reached", BCON_INT64(claims[i].reached), "}", "$unset", "{",
                "resume", BCON_INT32(1), "}");

        if (!mongoc_bulk_operation_update_one_with_opts(
                bulk, fence, update, NULL, &error))
        {
            rc = mr_mongo_error(err, "cannot note the end of the log", &error);
        }

        bson_destroy(fence);
        bson_destroy(update);
    }

    if (rc == 0 && mongoc_bulk_operation_execute(bulk, NULL, &error) == 0) {
        rc = mr_mongo_error(err, "cannot note the end of the log", &error);
    }

    mongoc_bulk_operation_destroy(bulk);

    return rc;
}


static void
ledger_decode(const bson_t *document, mr_ledger_t *ledger)
{
    bson_iter_t iter;

    memset(ledger, 0, sizeof(mr_ledger_t));

    ledger->epoch = ledger_int64(document, "epoch");
    ledger->next = ledger_int64(document, "next");
    ledger->flush = ledger_int64(document, "flush");
    ledger->reached = ledger_int64(document, "reached");
    ledger->last.offset = -1;

    if (bson_iter_init_find(&iter, document, "last")) {
        ledger_decode_last(&iter, &ledger->last);
    }

    if (bson_iter_init_find(&iter, document, "resume")) {
        ledger_decode_resume(&iter, ledger);
    }
}


static void
ledger_decode_last(const bson_iter_t *parent, mr_last_t *last)
{
    uint32_t len;
    bson_iter_t child;
    const uint8_t *data;
    mr_last_t decoded;

    memset(&decoded, 0, sizeof(mr_last_t));

    if (!BSON_ITER_HOLDS_DOCUMENT(parent)) {
        return;
    }

    (void) bson_iter_recurse(parent, &child);
    if (!bson_iter_find(&child, "offset")) {
        return;
    }

    decoded.offset = bson_iter_as_int64(&child);

    (void) bson_iter_recurse(parent, &child);
    if (!bson_iter_find(&child, "time") || !BSON_ITER_HOLDS_DATE_TIME(&child)) {
        return;
    }

    decoded.time = bson_iter_date_time(&child);

    (void) bson_iter_recurse(parent, &child);
    if (!bson_iter_find(&child, "hash") || !BSON_ITER_HOLDS_BINARY(&child)) {
        return;
    }

    bson_iter_binary(&child, NULL, &len, &data);

    if (len == sizeof(mr_hash_t)) {
        memcpy(&decoded.hash, data, len);
        *last = decoded;
    }
}


static void
ledger_decode_resume(const bson_iter_t *parent, mr_ledger_t *ledger)
{
    const char *what;
    bson_iter_t child;
    mr_resume_t resume;

    if (!BSON_ITER_HOLDS_DOCUMENT(parent)) {
        return;
    }

    (void) bson_iter_recurse(parent, &child);
    if (!bson_iter_find(&child, "next")) {
        return;
    }

    ledger->resume_next = bson_iter_as_int64(&child);

    (void) bson_iter_recurse(parent, &child);
    if (!bson_iter_find(&child, "what") || !BSON_ITER_HOLDS_UTF8(&child)) {
        return;
    }

    what = bson_iter_utf8(&child, NULL);

    for (resume = MR_RESUME_GAP; resume <= MR_RESUME_EPOCH; resume++) {
        if (strcmp(what, resume_names[resume]) == 0) {
            ledger->resume = resume;
        }
    }
}


static int64_t
ledger_int64(const bson_t *document, const char *key)
{
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, document, key)) {
        return 0;
    }

    return bson_iter_as_int64(&iter);
}
