/*
 * Waiting until what Kafka holds is stored: for who has to see all that it
 * has acknowledged by now.
 */
#ifndef MILLRACE_SETTLE_H
#define MILLRACE_SETTLE_H

#include <stdint.h>

#include <millrace/error.h>

#include "kafka_log.h"


/*
 * Look how far each partition is stored: ret_reached has one offset for each,
 * which is 0 where nothing is.  *ret_ready is 0 while there is something else
 * to be waited for.
 */
typedef int mr_settle_look_t(
    void *ctx, int64_t *ret_reached, int *ret_ready, mr_error_t *err);

/*
 * Learn the ends of Kafka's log, then look again and again until each
 * partition has been stored that far.  *ret_settled is 0 when that did not
 * come about until `deadline` (mr_time_monotonic()), or until the process was
 * asked to stop; `ends` and `reached`, with room for one offset a partition,
 * then tell which are missing.  Fails as mr_kafka_log_offsets() and `look` do.
 */
int mr_settle(mr_kafka_log_t *log, mr_settle_look_t *look, void *ctx,
    int64_t deadline, int64_t *ends, int64_t *reached, int *ret_settled,
    mr_error_t *err);

#endif /* MILLRACE_SETTLE_H */
