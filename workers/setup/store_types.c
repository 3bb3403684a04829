#include "store_types.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <millrace/str.h>
#include <millrace/time.h>

#include "../common/run.h"
#include "../common/window.h"


#define MR_TYPES_PAUSE 200 /* ms */


/* Copies, NUL-terminated: no event type holds a NUL. */
typedef struct {
    char **names;
    size_t n;
    size_t cap;
} mr_names_t;


static int mr_types_read(mongoc_collection_t *state, int *ret_found,
    int64_t *ret_max, mr_error_t *err);
static int mr_types_raise(mongoc_collection_t *state, int64_t stored,
    int64_t wanted, int trimmed, mr_error_t *err);
static int mr_types_create(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err);
static int mr_types_collect(mr_mongo_t *mongo, mongoc_client_t *client,
    mr_names_t *names, mr_error_t *err);
static int mr_names_reserve(mr_names_t *names, mr_error_t *err);
static int mr_types_next(mongoc_collection_t *collection, mr_width_t width,
    const char *after, char **ret_name, mr_error_t *err);
static int mr_types_cmp(const void *a, const void *b);
static void mr_types_unique(mr_names_t *names);
static int mr_types_store(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_names_t *names, int64_t max, int trimmed, mr_error_t *err);
static int mr_types_insert(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_names_t *names, int64_t max, int trimmed, const bson_t *opts,
    bson_error_t *error);


int
mr_store_types(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err)
{
    int rc, found, trimmed;
    int64_t stored;
    mongoc_collection_t *state;

    trimmed = setup->options->writer.retention != 0;
    state = mr_mongo_collection(mongo, client, MR_MONGO_STATE);

    for (;;) {
        rc = mr_types_read(state, &found, &stored, err);

        if (rc == 0 && found) {
            rc = mr_types_raise(
                state, stored, setup->options->stats.max_types, trimmed, err);
            break;
        }

        if (rc == 0) {
            rc = mr_types_create(setup, mongo, client, err);
        }

        /* Another set-up may be making it at this moment. */
        if (rc == 0 || mr_time_monotonic() + MR_TYPES_PAUSE >= setup->deadline
            || mr_run_sleep(MR_TYPES_PAUSE))
        {
            break;
        }
    }

    mongoc_collection_destroy(state);

    return rc;
}


static int
mr_types_read(mongoc_collection_t *state, int *ret_found, int64_t *ret_max,
    mr_error_t *err)
{
    int rc, found;
    bson_t *filter;
    bson_iter_t iter;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    rc = 0;
    filter = BCON_NEW("_id", BCON_UTF8("types"));
    cursor = mongoc_collection_find_with_opts(state, filter, NULL, NULL);
    found = mongoc_cursor_next(cursor, &doc);

    if (found && bson_iter_init_find(&iter, doc, "max")) {
        *ret_max = bson_iter_as_int64(&iter);

    } else if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the state", &error);

    } else if (found) {
        rc = mr_error_set(
            err, MR_ERROR_MONGODB, NULL, "the state \"types\" has no max");
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    *ret_found = found;

    return rc;
}


static int
mr_types_raise(mongoc_collection_t *state, int64_t stored, int64_t wanted,
    int trimmed, mr_error_t *err)
{
    bool ok;
    bson_t *filter, *update;
    bson_error_t error;

    filter = BCON_NEW("_id", BCON_UTF8("types"));
    update = BCON_NEW("$max", "{", "max", BCON_INT64(wanted), "}");

    if (trimmed) {
        BCON_APPEND(update, "$set", "{", "trimmed", BCON_BOOL(true), "}");
    }

    ok =
        mongoc_collection_update_one(state, filter, update, NULL, NULL, &error);

    bson_destroy(update);
    bson_destroy(filter);

    if (!ok) {
        return mr_mongo_error(err, "cannot write the state", &error);
    }

    if (stored < wanted) {
        mr_setup_say("event types with statistics of their own: at most %lld, "
                     "now %lld",
            (long long) stored, (long long) wanted);

    } else if (stored > wanted) {
        mr_setup_say("event types with statistics of their own: at most %lld, "
                     "which [stats] max_types = %lld does not lower",
            (long long) stored, (long long) wanted);
    }

    return 0;
}


static int
mr_types_create(const mr_setup_t *setup, mr_mongo_t *mongo,
    mongoc_client_t *client, mr_error_t *err)
{
    int rc;
    size_t i;
    int64_t max;
    mr_names_t names;

    memset(&names, 0, sizeof(names));
    max = setup->options->stats.max_types;

    rc = mr_types_collect(mongo, client, &names, err);

    if (rc == 0) {
        mr_types_unique(&names);
        max = max > (int64_t) names.n ? max : (int64_t) names.n;

        rc = mr_types_store(mongo, client, &names, max,
            setup->options->writer.retention != 0, err);
    }

    if (rc == 0) {
        mr_setup_say("event types with statistics of their own: at most %lld, "
                     "%zu are known",
            (long long) max, names.n);
    }

    for (i = 0; i < names.n; i++) {
        free(names.names[i]);
    }

    free(names.names);

    return rc;
}


/* By _id, from the last window of one type to the first of the next. */
static int
mr_types_collect(mr_mongo_t *mongo, mongoc_client_t *client, mr_names_t *names,
    mr_error_t *err)
{
    int rc;
    size_t i;
    mr_width_t width;
    const char *after;
    mongoc_collection_t *collection;
    static const char *const collections[] = {
        MR_MONGO_PARTIALS, MR_MONGO_WINDOWS};

    rc = 0;

    for (i = 0; i < 2 && rc >= 0; i++) {
        collection = mr_mongo_collection(mongo, client, collections[i]);

        for (width = 0; width < MR_WIDTHS && rc >= 0; width++) {
            after = "";

            for (;;) {
                rc = mr_names_reserve(names, err);

                if (rc == 0) {
                    rc = mr_types_next(
                        collection, width, after, &names->names[names->n], err);
                }

                if (rc != 1) {
                    break;
                }

                after = names->names[names->n++];
            }
        }

        mongoc_collection_destroy(collection);
    }

    return rc;
}


/* Room for one more. */
static int
mr_names_reserve(mr_names_t *names, mr_error_t *err)
{
    char **grown;
    size_t cap;

    if (names->n < names->cap) {
        return 0;
    }

    cap = 2 * names->cap + 64;
    grown = realloc(names->names, cap * sizeof(char *));

    if (grown == NULL) {
        (void) mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        return -1;
    }

    names->names = grown;
    names->cap = cap;

    return 0;
}


/* 1 with *ret_name, which the caller frees, 0 at the end, or -1. */
static int
mr_types_next(mongoc_collection_t *collection, mr_width_t width,
    const char *after, char **ret_name, mr_error_t *err)
{
    int rc;
    char *name;
    bson_t *filter, *opts;
    bson_iter_t iter, id;
    bson_error_t error;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    filter = BCON_NEW("_id", "{", "$gt", "{", "width",
        BCON_INT32(mr_width_seconds(width)), "event_type", BCON_UTF8(after),
        "start", BCON_MAXKEY, "}", "$lt", "{", "width",
        BCON_INT32(mr_width_seconds(width)), "event_type", BCON_MAXKEY, "}",
        "}");
    opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}", "sort", "{",
        "_id", BCON_INT32(1), "}", "limit", BCON_INT64(1));

    cursor = mongoc_collection_find_with_opts(collection, filter, opts, NULL);
    rc = 0;

    if (mongoc_cursor_next(cursor, &doc)
        && bson_iter_init_find(&iter, doc, "_id")
        && BSON_ITER_HOLDS_DOCUMENT(&iter) && bson_iter_recurse(&iter, &id)
        && bson_iter_find(&id, "event_type") && BSON_ITER_HOLDS_UTF8(&id))
    {
        name = strdup(bson_iter_utf8(&id, NULL));

        if (name != NULL) {
            *ret_name = name;
            rc = 1;

        } else {
            rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

    } else if (mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the event types", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return rc;
}


static int
mr_types_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


/* Each once; what is no type has no place. */
static void
mr_types_unique(mr_names_t *names)
{
    size_t i, n;

    if (names->n != 0) {
        qsort(names->names, names->n, sizeof(char *), mr_types_cmp);
    }

    n = 0;

    for (i = 0; i < names->n; i++) {

        if (names->names[i][0] == '\0'
            || strcmp(names->names[i], MR_EVENT_TYPE_OTHER) == 0
            || (n != 0 && strcmp(names->names[i], names->names[n - 1]) == 0))
        {
            free(names->names[i]);

        } else {
            names->names[n++] = names->names[i];
        }
    }

    names->n = n;
}


/* In one transaction: a writer sees all of it or none. */
static int
mr_types_store(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_names_t *names, int64_t max, int trimmed, mr_error_t *err)
{
    int rc;
    bson_t opts;
    bson_error_t error;
    mongoc_client_session_t *session;

    session = mongoc_client_start_session(client, NULL, &error);
    if (session == NULL) {
        return mr_mongo_error(err, "cannot start a session", &error);
    }

    bson_init(&opts);

    rc = mongoc_client_session_start_transaction(session, NULL, &error)
                 && mongoc_client_session_append(session, &opts, &error)
             ? 0
             : -1;

    if (rc == 0) {
        rc = mr_types_insert(mongo, client, names, max, trimmed, &opts, &error);

        if (rc != 0) {
            (void) mongoc_client_session_abort_transaction(session, NULL);

        } else if (!mongoc_client_session_commit_transaction(
                       session, NULL, &error)) {
            rc = -1;
        }
    }

    bson_destroy(&opts);
    mongoc_client_session_destroy(session);

    return rc == 0 ? 0
                   : mr_mongo_error(
                       err, "cannot write the registry of types", &error);
}


static int
mr_types_insert(mr_mongo_t *mongo, mongoc_client_t *client,
    const mr_names_t *names, int64_t max, int trimmed, const bson_t *opts,
    bson_error_t *error)
{
    bool ok;
    size_t i;
    bson_t *doc;
    mongoc_collection_t *state, *types;
    mongoc_bulk_operation_t *bulk;

    state = mr_mongo_collection(mongo, client, MR_MONGO_STATE);
    doc = BCON_NEW("_id", BCON_UTF8("types"), "max", BCON_INT64(max), "known",
        BCON_INT64((int64_t) names->n));

    if (trimmed) {
        BSON_APPEND_BOOL(doc, "trimmed", true);
    }

    ok = mongoc_collection_insert_one(state, doc, opts, NULL, error);

    bson_destroy(doc);
    mongoc_collection_destroy(state);

    if (!ok || names->n == 0) {
        return ok ? 0 : -1;
    }

    types = mr_mongo_collection(mongo, client, MR_MONGO_TYPES);
    bulk = mongoc_collection_create_bulk_operation_with_opts(types, opts);

    for (i = 0; i < names->n && ok; i++) {
        doc = BCON_NEW("_id", BCON_UTF8(names->names[i]), "number",
            BCON_INT64((int64_t) i), "max", BCON_INT64(0));
        ok = mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, error);
        bson_destroy(doc);
    }

    ok = ok && mongoc_bulk_operation_execute(bulk, NULL, error) != 0;

    mongoc_bulk_operation_destroy(bulk);
    mongoc_collection_destroy(types);

    return ok ? 0 : -1;
}
