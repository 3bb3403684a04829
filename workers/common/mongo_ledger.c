#include "mongo_ledger.h"

#include <stdlib.h>
#include <string.h>


static int64_t mr_mongo_ledger_number(const bson_t *document, const char *name);


int
mr_mongo_ledger(
    const bson_t *document, const char *topic, mr_mongo_ledger_t *ret_ledger)
{
    size_t len;
    long number;
    char *end;
    bson_iter_t iter;
    const char *text;

    if (!bson_iter_init_find(&iter, document, "_id")
        || !BSON_ITER_HOLDS_UTF8(&iter))
    {
        return -1;
    }

    text = bson_iter_utf8(&iter, NULL);
    len = strlen(topic);

    if (strncmp(text, topic, len) != 0 || text[len] != '/') {
        return -1;
    }

    text += len + 1;
    number = strtol(text, &end, 10);

    if (end == text || *end != '\0' || number < 0 || number > INT32_MAX) {
        return -1;
    }

    ret_ledger->partition = (int32_t) number;
    ret_ledger->epoch = mr_mongo_ledger_number(document, "epoch");
    ret_ledger->next = mr_mongo_ledger_number(document, "next");
    ret_ledger->flush = mr_mongo_ledger_number(document, "flush");
    ret_ledger->stored = mr_mongo_ledger_number(document, "stored");
    ret_ledger->repeated = mr_mongo_ledger_number(document, "repeated");
    ret_ledger->dead = mr_mongo_ledger_number(document, "dead");
    ret_ledger->reached = mr_mongo_ledger_number(document, "reached");

    if (ret_ledger->reached < ret_ledger->next) {
        ret_ledger->reached = ret_ledger->next;
    }

    return 0;
}


/* 0 where there is none. */
static int64_t
mr_mongo_ledger_number(const bson_t *document, const char *name)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, document, name)
               ? bson_iter_as_int64(&iter)
               : 0;
}
