#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/kafka.h"
#include "../common/log.h"

#include "publisher.h"


#define CLOSE_POLL 50 /* ms */


struct mr_publisher_s {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    mr_publisher_observer_t observer;
    void *ctx;
    size_t pending;
    bool failed;
};


static int publisher_conf(const mr_options_t *options, int64_t timeout,
    rd_kafka_conf_t *conf, mr_error_t *err);
static bool publisher_configured(const mr_options_t *options, const char *name);
static void publisher_delivered(
    rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static void publisher_error(
    rd_kafka_t *rk, int code, const char *reason, void *opaque);


int
mr_publisher_open(const mr_options_t *options, int64_t timeout,
    mr_publisher_observer_t observer, void *ctx, mr_publisher_t **ret_publisher,
    mr_error_t *err)
{
    char text[512];
    rd_kafka_conf_t *conf;
    mr_publisher_t *publisher;

    publisher = calloc(1, sizeof(mr_publisher_t));
    if (publisher == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    publisher->observer = observer;
    publisher->ctx = ctx;

    if (mr_kafka_conf(options, "millrace-stats", &conf, err) != 0) {
        free(publisher);
        return -1;
    }

    if (publisher_conf(options, timeout, conf, err) != 0) {
        rd_kafka_conf_destroy(conf);
        free(publisher);
        return -1;
    }

    rd_kafka_conf_set_opaque(conf, publisher);
    rd_kafka_conf_set_dr_msg_cb(conf, publisher_delivered);
    rd_kafka_conf_set_error_cb(conf, publisher_error);

    publisher->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));

    if (publisher->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        free(publisher);
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "cannot create the producer: %s", text);
    }

    publisher->topic =
        rd_kafka_topic_new(publisher->rk, options->kafka.stats_topic, NULL);

    if (publisher->topic == NULL) {
        mr_publisher_close(publisher);
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "cannot use the topic \"%s\": %s", options->kafka.stats_topic,
            rd_kafka_err2str(rd_kafka_last_error()));
    }

    *ret_publisher = publisher;

    return 0;
}


static int
publisher_conf(const mr_options_t *options, int64_t timeout,
    rd_kafka_conf_t *conf, mr_error_t *err)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%" PRId64, timeout);

    /* After the properties passed through: the promise rests on these. */
    if (mr_kafka_conf_set(conf, "enable.idempotence", "true", err) != 0
        || mr_kafka_conf_set(conf, "acks", "all", err) != 0
        || mr_kafka_conf_set(conf, "message.timeout.ms", text, err) != 0
        || mr_kafka_conf_set(conf, "partitioner", "murmur2_random", err) != 0)
    {
        return -1;
    }

    if (!publisher_configured(options, "compression.codec")
        && !publisher_configured(options, "compression.type"))
    {
        return mr_kafka_conf_set(conf, "compression.codec", "lz4", err);
    }

    return 0;
}


static bool
publisher_configured(const mr_options_t *options, const char *name)
{
    size_t i;

    for (i = 0; i < options->kafka.n_properties; i++) {

        if (strcmp(options->kafka.properties[i].name, name) == 0) {
            return true;
        }
    }

    return false;
}


void
mr_publisher_close(mr_publisher_t *publisher)
{
    if (publisher == NULL) {
        return;
    }

    if (publisher->pending > 0) {
        rd_kafka_purge(
            publisher->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);

        while (publisher->pending > 0) {
            rd_kafka_poll(publisher->rk, CLOSE_POLL);
        }
    }

    if (publisher->topic != NULL) {
        rd_kafka_topic_destroy(publisher->topic);
    }

    rd_kafka_destroy(publisher->rk);
    free(publisher);
}


int
mr_publisher_send(mr_publisher_t *publisher, mr_str_t key, mr_str_t value,
    void *item, mr_error_t *err)
{
    rd_kafka_resp_err_t code;

    /* A count before the call: the report may come at once. */
    publisher->pending++;

    if (rd_kafka_produce(publisher->topic, RD_KAFKA_PARTITION_UA,
            RD_KAFKA_MSG_F_COPY, (void *) (uintptr_t) value.data, value.len,
            key.data, key.len, item)
        == 0)
    {
        return 0;
    }

    publisher->pending--;
    code = rd_kafka_last_error();

    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        publisher->failed = true;
    }

    return mr_error_set(err,
        code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? MR_ERROR_TIMEOUT
                                              : MR_ERROR_KAFKA,
        NULL, "cannot produce: %s", rd_kafka_err2str(code));
}


void
mr_publisher_poll(mr_publisher_t *publisher, int ms)
{
    rd_kafka_poll(publisher->rk, ms);
}


int
mr_publisher_ready(mr_publisher_t *publisher, int ms, mr_error_t *err)
{
    bool ready;
    rd_kafka_resp_err_t code;
    const struct rd_kafka_metadata *metadata;

    rd_kafka_poll(publisher->rk, 0);

    code = rd_kafka_metadata(publisher->rk, 0, publisher->topic, &metadata, ms);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "no broker tells of the topic: %s", rd_kafka_err2str(code));
    }

    ready = metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0
            && metadata->topics[0].partitions[0].leader >= 0;

    rd_kafka_metadata_destroy(metadata);

    return ready ? 0
                 : mr_error_set(
                     err, MR_ERROR_KAFKA, NULL, "the topic has no leader");
}


size_t
mr_publisher_pending(const mr_publisher_t *publisher)
{
    return publisher->pending;
}


bool
mr_publisher_failed(const mr_publisher_t *publisher)
{
    return publisher->failed;
}


static void
publisher_delivered(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    mr_publisher_t *publisher;

    (void) rk;

    publisher = opaque;
    publisher->pending--;

    publisher->observer(publisher->ctx, msg->_private,
        msg->err ? rd_kafka_err2str(msg->err) : NULL);
}


static void
publisher_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    char text[512];
    mr_publisher_t *publisher;

    publisher = opaque;

    if (code != RD_KAFKA_RESP_ERR__FATAL) {
        mr_log_warn("kafka: %s", reason);
        return;
    }

    publisher->failed = true;

    if (rd_kafka_fatal_error(rk, text, sizeof(text))
        != RD_KAFKA_RESP_ERR_NO_ERROR) {
        mr_log_error("kafka: the producer has failed for good and is made "
                     "anew: %s",
            text);
    }
}
