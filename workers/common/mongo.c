#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "check.h"
#include "log.h"
#include "mongo.h"
#include "mongo_uri.h"


#undef mr_mongo_error /* the function itself */

struct mr_mongo_s {
    char *database;
    mongoc_uri_t *uri;
    mongoc_client_pool_t *pool;
    mongoc_write_concern_t *write_concern;
    mongoc_read_concern_t *read_concern;

    mr_mongo_found_t *found;
    void *found_ctx;

    /* A client of its own for mr_mongo_ping(): short, exact time-outs. */
    pthread_mutex_t ping_mutex;
    mongoc_client_t *ping_client;
    int64_t ping_timeout;
};


static mongoc_client_pool_t *mr_mongo_pool(const mr_options_t *options,
    const mongoc_uri_t *uri, const char *appname, mr_error_t *err);
static void mr_mongo_changed(const mongoc_apm_server_changed_t *event);
static int mr_mongo_takes_all(const mongoc_server_description_t *server);
static mongoc_client_t *mr_mongo_ping_client(
    mr_mongo_t *mongo, int64_t timeout, mr_error_t *err);
static void mr_mongo_log(mongoc_log_level_t level, const char *domain,
    const char *message, void *data);


int
mr_mongo_check(const mr_options_t *options, mr_error_t *err)
{
    mongoc_uri_t *uri;
    mongoc_client_pool_t *pool;

    mongoc_init();
    mongoc_log_set_handler(mr_mongo_log, NULL);

    if (mr_mongo_uri(options, mr_mongo_log, &uri, err) == -1) {
        return -1;
    }

    pool = mr_mongo_pool(options, uri, "millrace-check", err);
    mongoc_uri_destroy(uri);

    if (pool == NULL) {
        return -1;
    }

    mongoc_client_pool_destroy(pool);

    return 0;
}


int
mr_mongo_open(const mr_options_t *options, const char *appname,
    mr_mongo_t **ret_mongo, mr_error_t *err)
{
    mr_mongo_t *mongo;

    mongoc_init();
    mongoc_log_set_handler(mr_mongo_log, NULL);

    mongo = calloc(1, sizeof(mr_mongo_t));

    if (mongo == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    pthread_mutex_init(&mongo->ping_mutex, NULL);

    mongo->database = strdup(options->mongodb.database);

    if (mongo->database == NULL) {
        mr_mongo_close(mongo);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (mr_mongo_uri(options, mr_mongo_log, &mongo->uri, err) == -1) {
        mr_mongo_close(mongo);
        return -1;
    }

    mongo->pool = mr_mongo_pool(options, mongo->uri, appname, err);

    if (mongo->pool == NULL) {
        mr_mongo_close(mongo);
        return -1;
    }

    mongo->write_concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(mongo->write_concern, 0);
    mongoc_write_concern_set_journal(mongo->write_concern, true);

    mongo->read_concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(
        mongo->read_concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);

    *ret_mongo = mongo;

    return 0;
}


void
mr_mongo_close(mr_mongo_t *mongo)
{
    if (mongo == NULL) {
        return;
    }

    mongoc_client_destroy(mongo->ping_client);
    mongoc_read_concern_destroy(mongo->read_concern);
    mongoc_write_concern_destroy(mongo->write_concern);

    if (mongo->pool != NULL) {
        mongoc_client_pool_destroy(mongo->pool);
    }

    if (mongo->uri != NULL) {
        mongoc_uri_destroy(mongo->uri);
    }

    pthread_mutex_destroy(&mongo->ping_mutex);
    free(mongo->database);
    free(mongo);

    mongoc_cleanup();
}


void
mr_mongo_on_found(mr_mongo_t *mongo, mr_mongo_found_t *found, void *ctx)
{
    mongoc_apm_callbacks_t *callbacks;

    mongo->found = found;
    mongo->found_ctx = ctx;

    callbacks = mongoc_apm_callbacks_new();
    mongoc_apm_set_server_changed_cb(callbacks, mr_mongo_changed);

    /* Fails only where there have been some. */
    (void) mongoc_client_pool_set_apm_callbacks(mongo->pool, callbacks, mongo);
    mongoc_apm_callbacks_destroy(callbacks);
}


static void
mr_mongo_changed(const mongoc_apm_server_changed_t *event)
{
    mr_mongo_t *mongo;

    mongo = mongoc_apm_server_changed_get_context(event);

    if (mr_mongo_takes_all(mongoc_apm_server_changed_get_new_description(event))
        && !mr_mongo_takes_all(
            mongoc_apm_server_changed_get_previous_description(event)))
    {
        mongo->found(mongo->found_ctx);
    }
}


/* Reads and writes. */
static int
mr_mongo_takes_all(const mongoc_server_description_t *server)
{
    const char *type;

    type = mongoc_server_description_type(server);

    return strcmp(type, "RSPrimary") == 0 || strcmp(type, "Standalone") == 0
           || strcmp(type, "Mongos") == 0;
}


mongoc_client_t *
mr_mongo_pop(mr_mongo_t *mongo)
{
    mongoc_client_t *client;

    /* A waitQueueTimeoutMS in the URI makes it give up: wait on. */
    do {
        client = mongoc_client_pool_pop(mongo->pool);
    } while (client == NULL);

    return client;
}


mongoc_client_t *
mr_mongo_try_pop(mr_mongo_t *mongo)
{
    return mongoc_client_pool_try_pop(mongo->pool);
}


void
mr_mongo_push(mr_mongo_t *mongo, mongoc_client_t *client)
{
    mongoc_client_pool_push(mongo->pool, client);
}


const char *
mr_mongo_database(const mr_mongo_t *mongo)
{
    return mongo->database;
}


mongoc_collection_t *
mr_mongo_collection(
    mr_mongo_t *mongo, mongoc_client_t *client, const char *name)
{
    mongoc_collection_t *collection;

    collection = mongoc_client_get_collection(client, mongo->database, name);

    mongoc_collection_set_write_concern(collection, mongo->write_concern);
    mongoc_collection_set_read_concern(collection, mongo->read_concern);

    return collection;
}


int
mr_mongo_ping(mr_mongo_t *mongo, int64_t timeout, mr_error_t *err)
{
    int rc;
    bool ok;
    bson_t ping;
    bson_error_t error;
    mongoc_client_t *client;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout / 1000;
    until.tv_nsec += (timeout % 1000) * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }

    if (pthread_mutex_timedlock(&mongo->ping_mutex, &until) != 0) {
        return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
            "MongoDB did not answer within %lld ms", (long long) timeout);
    }

    client = mr_mongo_ping_client(mongo, timeout, err);

    if (client == NULL) {
        pthread_mutex_unlock(&mongo->ping_mutex);
        return -1;
    }

    bson_init(&ping);
    BSON_APPEND_INT32(&ping, "ping", 1);

    rc = 0;
    ok = mongoc_client_command_simple(
        client, "admin", &ping, NULL, NULL, &error);

    if (!ok) {
        rc = mr_mongo_error(err, "cannot reach MongoDB's primary", &error);

        /*
         * A client of this kind waits some seconds before it asks a server
         * again that has failed; a new one asks at once.
         */
        mongoc_client_destroy(client);
        mongo->ping_client = NULL;
    }

    pthread_mutex_unlock(&mongo->ping_mutex);
    bson_destroy(&ping);

    return rc;
}


mongoc_cursor_t *
mr_mongo_earlier(mongoc_collection_t *blocks, bson_t *opts)
{
    bson_t filter, fields;
    mongoc_cursor_t *cursor;

    /* What has no such field stands in the index under null. */
    bson_init(&filter);
    BSON_APPEND_NULL(&filter, "who.u");

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &fields);
    BSON_APPEND_INT32(&fields, "_id", 1);
    bson_append_document_end(opts, &fields);
    BSON_APPEND_UTF8(opts, "hint", MR_MONGO_WHO_TMAX);
    BSON_APPEND_INT64(opts, "limit", 1);

    cursor = mongoc_collection_find_with_opts(blocks, &filter, opts, NULL);
    bson_destroy(&filter);

    return cursor;
}


int
mr_mongo_error(mr_error_t *err, const char *what, const bson_error_t *error)
{
    return mr_error_set(err, MR_ERROR_MONGODB, NULL,
        "%s: %s (domain %u, code %u)", what, error->message, error->domain,
        error->code);
}


static mongoc_client_pool_t *
mr_mongo_pool(const mr_options_t *options, const mongoc_uri_t *uri,
    const char *appname, mr_error_t *err)
{
    bson_error_t error;
    mongoc_client_pool_t *pool;

    pool = mongoc_client_pool_new_with_error(uri, &error);

    if (pool == NULL) {
        (void) mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri cannot be used: %s", error.message);
        return NULL;
    }

    mongoc_client_pool_max_size(pool, (uint32_t) options->mongodb.pool);
    mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);

    if (mongoc_uri_get_appname(uri) == NULL) {
        (void) mongoc_client_pool_set_appname(pool, appname);
    }

    return pool;
}


static mongoc_client_t *
mr_mongo_ping_client(mr_mongo_t *mongo, int64_t timeout, mr_error_t *err)
{
    int32_t half;
    bson_error_t error;
    mongoc_uri_t *uri;

    if (mongo->ping_client != NULL && mongo->ping_timeout == timeout) {
        return mongo->ping_client;
    }

    mongoc_client_destroy(mongo->ping_client);
    mongo->ping_client = NULL;

    /* One half to find the primary, the other for its answer. */
    half = timeout < 2 ? 1 : (int32_t) (timeout / 2);

    uri = mongoc_uri_copy(mongo->uri);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, half);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, half);
    mongoc_uri_set_option_as_int32(
        uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, half);
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, true);

    mongo->ping_client = mongoc_client_new_from_uri_with_error(uri, &error);
    mongo->ping_timeout = timeout;
    mongoc_uri_destroy(uri);

    if (mongo->ping_client == NULL) {
        (void) mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri cannot be used: %s", error.message);
        return NULL;
    }

    mongoc_client_set_error_api(mongo->ping_client, MONGOC_ERROR_API_VERSION_2);

    return mongo->ping_client;
}


static void
mr_mongo_log(mongoc_log_level_t level, const char *domain, const char *message,
    void *data)
{
    mr_log_level_t ours;

    (void) data;

    switch (level) {

    case MONGOC_LOG_LEVEL_ERROR:
    case MONGOC_LOG_LEVEL_CRITICAL:
        ours = MR_LOG_ERROR;
        break;

    case MONGOC_LOG_LEVEL_WARNING:
        ours = MR_LOG_WARN;
        break;

    case MONGOC_LOG_LEVEL_MESSAGE:
    case MONGOC_LOG_LEVEL_INFO:
        ours = MR_LOG_INFO;
        break;

    default:
        ours = MR_LOG_DEBUG;
        break;
    }

    mr_log(ours, "%s: %s", domain, message);
}
