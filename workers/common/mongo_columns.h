/* The packed columns of a block that was read. */
#ifndef MILLRACE_MONGO_COLUMNS_H
#define MILLRACE_MONGO_COLUMNS_H

#include <bson/bson.h>

#include "times.h"


/* One of them, which lives in the block.  -1: it has no such column. */
int mr_mongo_column(const bson_t *block, const char *name,
    const uint8_t **ret_data, uint32_t *ret_len);

/*
 * When its events are: its column `since`, which needs its `tmin`, or `times`,
 * whichever it has.  -1: neither, or not one of n events.
 */
int mr_mongo_times(const bson_t *block, uint32_t n, mr_times_t *ret_times);

#endif /* MILLRACE_MONGO_COLUMNS_H */
