#include <stdlib.h>

#include "../common/mongo_state.h"
#include "store_private.h"


int
mr_store_open(mr_mongo_t *mongo, const mr_options_t *options,
    mr_store_t **ret_store, mr_error_t *err)
{
    mr_store_t *store;

    store = calloc(1, sizeof(mr_store_t));
    if (store == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    store->sketches = mr_sketches_create(
        (size_t) (options->writer.sketch_cache / options->writer.threads),
        options->measures.n);

    if (store->sketches == NULL) {
        free(store);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    store->damaged =
        mr_metric(MR_METRIC_COUNTER, "millrace_writer_sketches_damaged_total",
            "", "Damaged sketches of partials that were begun anew");
    store->registry = (mr_registry_t) MR_REGISTRY_INIT;
    store->mongo = mongo;
    store->options = options;
    store->client = mr_mongo_pop(mongo);

    store->ledger = mr_mongo_collection(mongo, store->client, MR_MONGO_LEDGER);
    store->blocks = mr_mongo_collection(mongo, store->client, MR_MONGO_BLOCKS);
    store->partials =
        mr_mongo_collection(mongo, store->client, MR_MONGO_PARTIALS);
    store->accounts =
        mr_mongo_collection(mongo, store->client, MR_MONGO_ACCOUNTS);
    store->types = mr_mongo_collection(mongo, store->client, MR_MONGO_TYPES);
    store->state = mr_mongo_collection(mongo, store->client, MR_MONGO_STATE);

    *ret_store = store;

    return 0;
}


void
mr_store_close(mr_store_t *store)
{
    if (store == NULL) {
        return;
    }

    mongoc_collection_destroy(store->ledger);
    mongoc_collection_destroy(store->blocks);
    mongoc_collection_destroy(store->partials);
    mongoc_collection_destroy(store->accounts);
    mongoc_collection_destroy(store->types);
    mongoc_collection_destroy(store->state);
    mr_mongo_push(store->mongo, store->client);

    mr_registry_free(&store->registry);
    mr_sketches_destroy(store->sketches);
    mr_buf_free(&store->sketch);
    mr_buf_free(&store->bits);
    mr_buf_free(&store->chunk);
    free(store->documents);
    free(store);
}


int
mr_store_check(mr_store_t *store, mr_error_t *err)
{
    int found;
    int64_t window;
    bson_t *filter;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *document;
    mongoc_cursor_t *cursor;

    /* Blocks and windows do not say of which topic they are. */
    if (mr_mongo_state_check(
            store->mongo, store->client, store->options->kafka.topic, err)
        != 0)
    {
        return -1;
    }

    found = 0;
    window = 0;

    filter = BCON_NEW("_id", BCON_UTF8("dedup"));
    cursor = mongoc_collection_find_with_opts(store->state, filter, NULL, NULL);

    if (mongoc_cursor_next(cursor, &document)
        && bson_iter_init_find(&iter, document, "window"))
    {
        found = 1;
        window = bson_iter_as_int64(&iter);
    }

    if (mongoc_cursor_error(cursor, &error)) {
        found = -1;
        mr_mongo_error(err, "cannot read state", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);

    if (found == -1) {
        return -1;
    }

    if (!found) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "database \"%s\" is not set up: run millrace-setup first",
            mr_mongo_database(store->mongo));
    }

    if (window != store->options->writer.dedup_window) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[writer] dedup_window is %lld, but database \"%s\" was set up "
            "with %lld: every writer must have the same, or a repeat could "
            "be counted twice",
            (long long) store->options->writer.dedup_window,
            mr_mongo_database(store->mongo), (long long) window);
    }

    return mr_store_types_check(store, err);
}


void
mr_store_id(const mr_store_t *store, int32_t partition, char *id)
{
    (void) snprintf(
        id, MR_STORE_ID, "%s/%d", store->options->kafka.topic, (int) partition);
}


bson_t *
mr_store_fence(
    const mr_store_t *store, int32_t partition, int64_t epoch, int64_t next)
{
    char id[MR_STORE_ID];

    mr_store_id(store, partition, id);

#ifdef MR_FAULT_NO_LEDGER_GUARD
    (void) epoch;
    (void) next;

    return BCON_NEW("_id", BCON_UTF8(id));
#else
    return BCON_NEW("_id", BCON_UTF8(id), "epoch", BCON_INT64(epoch), "next",
        BCON_INT64(next));
#endif
}
