#include <stdlib.h>
#include <string.h>

#include "store_private.h"


static int store_session(mr_store_t *store, mr_error_t *err);


int
mr_store_open(
    const mr_options_t *options, mr_store_t **ret_store, mr_error_t *err)
{
    mr_store_t *store;

    store = calloc(1, sizeof(mr_store_t));
    if (store == NULL) {
        return mr_store_memory(err);
    }

    store->options = options;
    store->alone = true;

    if (mr_mongo_open(options, "millrace-stats", &store->mongo, err) != 0) {
        free(store);
        return -1;
    }

    store->client = mr_mongo_pop(store->mongo);
    store->ledger =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_LEDGER);
    store->partials =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_PARTIALS);
    store->windows =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_WINDOWS);
    store->state =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_STATE);

    *ret_store = store;

    return 0;
}


void
mr_store_close(mr_store_t *store)
{
    if (store == NULL) {
        return;
    }

    if (store->session != NULL) {
        mongoc_client_session_destroy(store->session);
    }

    mongoc_collection_destroy(store->ledger);
    mongoc_collection_destroy(store->partials);
    mongoc_collection_destroy(store->windows);
    mongoc_collection_destroy(store->state);
    mr_mongo_push(store->mongo, store->client);
    mr_mongo_close(store->mongo);
    free(store);
}


/*
 * A session that has seen a network error may be dirty.  The new one begins
 * where the old one was, so that it never reads less than that.
 */
void
mr_store_reset(mr_store_t *store)
{
    bson_t time;
    uint32_t timestamp, increment;
    mr_error_t err;

    if (store->session == NULL) {
        return;
    }

    mongoc_client_session_get_operation_time(
        store->session, &timestamp, &increment);

    if (mongoc_client_session_get_cluster_time(store->session) != NULL) {
        bson_copy_to(
            mongoc_client_session_get_cluster_time(store->session), &time);

    } else {
        bson_init(&time);
    }

    mongoc_client_session_destroy(store->session);
    store->session = NULL;

    if (store_session(store, &err) == 0) {

        if (!bson_empty(&time)) {
            mongoc_client_session_advance_cluster_time(store->session, &time);
        }

        if (timestamp != 0) {
            mongoc_client_session_advance_operation_time(
                store->session, timestamp, increment);
        }
    }

    bson_destroy(&time);
}


static int
store_session(mr_store_t *store, mr_error_t *err)
{
    bson_error_t error;
    mongoc_session_opt_t *opts;

    opts = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(opts, true);

    store->session = mongoc_client_start_session(store->client, opts, &error);

    mongoc_session_opts_destroy(opts);

    if (store->session == NULL) {
        return mr_mongo_error(err, "cannot start a session", &error);
    }

    return 0;
}


int
mr_store_opts(mr_store_t *store, bson_t *opts, mr_error_t *err)
{
    bson_error_t error;

    if (store->session == NULL && store_session(store, err) != 0) {
        return -1;
    }

    bson_init(opts);

    if (!mongoc_client_session_append(store->session, opts, &error)) {
        bson_destroy(opts);
        return mr_mongo_error(err, "cannot use the session", &error);
    }

    return 0;
}


int
mr_store_memory(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}


int
mr_store_ping(mr_store_t *store, int64_t timeout, mr_error_t *err)
{
    return mr_mongo_ping(store->mongo, timeout, err);
}


mr_progress_t *
mr_progress_at(mr_progress_list_t *progress, int32_t partition)
{
    size_t i, cap;
    mr_progress_t *list;

    for (i = 0; i < progress->n; i++) {

        if (progress->list[i].partition == partition) {
            return &progress->list[i];
        }

        if (progress->list[i].partition > partition) {
            break;
        }
    }

    if (progress->n == progress->cap) {
        cap = progress->cap ? progress->cap * 2 : 16;

        list = realloc(progress->list, cap * sizeof(mr_progress_t));
        if (list == NULL) {
            return NULL;
        }

        progress->list = list;
        progress->cap = cap;
    }

    list = &progress->list[i];
    memmove(list + 1, list, (progress->n - i) * sizeof(mr_progress_t));
    memset(list, 0, sizeof(mr_progress_t));
    list->partition = partition;
    progress->n++;

    return list;
}


void
mr_progress_free(mr_progress_list_t *progress)
{
    free(progress->list);
    memset(progress, 0, sizeof(mr_progress_list_t));
}
