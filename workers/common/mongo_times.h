/* When the events of a block are that was read. */
#ifndef MILLRACE_MONGO_TIMES_H
#define MILLRACE_MONGO_TIMES_H

#include <bson/bson.h>

#include "times.h"


/*
 * Its column `since`, which needs its `tmin`, or `times`: whichever it has.
 * -1: neither, or not one of n events.
 */
int mr_mongo_times(const bson_t *block, uint32_t n, mr_times_t *ret_times);

#endif /* MILLRACE_MONGO_TIMES_H */
