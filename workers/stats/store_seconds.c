/* The windows of a second, which are inside the partials of a minute. */

#include <string.h>

#include "store_private.h"


#define SECONDS 60


static int seconds_number(const char *text);
static int forget_minutes(
    mr_store_t *store, const bson_t *ids, int64_t now, mr_error_t *err);


int
mr_seconds_begin(const bson_t *doc, mr_seconds_t *ret_seconds)
{
    int rc;
    const char *name;
    bson_iter_t iter;
    mr_seconds_t seconds;

    memset(&seconds, 0, sizeof(seconds));
    seconds.partition = -1;

    if (!bson_iter_init(&iter, doc)) {
        return 1;
    }

    while (bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "_id") == 0) {
            rc = mr_bson_key(&iter, NULL, &seconds.key, &seconds.partition);

            if (rc != 0) {
                return rc;
            }

        } else if (strcmp(name, "flush") == 0) {
            seconds.flush = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "forget") == 0
                   && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            seconds.forget = bson_iter_date_time(&iter);

        } else if (strcmp(name, "seconds") == 0
                   && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            seconds.any = bson_iter_recurse(&iter, &seconds.iter);
        }
    }

    if (seconds.partition < 0) {
        return 1;
    }

    seconds.any = seconds.any && seconds.key.width == MR_WIDTH_MINUTE;
    *ret_seconds = seconds;

    return 0;
}


bool
mr_seconds_next(mr_seconds_t *seconds, int64_t flush, mr_window_key_t *ret_key)
{
    int number;
    bson_iter_t found;

    while (seconds->any && bson_iter_next(&seconds->iter)) {
        number = seconds_number(bson_iter_key(&seconds->iter));

        if (number == -1 || !BSON_ITER_HOLDS_DOCUMENT(&seconds->iter)
            || !bson_iter_recurse(&seconds->iter, &found)
            || !bson_iter_find(&found, "flush")
            || bson_iter_as_int64(&found) <= flush)
        {
            continue;
        }

        *ret_key = seconds->key;
        ret_key->width = MR_WIDTH_SECOND;
        ret_key->start += (int64_t) number * 1000;

        return true;
    }

    return false;
}


/* "0" to "59"; -1: none of those. */
static int
seconds_number(const char *text)
{
    int number;

    for (number = 0; *text >= '0' && *text <= '9' && number < SECONDS; text++) {
        number = 10 * number + *text - '0';
    }

    return *text == '\0' && number < SECONDS ? number : -1;
}


int
mr_seconds_read(const mr_seconds_t *seconds, const mr_window_key_t *key,
    mr_arena_t *arena, mr_partial_t **ret_partial)
{
    int rc;
    const char *name;
    bson_iter_t iter;
    mr_partial_t *part;

    part = mr_arena_alloc(arena, sizeof(mr_partial_t));

    if (part == NULL || !bson_iter_recurse(&seconds->iter, &iter)) {
        return -1;
    }

    part->partition = seconds->partition;
    part->inside = true;
    part->flush = seconds->flush;

    if (seconds->forget != 0) {
        part->expire = seconds->forget
                       - (mr_window_end(&seconds->key) - mr_window_end(key));
    }

    while (bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "count") == 0) {
            part->scalars.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "measures") == 0) {
            rc = mr_bson_measures(&iter, arena, &part->scalars);

            if (rc == -1) {
                return -1;
            }
        }
    }

    *ret_partial = part;

    return 0;
}


int
mr_store_alone(mr_store_t *store, mr_error_t *err)
{
    bson_t *filter, opts, projection;
    const bson_t *doc;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    if (!store->alone) {
        return 0;
    }

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("_id", "{", "$gte", "{", "width", BCON_INT32(1), "}",
        "$lt", "{", "width", BCON_INT32(2), "}", "}");

    BSON_APPEND_INT64(&opts, "limit", 1);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &projection);
    BSON_APPEND_INT32(&projection, "_id", 1);
    bson_append_document_end(&opts, &projection);

    cursor =
        mongoc_collection_find_with_opts(store->partials, filter, &opts, NULL);

    store->alone = mongoc_cursor_next(cursor, &doc);

    bson_destroy(filter);
    bson_destroy(&opts);

    if (mongoc_cursor_error(cursor, &error)) {
        store->alone = true;
        mongoc_cursor_destroy(cursor);

        return mr_mongo_error(err, "cannot read the partials", &error);
    }

    mongoc_cursor_destroy(cursor);

    return 0;
}


int
mr_store_forget(mr_store_t *store, int64_t now, size_t limit, size_t *ret_n,
    mr_error_t *err)
{
    int rc;
    char text[16];
    bson_t *filter, opts, child, ids;
    uint32_t n;
    const char *key;
    bson_iter_t iter;
    const bson_t *doc;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("forget", "{", "$lte", BCON_DATE_TIME(now), "}");

    BSON_APPEND_INT64(&opts, "limit", (int64_t) limit);
    BSON_APPEND_INT32(&opts, "batchSize", (int32_t) limit + 1);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "_id", 1);
    bson_append_document_end(&opts, &child);

    cursor =
        mongoc_collection_find_with_opts(store->partials, filter, &opts, NULL);

    n = 0;
    bson_init(&ids);

    while (mongoc_cursor_next(cursor, &doc)) {

        if (bson_iter_init_find(&iter, doc, "_id")) {
            bson_uint32_to_string(n++, &key, text, sizeof(text));
            BSON_APPEND_VALUE(&ids, key, bson_iter_value(&iter));
        }
    }

    rc = mongoc_cursor_error(cursor, &error)
             ? mr_mongo_error(err, "cannot read the partials", &error)
             : 0;

    if (rc == 0 && n > 0) {
        rc = forget_minutes(store, &ids, now, err);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(&opts);
    bson_destroy(&ids);

    if (rc == 0) {
        *ret_n = n;
    }

    return rc;
}


/* A transaction of the writer's that changes one of them starts again. */
static int
forget_minutes(
    mr_store_t *store, const bson_t *ids, int64_t now, mr_error_t *err)
{
    bool ok;
    bson_t *filter, *update, opts;
    bson_error_t error;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("_id", "{", "$in", BCON_ARRAY(ids), "}", "forget", "{",
        "$lte", BCON_DATE_TIME(now), "}");
    update = BCON_NEW(
        "$unset", "{", "seconds", BCON_INT32(1), "forget", BCON_INT32(1), "}");

    ok = mongoc_collection_update_many(
        store->partials, filter, update, &opts, NULL, &error);

    bson_destroy(filter);
    bson_destroy(update);
    bson_destroy(&opts);

    return ok ? 0 : mr_mongo_error(err, "cannot forget seconds", &error);
}
