#include "store_private.h"


static bson_t *accounts_id(
    const mr_account_t *account, int64_t epoch, int32_t partition);
static bson_t *accounts_update(
    const mr_store_t *store, const mr_account_t *account, int64_t flush);


int
mr_store_accounts(mr_store_t *store, const mr_work_t *work, const bson_t *opts,
    mr_error_t *err)
{
    int rc;
    size_t i;
    bson_t *id, *update, upsert;
    bson_error_t error;
    const mr_accounts_t *accounts;
    mongoc_bulk_operation_t *bulk;

    accounts = &work->flush->accounts;

    bulk = mongoc_collection_create_bulk_operation_with_opts(
        store->accounts, opts);

    bson_init(&upsert);
    BSON_APPEND_BOOL(&upsert, "upsert", true);

    rc = 0;

    for (i = 0; i < accounts->n && rc == 0; i++) {
        id = accounts_id(
            &accounts->list[i], work->before->epoch, work->partition);
        update = accounts_update(store, &accounts->list[i], work->before->next);

        if (!mongoc_bulk_operation_update_one_with_opts(
                bulk, id, update, &upsert, &error))
        {
            rc = mr_mongo_error(err, "cannot update accounts", &error);
        }

        bson_destroy(id);
        bson_destroy(update);
    }

    if (rc == 0 && mongoc_bulk_operation_execute(bulk, NULL, &error) == 0) {
        rc = mr_mongo_error(err, "cannot update accounts", &error);
    }

    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(&upsert);

    return rc;
}


static bson_t *
accounts_id(const mr_account_t *account, int64_t epoch, int32_t partition)
{
    return BCON_NEW("_id", "{", "epoch", BCON_INT64(epoch), "partition",
        BCON_INT32(partition), "minute", BCON_DATE_TIME(account->minute), "}");
}


static bson_t *
accounts_update(
    const mr_store_t *store, const mr_account_t *account, int64_t flush)
{
    bson_t *update, set;
    int64_t keep;

    keep = store->options->writer.keep_accounts;

    update =
        BCON_NEW("$inc", "{", "stored", BCON_INT64(account->stored), "repeated",
            BCON_INT64(account->repeated), "dead", BCON_INT64(account->dead),
            "holes", BCON_INT64(account->holes), "}", "$min", "{", "first",
            BCON_INT64(account->first), "flush", BCON_INT64(flush), "}", "$max",
            "{", "last", BCON_INT64(account->last), "}");

    if (keep != 0) {
        BSON_APPEND_DOCUMENT_BEGIN(update, "$setOnInsert", &set);
        BSON_APPEND_DATE_TIME(
            &set, "expire", account->minute + MR_ACCOUNTS_MINUTE + keep);
        bson_append_document_end(update, &set);
    }

    return update;
}
