#include "store_private.h"


static void lease_update(bson_t *command, const char *owner, int64_t duration,
    const mr_lease_answer_t *stale);
static int lease_answer(const bson_t *reply, const char *owner,
    mr_lease_answer_t *ret_answer, mr_error_t *err);


int
mr_store_lease(mr_store_t *store, const char *owner, int64_t duration,
    const mr_lease_answer_t *stale, mr_lease_answer_t *ret_answer,
    mr_error_t *err)
{
    int rc;
    bool ok;
    bson_t command, opts, reply, query, concern;
    bson_error_t error;

    bson_init(&command);
    BSON_APPEND_UTF8(&command, "findAndModify", MR_MONGO_STATE);

    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &query);
    BSON_APPEND_UTF8(&query, "_id", "publisher");
    bson_append_document_end(&command, &query);

    lease_update(&command, owner, duration, stale);

    BSON_APPEND_BOOL(&command, "upsert", true);
    BSON_APPEND_BOOL(&command, "new", true);
    BSON_APPEND_INT64(&command, "maxTimeMS", duration / 2);

    /* A renewal that takes longer than this came too late anyway. */
    BSON_APPEND_DOCUMENT_BEGIN(&command, "writeConcern", &concern);
    BSON_APPEND_UTF8(&concern, "w", "majority");
    BSON_APPEND_BOOL(&concern, "j", true);
    BSON_APPEND_INT64(&concern, "wtimeout", duration / 2);
    bson_append_document_end(&command, &concern);

    if (mr_store_opts(store, &opts, err) != 0) {
        bson_destroy(&command);
        return -1;
    }

    ok = mongoc_client_write_command_with_opts(store->client,
        mr_mongo_database(store->mongo), &command, &opts, &reply, &error);

    if (ok) {
        rc = lease_answer(&reply, owner, ret_answer, err);

    } else if (error.code == 11000) {

        /* Two members inserted it at the same time, the other was first. */
        ret_answer->mine = false;
        ret_answer->term = 0;
        ret_answer->until = 0;
        rc = 0;

    } else {
        rc = mr_mongo_error(err, "cannot take or renew the lease", &error);
    }

    bson_destroy(&reply);
    bson_destroy(&opts);
    bson_destroy(&command);

    return rc;
}


/*
 * All three expressions see the document as it was: a lease that has run out
 * changes hands (a new term, also to the same owner), one that is ours gets
 * a new end, and anything else stays as it is.
 */
static void
lease_update(bson_t *command, const char *owner, int64_t duration,
    const mr_lease_answer_t *stale)
{
    bson_t *held, *stage;

    /* No lease that is held ends at the epoch. */
    /* clang-format off */
    held = BCON_NEW(
        "$and", "[",
            "{", "$gt", "[", "$until", "$$NOW", "]", "}",
            "{", "$not", "[", "{", "$and", "[",
                "{", "$eq", "[", "$until",
                    BCON_DATE_TIME(stale != NULL ? stale->until : 0), "]", "}",
                "{", "$eq", "[", "$term",
                    BCON_INT64(stale != NULL ? stale->term : 0), "]", "}",
                "]", "}", "]", "}",
            "]");

    stage = BCON_NEW(
        "0", "{", "$set", "{",
            "owner", "{", "$cond", "[",
                BCON_DOCUMENT(held),
                "$owner",
                "{", "$literal", BCON_UTF8(owner), "}", "]", "}",
            "until", "{", "$cond", "[",
                "{", "$and", "[",
                    BCON_DOCUMENT(held),
                    "{", "$ne", "[", "$owner",
                        "{", "$literal", BCON_UTF8(owner), "}", "]", "}",
                    "]", "}",
                "$until",
                "{", "$add", "[", "$$NOW", BCON_INT64(duration), "]", "}",
                "]", "}",
            "term", "{", "$cond", "[",
                BCON_DOCUMENT(held),
                "$term",
                "{", "$add", "[",
                    "{", "$ifNull", "[", "$term", BCON_INT64(0), "]", "}",
                    BCON_INT64(1), "]", "}", "]", "}",
        "}", "}");
    /* clang-format on */

    bson_destroy(held);
    BSON_APPEND_ARRAY(command, "update", stage);
    bson_destroy(stage);
}


static int
lease_answer(const bson_t *reply, const char *owner,
    mr_lease_answer_t *ret_answer, mr_error_t *err)
{
    bson_iter_t iter, found, until, term;

    if (!bson_iter_init(&iter, reply)
        || !bson_iter_find_descendant(&iter, "value.owner", &found)
        || !BSON_ITER_HOLDS_UTF8(&found) || !bson_iter_init(&iter, reply)
        || !bson_iter_find_descendant(&iter, "value.until", &until)
        || !BSON_ITER_HOLDS_DATE_TIME(&until) || !bson_iter_init(&iter, reply)
        || !bson_iter_find_descendant(&iter, "value.term", &term)
        || !BSON_ITER_HOLDS_INT(&term))
    {
        return mr_error_set(err, MR_ERROR_MONGODB, NULL,
            "the lease, { _id: \"publisher\" } in %s, has an owner, until or "
            "term of a wrong type: remove the document",
            MR_MONGO_STATE);
    }

    ret_answer->mine = strcmp(bson_iter_utf8(&found, NULL), owner) == 0;
    ret_answer->until = bson_iter_date_time(&until);
    ret_answer->term = bson_iter_as_int64(&term);

    return 0;
}


int
mr_store_release(
    mr_store_t *store, const char *owner, int64_t term, mr_error_t *err)
{
    int rc;
    bson_t *selector, *update, opts;
    bson_error_t error;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    rc = 0;
    selector = BCON_NEW("_id", "publisher", "owner", BCON_UTF8(owner), "term",
        BCON_INT64(term));
    update = BCON_NEW("$currentDate", "{", "until", BCON_BOOL(true), "}");

    if (!mongoc_collection_update_one(
            store->state, selector, update, &opts, NULL, &error))
    {
        rc = mr_mongo_error(err, "cannot give up the lease", &error);
    }

    bson_destroy(update);
    bson_destroy(selector);
    bson_destroy(&opts);

    return rc;
}
