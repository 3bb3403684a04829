/*
 * What Kafka holds of the events topic, in offsets: for who wants to compare
 * it with what was stored.  It reads no record.
 *
 * Every call waits at most until `deadline` (mr_time_monotonic()), asking
 * again meanwhile, and ends early when the process is asked to stop.
 * Errors: MR_ERROR_KAFKA, MR_ERROR_CONFIG, MR_ERROR_MEMORY.  One thread.
 */
#ifndef MILLRACE_KAFKA_LOG_H
#define MILLRACE_KAFKA_LOG_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>

#include "options.h"


/*
 * Times that stand for the first offset, and for the one after the last
 * record, committed or not.
 */
#define MR_LOG_START INT64_C(-2)
#define MR_LOG_END INT64_C(-1)


typedef struct mr_kafka_log_s mr_kafka_log_t;

/* Connect, and learn which partitions `[kafka] topic` has. */
int mr_kafka_log_open(const mr_options_t *options, const char *client_id,
    int64_t deadline, mr_kafka_log_t **ret_log, mr_error_t *err);
void mr_kafka_log_close(mr_kafka_log_t *log);

/* They are numbered from 0. */
size_t mr_kafka_log_partitions(const mr_kafka_log_t *log);

/*
 * The first offset of each partition whose record is of `time` (ms) or
 * later; -1 where there is none.
 */
int mr_kafka_log_offsets(mr_kafka_log_t *log, int64_t time, int64_t deadline,
    int64_t *ret_offsets, mr_error_t *err);

#endif /* MILLRACE_KAFKA_LOG_H */
