/*
 * The records of one partition, which a consumer (kafka_consumer.h) reads.
 * librdkafka stays behind this header.
 *
 * Threads: each source is used by one thread at a time.
 */
#ifndef MILLRACE_KAFKA_SOURCE_H
#define MILLRACE_KAFKA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/str.h>


struct rd_kafka_s;

typedef struct mr_source_s mr_source_t;


typedef enum {
    MR_RECORD_DATA,
    MR_RECORD_END,    /* nothing lies below `offset` that was not given */
    MR_RECORD_LOST,   /* the log does not hold the offset to be read next */
    MR_RECORD_CORRUPT /* what lies there cannot be read: it does not match its
                         checksum, or cannot be decompressed.  `offset` is
                         the first one of its batch, `value` says why */
} mr_record_kind_t;

typedef struct {
    mr_record_kind_t kind;
    int64_t offset;
    int64_t time;   /* ms since the epoch */
    int appended;   /* that is when the broker appended it, and so in order */
    mr_str_t key;   /* data NULL: the record has none */
    mr_str_t value; /* data NULL: the record has none */
} mr_record_t;


/*
 * Ours from here on: starting and stopping the partition leaves what was read
 * of it in its queue alone.  Returns NULL if there is no memory.
 */
mr_source_t *mr_source_open(
    struct rd_kafka_s *rk, const char *topic, int32_t partition);

/* Before `rk` is destroyed.  NULL is allowed. */
void mr_source_close(mr_source_t *source);

/*
 * Write 8 bytes (an eventfd's 1) to `fd` when records arrive at a source that
 * had none; -1: no more.  `fd` must not block.
 */
void mr_source_notify(mr_source_t *source, int fd);

/*
 * Take up to `max` records without waiting.  *ret_records is valid until the
 * next call for the same source.  Returns their number; 0: none for now.
 */
size_t mr_source_read(
    mr_source_t *source, size_t max, const mr_record_t **ret_records);

#endif /* MILLRACE_KAFKA_SOURCE_H */
