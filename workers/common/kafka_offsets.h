/*
 * Questions to Kafka about the offsets of a topic, with a time-out that holds.
 * What the Kafka clients of workers/common/ share; librdkafka's types are
 * not hidden here.
 *
 * librdkafka's own call for the bounds of a log,
 * rd_kafka_query_watermark_offsets(), ignores its time-out in 2.0.2 while the
 * broker is away.  The one that looks offsets up by time keeps it, and to
 * Kafka the two ends of a log are times as well.
 */
#ifndef MILLRACE_KAFKA_OFFSETS_H
#define MILLRACE_KAFKA_OFFSETS_H

#include <stdint.h>

#include <librdkafka/rdkafka.h>

#include <millrace/error.h>

#include "options.h"


/* Times that stand for the first offset, and for the one after the last. */
#define MR_OFFSETS_START INT64_C(-2)
#define MR_OFFSETS_END INT64_C(-1)


/*
 * The first offset in each of the partitions whose record is as late as
 * `time` (ms) or later, or -1 if there is none.  A question that fails is
 * asked once more, of the leaders as they are then.  Takes at most about
 * twice `timeout` ms.  Fails with MR_ERROR_KAFKA if any of them cannot be
 * learnt.  Any thread.
 */
int mr_offsets_ask(rd_kafka_t *client, const char *topic,
    const int32_t *partitions, size_t n, int64_t time, int timeout,
    int64_t *ret_offsets, mr_error_t *err);

/*
 * The brokers that lead these partitions, by id, and -1 for one that has no
 * leader, or is not there.  Fails with MR_ERROR_KAFKA.  Any thread.
 */
int mr_offsets_leaders(rd_kafka_t *client, const char *topic,
    const int32_t *partitions, size_t n, int timeout, int32_t *ret_leaders,
    mr_error_t *err);

/*
 * A client that is good for questions alone.  It has connections of its own,
 * where no question waits behind a fetch that waits for records.  To it a log
 * ends behind its last committed record, or, with `all`, behind its last
 * record, be that one of a transaction that is still open.  End it with
 * rd_kafka_destroy().
 */
int mr_offsets_client(const mr_options_t *options, const char *client_id,
    int all, rd_kafka_t **ret_client, mr_error_t *err);

#endif /* MILLRACE_KAFKA_OFFSETS_H */
