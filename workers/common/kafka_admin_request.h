/*
 * One request of the Kafka admin API: its options, its result, and whether
 * it is worth another attempt.  Private to kafka_admin*.c.
 */
#ifndef MILLRACE_KAFKA_ADMIN_REQUEST_H
#define MILLRACE_KAFKA_ADMIN_REQUEST_H

#include "kafka.h"
#include "kafka_admin.h"


struct mr_kafka_admin_s {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue; /* of results */
    char *brokers;
    mr_error_t refused; /* what Kafka said to an attempt before; MR_OK: none */
};


/* With a time-out that ends at the deadline; the caller destroys them. */
rd_kafka_AdminOptions_t *mr_kafka_admin_options(
    mr_kafka_admin_t *admin, rd_kafka_admin_op_t op, int64_t deadline);

/*
 * Wait for the result of the request just made.  On success the caller
 * destroys *ret_event.  *ret_code is always set.  Where the last of several
 * attempts got no answer, *err is what Kafka said to the one before.
 */
int mr_kafka_admin_result(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event,
    rd_kafka_resp_err_t *ret_code, mr_error_t *err);

/* What a cluster that is starting, or moving its controller, may say. */
int mr_kafka_admin_retriable(rd_kafka_resp_err_t code);

/*
 * Pause before another attempt; -1 with *err as it is when there is no time
 * for one.
 */
int mr_kafka_admin_pause(const char *topic, int64_t deadline, mr_error_t *err);

#endif /* MILLRACE_KAFKA_ADMIN_REQUEST_H */
