#include <stdlib.h>

#include "../common/mongo_ledger.h"
#include "../common/mongo_state.h"
#include "store_private.h"


/* An operator begins each of them, so that nobody has as many. */
#define STORE_EPOCHS 1000


typedef struct {
    mr_store_t *store;
    mr_audit_t *audit;
    int64_t *reached;
} store_ledgers_t;


static int store_read(mongoc_cursor_t *cursor, const char *collection,
    mr_store_each_t each, void *ctx, mr_error_t *err);
static int store_ledger(void *ctx, const bson_t *document);
static int store_past(
    mr_audit_t *audit, const mr_mongo_ledger_t *ledger, int gone);
static void store_ledger_other(mr_audit_t *audit, const bson_t *document);
static int store_merge(void *ctx, const bson_t *document);
static int store_total(void *ctx, const bson_t *document);
static bson_t *store_totals_pipeline(void);


int
mr_store_open(
    const mr_options_t *options, mr_store_t **ret_store, mr_error_t *err)
{
    mr_store_t *store;

    store = calloc(1, sizeof(mr_store_t));
    if (store == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    store->options = options;

    if (mr_mongo_open(options, "millrace-audit", &store->mongo, err) != 0) {
        free(store);
        return -1;
    }

    store->client = mr_mongo_pop(store->mongo);

    /* Where there is nothing, nothing is wrong: that is no balance. */
    if (mr_mongo_state_check(
            store->mongo, store->client, options->kafka.topic, err)
        != 0)
    {
        mr_store_close(store);
        return -1;
    }

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

    mr_mongo_push(store->mongo, store->client);
    mr_mongo_close(store->mongo);
    free(store);
}


int
mr_store_snapshot(mr_store_t *store, mr_error_t *err)
{
    bson_error_t error;
    mongoc_session_opt_t *opts;

    if (store->session != NULL) {
        mongoc_client_session_destroy(store->session);
    }

    opts = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(opts, false);
    mongoc_session_opts_set_snapshot(opts, true);

    store->session = mongoc_client_start_session(store->client, opts, &error);
    mongoc_session_opts_destroy(opts);

    if (store->session == NULL) {
        return mr_mongo_error(err, "cannot start a session", &error);
    }

    return 0;
}


int
mr_store_ledgers(
    mr_store_t *store, mr_audit_t *audit, int64_t *ret_reached, mr_error_t *err)
{
    size_t i;
    store_ledgers_t ledgers;

    ledgers = (store_ledgers_t){store, audit, ret_reached};

    for (i = 0; i < audit->n_partitions; i++) {
        audit->partitions[i].known = 0;
        ret_reached[i] = 0;
    }

    audit->n_merges = 0;
    audit->stored_before = 0;
    audit->n_past = 0;
    audit->merged = 1;

    if (mr_store_find(store, MR_MONGO_STATE,
            BCON_NEW("_id", BCON_UTF8("merge")), NULL, store_merge, audit, err)
        != 0)
    {
        return -1;
    }

    return mr_store_find(
        store, MR_MONGO_LEDGER, bson_new(), NULL, store_ledger, &ledgers, err);
}


static int
store_ledger(void *ctx, const bson_t *document)
{
    int gone;
    mr_mongo_ledger_t ledger;
    store_ledgers_t *ledgers = ctx;
    mr_audit_partition_t *partition;

    if (mr_mongo_ledger(document, ledgers->store->options->kafka.topic, &ledger)
        != 0)
    {
        return 0;
    }

    if (ledger.flush > mr_audit_merged(ledgers->audit, ledger.partition)) {
        ledgers->audit->merged = 0;
    }

    gone = (size_t) ledger.partition >= ledgers->audit->n_partitions;

    if (store_past(ledgers->audit, &ledger, gone) != 0) {
        return -1;
    }

    /* Of before the topic was made anew: its windows stay. */
    if (gone) {
        ledgers->audit->stored_before += ledger.stored;
        return 0;
    }

    partition = &ledgers->audit->partitions[ledger.partition];
    partition->known = 1;
    partition->epoch = ledger.epoch;
    partition->next = ledger.next;
    partition->flush = ledger.flush;
    partition->stored = ledger.stored;
    partition->repeated = ledger.repeated;
    partition->dead = ledger.dead;

    ledgers->reached[ledger.partition] = ledger.reached;

    store_ledger_other(ledgers->audit, document);

    return 0;
}


/* The epochs of before; where the partition is gone its last one as well. */
static int
store_past(mr_audit_t *audit, const mr_mongo_ledger_t *ledger, int gone)
{
    int64_t epoch, end;

    end = ledger->epoch + gone;
    epoch = end > STORE_EPOCHS ? end - STORE_EPOCHS : 1;

    for (/* void */; epoch < end; epoch++) {
        if (mr_audit_past(audit, ledger->partition, epoch) != 0) {
            return -1;
        }
    }

    return 0;
}


/* The keys are values of max_types. */
static void
store_ledger_other(mr_audit_t *audit, const bson_t *document)
{
    int64_t max;
    bson_iter_t iter, other;

    if (!bson_iter_init_find(&iter, document, "other")
        || !BSON_ITER_HOLDS_DOCUMENT(&iter)
        || !bson_iter_recurse(&iter, &other))
    {
        return;
    }

    while (bson_iter_next(&other)) {
        max = strtoll(bson_iter_key(&other), NULL, 10);

        if (audit->other_max == 0 || max < audit->other_max) {
            audit->other_max = max;
        }
    }
}


static int
store_merge(void *ctx, const bson_t *document)
{
    int64_t partition, flush;
    bson_iter_t iter, list, field;
    mr_audit_t *audit = ctx;

    if (!bson_iter_init_find(&iter, document, "partitions")
        || !bson_iter_recurse(&iter, &list))
    {
        return 0;
    }

    while (bson_iter_next(&list)) {
        partition = -1;
        flush = 0;

        if (bson_iter_recurse(&list, &field)
            && bson_iter_find(&field, "partition")) {
            partition = bson_iter_as_int64(&field);
        }

        if (bson_iter_recurse(&list, &field) && bson_iter_find(&field, "flush"))
        {
            flush = bson_iter_as_int64(&field);
        }

        if (mr_audit_merge(audit, partition, flush) != 0) {
            return -1;
        }
    }

    return 0;
}


int
mr_store_totals(mr_store_t *store, mr_audit_t *audit, mr_error_t *err)
{
    if (mr_store_aggregate(store, MR_MONGO_PARTIALS, store_totals_pipeline(),
            store_total, audit, err)
        != 0)
    {
        return -1;
    }

    return mr_store_aggregate(store, MR_MONGO_WINDOWS, store_totals_pipeline(),
        store_total, audit, err);
}


/* Partials have a partition, windows none. */
static bson_t *
store_totals_pipeline(void)
{
    return BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gte",
        "{", "width", BCON_INT32(3600), "}", "$lt", "{", "width",
        BCON_INT32(86401), "}", "}", "}", "}", "{", "$group", "{", "_id", "{",
        "partition", BCON_UTF8("$_id.partition"), "width",
        BCON_UTF8("$_id.width"), "all", "{", "$eq", "[",
        BCON_UTF8("$_id.event_type"), BCON_UTF8(""), "]", "}", "}", "count",
        "{", "$sum", BCON_UTF8("$count"), "}", "}", "}", "]");
}


static int
store_total(void *ctx, const bson_t *document)
{
    int all, days;
    int64_t n, number;
    bson_iter_t iter, field;
    mr_audit_t *audit = ctx;
    mr_audit_totals_t *totals;

    n = mr_store_int64(document, "count");
    all = mr_store_int64(document, "_id.all") != 0;
    days = mr_store_int64(document, "_id.width") == 86400;

    if (!bson_iter_init(&iter, document)
        || !bson_iter_find_descendant(&iter, "_id.partition", &field))
    {
        if (all) {
            *(days ? &audit->windows_days : &audit->windows_hours) += n;
        }

        return 0;
    }

    number = bson_iter_as_int64(&field);

    if (number < 0 || (size_t) number >= audit->n_partitions) {
        return 0;
    }

    totals = &audit->partitions[number].totals;

    if (all) {
        *(days ? &totals->days : &totals->hours) += n;

    } else {
        *(days ? &totals->days_types : &totals->hours_types) += n;
    }

    return 0;
}


int
mr_store_find(mr_store_t *store, const char *collection, bson_t *filter,
    bson_t *opts, mr_store_each_t each, void *ctx, mr_error_t *err)
{
    int rc;
    bson_error_t error;
    mongoc_cursor_t *cursor;
    mongoc_collection_t *handle;

    if (opts == NULL) {
        opts = bson_new();
    }

    if (!mongoc_client_session_append(store->session, opts, &error)) {
        bson_destroy(filter);
        bson_destroy(opts);
        return mr_mongo_error(err, "cannot use the session", &error);
    }

    /* Without a read concern of its own: the session's is the snapshot. */
    handle = mongoc_client_get_collection(
        store->client, mr_mongo_database(store->mongo), collection);
    cursor = mongoc_collection_find_with_opts(handle, filter, opts, NULL);

    rc = store_read(cursor, collection, each, ctx, err);

    mongoc_collection_destroy(handle);
    bson_destroy(filter);
    bson_destroy(opts);

    return rc;
}


int
mr_store_aggregate(mr_store_t *store, const char *collection, bson_t *pipeline,
    mr_store_each_t each, void *ctx, mr_error_t *err)
{
    int rc;
    bson_t opts;
    bson_error_t error;
    mongoc_cursor_t *cursor;
    mongoc_collection_t *handle;

    bson_init(&opts);

    if (!mongoc_client_session_append(store->session, &opts, &error)) {
        bson_destroy(pipeline);
        bson_destroy(&opts);
        return mr_mongo_error(err, "cannot use the session", &error);
    }

    handle = mongoc_client_get_collection(
        store->client, mr_mongo_database(store->mongo), collection);
    cursor = mongoc_collection_aggregate(
        handle, MONGOC_QUERY_NONE, pipeline, &opts, NULL);

    rc = store_read(cursor, collection, each, ctx, err);

    mongoc_collection_destroy(handle);
    bson_destroy(pipeline);
    bson_destroy(&opts);

    return rc;
}


/* Ends the cursor. */
static int
store_read(mongoc_cursor_t *cursor, const char *collection,
    mr_store_each_t each, void *ctx, mr_error_t *err)
{
    int rc;
    char what[64];
    bson_error_t error;
    const bson_t *document;

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &document)) {
        rc = each(ctx, document);
    }

    if (rc != 0) {
        mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");

    } else if (mongoc_cursor_error(cursor, &error)) {
        (void) bson_snprintf(what, sizeof(what), "cannot read %s", collection);
        rc = mr_mongo_error(err, what, &error);
    }

    mongoc_cursor_destroy(cursor);

    return rc;
}


int64_t
mr_store_int64(const bson_t *document, const char *path)
{
    bson_iter_t iter, field;

    if (!bson_iter_init(&iter, document)
        || !bson_iter_find_descendant(&iter, path, &field))
    {
        return 0;
    }

    if (BSON_ITER_HOLDS_DATE_TIME(&field)) {
        return bson_iter_date_time(&field);
    }

    return bson_iter_as_int64(&field);
}
