#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <millrace/time.h>

#include "../common/run.h"
#include "store_private.h"


/* BSON of blocks in one insert: it is held twice, here and on the wire. */
#define STORE_CHUNK (8 * 1024 * 1024)
#define STORE_COMMIT_TRIES 3
#define STORE_COMMIT_WAIT_MS 200


static mongoc_client_session_t *store_begin(
    mr_store_t *store, bson_t *opts, mr_error_t *err);
static int store_ledger(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, int *ret_matched, mr_error_t *err);
static int store_blocks(mr_store_t *store, const mr_work_t *work,
    const bson_t *opts, mr_error_t *err);
static int store_chunk(mr_store_t *store, size_t n, const size_t *ends,
    const bson_t *opts, mr_error_t *err);
static int store_reserve(mr_store_t *store, size_t n);
static int store_commit(mongoc_client_session_t *session, mr_error_t *err);
static mr_store_result_t store_settle(
    mr_store_t *store, const mr_work_t *work, mr_error_t *err);


mr_store_result_t
mr_store_flush(mr_store_t *store, const mr_work_t *work, mr_error_t *err)
{
    int rc, matched, begun, committed;
    bson_t opts;
    mr_store_result_t result;
    mongoc_client_session_t *session;

    session = store_begin(store, &opts, err);
    if (session == NULL) {
        return MR_STORE_RETRY;
    }

    matched = 0;

    rc = store_ledger(store, work, &opts, &matched, err);

    /* Before what takes long: writers that bring types wait for each other. */
    if (rc == 0 && matched) {
        rc = mr_store_types(store, work, &opts, err);
    }

    begun = rc == 0 && matched;

    if (rc == 0 && matched) {
        rc = store_blocks(store, work, &opts, err);
    }

    if (rc == 0 && matched) {
        rc = mr_store_partials(store, work, &opts, err);
    }

    if (rc == 0 && matched) {
        rc = mr_store_accounts(store, work, &opts, err);
    }

    committed = rc == 0 && matched && store_commit(session, err) == 0;

    if (committed) {
        mr_sketches_commit(
            store->sketches, work->partition, work->after->flush);
        result = MR_STORE_DONE;

    } else if (rc == 0) {
        /* Fenced, or nobody knows whether it was committed. */
        (void) mongoc_client_session_abort_transaction(session, NULL);
        result = store_settle(store, work, err);

        if (matched && result == MR_STORE_RETRY) {
            result = MR_STORE_ABORTED;
        }

    } else {
        (void) mongoc_client_session_abort_transaction(session, NULL);
        result = begun ? MR_STORE_ABORTED : MR_STORE_RETRY;
    }

    /* Another may have stored the same, with other numbers for new types. */
    mr_store_types_end(store, committed);

    mongoc_client_session_destroy(session);
    bson_destroy(&opts);

    return result;
}


/* Start a transaction; *opts makes an operation part of it. */
static mongoc_client_session_t *
store_begin(mr_store_t *store, bson_t *opts, mr_error_t *err)
{
    bson_error_t error;
    mongoc_read_concern_t *read_concern;
    mongoc_write_concern_t *write_concern;
    mongoc_transaction_opt_t *txn;
    mongoc_client_session_t *session;

    session = mongoc_client_start_session(store->client, NULL, &error);
    if (session == NULL) {
        mr_mongo_error(err, "cannot start a session", &error);
        return NULL;
    }

    read_concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(
        read_concern, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);

    write_concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(write_concern, 0);
    mongoc_write_concern_set_journal(write_concern, true);

    txn = mongoc_transaction_opts_new();
    mongoc_transaction_opts_set_read_concern(txn, read_concern);
    mongoc_transaction_opts_set_write_concern(txn, write_concern);

    bson_init(opts);

    if (!mongoc_client_session_start_transaction(session, txn, &error)
        || !mongoc_client_session_append(session, opts, &error))
    {
        mr_mongo_error(err, "cannot start a transaction", &error);
        mongoc_client_session_destroy(session);
        bson_destroy(opts);
        session = NULL;
    }

    mongoc_transaction_opts_destroy(txn);
    mongoc_write_concern_destroy(write_concern);
    mongoc_read_concern_destroy(read_concern);

    return session;
}


/*
 * The ledger first: from here on any other transaction on this partition
 * conflicts with ours, whoever runs it.
 */
static int
store_ledger(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    int *ret_matched, mr_error_t *err)
{
    int rc;
    bson_t *fence, *update, reply;
    bson_iter_t iter;
    bson_error_t error;
    const mr_ledger_t *after;

    after = work->after;

    fence = mr_store_fence(
        store, work->partition, work->before->epoch, work->before->next);

    update = BCON_NEW("$set", "{", "next", BCON_INT64(after->next), "flush",
        BCON_INT64(after->flush), "last", "{", "offset",
        BCON_INT64(after->last.offset), "time",
        BCON_DATE_TIME(after->last.time), "hash",
        BCON_BIN(BSON_SUBTYPE_BINARY, (const uint8_t *) &after->last.hash,
            sizeof(mr_hash_t)),
        "}", "}", "$inc", "{", "stored", BCON_INT64((int64_t) work->flush->n),
        "repeated", BCON_INT64((int64_t) work->flush->repeated), "dead",
        BCON_INT64((int64_t) work->flush->n_dead), "}");

    rc = 0;

    if (!mongoc_collection_update_one(
            store->ledger, fence, update, opts, &reply, &error))
    {
        rc = mr_mongo_error(err, "cannot update the ledger", &error);

    } else {
        *ret_matched = bson_iter_init_find(&iter, &reply, "matchedCount")
                       && bson_iter_as_int64(&iter) == 1;
    }

    bson_destroy(&reply);
    bson_destroy(fence);
    bson_destroy(update);

    return rc;
}


/* Build the blocks and send them, a chunk at a time. */
static int
store_blocks(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err)
{
    int rc;
    size_t i, n, *ends;
    mr_block_id_t id;
    mr_block_types_t types;
    const mr_flush_t *flush;

    if (work->plan->n == 0) {
        return 0;
    }

    flush = work->flush;
    ends = malloc(work->plan->n * sizeof(size_t));

    if (ends == NULL
        || mr_registry_bits(&store->registry, &flush->types, &store->bits) != 0)
    {
        free(ends);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    types.names = flush->types.names;
    types.bits = (const uint8_t *) store->bits.data;

    id.epoch = work->before->epoch;
    id.partition = work->partition;
    id.offset = work->before->next;

    rc = 0;
    n = 0;
    mr_buf_reset(&store->chunk);

    for (i = 0; i < work->plan->n && rc == 0; i++) {
        id.number = (int32_t) i;

#ifdef MR_FAULT_NO_LEDGER_GUARD
        /* A block's _id would stop a second writer of the flush as well. */
        id.number += (int32_t) (getpid() & 0x3fff) << 16;
#endif

        if (mr_block_build(
                &store->chunk, work->plan, i, flush->entries, &types, &id)
            != 0)
        {
            rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
            break;
        }

        ends[n++] = store->chunk.len;

        if (store->chunk.len >= STORE_CHUNK || i + 1 == work->plan->n) {
            rc = store_chunk(store, n, ends, opts, err);
            n = 0;
            mr_buf_reset(&store->chunk);
        }
    }

    free(ends);

    return rc;
}


static int
store_chunk(mr_store_t *store, size_t n, const size_t *ends, const bson_t *opts,
    mr_error_t *err)
{
    int rc;
    size_t i, from;
    bson_t insert;
    bson_error_t error;
    const bson_t **list;

    list = malloc(n * sizeof(bson_t *));

    if (list == NULL || store_reserve(store, n) != 0) {
        free(list);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    from = 0;

    for (i = 0; i < n; i++) {
        (void) bson_init_static(&store->documents[i],
            (const uint8_t *) store->chunk.data + from, ends[i] - from);
        list[i] = &store->documents[i];
        from = ends[i];
    }

    /* Validation would refuse an empty key, which metadata may have. */
    bson_copy_to(opts, &insert);
    BSON_APPEND_BOOL(&insert, "validate", false);
    BSON_APPEND_BOOL(&insert, "ordered", true);

    rc = 0;

    if (!mongoc_collection_insert_many(
            store->blocks, list, n, &insert, NULL, &error))
    {
        rc = mr_mongo_error(err, "cannot insert blocks", &error);
    }

    bson_destroy(&insert);
    free(list);

    return rc;
}


/* Room for `n` views; a bson_t wants an alignment of its own. */
static int
store_reserve(mr_store_t *store, size_t n)
{
    size_t cap;
    bson_t *documents;

    if (n <= store->documents_cap) {
        return 0;
    }

    cap = store->documents_cap != 0 ? store->documents_cap : 64;

    while (cap < n) {
        cap *= 2;
    }

    documents = aligned_alloc(_Alignof(bson_t), cap * sizeof(bson_t));
    if (documents == NULL) {
        return -1;
    }

    free(store->documents);
    store->documents = documents;
    store->documents_cap = cap;

    return 0;
}


/* Returns 0 once committed, -1 if that could not be learnt. */
static int
store_commit(mongoc_client_session_t *session, mr_error_t *err)
{
    int i;
    bool ok, unknown;
    bson_t reply;
    bson_error_t error;

    for (i = 0; i < STORE_COMMIT_TRIES; i++) {

        ok = mongoc_client_session_commit_transaction(session, &reply, &error);
        unknown =
            mongoc_error_has_label(&reply, "UnknownTransactionCommitResult");
        bson_destroy(&reply);

        if (ok) {
            return 0;
        }

        if (!unknown) {
            break;
        }

        (void) mr_run_sleep(STORE_COMMIT_WAIT_MS);
    }

    return mr_mongo_error(err, "cannot commit", &error);
}


/*
 * The ledger tells what became of the transaction.  If it stands just as we
 * would have left it, the flush is stored, whoever did it: the same stretch
 * of the log is always judged alike.
 *
 * A commit that is still under way at the server cannot slip in later: our
 * next try conflicts with it or is fenced by it.
 */
static mr_store_result_t
store_settle(mr_store_t *store, const mr_work_t *work, mr_error_t *err)
{
    int found;
    mr_error_t why;
    mr_ledger_t ledger;

    if (mr_store_read(store, work->partition, &found, &ledger, &why) != 0) {
        *err = why;
        return MR_STORE_RETRY;
    }

    if (found && ledger.epoch == work->before->epoch
        && ledger.next == work->before->next)
    {
        if (err->code == MR_OK) {
            mr_error_set(err, MR_ERROR_MONGODB, NULL,
                "the ledger was updated by nobody, yet did not match");
        }

        return MR_STORE_RETRY;
    }

    if (found && ledger.epoch == work->after->epoch
        && ledger.next == work->after->next
        && ledger.flush == work->after->flush
        && mr_last_matches(&ledger.last, work->after->last.offset,
            work->after->last.time, work->after->last.hash))
    {
        return MR_STORE_DONE;
    }

    mr_error_set(err, MR_ERROR_FENCED, NULL,
        "the ledger stands at epoch %lld offset %lld, not at epoch %lld "
        "offset %lld",
        found ? (long long) ledger.epoch : -1LL,
        found ? (long long) ledger.next : -1LL, (long long) work->before->epoch,
        (long long) work->before->next);

    return MR_STORE_FENCED;
}
