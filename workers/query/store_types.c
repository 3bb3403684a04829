#include <stdlib.h>

#include "store_session.h"


typedef struct {
    mr_other_t *list;
    size_t n;
} mr_others_t;

typedef struct {
    mr_type_observer_t *observer;
    void *ctx;
} mr_types_reader_t;


static int mr_types_others(void *ctx, const bson_t *doc, mr_error_t *err);
static int mr_types_other(
    const bson_iter_t *iter, mr_others_t *others, mr_error_t *err);
static int mr_types_read(void *ctx, const bson_t *doc, mr_error_t *err);
static int mr_types_one(const bson_t *doc, mr_type_t *ret_type);
static int mr_types_damaged(mr_error_t *err);


int
mr_session_others(mr_session_t *session, const char *topic,
    mr_other_t **ret_list, size_t *ret_n, mr_error_t *err)
{
    int rc;
    bson_t filter, opts, child;
    mr_others_t others = {NULL, 0};

    bson_init(&filter);
    mr_session_of_topic(&filter, topic);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "other", &child);
    BSON_APPEND_BOOL(&child, "$exists", true);
    bson_append_document_end(&filter, &child);

    bson_init(&opts);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "other", 1);
    bson_append_document_end(&opts, &child);

    rc = mr_session_each(session, MR_MONGO_LEDGER, &filter, &opts,
        "reading the ledger", mr_types_others, &others, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    if (rc == -1) {
        free(others.list);
        return -1;
    }

    *ret_list = others.list;
    *ret_n = others.n;

    return 0;
}


int
mr_session_type(
    mr_session_t *session, mr_str_t type, int64_t *ret_max, mr_error_t *err)
{
    int rc;
    bson_t filter, opts;
    mr_type_t found = {{NULL, 0}, 0, 0};
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    bson_init(&filter);
    mr_bson_append_text(&filter, "_id", type);
    bson_init(&opts);

    cursor = mr_session_find(session, MR_MONGO_TYPES, &filter, &opts, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    if (cursor == NULL) {
        return -1;
    }

    if (mongoc_cursor_next(cursor, &doc)) {
        rc = mr_types_one(doc, &found) == 0 ? 1 : mr_types_damaged(err);
        *ret_max = found.max;

    } else {
        rc = mr_session_cursor_end(cursor, "reading the event types", err);
    }

    mongoc_cursor_destroy(cursor);

    return rc;
}


int
mr_session_types(mr_session_t *session, mr_type_observer_t *observer, void *ctx,
    mr_error_t *err)
{
    int rc;
    bson_t filter, opts, child;
    mr_types_reader_t reader = {observer, ctx};

    bson_init(&filter);
    bson_init(&opts);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "sort", &child);
    BSON_APPEND_INT32(&child, "_id", 1);
    bson_append_document_end(&opts, &child);

    rc = mr_session_each(session, MR_MONGO_TYPES, &filter, &opts,
        "reading the event types", mr_types_read, &reader, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    return rc;
}


int
mr_session_occurs(mr_session_t *session, mr_str_t type, mr_error_t *err)
{
    int rc;
    bson_t filter, opts, child;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    bson_init(&filter);
    mr_bson_append_text(&filter, "types", type);

    bson_init(&opts);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "_id", 1);
    bson_append_document_end(&opts, &child);
    BSON_APPEND_INT64(&opts, "limit", 1);

    cursor = mr_session_find(session, MR_MONGO_BLOCKS, &filter, &opts, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    if (cursor == NULL) {
        return -1;
    }

    rc = mongoc_cursor_next(cursor, &doc)
             ? 1
             : mr_session_cursor_end(cursor, "reading blocks", err);

    mongoc_cursor_destroy(cursor);

    return rc;
}


int
mr_session_trimmed(mr_session_t *session, mr_error_t *err)
{
    int rc;
    bson_t *filter, opts;
    bson_iter_t iter;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    filter = BCON_NEW("_id", "{", "$in", "[", BCON_UTF8("types"),
        BCON_UTF8("erased"), "]", "}");
    bson_init(&opts);

    cursor = mr_session_find(session, MR_MONGO_STATE, filter, &opts, err);

    bson_destroy(filter);
    bson_destroy(&opts);

    if (cursor == NULL) {
        return -1;
    }

    rc = 0;

    while (mongoc_cursor_next(cursor, &doc)) {
        if ((bson_iter_init_find(&iter, doc, "trimmed")
                && bson_iter_as_bool(&iter))
            || (bson_iter_init_find(&iter, doc, "events")
                && bson_iter_as_int64(&iter) > 0))
        {
            rc = 1;
        }
    }

    if (mr_session_cursor_end(cursor, "reading the state", err) == -1) {
        rc = -1;
    }

    mongoc_cursor_destroy(cursor);

    return rc;
}


/* An mr_document_observer_t. */
static int
mr_types_others(void *ctx, const bson_t *doc, mr_error_t *err)
{
    int rc;
    bson_iter_t iter, other;

    if (!bson_iter_init_find(&iter, doc, "other")
        || !BSON_ITER_HOLDS_DOCUMENT(&iter)
        || !bson_iter_recurse(&iter, &other))
    {
        return mr_types_damaged(err);
    }

    rc = 0;

    while (rc == 0 && bson_iter_next(&other)) {
        rc = mr_types_other(&other, ctx, err);
    }

    return rc;
}


static int
mr_types_other(const bson_iter_t *iter, mr_others_t *others, mr_error_t *err)
{
    char *end;
    mr_other_t other, *grown;
    bson_iter_t fields;

    other.max = strtoll(bson_iter_key(iter), &end, 10);

    if (*end != '\0' || !BSON_ITER_HOLDS_DOCUMENT(iter)
        || !bson_iter_recurse(iter, &fields)
        || !bson_iter_find(&fields, "first")
        || mr_bson_date(&fields, &other.first) == -1
        || !bson_iter_recurse(iter, &fields) || !bson_iter_find(&fields, "last")
        || mr_bson_date(&fields, &other.last) == -1)
    {
        return mr_types_damaged(err);
    }

    grown = realloc(others->list, (others->n + 1) * sizeof(mr_other_t));
    if (grown == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    grown[others->n++] = other;
    others->list = grown;

    return 0;
}


/* A view of the document. */
/* An mr_document_observer_t. */
static int
mr_types_read(void *ctx, const bson_t *doc, mr_error_t *err)
{
    mr_type_t type;
    const mr_types_reader_t *reader;

    reader = ctx;

    return mr_types_one(doc, &type) == 0
               ? reader->observer(reader->ctx, &type, err)
               : mr_types_damaged(err);
}


static int
mr_types_one(const bson_t *doc, mr_type_t *ret_type)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, doc, "_id")
                   && mr_bson_text(&iter, &ret_type->name) == 0
                   && bson_iter_init_find(&iter, doc, "number")
                   && mr_bson_int64(&iter, &ret_type->number) == 0
                   && ret_type->number >= 0
                   && bson_iter_init_find(&iter, doc, "max")
                   && mr_bson_int64(&iter, &ret_type->max) == 0
               ? 0
               : -1;
}


static int
mr_types_damaged(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "the registry of event types in MongoDB is not as docs/data-model.md "
        "says");
}
