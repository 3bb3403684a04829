#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "kafka.h"
#include "kafka_producer.h"
#include "log.h"


#define PRODUCER_POLL_MS 100
#define PRODUCER_FULL_MS 10000


struct mr_producer_s {
    pthread_mutex_t mutex; /* held from begin to end */
    const mr_options_t *options;
    char *client_id;
    char *topic;
    rd_kafka_t *rk; /* NULL after a fatal error */

    /* of the batch under way */
    uint64_t batch;
    size_t pending;
    int failed;
    char reason[128];
};


static int producer_connect(mr_producer_t *producer, mr_error_t *err);
static void producer_report(
    rd_kafka_t *rk, const rd_kafka_message_t *message, void *ctx);
static rd_kafka_resp_err_t producer_produce(
    mr_producer_t *producer, const mr_letter_t *letter);
static void producer_check_fatal(mr_producer_t *producer);


int
mr_producer_open(const mr_options_t *options, const char *client_id,
    const char *topic, mr_producer_t **ret_producer, mr_error_t *err)
{
    mr_producer_t *producer;

    producer = calloc(1, sizeof(mr_producer_t));
    if (producer == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    pthread_mutex_init(&producer->mutex, NULL);
    producer->options = options;
    producer->client_id = strdup(client_id);
    producer->topic = strdup(topic);

    if (producer->client_id == NULL || producer->topic == NULL) {
        mr_producer_close(producer);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (producer_connect(producer, err) != 0) {
        mr_producer_close(producer);
        return -1;
    }

    *ret_producer = producer;

    return 0;
}


void
mr_producer_close(mr_producer_t *producer)
{
    if (producer == NULL) {
        return;
    }

    if (producer->rk != NULL) {
        rd_kafka_destroy(producer->rk);
    }

    pthread_mutex_destroy(&producer->mutex);
    free(producer->client_id);
    free(producer->topic);
    free(producer);
}


int
mr_producer_begin(mr_producer_t *producer, mr_error_t *err)
{
    pthread_mutex_lock(&producer->mutex);

    if (producer->rk == NULL && producer_connect(producer, err) != 0) {
        pthread_mutex_unlock(&producer->mutex);
        return -1;
    }

    /* Reports of an earlier batch that was given up count for nothing. */
    producer->batch++;
    producer->pending = 0;
    producer->failed = 0;

    return 0;
}


int
mr_producer_send(
    mr_producer_t *producer, const mr_letter_t *letter, mr_error_t *err)
{
    int64_t deadline;
    rd_kafka_resp_err_t code;

    deadline = mr_time_monotonic() + PRODUCER_FULL_MS;

    for (;;) {
        code = producer_produce(producer, letter);

        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL
            || mr_time_monotonic() >= deadline) {
            break;
        }

        (void) rd_kafka_poll(producer->rk, PRODUCER_POLL_MS);
    }

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->failed = 1;
        (void) snprintf(producer->reason, sizeof(producer->reason), "%s",
            rd_kafka_err2str(code));
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot produce to %s: %s", producer->topic,
            rd_kafka_err2str(code));
    }

    producer->pending++;

    return 0;
}


int
mr_producer_end(mr_producer_t *producer, int64_t timeout,
    int (*patient)(void *ctx), void *ctx, mr_error_t *err)
{
    int rc;
    size_t pending;
    int64_t deadline;

    pending = producer->pending;
    deadline = mr_time_monotonic() + timeout;

    while (producer->pending != 0 && !producer->failed
           && mr_time_monotonic() < deadline)
    {
        (void) rd_kafka_poll(producer->rk, PRODUCER_POLL_MS);

        if (producer->pending < pending && patient(ctx)) {
            pending = producer->pending;
            deadline = mr_time_monotonic() + timeout;
        }
    }

    rc = 0;

    if (producer->failed) {
        rc = mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "%s did not take all records: %s", producer->topic,
            producer->reason);

    } else if (producer->pending != 0) {
        rc = mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "%s did not acknowledge %zu records within %lld ms",
            producer->topic, producer->pending, (long long) timeout);
    }

    if (rc != 0) {
        /* The batch is produced anew: what still waits would only be twice. */
        (void) rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE);
        (void) rd_kafka_poll(producer->rk, 0);
    }

    producer_check_fatal(producer);
    pthread_mutex_unlock(&producer->mutex);

    return rc;
}


static int
producer_connect(mr_producer_t *producer, mr_error_t *err)
{
    char why[256];
    rd_kafka_conf_t *conf;

    if (mr_kafka_conf(producer->options, producer->client_id, &conf, err) != 0)
    {
        return -1;
    }

    if (mr_kafka_conf_set(conf, "acks", "all", err) != 0
        || mr_kafka_conf_set(conf, "enable.idempotence", "true", err) != 0
        /* The record came out of Kafka: the broker's limit is the judge. */
        || mr_kafka_conf_set(conf, "message.max.bytes", "1000000000", err) != 0
        || mr_kafka_conf_set(conf, "linger.ms", "5", err) != 0
        || mr_kafka_conf_set(conf, "partitioner", "murmur2_random", err) != 0)
    {
        rd_kafka_conf_destroy(conf);
        return -1;
    }

    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, producer_report);

    producer->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));

    if (producer->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "[kafka] producer: %s", why);
    }

    return 0;
}


/* Runs inside rd_kafka_poll(), with the mutex held. */
static void
producer_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *ctx)
{
    mr_producer_t *producer = ctx;

    (void) rk;

    if ((uint64_t) (uintptr_t) message->_private != producer->batch) {
        return;
    }

    producer->pending--;

    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !producer->failed) {
        producer->failed = 1;
        (void) snprintf(producer->reason, sizeof(producer->reason), "%s%s",
            rd_kafka_err2str(message->err),
            message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                ? "; raise the topic's max.message.bytes"
                : "");
    }
}


static rd_kafka_resp_err_t
producer_produce(mr_producer_t *producer, const mr_letter_t *letter)
{
    size_t i;
    rd_kafka_resp_err_t code;
    rd_kafka_headers_t *headers;

    headers = rd_kafka_headers_new(MR_LETTER_HEADERS);

    for (i = 0; i < MR_LETTER_HEADERS; i++) {

        if (letter->headers[i].name == NULL) {
            continue;
        }

        code = rd_kafka_header_add(headers, letter->headers[i].name, -1,
            letter->headers[i].value.data,
            (ssize_t) letter->headers[i].value.len);

        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            return code;
        }
    }

    code = rd_kafka_producev(producer->rk, RD_KAFKA_V_TOPIC(producer->topic),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(letter->key.data, letter->key.len),
        RD_KAFKA_V_VALUE((void *) letter->value.data, letter->value.len),
        RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE((void *) (uintptr_t) producer->batch),
        RD_KAFKA_V_END);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_headers_destroy(headers);
    }

    return code;
}


/* After a fatal error a producer takes nothing any more: make another. */
static void
producer_check_fatal(mr_producer_t *producer)
{
    char why[256];
    rd_kafka_resp_err_t code;

    code = rd_kafka_fatal_error(producer->rk, why, sizeof(why));

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }

    mr_log_error("topic=%s the producer failed and is made anew: %s: %s",
        producer->topic, rd_kafka_err2name(code), why);

    rd_kafka_destroy(producer->rk);
    producer->rk = NULL;
}
