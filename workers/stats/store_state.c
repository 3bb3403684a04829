#include <stdlib.h>
#include <string.h>

#include "../common/log.h"

#include "store_private.h"


static int ledger_partition(
    const mr_store_t *store, const bson_t *doc, int32_t *ret_partition);
static void ledger_read(const bson_t *doc, mr_progress_t *progress);
static int state_partitions(
    const bson_t *doc, mr_progress_list_t *progress, mr_error_t *err);


int
mr_store_ledger(
    mr_store_t *store, mr_progress_list_t *progress, mr_error_t *err)
{
    int rc;
    char *from, *to;
    bson_t *filter, opts;
    int32_t partition;
    const bson_t *doc;
    bson_error_t error;
    mr_progress_t *at;
    mongoc_cursor_t *cursor;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    /* '0' is the character after '/' */
    from = bson_strdup_printf("%s/", store->options->kafka.topic);
    to = bson_strdup_printf("%s0", store->options->kafka.topic);
    filter = BCON_NEW(
        "_id", "{", "$gte", BCON_UTF8(from), "$lt", BCON_UTF8(to), "}");

    cursor =
        mongoc_collection_find_with_opts(store->ledger, filter, &opts, NULL);

    rc = 0;
    progress->n = 0;

    while (mongoc_cursor_next(cursor, &doc)) {

        if (ledger_partition(store, doc, &partition) != 0) {
            continue;
        }

        at = mr_progress_at(progress, partition);
        if (at == NULL) {
            rc = mr_store_memory(err);
            break;
        }

        ledger_read(doc, at);
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the ledger", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(&opts);
    bson_free(from);
    bson_free(to);

    return rc;
}


static int
ledger_partition(
    const mr_store_t *store, const bson_t *doc, int32_t *ret_partition)
{
    long number;
    char *end;
    const char *text;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, doc, "_id") || !BSON_ITER_HOLDS_UTF8(&iter))
    {
        return -1;
    }

    text = bson_iter_utf8(&iter, NULL) + strlen(store->options->kafka.topic);
    number = strtol(text + 1, &end, 10);

    if (text[1] < '0' || text[1] > '9' || *end != '\0' || number > INT32_MAX) {
        return -1;
    }

    *ret_partition = (int32_t) number;

    return 0;
}


static void
ledger_read(const bson_t *doc, mr_progress_t *progress)
{
    int64_t time;
    bson_iter_t iter, found;

    progress->flush = 0;
    progress->as_of = 0;

    if (bson_iter_init_find(&iter, doc, "flush")) {
        progress->flush = bson_iter_as_int64(&iter);
    }

    if (bson_iter_init(&iter, doc)
        && bson_iter_find_descendant(&iter, "last.time", &found)
        && BSON_ITER_HOLDS_DATE_TIME(&found))
    {
        /* The next record may have been received in the same millisecond. */
        progress->as_of = bson_iter_date_time(&found) - 1;
    }

    if (bson_iter_init_find(&iter, doc, "caught_up")
        && BSON_ITER_HOLDS_DATE_TIME(&iter))
    {
        time = bson_iter_date_time(&iter);

        if (time > progress->as_of) {
            progress->as_of = time;
        }
    }
}


int
mr_store_state(mr_store_t *store, mr_progress_list_t *progress,
    int64_t *ret_as_of, mr_error_t *err)
{
    int rc;
    bson_t *filter, opts;
    int64_t as_of;
    bson_iter_t iter;
    const bson_t *doc;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("_id", "merge");
    cursor =
        mongoc_collection_find_with_opts(store->state, filter, &opts, NULL);

    rc = 0;
    as_of = 0;
    progress->n = 0;

    if (mongoc_cursor_next(cursor, &doc)) {

        if (bson_iter_init_find(&iter, doc, "as_of")
            && BSON_ITER_HOLDS_DATE_TIME(&iter))
        {
            as_of = bson_iter_date_time(&iter);
        }

        rc = state_partitions(doc, progress, err);

        if (rc == 1) {
            mr_log_warn("the state of the last merge makes no sense: every "
                        "window is merged again");
            progress->n = 0;
            as_of = 0;
            rc = 0;
        }

    } else if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the state", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(&opts);

    if (rc == 0) {
        *ret_as_of = as_of;
    }

    return rc;
}


/* 1: the document makes no sense. */
static int
state_partitions(
    const bson_t *doc, mr_progress_list_t *progress, mr_error_t *err)
{
    int64_t partition;
    bson_iter_t iter, item, field;
    mr_progress_t *at;

    if (!bson_iter_init_find(&iter, doc, "partitions")
        || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &item))
    {
        return 1;
    }

    while (bson_iter_next(&item)) {

        if (!BSON_ITER_HOLDS_DOCUMENT(&item)
            || !bson_iter_recurse(&item, &field)
            || !bson_iter_find(&field, "partition")
            || !BSON_ITER_HOLDS_INT(&field))
        {
            return 1;
        }

        partition = bson_iter_as_int64(&field);

        if (partition < 0 || partition > INT32_MAX
            || !bson_iter_recurse(&item, &field)
            || !bson_iter_find(&field, "flush") || !BSON_ITER_HOLDS_INT(&field)
            || bson_iter_as_int64(&field) < 0)
        {
            return 1;
        }

        at = mr_progress_at(progress, (int32_t) partition);
        if (at == NULL) {
            return mr_store_memory(err);
        }

        at->flush = bson_iter_as_int64(&field);
    }

    return 0;
}


int
mr_store_set_state(mr_store_t *store, int64_t term,
    const mr_progress_list_t *progress, int64_t as_of, mr_error_t *err)
{
    int rc;
    char text[16];
    size_t i;
    bson_t *filter, update, set, unset, array, item, opts;
    const char *key;
    bson_error_t error;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    BSON_APPEND_BOOL(&opts, "upsert", true);

    /* A document of a later term is not matched, and cannot be inserted. */
    filter = BCON_NEW("_id", "merge", "term", "{", "$not", "{", "$gt",
        BCON_INT64(term), "}", "}");

    bson_init(&update);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);

    if (as_of != 0) {
        BSON_APPEND_DATE_TIME(&set, "as_of", as_of);
    }

    BSON_APPEND_ARRAY_BEGIN(&set, "partitions", &array);

    for (i = 0; i < progress->n; i++) {
        bson_uint32_to_string((uint32_t) i, &key, text, sizeof(text));
        BSON_APPEND_DOCUMENT_BEGIN(&array, key, &item);
        BSON_APPEND_INT32(&item, "partition", progress->list[i].partition);
        BSON_APPEND_INT64(&item, "flush", progress->list[i].flush);
        bson_append_document_end(&array, &item);
    }

    bson_append_array_end(&set, &array);
    BSON_APPEND_INT64(&set, "term", term);
    bson_append_document_end(&update, &set);

    if (as_of == 0) {
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &unset);
        BSON_APPEND_INT32(&unset, "as_of", 1);
        bson_append_document_end(&update, &unset);
    }

    rc = 0;

    if (!mongoc_collection_update_one(
            store->state, filter, &update, &opts, NULL, &error))
    {
        if (error.code == 11000) {
            rc = mr_error_set(err, MR_ERROR_FENCED, NULL,
                "a member of a later term has stored its state");

        } else {
            rc = mr_mongo_error(err, "cannot store the state", &error);
        }
    }

    bson_destroy(&update);
    bson_destroy(filter);
    bson_destroy(&opts);

    return rc;
}
