/*
 * Before a user is erased: waiting for what is still on its way.
 */
#ifndef MILLRACE_ERASE_SETTLE_H
#define MILLRACE_ERASE_SETTLE_H

#include <stdint.h>

#include "store.h"


/*
 * Wait until all that Kafka holds now is stored, so that no event that it has
 * acknowledged comes after the user was erased.  Fails with MR_ERROR_TIMEOUT
 * when that has not come about until `deadline` (mr_time_monotonic()), after
 * it has logged which partitions wait, and as mr_kafka_log_offsets() and
 * mr_store_reached() do.
 */
int mr_erase_settle(mr_store_t *store, const mr_options_t *options,
    int64_t deadline, mr_error_t *err);

#endif /* MILLRACE_ERASE_SETTLE_H */
