#include <stdlib.h>
#include <string.h>

#include "store_session.h"


/* Of "<topic>/<partition>". */
#define MR_LEDGER_SEPARATOR '/'


typedef struct {
    size_t prefix; /* of the topic in each _id */
    mr_ledger_observer_t *observer;
    void *ctx;
} mr_ledger_reader_t;


static int mr_ledger_read(void *ctx, const bson_t *doc, mr_error_t *err);


int
mr_session_ledger(mr_session_t *session, const char *topic,
    mr_ledger_observer_t *observer, void *ctx, mr_error_t *err)
{
    int rc;
    bson_t filter, opts, child;
    mr_ledger_reader_t reader;

    reader.prefix = strlen(topic) + 1;
    reader.observer = observer;
    reader.ctx = ctx;

    bson_init(&filter);
    mr_session_of_topic(&filter, topic);
    bson_init(&opts);

    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, "next", 1);
    bson_append_document_end(&opts, &child);

    rc = mr_session_each(session, MR_MONGO_LEDGER, &filter, &opts,
        "reading the ledger", mr_ledger_read, &reader, err);

    bson_destroy(&filter);
    bson_destroy(&opts);

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


/* An mr_document_observer_t. */
static int
mr_ledger_read(void *ctx, const bson_t *doc, mr_error_t *err)
{
    char *end;
    int64_t next;
    mr_str_t id;
    bson_iter_t iter;
    unsigned long long partition;
    const mr_ledger_reader_t *reader;

    reader = ctx;

    if (bson_iter_init_find(&iter, doc, "_id") && mr_bson_text(&iter, &id) == 0
        && id.len > reader->prefix && bson_iter_init_find(&iter, doc, "next")
        && mr_bson_int64(&iter, &next) == 0)
    {
        partition = strtoull(id.data + reader->prefix, &end, 10);

        if (*end == '\0' && partition <= INT32_MAX) {
            reader->observer(reader->ctx, (int32_t) partition, next);
            return 0;
        }
    }

    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "a ledger in MongoDB is not as docs/data-model.md says");
}
