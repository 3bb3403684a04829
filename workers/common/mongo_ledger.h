/*
 * A document of `ledger` (docs/data-model.md), for who asks how far a
 * partition has been stored.  Only the writer changes it.
 */
#ifndef MILLRACE_MONGO_LEDGER_H
#define MILLRACE_MONGO_LEDGER_H

#include <stdint.h>

#include <bson/bson.h>


typedef struct {
    int32_t partition;
    int64_t epoch;
    int64_t next;
    int64_t flush;
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t reached; /* no record before this offset is still to be stored:
                        at least `next`, beyond it where markers follow */
} mr_mongo_ledger_t;

/* Returns -1 for a document that is not of this topic. */
int mr_mongo_ledger(
    const bson_t *document, const char *topic, mr_mongo_ledger_t *ret_ledger);

#endif /* MILLRACE_MONGO_LEDGER_H */
