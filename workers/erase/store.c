#include <stdlib.h>
#include <string.h>

#include "../common/log.h"
#include "../common/mongo.h"
#include "../common/mongo_ledger.h"
#include "../common/mongo_state.h"
#include "../common/run.h"

#include "rewrite.h"
#include "store.h"


#define STORE_PASSES 100


struct mr_store_s {
    const mr_options_t *options;
    mr_mongo_t *mongo;
    mongoc_client_t *client;
    mongoc_collection_t *ledger;
    mongoc_collection_t *blocks;
    mongoc_collection_t *state;
};

typedef struct {
    mr_store_t *store;
    mr_str_t user;
    int count_only;
    mr_erased_t *erased;
    bson_t unread; /* { number: { _id } } of blocks that are left as they
                      are */
    uint32_t n_unread;
} store_erasure_t;

/* One block's transaction. */
typedef struct {
    store_erasure_t *erasure;
    const bson_t *found; /* the block as it was read */
    const bson_t *block; /* as it is to be, or NULL: to be deleted */
    int64_t removed;
    int changed;
} store_change_t;


static int store_pass(
    store_erasure_t *erasure, int64_t *ret_blocks, mr_error_t *err);
static void store_filter(mr_str_t user, bson_t *filter);
static int store_block(store_erasure_t *erasure,
    mongoc_client_session_t *session, const bson_t *found, int *ret_changed,
    mr_error_t *err);
static void store_unread(
    store_erasure_t *erasure, const bson_t *found, const char *why);
static int store_change(store_erasure_t *erasure,
    mongoc_client_session_t *session, store_change_t *change, mr_error_t *err);
static bool store_transaction(mongoc_client_session_t *session, void *ctx,
    bson_t **reply, bson_error_t *error);
static bool store_replace(store_change_t *change, const bson_t *opts,
    bson_t *reply, bson_error_t *error);
static bool store_count(store_change_t *change, const bson_t *opts,
    bson_t *reply, bson_error_t *error);
static mongoc_transaction_opt_t *store_durable(void);


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

    if (mr_mongo_open(options, "millrace-erase", &store->mongo, err) != 0) {
        free(store);
        return -1;
    }

    store->client = mr_mongo_pop(store->mongo);
    store->ledger =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_LEDGER);
    store->blocks =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_BLOCKS);
    store->state =
        mr_mongo_collection(store->mongo, store->client, MR_MONGO_STATE);

    /* Where there is nothing, nothing is found: that is no success. */
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

    mongoc_collection_destroy(store->state);
    mongoc_collection_destroy(store->blocks);
    mongoc_collection_destroy(store->ledger);
    mr_mongo_push(store->mongo, store->client);
    mr_mongo_close(store->mongo);
    free(store);
}


int
mr_store_reached(
    mr_store_t *store, size_t n, int64_t *ret_reached, mr_error_t *err)
{
    int rc;
    bson_t all;
    bson_error_t error;
    const bson_t *found;
    mongoc_cursor_t *cursor;
    mr_mongo_ledger_t ledger;

    rc = 0;
    memset(ret_reached, 0, n * sizeof(int64_t));

    bson_init(&all);
    cursor = mongoc_collection_find_with_opts(store->ledger, &all, NULL, NULL);

    while (mongoc_cursor_next(cursor, &found)) {
        if (mr_mongo_ledger(found, store->options->kafka.topic, &ledger) == 0
            && (size_t) ledger.partition < n)
        {
            ret_reached[ledger.partition] = ledger.reached;
        }
    }

    if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the ledger", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&all);

    return rc;
}


int
mr_store_erase(mr_store_t *store, mr_str_t user, int count_only,
    mr_erased_t *ret_erased, mr_error_t *err)
{
    int rc, pass;
    int64_t blocks;
    store_erasure_t erasure;

    ret_erased->events = 0;
    ret_erased->blocks = 0;

    erasure = (store_erasure_t){.store = store,
        .user = user,
        .count_only = count_only,
        .erased = ret_erased};
    bson_init(&erasure.unread);

    /* A pass sees what was there when it began. */
    for (pass = 0;; pass++) {

        rc = store_pass(&erasure, &blocks, err);

        if (rc != 0 || blocks == 0 || count_only) {
            break;
        }

        if (pass == STORE_PASSES) {
            rc = mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
                "the user's events come in faster than they are erased; stop "
                "them, and try again");
            break;
        }
    }

    if (rc == 0 && erasure.n_unread != 0) {
        rc = mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "%u blocks were left as they are and still hold the user's "
            "events: the log has their _id",
            erasure.n_unread);
    }

    bson_destroy(&erasure.unread);

    return rc;
}


static int
store_pass(store_erasure_t *erasure, int64_t *ret_blocks, mr_error_t *err)
{
    int rc, changed;
    int64_t blocks;
    bson_t filter;
    const bson_t *found;
    bson_error_t error;
    mongoc_cursor_t *cursor;
    mongoc_client_session_t *session;

    session = mongoc_client_start_session(erasure->store->client, NULL, &error);

    if (session == NULL) {
        return mr_mongo_error(err, "cannot start a session", &error);
    }

    rc = 0;
    blocks = 0;

    bson_init(&filter);
    store_filter(erasure->user, &filter);

    cursor = mongoc_collection_find_with_opts(
        erasure->store->blocks, &filter, NULL, NULL);

    while (rc == 0 && mongoc_cursor_next(cursor, &found)) {

        if (mr_run_stopping()) {
            rc = mr_error_set(err, MR_ERROR_SYSTEM, NULL,
                "stopped before all was done; run it again");
            break;
        }

        changed = 0;
        rc = store_block(erasure, session, found, &changed, err);
        blocks += changed;
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read blocks", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    mongoc_client_session_destroy(session);

    *ret_blocks = blocks;

    return rc;
}


/*
 * Blocks of earlier versions have `users` instead of `who`, for which there
 * need not be an index.  The index of `who.u` has those blocks under null: so
 * at worst all of them are read, and where there are none, nothing is.
 */
static void
store_filter(mr_str_t user, bson_t *filter)
{
    int len;
    bson_t forms, form;

    len = (int) user.len;

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &forms);

    BSON_APPEND_DOCUMENT_BEGIN(&forms, "0", &form);
    bson_append_utf8(&form, "who.u", -1, user.data, len);
    bson_append_document_end(&forms, &form);

    BSON_APPEND_DOCUMENT_BEGIN(&forms, "1", &form);
    BSON_APPEND_NULL(&form, "who.u");
    bson_append_utf8(&form, "users", -1, user.data, len);
    bson_append_document_end(&forms, &form);

    bson_append_array_end(filter, &forms);
}


/*
 * A block that has changed since it was read is left to the next pass, one
 * that cannot be read to whoever can mend it: the others go all the same.
 */
static int
store_block(store_erasure_t *erasure, mongoc_client_session_t *session,
    const bson_t *found, int *ret_changed, mr_error_t *err)
{
    int rc;
    bson_t block;
    mr_error_t why;
    mr_rewrite_t result;
    store_change_t change;

    bson_init(&block);

    rc = 0;

    if (mr_rewrite(found, erasure->user, &block, &result, &why) != 0) {
        store_unread(erasure, found, why.message);

    } else if (result.removed == 0) {
        store_unread(
            erasure, found, "it has no event of the user it is found by");

    } else if (erasure->count_only) {
        erasure->erased->events += result.removed;
        erasure->erased->blocks++;

    } else {
        change.erasure = erasure;
        change.found = found;
        change.block = result.left != 0 ? &block : NULL;
        change.removed = result.removed;

        rc = store_change(erasure, session, &change, err);
        *ret_changed = 1;
    }

    bson_destroy(&block);

    return rc;
}


/* Said and counted once, however many passes find it. */
static void
store_unread(store_erasure_t *erasure, const bson_t *found, const char *why)
{
    char digits[16], *text;
    bson_t block;
    uint32_t len;
    const char *key;
    bson_iter_t iter;
    const uint8_t *data;

    bson_init(&block);

    if (bson_iter_init_find(&iter, found, "_id")) {
        bson_append_iter(&block, NULL, 0, &iter);
    }

    if (bson_iter_init(&iter, &erasure->unread)) {
        while (bson_iter_next(&iter)) {
            bson_iter_document(&iter, &len, &data);

            if (len == block.len
                && memcmp(data, bson_get_data(&block), len) == 0) {
                bson_destroy(&block);
                return;
            }
        }
    }

    bson_uint32_to_string(erasure->n_unread++, &key, digits, sizeof(digits));
    BSON_APPEND_DOCUMENT(&erasure->unread, key, &block);

    text = bson_as_relaxed_extended_json(&block, NULL);
    mr_log_error("%s: %s", text != NULL ? text : "?", why);
    bson_free(text);
    bson_destroy(&block);
}


static int
store_change(store_erasure_t *erasure, mongoc_client_session_t *session,
    store_change_t *change, mr_error_t *err)
{
    bool done;
    bson_t reply;
    bson_error_t error;
    mongoc_transaction_opt_t *txn;

    txn = store_durable();

    done = mongoc_client_session_with_transaction(
        session, store_transaction, txn, change, &reply, &error);

    mongoc_transaction_opts_destroy(txn);
    bson_destroy(&reply);

    if (!done) {
        return mr_mongo_error(err, "cannot rewrite a block", &error);
    }

    if (change->changed) {
        erasure->erased->events += change->removed;
        erasure->erased->blocks++;
    }

    return 0;
}


/*
 * May be called again by the driver: it has no effect of its own.  In the
 * reply of a command that failed the driver looks for whether to do so; what
 * *reply is set to it destroys.
 */
static bool
store_transaction(mongoc_client_session_t *session, void *ctx, bson_t **reply,
    bson_error_t *error)
{
    bool done;
    bson_t opts, said;
    store_change_t *change;

    change = ctx;
    change->changed = 0;
    *reply = NULL;

    bson_init(&opts);

    if (!mongoc_client_session_append(session, &opts, error)) {
        bson_destroy(&opts);
        return false;
    }

    done = store_replace(change, &opts, &said, error);

    if (done && change->changed) {
        bson_destroy(&said);
        done = store_count(change, &opts, &said, error);
    }

    if (!done) {
        *reply = bson_copy(&said);
    }

    bson_destroy(&said);
    bson_destroy(&opts);

    return done;
}


/*
 * Only if it is still as it was read: whoever rewrites it takes out a user, and
 * with it an element of this column.  *reply is always set.
 */
static bool
store_replace(store_change_t *change, const bson_t *opts, bson_t *reply,
    bson_error_t *error)
{
    bool done;
    bson_t selector, replace;
    bson_iter_t iter;
    static const char *const counts[] = {"deletedCount", "modifiedCount"};

    bson_init(&selector);

    if (bson_iter_init_find(&iter, change->found, "_id")) {
        bson_append_iter(&selector, NULL, 0, &iter);
    }

    if (bson_iter_init_find(&iter, change->found, "counts")
        || bson_iter_init_find(&iter, change->found, "ends"))
    {
        bson_append_iter(&selector, NULL, 0, &iter);
    }

    if (change->block == NULL) {
        done = mongoc_collection_delete_one(
            change->erasure->store->blocks, &selector, opts, reply, error);

    } else {
        /* Validation would refuse an empty key, which metadata may have. */
        bson_copy_to(opts, &replace);
        BSON_APPEND_BOOL(&replace, "validate", false);
        done = mongoc_collection_replace_one(change->erasure->store->blocks,
            &selector, change->block, &replace, reply, error);
        bson_destroy(&replace);
    }

    change->changed =
        done && bson_iter_init_find(&iter, reply, counts[change->block != NULL])
        && bson_iter_as_int64(&iter) == 1;

    bson_destroy(&selector);

    return done;
}


/* What was erased, in `state`; *reply is always set. */
static bool
store_count(store_change_t *change, const bson_t *opts, bson_t *reply,
    bson_error_t *error)
{
    bool done;
    bson_t upsert, *selector, *update;

    selector = BCON_NEW("_id", BCON_UTF8("erased"));
    update = BCON_NEW("$inc", "{", "events", BCON_INT64(change->removed),
        "blocks", BCON_INT64(1), "}");
    bson_copy_to(opts, &upsert);
    BSON_APPEND_BOOL(&upsert, "upsert", true);

    done = mongoc_collection_update_one(
        change->erasure->store->state, selector, update, &upsert, reply, error);

    bson_destroy(&upsert);
    bson_destroy(selector);
    bson_destroy(update);

    return done;
}


static mongoc_transaction_opt_t *
store_durable(void)
{
    mongoc_write_concern_t *write_concern;
    mongoc_transaction_opt_t *txn;

    write_concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(write_concern, 0);
    mongoc_write_concern_set_journal(write_concern, true);

    txn = mongoc_transaction_opts_new();
    mongoc_transaction_opts_set_write_concern(txn, write_concern);

    mongoc_write_concern_destroy(write_concern);

    return txn;
}
