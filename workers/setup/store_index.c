#include <string.h>

#include "setup.h"
#include "store_index.h"


#define MR_INDEX_TTL "received"
#define MR_INDEX_WIDE                                                          \
    "{\"partialFilterExpression\": {\"span\": {\"$gte\": 2, \"$lte\": 4}}}"
#define MR_MONGO_INDEX_CONFLICT 85 /* IndexOptionsConflict */


typedef struct {
    const char *collection;
    const char *name;
    const char *keys;    /* JSON */
    const char *options; /* JSON */
} mr_index_t;


static int mr_store_index(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_index_t *index, mr_error_t *err);
static bson_t *mr_store_index_command(
    const mr_index_t *index, const char *engine, mr_error_t *err);
static int mr_store_earlier(
    mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err);
static int mr_store_earlier_blocks(
    mongoc_collection_t *blocks, int *ret_any, mr_error_t *err);
static int mr_store_earlier_say(
    mongoc_collection_t *blocks, const char *name, mr_error_t *err);
static int mr_store_index_find(mongoc_collection_t *blocks, const char *name,
    int64_t *ret_seconds, mr_error_t *err);
static int mr_store_ttl_change(mr_mongo_t *mongo, mongoc_client_t *client,
    int64_t was, int64_t seconds, mr_error_t *err);


/* What an index may have been made with, the latest first; NULL: nothing. */
static const char *const mr_index_engines[] = {
    MR_STORE_ENGINE, MR_STORE_ENGINE_OLD, NULL};

static const mr_index_t mr_indexes[] = {
    {MR_MONGO_BLOCKS, MR_MONGO_WHO_TMAX,
        "{\"who.u\": 1, \"span\": 1, \"tmax\": 1, \"who.t\": 1}", "{}"},
    {MR_MONGO_BLOCKS, "types_span_tmax_tmin",
        "{\"types\": 1, \"span\": 1, \"tmax\": 1, \"tmin\": 1}", "{}"},
    {MR_MONGO_BLOCKS, "span_tmax_tmin",
        "{\"span\": 1, \"tmax\": 1, \"tmin\": 1}", "{}"},
    {MR_MONGO_BLOCKS, "types_span_tmin_tmax",
        "{\"types\": 1, \"span\": 1, \"tmin\": 1, \"tmax\": 1}", "{}"},
    {MR_MONGO_BLOCKS, "span_tmin_tmax",
        "{\"span\": 1, \"tmin\": 1, \"tmax\": 1}", "{}"},

    /* The classes of a day and more, in which few blocks are. */
    {MR_MONGO_BLOCKS, "who_span_tmin_tmax",
        "{\"who.u\": 1, \"span\": 1, \"tmin\": 1, \"tmax\": 1, \"who.t\": 1}",
        MR_INDEX_WIDE},

    {MR_MONGO_PARTIALS, "partition_flush",
        "{\"_id.partition\": 1, \"flush\": 1}", "{}"},
    {MR_MONGO_PARTIALS, "expire", "{\"expire\": 1}",
        "{\"expireAfterSeconds\": 0}"},
    {MR_MONGO_PARTIALS, "forget", "{\"forget\": 1}", "{\"sparse\": true}"},

    {MR_MONGO_WINDOWS, "dirty", "{\"dirty\": 1}",
        "{\"partialFilterExpression\": {\"dirty\": true}}"},
    {MR_MONGO_WINDOWS, "closes", "{\"closes\": 1}",
        "{\"partialFilterExpression\": {\"final\": false}}"},
    {MR_MONGO_WINDOWS, "expire", "{\"expire\": 1}",
        "{\"expireAfterSeconds\": 0}"},

    {MR_MONGO_TYPES, "number", "{\"number\": 1}", "{\"unique\": true}"},

    {MR_MONGO_ACCOUNTS, "expire", "{\"expire\": 1}",
        "{\"expireAfterSeconds\": 0}"},

    {NULL, NULL, NULL, NULL}};


/* Of the blocks, by earlier versions, whose query daemons may still run. */
static const char *const mr_indexes_earlier[] = {"types_span_tmax", "span_tmax",
    "users_span_tmin", "types_span_tmin", "span_tmin", NULL};

/* Those that blocks of earlier versions are found by, where there are any. */
static const mr_index_t mr_indexes_users[] = {
    {MR_MONGO_BLOCKS, "users_span_tmax",
        "{\"users\": 1, \"span\": 1, \"tmax\": 1}", "{}"},
    {MR_MONGO_BLOCKS, "users_span_tmin_tmax",
        "{\"users\": 1, \"span\": 1, \"tmin\": 1, \"tmax\": 1}", MR_INDEX_WIDE},

    {NULL, NULL, NULL, NULL}};


int
mr_store_indexes(mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err)
{
    const mr_index_t *index;

    for (index = mr_indexes; index->collection != NULL; index++) {

        if (mr_store_index(mongo, client, index, err) == -1) {
            return -1;
        }
    }

    return mr_store_earlier(mongo, client, err);
}


int
mr_store_ttl(mr_mongo_t *mongo, mongoc_client_t *client, int64_t retention,
    mr_error_t *err)
{
    int rc;
    char options[64];
    int64_t was = 0, seconds;
    mr_index_t index;
    bson_error_t error;
    mongoc_collection_t *blocks;

    seconds = retention / 1000;
    blocks = mr_mongo_collection(mongo, client, MR_MONGO_BLOCKS);
    rc = mr_store_index_find(blocks, MR_INDEX_TTL, &was, err);

    if (rc == -1 || was == seconds) {
        /* void */

    } else if (seconds == 0) {

        if (mongoc_collection_drop_index(blocks, MR_INDEX_TTL, &error)) {
            mr_setup_say("retention of events: was %lld s, now for ever",
                (long long) was);

        } else {
            rc = mr_mongo_error(err, "cannot drop the TTL index", &error);
        }

    } else if (was != 0) {
        rc = mr_store_ttl_change(mongo, client, was, seconds, err);

    } else {
        (void) bson_snprintf(options, sizeof(options),
            "{\"expireAfterSeconds\": %lld}", (long long) seconds);

        index.collection = MR_MONGO_BLOCKS;
        index.name = MR_INDEX_TTL;
        index.keys = "{\"received\": 1}";
        index.options = options;

        rc = mr_store_index(mongo, client, &index, err);
    }

    mongoc_collection_destroy(blocks);

    return rc == -1 ? -1 : 0;
}


static int
mr_store_index(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_index_t *index, mr_error_t *err)
{
    bool ok;
    size_t i;
    char what[128];
    int64_t before, after;
    bson_t *command, *opts, reply;
    bson_iter_t iter;
    bson_error_t error;

    opts = BCON_NEW("writeConcern", "{", "w", BCON_UTF8("majority"), "}");

    for (i = 0;; i++) {

        command = mr_store_index_command(index, mr_index_engines[i], err);

        if (command == NULL) {
            bson_destroy(opts);
            return -1;
        }

        ok = mongoc_client_write_command_with_opts(
            client, mr_mongo_database(mongo), command, opts, &reply, &error);

        bson_destroy(command);

        /* One that was made otherwise is left as it is. */
        if (ok || mr_index_engines[i] == NULL
            || error.code != MR_MONGO_INDEX_CONFLICT) {
            break;
        }

        bson_destroy(&reply);
    }

    before = 0;
    after = 0;

    if (bson_iter_init_find(&iter, &reply, "numIndexesBefore")) {
        before = bson_iter_as_int64(&iter);
    }

    if (bson_iter_init_find(&iter, &reply, "numIndexesAfter")) {
        after = bson_iter_as_int64(&iter);
    }

    bson_destroy(&reply);
    bson_destroy(opts);

    if (!ok) {
        (void) bson_snprintf(what, sizeof(what), "cannot create index %s.%s",
            index->collection, index->name);
        return mr_mongo_error(err, what, &error);
    }

    if (after > before) {
        mr_setup_say("index %s.%s: created", index->collection, index->name);
    }

    return 0;
}


static bson_t *
mr_store_index_command(
    const mr_index_t *index, const char *engine, mr_error_t *err)
{
    bson_t keys, options, indexes, entry, storage, settings, *command;
    bson_error_t error;

    if (!bson_init_from_json(&keys, index->keys, -1, &error)) {
        (void) mr_mongo_error(err, index->name, &error);
        return NULL;
    }

    if (!bson_init_from_json(&options, index->options, -1, &error)) {
        bson_destroy(&keys);
        (void) mr_mongo_error(err, index->name, &error);
        return NULL;
    }

    command = bson_new();

    BSON_APPEND_UTF8(command, "createIndexes", index->collection);
    BSON_APPEND_ARRAY_BEGIN(command, "indexes", &indexes);
    BSON_APPEND_DOCUMENT_BEGIN(&indexes, "0", &entry);
    BSON_APPEND_DOCUMENT(&entry, "key", &keys);
    BSON_APPEND_UTF8(&entry, "name", index->name);
    bson_concat(&entry, &options);

    /* mongod compresses no index unless it is told to. */
    if (engine != NULL) {
        BSON_APPEND_DOCUMENT_BEGIN(&entry, "storageEngine", &storage);
        BSON_APPEND_DOCUMENT_BEGIN(&storage, "wiredTiger", &settings);
        BSON_APPEND_UTF8(&settings, "configString", engine);
        bson_append_document_end(&storage, &settings);
        bson_append_document_end(&entry, &storage);
    }

    bson_append_document_end(&indexes, &entry);
    bson_append_array_end(command, &indexes);

    bson_destroy(&options);
    bson_destroy(&keys);

    return command;
}


/* Name those indexes that cost something and serve nobody any more. */
static int
mr_store_earlier(mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err)
{
    int rc, any;
    size_t i;
    const mr_index_t *index;
    mongoc_collection_t *blocks;

    blocks = mr_mongo_collection(mongo, client, MR_MONGO_BLOCKS);
    rc = mr_store_earlier_blocks(blocks, &any, err);

    for (index = mr_indexes_users; rc == 0 && index->name != NULL; index++) {
        rc = any ? mr_store_index(mongo, client, index, err)
                 : mr_store_earlier_say(blocks, index->name, err);
    }

    for (i = 0; rc == 0 && mr_indexes_earlier[i] != NULL; i++) {
        rc = mr_store_earlier_say(blocks, mr_indexes_earlier[i], err);
    }

    mongoc_collection_destroy(blocks);

    return rc;
}


/* Is there a block of an earlier version? */
static int
mr_store_earlier_blocks(
    mongoc_collection_t *blocks, int *ret_any, mr_error_t *err)
{
    int rc;
    bson_t opts;
    const bson_t *doc;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    bson_init(&opts);
    cursor = mr_mongo_earlier(blocks, &opts);
    *ret_any = mongoc_cursor_next(cursor, &doc);

    rc = mongoc_cursor_error(cursor, &error)
             ? mr_mongo_error(err, "cannot look for earlier blocks", &error)
             : 0;

    mongoc_cursor_destroy(cursor);
    bson_destroy(&opts);

    return rc;
}


static int
mr_store_earlier_say(
    mongoc_collection_t *blocks, const char *name, mr_error_t *err)
{
    int rc;
    int64_t seconds;

    rc = mr_store_index_find(blocks, name, &seconds, err);

    if (rc == 1) {
        mr_setup_say("index %s.%s: of an earlier version; drop it when no "
                     "query daemon of that version runs",
            MR_MONGO_BLOCKS, name);
    }

    return rc == -1 ? -1 : 0;
}


/* Is there an index of this name, and what is its TTL, or 0?  1, 0 or -1. */
static int
mr_store_index_find(mongoc_collection_t *blocks, const char *name,
    int64_t *ret_seconds, mr_error_t *err)
{
    int found;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    found = 0;
    *ret_seconds = 0;
    cursor = mongoc_collection_find_indexes_with_opts(blocks, NULL);

    while (mongoc_cursor_next(cursor, &doc)) {

        if (!bson_iter_init_find(&iter, doc, "name")
            || !BSON_ITER_HOLDS_UTF8(&iter)
            || strcmp(bson_iter_utf8(&iter, NULL), name) != 0)
        {
            continue;
        }

        found = 1;

        if (bson_iter_init_find(&iter, doc, "expireAfterSeconds")) {
            *ret_seconds = bson_iter_as_int64(&iter);
        }
    }

    if (mongoc_cursor_error(cursor, &error)) {
        mongoc_cursor_destroy(cursor);
        return mr_mongo_error(err, "cannot list the indexes", &error);
    }

    mongoc_cursor_destroy(cursor);

    return found;
}


static int
mr_store_ttl_change(mr_mongo_t *mongo, mongoc_client_t *client, int64_t was,
    int64_t seconds, mr_error_t *err)
{
    bool ok;
    bson_t *command;
    bson_error_t error;

    command = BCON_NEW("collMod", BCON_UTF8(MR_MONGO_BLOCKS), "index", "{",
        "name", BCON_UTF8(MR_INDEX_TTL), "expireAfterSeconds",
        BCON_INT64(seconds), "}");

    ok = mongoc_client_write_command_with_opts(
        client, mr_mongo_database(mongo), command, NULL, NULL, &error);

    bson_destroy(command);

    if (!ok) {
        return mr_mongo_error(err, "cannot change the retention", &error);
    }

    mr_setup_say("retention of events: was %lld s, now %lld s", (long long) was,
        (long long) seconds);

    return 0;
}
