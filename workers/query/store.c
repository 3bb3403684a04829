#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "store_session.h"


/* MongoDB's code for an operation that ran past its maxTimeMS. */
#define MR_MONGO_MAX_TIME_EXPIRED 50

/* Its code for, among others, a hint that names no index. */
#define MR_MONGO_BAD_VALUE 2

/* Clients beside those for queries: of health and of the ledger. */
#define MR_STORE_CLIENTS 4


static void mr_session_free(mr_session_t *session);
static void mr_session_forget(mr_session_t *session);
static void mr_session_reset(mongoc_client_t *client);


int
mr_store_open(const mr_options_t *options, mr_crew_t *crew,
    mr_store_t **ret_store, mr_error_t *err)
{
    int64_t clients;
    mr_store_t *store;
    mr_options_t adapted;

    store = calloc(1, sizeof(mr_store_t));

    if (store == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    /*
     * A query's thread must not hang on MongoDB for longer than the query
     * may take, nor wait for a client that another thread holds.
     */
    adapted = *options;

    if (adapted.mongodb.timeout > options->query.timeout) {
        adapted.mongodb.timeout = options->query.timeout;
    }

    /*
     * A query has as many clients as its walks have stretches, and so has
     * one that was answered but is not tidied up yet; a part of a fetch has
     * one, whoever reads it.
     */
    clients =
        (2 + 2 * MR_WALK_CLIENTS) * options->query.threads + MR_STORE_CLIENTS;

    if (adapted.mongodb.pool < clients) {
        adapted.mongodb.pool = clients;
    }

    if (mr_mongo_open(&adapted, "millrace-query", &store->mongo, err) == -1) {
        free(store);
        return -1;
    }

    store->crew = crew;
    store->slow_block = options->query.slow_block;
    atomic_init(&store->unsure, 0);
    pthread_mutex_init(&store->mutex, NULL);
    mr_mongo_on_found(store->mongo, mr_stretch_unsure, store);

    *ret_store = store;

    return 0;
}


void
mr_store_close(mr_store_t *store)
{
    if (store != NULL) {
        mr_store_tidy(store);
        mr_mongo_close(store->mongo);
        mr_known_free(store);
        pthread_mutex_destroy(&store->mutex);
        free(store);
    }
}


int
mr_store_ping(mr_store_t *store, int64_t timeout, mr_error_t *err)
{
    return mr_mongo_ping(store->mongo, timeout, err);
}


int
mr_session_open(mr_store_t *store, int64_t deadline, mr_session_t **ret_session,
    mr_error_t *err)
{
    mr_session_t *session;

    session = calloc(1, sizeof(mr_session_t));

    if (session == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    session->store = store;
    session->deadline = deadline;
    session->client = mr_mongo_pop(store->mongo);

    *ret_session = session;

    return 0;
}


void
mr_session_close(mr_session_t *session)
{
    int open;
    size_t i;
    mr_store_t *store;

    if (session == NULL) {
        return;
    }

    open = 0;

    for (i = 0; i < MR_COURSES; i++) {
        if (mr_walk_unread(&session->walks[i])) {
            open = 1;
        }
    }

    if (!open) {
        mr_session_free(session);
        return;
    }

    store = session->store;

    pthread_mutex_lock(&store->mutex);
    session->next = store->closed;
    store->closed = session;
    pthread_mutex_unlock(&store->mutex);
}


void
mr_store_tidy(mr_store_t *store)
{
    mr_session_t *session, *next;

    pthread_mutex_lock(&store->mutex);
    session = store->closed;
    store->closed = NULL;
    pthread_mutex_unlock(&store->mutex);

    for (/* void */; session != NULL; session = next) {
        next = session->next;
        mr_session_free(session);
    }
}


static void
mr_session_free(mr_session_t *session)
{
    size_t i;

    mr_session_forget(session);

    for (i = 0; i < MR_COURSES; i++) {
        mr_walk_end(session, &session->walks[i]);
    }

    mongoc_collection_destroy(session->blocks);
    mr_mongo_push(session->store->mongo, session->client);

    free(session->wanted);
    free(session->types.list);
    free(session);
}


/*
 * The end of a cursor is told to MongoDB, and its answer waited for.  Where it
 * has not answered for as long as it may take, each of a session's cursors
 * would take as long again, one after the other: a client that was reset says
 * nothing of those that it has.  MongoDB ends them when nobody has asked for
 * more for ten minutes.
 */
static void
mr_session_forget(mr_session_t *session)
{
    int away;
    size_t i, k;
    mr_walk_t *walk;

    away = session->away;

    for (i = 0; i < MR_COURSES; i++) {
        walk = &session->walks[i];

        for (k = 0; k < walk->n; k++) {
            away |= mr_stretch_unanswered(&walk->stretches[k]);
        }
    }

    if (!away) {
        return;
    }

    mr_session_reset(session->client);

    for (i = 0; i < MR_COURSES; i++) {
        walk = &session->walks[i];

        for (k = 0; k < walk->n; k++) {
            mr_session_reset(walk->stretches[k].client);
        }

        mr_session_reset(walk->past.client);
    }
}


static void
mr_session_reset(mongoc_client_t *client)
{
    if (client != NULL) {
        mongoc_client_reset(client);
    }
}


int
mr_session_limit(mr_session_t *session, bson_t *opts, mr_error_t *err)
{
    int64_t left;

    left = session->deadline - mr_time_monotonic();

    if (left <= 0) {
        return mr_error_set(
            err, MR_ERROR_TIMEOUT, NULL, "the query took longer than it may");
    }

    BSON_APPEND_INT64(opts, "maxTimeMS", left);

    return 0;
}


mongoc_cursor_t *
mr_session_find(mr_session_t *session, const char *name, const bson_t *filter,
    bson_t *opts, mr_error_t *err)
{
    mongoc_cursor_t *cursor;
    mongoc_collection_t *collection;

    if (mr_session_limit(session, opts, err) == -1) {
        return NULL;
    }

    collection =
        mr_mongo_collection(session->store->mongo, session->client, name);
    cursor = mongoc_collection_find_with_opts(collection, filter, opts, NULL);
    mongoc_collection_destroy(collection);

    return cursor;
}


int
mr_session_each(mr_session_t *session, const char *name, const bson_t *filter,
    bson_t *opts, const char *what, mr_document_observer_t *observer, void *ctx,
    mr_error_t *err)
{
    int rc;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    cursor = mr_session_find(session, name, filter, opts, err);

    if (cursor == NULL) {
        return -1;
    }

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = observer(ctx, doc, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, what, err);
    }

    mongoc_cursor_destroy(cursor);

    return rc;
}


int
mr_session_cursor_end(
    mongoc_cursor_t *cursor, const char *what, mr_error_t *err)
{
    bson_error_t error;

    if (!mongoc_cursor_error(cursor, &error)) {
        return 0;
    }

    /* MongoDB says so behind the whole query, which may be long. */
    if (error.domain == MONGOC_ERROR_SERVER && error.code == MR_MONGO_BAD_VALUE
        && strstr(error.message, "error processing query") != NULL)
    {
        return mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "%s: MongoDB does not take the query, mostly because an index is "
            "missing, which millrace-setup makes",
            what);
    }

    if (error.domain == MONGOC_ERROR_SERVER
        && error.code == MR_MONGO_MAX_TIME_EXPIRED)
    {
        return mr_error_set(
            err, MR_ERROR_TIMEOUT, NULL, "%s took longer than it may", what);
    }

    return mr_mongo_error(err, what, &error);
}


int
mr_bson_int64(const bson_iter_t *iter, int64_t *ret_value)
{
    if (!BSON_ITER_HOLDS_INT(iter)) {
        return -1;
    }

    *ret_value = bson_iter_as_int64(iter);

    return 0;
}


int
mr_bson_date(const bson_iter_t *iter, int64_t *ret_time)
{
    if (!BSON_ITER_HOLDS_DATE_TIME(iter)) {
        return -1;
    }

    *ret_time = bson_iter_date_time(iter);

    return 0;
}


int
mr_bson_text(const bson_iter_t *iter, mr_str_t *ret_text)
{
    uint32_t len;

    if (!BSON_ITER_HOLDS_UTF8(iter)) {
        return -1;
    }

    ret_text->data = bson_iter_utf8(iter, &len);
    ret_text->len = len;

    return 0;
}


void
mr_bson_append_text(bson_t *bson, const char *key, mr_str_t text)
{
    bson_append_utf8(bson, key, -1, text.data, (int) text.len);
}


int
mr_session_block_id(const bson_iter_t *iter, mr_block_id_t *ret_id)
{
    int64_t epoch, partition, offset, number;
    bson_iter_t child;
    mr_block_id_t id;

    if (!BSON_ITER_HOLDS_DOCUMENT(iter)) {
        return -1;
    }

    if (!bson_iter_recurse(iter, &child) || !bson_iter_find(&child, "epoch")
        || mr_bson_int64(&child, &epoch) == -1
        || !bson_iter_find(&child, "partition")
        || mr_bson_int64(&child, &partition) == -1
        || !bson_iter_find(&child, "offset")
        || mr_bson_int64(&child, &offset) == -1
        || !bson_iter_find(&child, "number")
        || mr_bson_int64(&child, &number) == -1)
    {
        return -1;
    }

    id.epoch = epoch;
    id.partition = (int32_t) partition;
    id.offset = offset;
    id.number = (int32_t) number;

    *ret_id = id;

    return 0;
}


int
mr_session_damaged(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "a block in MongoDB is not as docs/data-model.md says");
}
