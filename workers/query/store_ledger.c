#include <stdlib.h>
#include <string.h>

#include "store_session.h"


/* Of "<topic>/<partition>". */
#define MR_LEDGER_SEPARATOR '/'


static int mr_ledger_read(const bson_t *doc, size_t prefix,
    mr_ledger_observer_t *observer, void *ctx, mr_error_t *err);


int
mr_session_ledger(mr_session_t *session, const char *topic,
    mr_ledger_observer_t *observer, void *ctx, mr_error_t *err)
{
    int rc;
    size_t len;
    bson_t filter, opts, child;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    len = strlen(topic);

    bson_init(&filter);
    mr_session_of_topic(&filter, topic);
    bson_init(&opts);

    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "next", 1);
    bson_append_document_end(&opts, &child);

    cursor = mr_session_find(session, MR_MONGO_LEDGER, &filter, &opts, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

    if (cursor == NULL) {
        return -1;
    }

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_ledger_read(doc, len + 1, observer, ctx, err);
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading the ledger", err);
    }

    mongoc_cursor_destroy(cursor);

    return rc;
}


void
mr_session_of_topic(bson_t *filter, const char *topic)
{
    char *first, *last;
    bson_t child;

    first = bson_strdup_printf("%s%c", topic, MR_LEDGER_SEPARATOR);
    last = bson_strdup_printf("%s%c", topic, MR_LEDGER_SEPARATOR + 1);

    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &child);
    BSON_APPEND_UTF8(&child, "$gte", first);
    BSON_APPEND_UTF8(&child, "$lt", last);
    bson_append_document_end(filter, &child);

    bson_free(first);
    bson_free(last);
}


static int
mr_ledger_read(const bson_t *doc, size_t prefix, mr_ledger_observer_t *observer,
    void *ctx, mr_error_t *err)
{
    char *end;
    int64_t next;
    mr_str_t id;
    bson_iter_t iter;
    unsigned long long partition;

    if (bson_iter_init_find(&iter, doc, "_id") && mr_bson_text(&iter, &id) == 0
        && id.len > prefix && bson_iter_init_find(&iter, doc, "next")
        && mr_bson_int64(&iter, &next) == 0)
    {
        partition = strtoull(id.data + prefix, &end, 10);

        if (*end == '\0' && partition <= INT32_MAX) {
            observer(ctx, (int32_t) partition, next);
            return 0;
        }
    }

    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "a ledger in MongoDB is not as docs/data-model.md says");
}
