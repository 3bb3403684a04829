#include "kafka_log.h"

#include <stdlib.h>

#include <millrace/time.h>

#include "kafka_offsets.h"
#include "run.h"


#define LOG_ATTEMPT 5000 /* ms */
#define LOG_PAUSE 200    /* ms */


_Static_assert(MR_LOG_START == MR_OFFSETS_START, "the same times");
_Static_assert(MR_LOG_END == MR_OFFSETS_END, "the same times");


struct mr_kafka_log_s {
    const mr_options_t *options;
    rd_kafka_t *client;
    size_t n;
    int32_t *partitions; /* 0, 1, 2 ...: what librdkafka wants to be given */
};


static int log_learn(mr_kafka_log_t *log, int timeout, mr_error_t *err);
static int log_attempt(int64_t deadline);
static int log_pause(int64_t deadline);


int
mr_kafka_log_open(const mr_options_t *options, const char *client_id,
    int64_t deadline, mr_kafka_log_t **ret_log, mr_error_t *err)
{
    mr_kafka_log_t *log;

    log = calloc(1, sizeof(mr_kafka_log_t));
    if (log == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    log->options = options;

    /* All that is written, or what somebody's transaction holds up is not
     * waited for: events behind it may be acknowledged already. */
    if (mr_offsets_client(options, client_id, 1, &log->client, err) != 0) {
        free(log);
        return -1;
    }

    while (log_learn(log, log_attempt(deadline), err) != 0) {
        if (log_pause(deadline) != 0) {
            mr_kafka_log_close(log);
            return -1;
        }
    }

    *ret_log = log;

    return 0;
}


void
mr_kafka_log_close(mr_kafka_log_t *log)
{
    if (log == NULL) {
        return;
    }

    rd_kafka_destroy(log->client);
    free(log->partitions);
    free(log);
}


size_t
mr_kafka_log_partitions(const mr_kafka_log_t *log)
{
    return log->n;
}


int
mr_kafka_log_offsets(mr_kafka_log_t *log, int64_t time, int64_t deadline,
    int64_t *ret_offsets, mr_error_t *err)
{
    while (
        mr_offsets_ask(log->client, log->options->kafka.topic, log->partitions,
            log->n, time, log_attempt(deadline), ret_offsets, err)
        != 0)
    {
        if (log_pause(deadline) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
log_learn(mr_kafka_log_t *log, int timeout, mr_error_t *err)
{
    int i, n;
    const char *name;
    rd_kafka_topic_t *topic;
    rd_kafka_resp_err_t code;
    const struct rd_kafka_metadata *about;

    name = log->options->kafka.topic;

    topic = rd_kafka_topic_new(log->client, name, NULL);
    if (topic == NULL) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL, "topic %s: %s", name,
            rd_kafka_err2str(rd_kafka_last_error()));
    }

    code = rd_kafka_metadata(log->client, 0, topic, &about, timeout);
    rd_kafka_topic_destroy(topic);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "Kafka at %s does not answer: %s", log->options->kafka.brokers,
            rd_kafka_err2str(code));
    }

    code = about->topics[0].err;
    n = about->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(about);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || n == 0) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "Kafka has no usable topic %s: %s", name, rd_kafka_err2str(code));
    }

    log->partitions = calloc((size_t) n, sizeof(int32_t));
    if (log->partitions == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    for (i = 0; i < n; i++) {
        log->partitions[i] = i;
    }

    log->n = (size_t) n;

    return 0;
}


/* How long one question may take. */
static int
log_attempt(int64_t deadline)
{
    int64_t left;

    left = deadline - mr_time_monotonic();

    return left < 1 ? 1 : (int) (left < LOG_ATTEMPT ? left : LOG_ATTEMPT);
}


/* Before another attempt; -1 when there is no time for one. */
static int
log_pause(int64_t deadline)
{
    if (mr_time_monotonic() + LOG_PAUSE >= deadline) {
        return -1;
    }

    return mr_run_sleep(LOG_PAUSE) ? -1 : 0;
}
