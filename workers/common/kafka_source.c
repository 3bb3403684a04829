#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include <millrace/time.h>

#include "kafka_source.h"
#include "log.h"


#define SOURCE_BATCH 1024
#define SOURCE_WARN_MS 10000


struct mr_source_s {
    rd_kafka_queue_t *queue;
    rd_kafka_message_t **messages;
    mr_record_t *records;
    size_t n;
    int64_t warned;
};


static void source_release(mr_source_t *source);
static int source_record(mr_source_t *source, const rd_kafka_message_t *message,
    mr_record_t *record);
static void source_error(
    mr_source_t *source, const rd_kafka_message_t *message);


mr_source_t *
mr_source_open(rd_kafka_t *rk, const char *topic, int32_t partition)
{
    mr_source_t *source;

    source = calloc(1, sizeof(mr_source_t));
    if (source == NULL) {
        return NULL;
    }

    source->messages = calloc(SOURCE_BATCH, sizeof(rd_kafka_message_t *));
    source->records = calloc(SOURCE_BATCH, sizeof(mr_record_t));

    source->queue = rd_kafka_queue_get_partition(rk, topic, partition);

    if (source->messages == NULL || source->records == NULL
        || source->queue == NULL)
    {
        mr_source_close(source);
        return NULL;
    }

    /*
     * Forwarding to nowhere marks the queue as ours, so that starting and
     * stopping the partition leaves it alone.  Whatever an earlier assignment
     * left in it is outdated, and librdkafka drops it when it is read.
     */
    rd_kafka_queue_forward(source->queue, NULL);

    return source;
}


void
mr_source_close(mr_source_t *source)
{
    if (source == NULL) {
        return;
    }

    source_release(source);

    if (source->queue != NULL) {
        mr_source_notify(source, -1);
        rd_kafka_queue_destroy(source->queue);
    }

    free(source->messages);
    free(source->records);
    free(source);
}


void
mr_source_notify(mr_source_t *source, int fd)
{
    static const uint64_t one = 1;

    if (fd == -1) {
        rd_kafka_queue_io_event_enable(source->queue, -1, NULL, 0);
        return;
    }

    rd_kafka_queue_io_event_enable(source->queue, fd, &one, sizeof(one));
}


size_t
mr_source_read(mr_source_t *source, size_t max, const mr_record_t **ret_records)
{
    size_t i, n;
    ssize_t got;

    source_release(source);

    if (max > SOURCE_BATCH) {
        max = SOURCE_BATCH;
    }

    got = rd_kafka_consume_batch_queue(source->queue, 0, source->messages, max);

    if (got <= 0) {
        return 0;
    }

    source->n = (size_t) got;
    n = 0;

    for (i = 0; i < source->n; i++) {
        n += (size_t) source_record(
            source, source->messages[i], &source->records[n]);
    }

    *ret_records = source->records;

    return n;
}


static void
source_release(mr_source_t *source)
{
    size_t i;

    for (i = 0; i < source->n; i++) {
        rd_kafka_message_destroy(source->messages[i]);
    }

    source->n = 0;
}


/* Returns 1, or 0 for what is of no interest. */
static int
source_record(
    mr_source_t *source, const rd_kafka_message_t *message, mr_record_t *record)
{
    const char *text;
    rd_kafka_timestamp_type_t type;

    memset(record, 0, sizeof(mr_record_t));

    switch (message->err) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        record->kind = MR_RECORD_DATA;
        record->offset = message->offset;
        record->time = rd_kafka_message_timestamp(message, &type);
        record->appended = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        record->key =
            (mr_str_t){message->key, message->key ? message->key_len : 0};
        record->value =
            (mr_str_t){message->payload, message->payload ? message->len : 0};
        return 1;

    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        record->kind = MR_RECORD_END;
        record->offset = message->offset;
        return 1;

    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        record->kind = MR_RECORD_LOST;
        record->offset = message->offset;
        return 1;

    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        text = rd_kafka_message_errstr(message);
        record->kind = MR_RECORD_CORRUPT;
        record->offset = message->offset;
        record->value = (mr_str_t){text, strlen(text)};
        return 1;

    default:
        source_error(source, message);
        return 0;
    }
}


/*
 * librdkafka retries by itself whatever is worth it; say what goes on, but
 * not a thousand times.
 */
static void
source_error(mr_source_t *source, const rd_kafka_message_t *message)
{
    int64_t now;

    now = mr_time_monotonic();

    if (source->warned != 0 && now - source->warned < SOURCE_WARN_MS) {
        return;
    }

    source->warned = now;

    mr_log_warn("partition=%d kafka: %s: %s", (int) message->partition,
        rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
}
