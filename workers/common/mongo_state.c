#include "mongo_state.h"

#include <string.h>


static int state_find(mongoc_collection_t *state, const char *id,
    bson_t *ret_document, int *ret_found, mr_error_t *err);
static int state_topic(mr_mongo_t *mongo, const bson_t *document,
    const char *topic, mr_error_t *err);


int
mr_mongo_state_check(mr_mongo_t *mongo, mongoc_client_t *client,
    const char *topic, mr_error_t *err)
{
    int rc, found;
    bson_t document;
    mongoc_collection_t *state;

    state = mr_mongo_collection(mongo, client, MR_MONGO_STATE);

    rc = state_find(state, "schema", &document, &found, err);

    if (rc == 0 && !found) {
        rc = mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "the database \"%s\" was not set up by millrace-setup: is "
            "[mongodb] database the right one?",
            mr_mongo_database(mongo));
    }

    if (rc == 0) {
        bson_destroy(&document);
        rc = state_find(state, "topic", &document, &found, err);
    }

    if (rc == 0 && found) {
        rc = state_topic(mongo, &document, topic, err);
    }

    bson_destroy(&document);
    mongoc_collection_destroy(state);

    return rc;
}


static int
state_topic(mr_mongo_t *mongo, const bson_t *document, const char *topic,
    mr_error_t *err)
{
    const char *name;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, document, "name")
        || !BSON_ITER_HOLDS_UTF8(&iter))
    {
        return 0;
    }

    name = bson_iter_utf8(&iter, NULL);

    if (strcmp(name, topic) == 0) {
        return 0;
    }

    return mr_error_set(err, MR_ERROR_CONFIG, NULL,
        "the database \"%s\" holds the events of topic \"%s\", the "
        "configuration says [kafka] topic = %s",
        mr_mongo_database(mongo), name, topic);
}


/* *ret_document is the caller's to destroy, found or not. */
static int
state_find(mongoc_collection_t *state, const char *id, bson_t *ret_document,
    int *ret_found, mr_error_t *err)
{
    int rc;
    bson_t *filter;
    bson_error_t error;
    const bson_t *found;
    mongoc_cursor_t *cursor;

    rc = 0;
    *ret_found = 0;

    filter = BCON_NEW("_id", BCON_UTF8(id));
    cursor = mongoc_collection_find_with_opts(state, filter, NULL, NULL);

    if (mongoc_cursor_next(cursor, &found)) {
        bson_copy_to(found, ret_document);
        *ret_found = 1;

    } else {
        bson_init(ret_document);

        if (mongoc_cursor_error(cursor, &error)) {
            rc = mr_mongo_error(err, "cannot read the state", &error);
        }
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);

    return rc;
}
