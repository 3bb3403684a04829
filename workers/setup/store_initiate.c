#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/mongo.h"
#include "../common/run.h"
#include "store.h"


#define MR_INITIATE_ATTEMPT 2000 /* ms */
#define MR_INITIATE_PAUSE 200    /* ms */


static int mr_store_direct_uri(mongoc_uri_t *uri, mongoc_uri_t **ret_uri,
    char *ret_host, size_t size, mr_error_t *err);
static int mr_store_hello(const mr_setup_t *setup, const mongoc_uri_t *uri,
    bson_t *ret_hello, mr_error_t *err);
static int mr_store_member(const bson_t *hello, const char *name,
    const char *host, int *ret_member, mr_error_t *err);
static int mr_store_initiate_member(const mongoc_uri_t *uri, const char *name,
    const char *host, mr_error_t *err);


int
mr_store_initiate(const mr_setup_t *setup, mr_error_t *err)
{
    int rc, member = 0;
    char host[320];
    bson_t hello;
    const char *name;
    mongoc_uri_t *uri, *direct = NULL;

    uri = mongoc_uri_new(setup->options->mongodb.uri);

    if (uri == NULL) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri is no connection string");
    }

    if (mr_store_direct_uri(uri, &direct, host, sizeof(host), err) == -1) {
        mongoc_uri_destroy(uri);
        return -1;
    }

    name = mongoc_uri_get_replica_set(uri);
    rc = mr_store_hello(setup, direct, &hello, err);

    if (rc == 0) {

        rc = mr_store_member(&hello, name, host, &member, err);
        bson_destroy(&hello);

        if (rc == 0 && member) {
            mr_setup_say("replica set %s: there already", name);

        } else if (rc == 0) {
            rc = mr_store_initiate_member(direct, name, host, err);
        }
    }

    mongoc_uri_destroy(direct);
    mongoc_uri_destroy(uri);

    return rc;
}


/*
 * A set that does not exist yet has no primary to select: the one mongod is
 * spoken to directly, without credentials (there can be no user yet).
 */
static int
mr_store_direct_uri(mongoc_uri_t *uri, mongoc_uri_t **ret_uri, char *ret_host,
    size_t size, mr_error_t *err)
{
    bson_iter_t iter;
    mongoc_uri_t *direct;
    const mongoc_host_list_t *hosts;

    hosts = mongoc_uri_get_hosts(uri);

    if (mongoc_uri_get_replica_set(uri) == NULL || hosts == NULL
        || hosts->next != NULL)
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "--initiate makes a replica set of one member: [mongodb] uri "
            "must name one host and the set, as in "
            "mongodb://127.0.0.1:27017/?replicaSet=rs0");
    }

    direct = mongoc_uri_new_for_host_port(hosts->host, hosts->port);

    if (direct == NULL) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: --initiate cannot use its host");
    }

    /* TLS, above all. */
    if (bson_iter_init(&iter, mongoc_uri_get_options(uri))) {

        while (bson_iter_next(&iter)) {

            if (strcasecmp(bson_iter_key(&iter), MONGOC_URI_REPLICASET) == 0) {
                continue;
            }

            if (BSON_ITER_HOLDS_UTF8(&iter)) {
                (void) mongoc_uri_set_option_as_utf8(
                    direct, bson_iter_key(&iter), bson_iter_utf8(&iter, NULL));

            } else if (BSON_ITER_HOLDS_BOOL(&iter)) {
                (void) mongoc_uri_set_option_as_bool(
                    direct, bson_iter_key(&iter), bson_iter_bool(&iter));

            } else if (BSON_ITER_HOLDS_INT32(&iter)) {
                (void) mongoc_uri_set_option_as_int32(
                    direct, bson_iter_key(&iter), bson_iter_int32(&iter));
            }
        }
    }

    mongoc_uri_set_option_as_bool(direct, MONGOC_URI_DIRECTCONNECTION, true);
    mongoc_uri_set_option_as_int32(
        direct, MONGOC_URI_CONNECTTIMEOUTMS, MR_INITIATE_ATTEMPT);
    mongoc_uri_set_option_as_int32(
        direct, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, MR_INITIATE_ATTEMPT);

    (void) bson_snprintf(ret_host, size, "%s", hosts->host_and_port);

    *ret_uri = direct;

    return 0;
}


/* Wait for the mongod's first answer; the caller destroys *ret_hello. */
static int
mr_store_hello(const mr_setup_t *setup, const mongoc_uri_t *uri,
    bson_t *ret_hello, mr_error_t *err)
{
    bool ok;
    bson_t command;
    bson_error_t error;
    mongoc_client_t *client;

    for (;;) {

        client = mongoc_client_new_from_uri_with_error(uri, &error);

        if (client == NULL) {
            return mr_mongo_error(err, "[mongodb] uri cannot be used", &error);
        }

        bson_init(&command);
        BSON_APPEND_INT32(&command, "hello", 1);

        ok = mongoc_client_command_simple(
            client, "admin", &command, NULL, ret_hello, &error);

        bson_destroy(&command);
        mongoc_client_destroy(client);

        if (ok) {
            return 0;
        }

        bson_destroy(ret_hello);

        if (mr_time_monotonic() + MR_INITIATE_PAUSE >= setup->deadline
            || mr_run_sleep(MR_INITIATE_PAUSE))
        {
            return mr_mongo_error(err, "MongoDB does not answer", &error);
        }

        mr_log_debug("waiting for MongoDB: %s", error.message);
    }
}


/* *ret_member: whether it is in the set `name` already. */
static int
mr_store_member(const bson_t *hello, const char *name, const char *host,
    int *ret_member, mr_error_t *err)
{
    const char *set;
    bson_iter_t iter;

    if (bson_iter_init_find(&iter, hello, "setName")
        && BSON_ITER_HOLDS_UTF8(&iter)) {
        set = bson_iter_utf8(&iter, NULL);

        if (strcmp(set, name) != 0) {
            return mr_error_set(err, MR_ERROR_CONFIG, NULL,
                "MongoDB at %s is in the replica set \"%.64s\", [mongodb] "
                "uri says \"%.64s\"",
                host, set, name);
        }

        *ret_member = 1;

        return 0;
    }

    if (bson_iter_init_find(&iter, hello, "isreplicaset")
        && bson_iter_as_bool(&iter))
    {
        *ret_member = 0;
        return 0;
    }

    return mr_error_set(err, MR_ERROR_CONFIG, NULL,
        "MongoDB at %s was not started as a replica set member: start it "
        "with --replSet %.64s (transactions need that)",
        host, name);
}


static int
mr_store_initiate_member(const mongoc_uri_t *uri, const char *name,
    const char *host, mr_error_t *err)
{
    bool ok;
    bson_t *command;
    bson_error_t error;
    mongoc_client_t *client;

    client = mongoc_client_new_from_uri_with_error(uri, &error);

    if (client == NULL) {
        return mr_mongo_error(err, "[mongodb] uri cannot be used", &error);
    }

    command =
        BCON_NEW("replSetInitiate", "{", "_id", BCON_UTF8(name), "members", "[",
            "{", "_id", BCON_INT32(0), "host", BCON_UTF8(host), "}", "]", "}");

    ok = mongoc_client_command_simple(
        client, "admin", command, NULL, NULL, &error);

    bson_destroy(command);
    mongoc_client_destroy(client);

    /* 23: somebody else was faster. */
    if (!ok && error.code != 23) {
        return mr_mongo_error(err, "cannot initiate the replica set", &error);
    }

    mr_setup_say("replica set %s: initiated with %s", name, host);

    return 0;
}
