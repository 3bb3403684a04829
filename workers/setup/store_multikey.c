#include <string.h>

#include "store_multikey.h"


#define MR_MULTIKEY_ID "setup"
#define MR_MULTIKEY_SPAN 2 /* all of the indexes have it */


static int mr_store_multikey_is(mr_mongo_t *mongo, mongoc_client_t *client,
    size_t index, int *ret_multikey, mr_error_t *err);
static void mr_store_multikey_plan(
    bson_iter_t *iter, const char *name, int *scans, int *multikey);
static int mr_store_multikey_make(
    mongoc_collection_t *blocks, bson_error_t *error);
static int mr_store_multikey_clear(
    mongoc_collection_t *blocks, bson_error_t *error);


static const struct {
    const char *name;
    const char *key; /* its first one */
} mr_multikey[] = {{MR_MONGO_WHO_TMAX, "who.u"},
    {"who_span_tmin_tmax", "who.u"}, {"types_span_tmax_tmin", "types"},
    {"types_span_tmin_tmax", "types"}, {NULL, NULL}};


/*
 * An index becomes multikey with the first array in it.  Where that is
 * inside a transaction that aborts, members of the set may disagree on it
 * (SERVER-113189), so the first array comes in a plain insert.  Whether it
 * came is asked of the index: a run before may have been killed between the
 * two.
 */
int
mr_store_multikey(mr_mongo_t *mongo, mongoc_client_t *client, mr_error_t *err)
{
    int rc, multikey;
    size_t i;
    bson_error_t error;
    mongoc_collection_t *blocks;

    multikey = 1;

    for (i = 0; multikey && mr_multikey[i].name != NULL; i++) {
        if (mr_store_multikey_is(mongo, client, i, &multikey, err) == -1) {
            return -1;
        }
    }

    rc = 0;
    blocks = mr_mongo_collection(mongo, client, MR_MONGO_BLOCKS);

    /* One that was left would be a damaged block to whoever reads it. */
    if (mr_store_multikey_clear(blocks, &error) == -1
        || (!multikey
            && (mr_store_multikey_make(blocks, &error) == -1
                || mr_store_multikey_clear(blocks, &error) == -1)))
    {
        rc = mr_mongo_error(err, "cannot prepare the indexes", &error);
    }

    mongoc_collection_destroy(blocks);

    return rc;
}


static int
mr_store_multikey_is(mr_mongo_t *mongo, mongoc_client_t *client, size_t index,
    int *ret_multikey, mr_error_t *err)
{
    int rc, scans;
    bool ok;
    bson_t *command, reply;
    bson_iter_t iter;
    bson_error_t error;

    command = BCON_NEW("explain", "{", "find", BCON_UTF8(MR_MONGO_BLOCKS),
        "filter", "{", mr_multikey[index].key, BCON_UTF8(""), "span",
        BCON_INT32(MR_MULTIKEY_SPAN), "}", "hint",
        BCON_UTF8(mr_multikey[index].name), "}", "verbosity",
        BCON_UTF8("queryPlanner"));

    ok = mongoc_client_command_simple(
        client, mr_mongo_database(mongo), command, NULL, &reply, &error);

    rc = 0;
    scans = 0;
    *ret_multikey = 1;

    if (!ok) {
        rc = mr_mongo_error(err, "cannot look at an index", &error);

    } else if (bson_iter_init(&iter, &reply)) {
        mr_store_multikey_plan(
            &iter, mr_multikey[index].name, &scans, ret_multikey);
    }

    /* A plan of a form that is not known: once too often does no harm. */
    if (scans == 0) {
        *ret_multikey = 0;
    }

    bson_destroy(&reply);
    bson_destroy(command);

    return rc;
}


/* Of all scans of the index in a plan, which differs with the server. */
static void
mr_store_multikey_plan(
    bson_iter_t *iter, const char *name, int *scans, int *multikey)
{
    int is, named;
    bson_iter_t child;

    is = 0;
    named = 0;

    while (bson_iter_next(iter)) {

        if (BSON_ITER_IS_KEY(iter, "indexName") && BSON_ITER_HOLDS_UTF8(iter)) {
            named = strcmp(bson_iter_utf8(iter, NULL), name) == 0;

        } else if (BSON_ITER_IS_KEY(iter, "isMultiKey")) {
            is = bson_iter_as_bool(iter);

        } else if ((BSON_ITER_HOLDS_DOCUMENT(iter)
                       || BSON_ITER_HOLDS_ARRAY(iter))
                   && bson_iter_recurse(iter, &child))
        {
            mr_store_multikey_plan(&child, name, scans, multikey);
        }
    }

    if (named) {
        (*scans)++;
        *multikey &= is;
    }
}


/*
 * A block of times that no query asks for, and of users and types that no
 * event can have: nobody finds it who looks for one.
 */
static int
mr_store_multikey_make(mongoc_collection_t *blocks, bson_error_t *error)
{
    bool ok;
    bson_t *doc;

    doc = BCON_NEW("_id", BCON_UTF8(MR_MULTIKEY_ID), "span",
        BCON_INT32(MR_MULTIKEY_SPAN), "tmin", BCON_DATE_TIME(-1), "tmax",
        BCON_DATE_TIME(-1), "types", "[", BCON_UTF8(""), BCON_UTF8("\001"), "]",
        "who", "[", "{", "u", BCON_UTF8(""), "t", BCON_INT32(1), "}", "{", "u",
        BCON_UTF8("\001"), "t", BCON_INT32(1), "}", "]");

    /* There may be one of a set-up that goes on now, which is as good. */
    ok = mongoc_collection_insert_one(blocks, doc, NULL, NULL, error)
         || error->code == MONGOC_ERROR_DUPLICATE_KEY;

    bson_destroy(doc);

    return ok ? 0 : -1;
}


static int
mr_store_multikey_clear(mongoc_collection_t *blocks, bson_error_t *error)
{
    bool ok;
    bson_t *selector;

    selector = BCON_NEW("_id", BCON_UTF8(MR_MULTIKEY_ID));
    ok = mongoc_collection_delete_one(blocks, selector, NULL, NULL, error);
    bson_destroy(selector);

    return ok ? 0 : -1;
}
