#include <stdlib.h>

#include "store_private.h"
#include "stretch.h"


/* So many accounts on each side of the period may interleave with its own. */
#define ACCOUNTS_BESIDE 100

/* Offsets of one partition that fit the bitmap: 2^36 of them take 8 GiB. */
#define ACCOUNTS_SPAN (INT64_C(1) << 36)


typedef struct {
    mr_audit_t *audit;
    mr_audit_partition_t *partition;
    int64_t low; /* offsets of the bitmap: [low, low + span) */
    int64_t span;
    uint64_t *seen;
} accounts_t;


static int accounts_read(mr_store_t *store, accounts_t *accounts, int64_t from,
    int64_t to, int order, int64_t limit, mr_error_t *err);
static bson_t *accounts_key(const char *name, int64_t epoch, int32_t partition,
    const char *field, int64_t value);
static int accounts_take(void *ctx, const bson_t *document);
static int accounts_block(void *ctx, const bson_t *document);
static void accounts_offset(accounts_t *accounts, int64_t offset);


int
mr_store_accounts(mr_store_t *store, mr_audit_t *audit,
    mr_audit_partition_t *partition, mr_error_t *err)
{
    accounts_t accounts;

    accounts = (accounts_t){.audit = audit, .partition = partition};

    if (accounts_read(
            store, &accounts, INT64_MIN, audit->from, -1, ACCOUNTS_BESIDE, err)
            != 0
        || accounts_read(store, &accounts, audit->from, audit->to, 1, 0, err)
               != 0
        || accounts_read(
               store, &accounts, audit->to, INT64_MAX, 1, ACCOUNTS_BESIDE, err)
               != 0)
    {
        return -1;
    }

    mr_audit_sort(accounts.partition);
    mr_audit_stretch_trim(audit, accounts.partition);

    return 0;
}


/* Those of [from, to), ascending or, with order -1, descending; limit 0: all */
static int
accounts_read(mr_store_t *store, accounts_t *accounts, int64_t from, int64_t to,
    int order, int64_t limit, mr_error_t *err)
{
    int rc;
    bson_t *filter;

    filter = accounts_key("$gte", accounts->partition->epoch,
        accounts->partition->id, "minute", from);
    BCON_APPEND(filter, "$lt", "{", "epoch",
        BCON_INT64(accounts->partition->epoch), "partition",
        BCON_INT32(accounts->partition->id), "minute", BCON_DATE_TIME(to), "}");

    rc = mr_store_find(store, MR_MONGO_ACCOUNTS,
        BCON_NEW("_id", BCON_DOCUMENT(filter)),
        BCON_NEW("sort", "{", "_id", BCON_INT32(order), "}", "limit",
            BCON_INT64(limit)),
        accounts_take, accounts, err);

    bson_destroy(filter);

    return rc;
}


/* { name: { epoch, partition, field: value } }: a bound of _id. */
static bson_t *
accounts_key(const char *name, int64_t epoch, int32_t partition,
    const char *field, int64_t value)
{
    bson_t *key, bound;

    key = bson_new();

    BSON_APPEND_DOCUMENT_BEGIN(key, name, &bound);
    BSON_APPEND_INT64(&bound, "epoch", epoch);
    BSON_APPEND_INT32(&bound, "partition", partition);

    if (field[0] == 'm') {
        BSON_APPEND_DATE_TIME(&bound, field, value);

    } else {
        BSON_APPEND_INT64(&bound, field, value);
    }

    bson_append_document_end(key, &bound);

    return key;
}


static int
accounts_take(void *ctx, const bson_t *document)
{
    accounts_t *accounts = ctx;
    mr_audit_account_t account;

    account.minute = mr_store_int64(document, "_id.minute");
    account.first = mr_store_int64(document, "first");
    account.last = mr_store_int64(document, "last");
    account.stored = mr_store_int64(document, "stored");
    account.repeated = mr_store_int64(document, "repeated");
    account.dead = mr_store_int64(document, "dead");
    account.holes = mr_store_int64(document, "holes");
    account.flush = mr_store_int64(document, "flush");

    if (account.minute % MR_AUDIT_MINUTE != 0) {
        mr_audit_find(accounts->audit, "accounts", account.minute, -1, 0,
            "an account of no whole minute");
        return 0;
    }

    return mr_audit_account(accounts->partition, &account);
}


int
mr_store_offsets(mr_store_t *store, mr_audit_t *audit,
    mr_audit_partition_t *partition, mr_error_t *err)
{
    int rc;
    size_t i;
    bson_t *filter, *opts;
    int64_t flush, last;
    accounts_t accounts;
    const mr_audit_account_t *account;

    accounts = (accounts_t){.audit = audit, .partition = partition};

    if (accounts.partition->n_accounts == 0) {
        return 0;
    }

    account = accounts.partition->accounts;
    accounts.low = account->first;
    flush = account->flush;
    last = account->last;

    for (i = 1; i < accounts.partition->n_accounts; i++) {
        account++;
        flush = account->flush < flush ? account->flush : flush;
        last = account->last > last ? account->last : last;
    }

    accounts.span = last + 1 - accounts.low;

    if (accounts.span < 0 || accounts.span > ACCOUNTS_SPAN) {
        mr_audit_find(audit, "accounts", MR_AUDIT_UNKNOWN, partition->id, 0,
            "%sthe accounts reach from offset %lld to %lld", partition->origin,
            (long long) accounts.low, (long long) last);
        return 0;
    }

    accounts.seen = calloc((size_t) accounts.span / 64 + 1, sizeof(uint64_t));
    if (accounts.seen == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    filter =
        accounts_key("$gte", partition->epoch, partition->id, "offset", flush);
    BCON_APPEND(filter, "$lt", "{", "epoch",
        BCON_INT64(accounts.partition->epoch), "partition",
        BCON_INT32(partition->id), "offset", BCON_INT64(last + 1), "}");

    /* A list of lists, one of each user, or in earlier blocks of them all. */
    opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "offsets", "{",
        "$cond", "[", "{", "$isArray", BCON_UTF8("$events"), "}", "[",
        BCON_UTF8("$events.offset"), "]", "{", "$map", "{", "input", "{",
        "$objectToArray", BCON_UTF8("$events"), "}", "in", "{", "$map", "{",
        "input", "{", "$objectToArray", BCON_UTF8("$$this.v"), "}", "in",
        BCON_UTF8("$$this.v.offset"), "}", "}", "}", "}", "]", "}", "}", "sort",
        "{", "_id", BCON_INT32(1), "}");

    rc = mr_store_find(store, MR_MONGO_BLOCKS,
        BCON_NEW("_id", BCON_DOCUMENT(filter)), opts, accounts_block, &accounts,
        err);

    bson_destroy(filter);
    free(accounts.seen);

    return rc;
}


static int
accounts_block(void *ctx, const bson_t *document)
{
    bson_iter_t iter, users, offsets;
    accounts_t *accounts = ctx;

    if (!bson_iter_init_find(&iter, document, "offsets")
        || !bson_iter_recurse(&iter, &users))
    {
        return 0;
    }

    while (bson_iter_next(&users)) {

        if (!bson_iter_recurse(&users, &offsets)) {
            continue;
        }

        while (bson_iter_next(&offsets)) {
            accounts_offset(accounts, bson_iter_as_int64(&offsets));
        }
    }

    return 0;
}


static void
accounts_offset(accounts_t *accounts, int64_t offset)
{
    size_t low, high, middle;
    int64_t at;
    mr_audit_partition_t *partition;

    at = offset - accounts->low;

    /* A flush at the period's edge has events of other minutes as well. */
    if (at < 0 || at >= accounts->span) {
        return;
    }

    partition = accounts->partition;
    low = 0;
    high = partition->n_accounts;

    while (high - low > 1) {
        middle = low + (high - low) / 2;

        if (partition->accounts[middle].first <= offset) {
            low = middle;

        } else {
            high = middle;
        }
    }

    if (accounts->seen[at / 64] & (UINT64_C(1) << (at % 64))) {
        mr_audit_find(accounts->audit, "blocks",
            partition->accounts[low].minute, accounts->partition->id, 1,
            "%sthe event at offset %lld is in the blocks twice",
            partition->origin, (long long) offset);
        return;
    }

    accounts->seen[at / 64] |= UINT64_C(1) << (at % 64);
    partition->found[low]++;
}
