/*
 * Following a topic from near its end, without a group: every process that
 * does so reads all of it, and nothing is committed anywhere.  For topics
 * that are fanned out rather than processed.  librdkafka stays behind this
 * header.
 *
 * What is read ahead is bounded (queued.max.messages.kbytes): a tail that is
 * not read is not fetched, so the one who reads sets the pace.  A broker that
 * goes away is waited for; nothing is skipped meanwhile.
 *
 * One thread at a time.
 */
#ifndef MILLRACE_KAFKA_TAIL_H
#define MILLRACE_KAFKA_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "options.h"


/* More partitions than this a tail does not follow. */
#define MR_TAIL_PARTITIONS 64


typedef struct mr_tail_s mr_tail_t;

typedef struct {
    size_t partition; /* below mr_tail_partitions() */
    int64_t offset;
    int64_t time; /* ms since the epoch; 0: the record has none */
    mr_str_t value;
} mr_tail_record_t;


/*
 * A tail that reads nothing yet; it connects lazily.  Fails with
 * MR_ERROR_CONFIG or MR_ERROR_MEMORY.
 */
int mr_tail_open(const mr_options_t *options, const char *client_id,
    const char *topic, mr_tail_t **ret_tail, mr_error_t *err);

/* NULL is allowed. */
void mr_tail_close(mr_tail_t *tail);

/*
 * Begin at the first records of time `since` (ms) or later, but at most
 * about `max` records before the end.  Each question to Kafka takes at most
 * about `timeout` ms.  Fails with MR_ERROR_KAFKA, and may then be tried
 * again.
 */
int mr_tail_start(
    mr_tail_t *tail, int64_t since, int64_t max, int timeout, mr_error_t *err);

/* End what was started; NULL, or not started, is allowed. */
void mr_tail_stop(mr_tail_t *tail);

/* Of a tail that was started. */
size_t mr_tail_partitions(const mr_tail_t *tail);

/* The offset that was the first to be read. */
int64_t mr_tail_first(const mr_tail_t *tail, size_t partition);

/* One more than the last offset that there was when it was started. */
int64_t mr_tail_end(const mr_tail_t *tail, size_t partition);

/*
 * The offset that is read next: behind the records that were given, and at the
 * log's end behind what is no record.
 */
int64_t mr_tail_next(const mr_tail_t *tail, size_t partition);

/*
 * Wait up to `timeout` ms for records and take up to `max` of them, which
 * are valid until the next call.  *ret_n may be 0.  Fails with
 * MR_ERROR_KAFKA when the log does not hold what comes next (its records
 * were deleted, or the topic was), or that is corrupt, or when the topic has
 * more partitions than it had: stop, and start again.  That is asked for once
 * a minute, or as often as topic.metadata.refresh.interval.ms says where this
 * is less, and takes longer, mostly as long as a fetch.
 */
int mr_tail_read(mr_tail_t *tail, int timeout, size_t max,
    const mr_tail_record_t **ret_records, size_t *ret_n, mr_error_t *err);

#endif /* MILLRACE_KAFKA_TAIL_H */
