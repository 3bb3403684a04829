#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/mongo.h"
#include "../common/run.h"
#include "store.h"
#include "store_index.h"
#include "store_multikey.h"
#include "store_types.h"


#define MR_SCHEMA_VERSION 1

#define MR_STORE_ATTEMPT 2000    /* ms */
#define MR_STORE_PAUSE 200       /* ms */
#define MR_STORE_TIMEOUT 3600000 /* ms */

#define MR_MONGO_NAMESPACE_EXISTS 48


static int mr_store_wait(
    const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err);
static int mr_store_shape(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err);
static int mr_store_topology(mongoc_client_t *client, mr_error_t *err);
static int mr_store_collections(
    mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err);
static mongoc_collection_t *mr_store_create(
    mongoc_database_t *database, const char *name, bson_error_t *error);
static int mr_store_schema_check(mongoc_collection_t *state, mr_error_t *err);
static int mr_store_dedup(
    mongoc_collection_t *state, int64_t window, mr_error_t *err);
static int mr_store_topic(mr_mongo_t *mongo, mongoc_client_t *client,
    mongoc_collection_t *state, const char *topic, mr_error_t *err);
static int mr_store_topic_set(
    mongoc_collection_t *state, const char *topic, mr_error_t *err);
static int mr_store_once(mongoc_collection_t *state, const char *id,
    const char *field, int64_t value, int64_t *ret_value, int *ret_new,
    mr_error_t *err);


static const char *mr_collections[] = {MR_MONGO_LEDGER, MR_MONGO_BLOCKS,
    MR_MONGO_PARTIALS, MR_MONGO_WINDOWS, MR_MONGO_ACCOUNTS, MR_MONGO_STATE,
    MR_MONGO_TYPES, NULL};


int
mr_store_open(const mr_setup_t *setup, mr_mongo_t **ret_mongo, mr_error_t *err)
{
    mr_options_t options;

    /* An index on a large collection takes its time. */
    options = *setup->options;
    options.mongodb.timeout = MR_STORE_TIMEOUT;

    return mr_mongo_open(&options, "millrace-setup", ret_mongo, err);
}


int
mr_store_setup(const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err)
{
    int rc;
    mongoc_client_t *client;

    rc = mr_store_wait(setup, mongo, err);

    if (rc == 0) {
        client = mr_mongo_pop(mongo);
        rc = mr_store_shape(setup, mongo, client, err);
        mr_mongo_push(mongo, client);
    }

    return rc;
}


int
mr_store_retention(const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err)
{
    int rc;
    mongoc_client_t *client;

    client = mr_mongo_pop(mongo);
    rc = mr_store_ttl(mongo, client, setup->options->writer.retention, err);
    mr_mongo_push(mongo, client);

    return rc;
}


static int
mr_store_wait(const mr_setup_t *setup, mr_mongo_t *mongo, mr_error_t *err)
{
    mr_error_t why;

    while (mr_mongo_ping(mongo, MR_STORE_ATTEMPT, &why) == -1) {

        if (why.code == MR_ERROR_CONFIG || mr_run_stopping()) {
            return mr_error_set(err, why.code, NULL, "%s", why.message);
        }

        if (mr_time_monotonic() + MR_STORE_PAUSE >= setup->deadline) {
            return mr_error_set(err, why.code, NULL,
                "%s (a replica set that was never initiated has no primary: "
                "--initiate)",
                why.message);
        }

        mr_log_debug("waiting for MongoDB: %s", why.message);
        (void) mr_run_sleep(MR_STORE_PAUSE);
    }

    return 0;
}


static int
mr_store_shape(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err)
{
    int rc, created = 0;
    int64_t version = 0;
    mongoc_collection_t *state;

    if (mr_store_topology(client, err) == -1) {
        return -1;
    }

    state = mr_mongo_collection(mongo, client, MR_MONGO_STATE);

    rc = mr_store_schema_check(state, err);

    if (rc == 0) {
        rc = mr_store_collections(mongo, client, err);
    }

    if (rc == 0) {
        rc = mr_store_dedup(state, setup->options->writer.dedup_window, err);
    }

    if (rc == 0) {
        rc = mr_store_topic(
            mongo, client, state, setup->options->kafka.topic, err);
    }

    if (rc == 0) {
        rc = mr_store_types(setup, mongo, client, err);
    }

    if (rc == 0) {
        rc = mr_store_indexes(mongo, client, err);
    }

    if (rc == 0) {
        rc = mr_store_multikey(mongo, client, err);
    }

    /* Last of all: where it is new, so is everything before. */
    if (rc == 0) {
        rc = mr_store_once(state, "schema", "version", MR_SCHEMA_VERSION,
            &version, &created, err);
    }

    if (rc == 0) {
        mr_setup_say("database %s: %s, schema version %d",
            mr_mongo_database(mongo), created ? "set up" : "ready",
            MR_SCHEMA_VERSION);
    }

    mongoc_collection_destroy(state);

    return rc;
}


/* A single mongod has no transactions, and would fail only much later. */
static int
mr_store_topology(mongoc_client_t *client, mr_error_t *err)
{
    bool ok, fit;
    bson_t command, reply;
    bson_iter_t iter;
    bson_error_t error;

    bson_init(&command);
    BSON_APPEND_INT32(&command, "hello", 1);

    ok = mongoc_client_command_simple(
        client, "admin", &command, NULL, &reply, &error);

    fit = ok
          && (bson_iter_init_find(&iter, &reply, "setName")
              || (bson_iter_init_find(&iter, &reply, "msg")
                  && BSON_ITER_HOLDS_UTF8(&iter)
                  && strcmp(bson_iter_utf8(&iter, NULL), "isdbgrid") == 0));

    bson_destroy(&command);
    bson_destroy(&reply);

    if (!ok) {
        return mr_mongo_error(err, "MongoDB does not answer", &error);
    }

    if (!fit) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "MongoDB is a single server, but transactions need a replica "
            "set: start mongod with --replSet rs0, name it in [mongodb] uri "
            "by ?replicaSet=rs0, and run millrace-setup --initiate");
    }

    return 0;
}


static int
mr_store_collections(
    mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err)
{
    int rc;
    size_t i;
    bson_error_t error;
    mongoc_database_t *database;
    mongoc_collection_t *collection;

    rc = 0;
    database = mongoc_client_get_database(client, mr_mongo_database(mongo));

    for (i = 0; mr_collections[i] != NULL; i++) {

        collection = mr_store_create(database, mr_collections[i], &error);

        if (collection != NULL) {
            mr_setup_say("collection %s: created", mr_collections[i]);
            mongoc_collection_destroy(collection);

        } else if (error.code != MR_MONGO_NAMESPACE_EXISTS) {
            rc = mr_mongo_error(err, "cannot create a collection", &error);
            break;
        }
    }

    mongoc_database_destroy(database);

    return rc;
}


static mongoc_collection_t *
mr_store_create(
    mongoc_database_t *database, const char *name, bson_error_t *error)
{
    bson_t *opts;
    mongoc_collection_t *collection;

    opts = BCON_NEW("storageEngine", "{", "wiredTiger", "{", "configString",
        BCON_UTF8(MR_STORE_ENGINE), "}", "}");

    collection = mongoc_database_create_collection(database, name, opts, error);

    bson_destroy(opts);

    return collection;
}


static int
mr_store_schema_check(mongoc_collection_t *state, mr_error_t *err)
{
    int64_t version;
    bson_t *filter;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    version = MR_SCHEMA_VERSION;

    filter = BCON_NEW("_id", BCON_UTF8("schema"));
    cursor = mongoc_collection_find_with_opts(state, filter, NULL, NULL);

    if (mongoc_cursor_next(cursor, &doc)
        && bson_iter_init_find(&iter, doc, "version"))
    {
        version = bson_iter_as_int64(&iter);
    }

    bson_destroy(filter);

    if (mongoc_cursor_error(cursor, &error)) {
        mongoc_cursor_destroy(cursor);
        return mr_mongo_error(err, "cannot read the schema version", &error);
    }

    mongoc_cursor_destroy(cursor);

    if (version != MR_SCHEMA_VERSION) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "the database has schema version %lld, this program knows %d: "
            "use the version of Millrace that wrote it, or newer",
            (long long) version, MR_SCHEMA_VERSION);
    }

    return 0;
}


/* All writers, now and later, must recognise repeats by the same rule. */
static int
mr_store_dedup(mongoc_collection_t *state, int64_t window, mr_error_t *err)
{
    int new;
    int64_t stored;

    if (mr_store_once(state, "dedup", "window", window, &stored, &new, err)
        == -1) {
        return -1;
    }

    if (stored != window) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "the dedup window of this database is fixed at %lld records, "
            "the configuration says %lld: set [writer] dedup_window = %lld",
            (long long) stored, (long long) window, (long long) stored);
    }

    if (new) {
        mr_setup_say("dedup window: fixed at %lld records a partition",
            (long long) window);
    }

    return 0;
}


/*
 * A block is known by its partition and offset: two topics in one database
 * would collide, and their events be counted together.  The ledgers name the
 * topic whose events are there, by "topic/partition".
 */
static int
mr_store_topic(mr_mongo_t *mongo, mongoc_client_t *client,
    mongoc_collection_t *state, const char *topic, mr_error_t *err)
{
    int rc;
    bson_t all;
    bson_iter_t iter;
    const char *id, *end;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;
    mongoc_collection_t *ledger;

    rc = 0;
    bson_init(&all);
    ledger = mr_mongo_collection(mongo, client, MR_MONGO_LEDGER);
    cursor = mongoc_collection_find_with_opts(ledger, &all, NULL, NULL);

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        if (!bson_iter_init_find(&iter, doc, "_id")
            || !BSON_ITER_HOLDS_UTF8(&iter)
            || (end = strrchr(id = bson_iter_utf8(&iter, NULL), '/')) == NULL)
        {
            continue;
        }

        if (strlen(topic) != (size_t) (end - id)
            || memcmp(topic, id, (size_t) (end - id)) != 0)
        {
            rc = mr_error_set(err, MR_ERROR_CONFIG, NULL,
                "this database holds the events of topic \"%.*s\", the "
                "configuration says \"%s\": set [kafka] topic = %.*s, or "
                "name another [mongodb] database",
                (int) (end - id), id, topic, (int) (end - id), id);
        }
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the ledgers", &error);
    }

    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(ledger);
    bson_destroy(&all);

    return rc == 0 ? mr_store_topic_set(state, topic, err) : rc;
}


/* Where there is no event yet, a set-up before may have named another one. */
static int
mr_store_topic_set(
    mongoc_collection_t *state, const char *topic, mr_error_t *err)
{
    bool ok;
    bson_t *selector, *update, *opts;
    bson_error_t error;

    selector = BCON_NEW("_id", BCON_UTF8("topic"));
    update = BCON_NEW("$set", "{", "name", BCON_UTF8(topic), "}");
    opts = BCON_NEW("upsert", BCON_BOOL(true));

    ok = mongoc_collection_update_one(
        state, selector, update, opts, NULL, &error);

    bson_destroy(opts);
    bson_destroy(update);
    bson_destroy(selector);

    return ok ? 0 : mr_mongo_error(err, "cannot write the state", &error);
}


/* Store {_id, field: value} unless it is there; *ret_value is what is. */
static int
mr_store_once(mongoc_collection_t *state, const char *id, const char *field,
    int64_t value, int64_t *ret_value, int *ret_new, mr_error_t *err)
{
    int rc, new;
    bool ok;
    int64_t stored;
    bson_t *selector, *update, *opts, reply;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    selector = BCON_NEW("_id", BCON_UTF8(id));
    update = BCON_NEW("$setOnInsert", "{", field, BCON_INT64(value), "}");
    opts = BCON_NEW("upsert", BCON_BOOL(true));

    ok = mongoc_collection_update_one(
        state, selector, update, opts, &reply, &error);

    new = ok &&bson_iter_init_find(&iter, &reply, "upsertedId");

    bson_destroy(&reply);
    bson_destroy(opts);
    bson_destroy(update);

    if (!ok) {
        bson_destroy(selector);
        return mr_mongo_error(err, "cannot write the state", &error);
    }

    rc = 0;
    stored = -1;
    cursor = mongoc_collection_find_with_opts(state, selector, NULL, NULL);

    if (mongoc_cursor_next(cursor, &doc)
        && bson_iter_init_find(&iter, doc, field)) {
        stored = bson_iter_as_int64(&iter);

    } else if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the state", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(selector);

    if (rc == 0) {
        *ret_value = stored;
        *ret_new = new;
    }

    return rc;
}
