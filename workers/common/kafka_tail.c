#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "kafka.h"
#include "kafka_offsets.h"
#include "kafka_tail.h"
#include "log.h"


#define TAIL_BATCH 1024

/*
 * ms between two questions for the number of partitions, and for an answer.
 * librdkafka does not tell who follows single partitions of others.
 */
#define TAIL_COUNT 60000
#define TAIL_COUNT_ASK 2000


struct mr_tail_s {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    char *name;

    int64_t count; /* ms between two counts of the partitions, */
    int64_t due;   /* and when the next one is, monotonic */

    size_t n; /* partitions; 0: not started */
    size_t running;
    int64_t first[MR_TAIL_PARTITIONS];
    int64_t end[MR_TAIL_PARTITIONS];
    int64_t next[MR_TAIL_PARTITIONS];

    rd_kafka_message_t *messages[TAIL_BATCH];
    mr_tail_record_t records[TAIL_BATCH];
    size_t held; /* messages behind `records` */
};

typedef struct {
    const char *name;
    const char *value;
} tail_property_t;


static int tail_conf(const mr_options_t *options, const char *client_id,
    rd_kafka_conf_t **ret_conf, mr_error_t *err);
static int64_t tail_interval(const rd_kafka_conf_t *conf);
static int tail_recount(mr_tail_t *tail, mr_error_t *err);
static int tail_count(
    mr_tail_t *tail, int timeout, size_t *ret_n, mr_error_t *err);
static int tail_begin(
    mr_tail_t *tail, int64_t since, int64_t max, int timeout, mr_error_t *err);
static int tail_judge(
    mr_tail_t *tail, const rd_kafka_message_t *message, mr_error_t *err);
static void tail_release(mr_tail_t *tail);


static const tail_property_t tail_fixed[] = {
    {"auto.offset.reset", "error"},
    {"auto.commit.enable", "false"},
    {"isolation.level", "read_committed"},
    {"check.crcs", "true"},

    /* Read ahead, a partition. */
    {"queued.max.messages.kbytes", "2048"},

    /* Behind the last record there may be markers of transactions. */
    {"enable.partition.eof", "true"},
};


int
mr_tail_open(const mr_options_t *options, const char *client_id,
    const char *topic, mr_tail_t **ret_tail, mr_error_t *err)
{
    char why[256];
    mr_tail_t *tail;
    rd_kafka_conf_t *conf;

    if (tail_conf(options, client_id, &conf, err) != 0) {
        return -1;
    }

    tail = calloc(1, sizeof(mr_tail_t));

    if (tail == NULL || (tail->name = strdup(topic)) == NULL) {
        free(tail);
        rd_kafka_conf_destroy(conf);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    tail->count = tail_interval(conf);
    tail->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));

    if (tail->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        free(tail->name);
        free(tail);
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "[kafka] consumer: %s", why);
    }

    tail->topic = rd_kafka_topic_new(tail->rk, topic, NULL);
    tail->queue = rd_kafka_queue_new(tail->rk);

    if (tail->topic == NULL) {
        mr_tail_close(tail);
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] cannot use the topic %s: %s", topic,
            rd_kafka_err2str(rd_kafka_last_error()));
    }

    *ret_tail = tail;

    return 0;
}


void
mr_tail_close(mr_tail_t *tail)
{
    if (tail == NULL) {
        return;
    }

    mr_tail_stop(tail);
    rd_kafka_queue_destroy(tail->queue);

    if (tail->topic != NULL) {
        rd_kafka_topic_destroy(tail->topic);
    }

    rd_kafka_destroy(tail->rk);
    free(tail->name);
    free(tail);
}


int
mr_tail_start(
    mr_tail_t *tail, int64_t since, int64_t max, int timeout, mr_error_t *err)
{
    size_t n;

    n = 0;
    mr_tail_stop(tail);

    if (tail_count(tail, timeout, &n, err) != 0) {
        return -1;
    }

    tail->n = n;
    tail->due = mr_time_monotonic() + tail->count;

    if (tail_begin(tail, since, max, timeout, err) != 0) {
        mr_tail_stop(tail);
        return -1;
    }

    return 0;
}


void
mr_tail_stop(mr_tail_t *tail)
{
    rd_kafka_message_t *message;

    if (tail == NULL || tail->n == 0) {
        return;
    }

    tail_release(tail);

    while (tail->running > 0) {
        tail->running--;
        (void) rd_kafka_consume_stop(tail->topic, (int32_t) tail->running);
    }

    tail->n = 0;

    /* What is left would be given as the next start's first records. */
    while ((message = rd_kafka_consume_queue(tail->queue, 0)) != NULL) {
        rd_kafka_message_destroy(message);
    }
}


size_t
mr_tail_partitions(const mr_tail_t *tail)
{
    return tail->n;
}


int64_t
mr_tail_first(const mr_tail_t *tail, size_t partition)
{
    return tail->first[partition];
}


int64_t
mr_tail_end(const mr_tail_t *tail, size_t partition)
{
    return tail->end[partition];
}


int64_t
mr_tail_next(const mr_tail_t *tail, size_t partition)
{
    return tail->next[partition];
}


int
mr_tail_read(mr_tail_t *tail, int timeout, size_t max,
    const mr_tail_record_t **ret_records, size_t *ret_n, mr_error_t *err)
{
    size_t i, n;
    ssize_t more;
    mr_tail_record_t *record;
    rd_kafka_message_t *message;
    rd_kafka_timestamp_type_t type;

    tail_release(tail);
    (void) rd_kafka_poll(tail->rk, 0);

    if (tail_recount(tail, err) != 0) {
        return -1;
    }

    if (max > TAIL_BATCH) {
        max = TAIL_BATCH;
    }

    /* A batch would be waited for until it is full. */
    message = rd_kafka_consume_queue(tail->queue, timeout);

    if (message != NULL) {
        tail->messages[tail->held++] = message;

        more = rd_kafka_consume_batch_queue(
            tail->queue, 0, &tail->messages[1], max > 1 ? max - 1 : 0);
        tail->held += more > 0 ? (size_t) more : 0;
    }

    n = 0;

    for (i = 0; i < tail->held; i++) {
        message = tail->messages[i];

        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {

            if (tail_judge(tail, message, err) != 0) {
                return -1;
            }

            continue;
        }

        record = &tail->records[n++];
        record->partition = (size_t) message->partition;
        record->offset = message->offset;
        tail->next[record->partition] = message->offset + 1;
        record->value.data = message->payload != NULL ? message->payload : "";
        record->value.len = message->len;
        record->time = rd_kafka_message_timestamp(message, &type);

        if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) {
            record->time = 0;
        }
    }

    *ret_records = tail->records;
    *ret_n = n;

    return 0;
}


static int
tail_conf(const mr_options_t *options, const char *client_id,
    rd_kafka_conf_t **ret_conf, mr_error_t *err)
{
    size_t i;
    rd_kafka_conf_t *conf;

    if (mr_kafka_conf(options, client_id, &conf, err) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(tail_fixed) / sizeof(tail_fixed[0]); i++) {
        if (mr_kafka_conf_set(
                conf, tail_fixed[i].name, tail_fixed[i].value, err)
            != 0) {
            rd_kafka_conf_destroy(conf);
            return -1;
        }
    }

    *ret_conf = conf;

    return 0;
}


static int64_t
tail_interval(const rd_kafka_conf_t *conf)
{
    int64_t interval;

    interval = mr_kafka_conf_number(conf, "topic.metadata.refresh.interval.ms");

    return interval > 0 && interval < TAIL_COUNT ? interval : TAIL_COUNT;
}


/*
 * Once in a while: new partitions would never be read.  What cannot be asked
 * has not changed; fewer there are only in another topic of that name, whose
 * records do not go on where these have ended.
 */
static int
tail_recount(mr_tail_t *tail, mr_error_t *err)
{
    size_t n;
    mr_error_t ignored = MR_ERROR_INIT;

    if (mr_time_monotonic() < tail->due) {
        return 0;
    }

    n = tail->n;

    if (tail_count(tail, TAIL_COUNT_ASK, &n, &ignored) != 0) {
        n = tail->n;
    }

    tail->due = mr_time_monotonic() + tail->count;

    if (n <= tail->n) {
        return 0;
    }

    return mr_error_set(err, MR_ERROR_KAFKA, NULL,
        "%s cannot go on: it has %zu partitions, not %zu as before", tail->name,
        n, tail->n);
}


static int
tail_count(mr_tail_t *tail, int timeout, size_t *ret_n, mr_error_t *err)
{
    int n;
    rd_kafka_resp_err_t code;
    const struct rd_kafka_metadata *metadata;

    n = 0;
    code = rd_kafka_metadata(tail->rk, 0, tail->topic, &metadata, timeout);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {

        if (metadata->topic_cnt == 1) {
            code = metadata->topics[0].err;
            n = metadata->topics[0].partition_cnt;
        }

        rd_kafka_metadata_destroy(metadata);
    }

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL, "cannot follow %s: %s",
            tail->name, rd_kafka_err2str(code));
    }

    if (n < 1 || n > MR_TAIL_PARTITIONS) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot follow %s: it has %d partitions; 1 to %d can be followed",
            tail->name, n, MR_TAIL_PARTITIONS);
    }

    *ret_n = (size_t) n;

    return 0;
}


static int
tail_begin(
    mr_tail_t *tail, int64_t since, int64_t max, int timeout, mr_error_t *err)
{
    size_t i;
    int32_t partitions[MR_TAIL_PARTITIONS] = {0};
    int64_t starts[MR_TAIL_PARTITIONS];

    for (i = 0; i < tail->n; i++) {
        partitions[i] = (int32_t) i;
    }

    /* Before anything is fetched: a question would wait behind a fetch. */
    if (mr_offsets_ask(tail->rk, tail->name, partitions, tail->n,
            MR_OFFSETS_START, timeout, starts, err)
            != 0
        || mr_offsets_ask(tail->rk, tail->name, partitions, tail->n,
               MR_OFFSETS_END, timeout, tail->end, err)
               != 0
        || mr_offsets_ask(tail->rk, tail->name, partitions, tail->n, since,
               timeout, tail->first, err)
               != 0)
    {
        return -1;
    }

    max /= (int64_t) tail->n;

    for (i = 0; i < tail->n; i++) {

        /* -1: no record is as late as that. */
        if (tail->first[i] < 0 || tail->first[i] > tail->end[i]) {
            tail->first[i] = tail->end[i];
        }

        if (tail->first[i] < tail->end[i] - max) {
            tail->first[i] = tail->end[i] - max;
        }

        if (tail->first[i] < starts[i]) {
            tail->first[i] = starts[i];
        }

        tail->next[i] = tail->first[i];

        if (rd_kafka_consume_start_queue(
                tail->topic, partitions[i], tail->first[i], tail->queue)
            == -1)
        {
            return mr_error_set(err, MR_ERROR_KAFKA, NULL,
                "cannot follow %s: %s", tail->name,
                rd_kafka_err2str(rd_kafka_last_error()));
        }

        tail->running = i + 1;
    }

    return 0;
}


/* Most errors pass by themselves: librdkafka goes on when the broker does. */
static int
tail_judge(mr_tail_t *tail, const rd_kafka_message_t *message, mr_error_t *err)
{
    switch (message->err) {

    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        tail->next[message->partition] = message->offset;
        return 0;

    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return mr_error_set(err, MR_ERROR_KAFKA, NULL, "%s cannot go on: %s",
            tail->name, rd_kafka_message_errstr(message));

    default:
        mr_log_debug(
            "topic=%s %s", tail->name, rd_kafka_message_errstr(message));
        return 0;
    }
}


static void
tail_release(mr_tail_t *tail)
{
    size_t i;

    for (i = 0; i < tail->held; i++) {
        rd_kafka_message_destroy(tail->messages[i]);
    }

    tail->held = 0;
}
