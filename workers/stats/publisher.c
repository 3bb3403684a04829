#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/kafka.h"
#include "../common/log.h"

#include "publisher.h"


#define CLOSE_POLL 50 /* ms */
#define ASK_WAIT 100  /* ms, at first */

/* How long Kafka keeps a transaction of a publisher that is gone. */
#define TRANSACTION_TIME "10000" /* ms */


struct mr_publisher_s {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    mr_publisher_observer_t observer;
    void *ctx;
    size_t pending;
    int wait;    /* ms for an answer about the topic */
    bool shut;   /* others are shut out */
    bool ready;  /* and the topic's leader is known */
    bool fenced; /* by another */
    bool failed;
};


static int publisher_client(const mr_options_t *options, void *opaque,
    rd_kafka_t **ret_client, mr_error_t *err);
static int publisher_conf(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err);
static int publisher_transactions(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err);
static bool publisher_configured(const mr_options_t *options, const char *name);
static int publisher_ready(
    mr_publisher_t *publisher, int most, mr_error_t *err);
static int publisher_result(mr_publisher_t *publisher, rd_kafka_error_t *error,
    const char *what, mr_error_t *err);
static bool publisher_fence_code(rd_kafka_resp_err_t code);
static void publisher_delivered(
    rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static void publisher_error(
    rd_kafka_t *rk, int code, const char *reason, void *opaque);


int
mr_publisher_check(const mr_options_t *options, mr_error_t *err)
{
    char none[] = "";
    rd_kafka_t *client;
    mr_options_t alone;

    alone = *options;
    alone.kafka.brokers = none;

    if (publisher_client(&alone, NULL, &client, err) != 0) {
        return -1;
    }

    rd_kafka_destroy(client);

    return 0;
}


int
mr_publisher_open(const mr_options_t *options, mr_publisher_observer_t observer,
    void *ctx, mr_publisher_t **ret_publisher, mr_error_t *err)
{
    mr_publisher_t *publisher;

    publisher = calloc(1, sizeof(mr_publisher_t));
    if (publisher == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    publisher->observer = observer;
    publisher->ctx = ctx;
    publisher->wait = ASK_WAIT;

    if (publisher_client(options, publisher, &publisher->rk, err) != 0) {
        free(publisher);
        return -1;
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
publisher_client(const mr_options_t *options, void *opaque,
    rd_kafka_t **ret_client, mr_error_t *err)
{
    char text[512];
    rd_kafka_t *client;
    rd_kafka_conf_t *conf;

    if (mr_kafka_conf(options, "millrace-stats", &conf, err) != 0) {
        return -1;
    }

    if (publisher_conf(options, conf, err) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }

    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_dr_msg_cb(conf, publisher_delivered);
    rd_kafka_conf_set_error_cb(conf, publisher_error);

    client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));

    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "cannot create the publisher of statistics: %s", text);
    }

    *ret_client = client;

    return 0;
}


static int
publisher_conf(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%d", MR_PUBLISHER_WAIT);

    /*
     * After the properties passed through: the promise rests on these, and to
     * linger would take from the time that a transaction has.
     */
    if (mr_kafka_conf_set(conf, "enable.idempotence", "true", err) != 0
        || mr_kafka_conf_set(conf, "acks", "all", err) != 0
        || mr_kafka_conf_set(conf, "message.timeout.ms", text, err) != 0
        || mr_kafka_conf_set(conf, "linger.ms", "5", err) != 0
        || mr_kafka_conf_set(conf, "partitioner", "murmur2_random", err) != 0
        || publisher_transactions(options, conf, err) != 0)
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


/* The id is the topic's: whoever publishes to it is one of us. */
static int
publisher_transactions(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err)
{
    char id[300];

    (void) snprintf(
        id, sizeof(id), "millrace-stats-%s", options->kafka.stats_topic);

    /* librdkafka wants the two times to agree, whatever was configured. */
    if (mr_kafka_conf_set(conf, "transactional.id", id, err) != 0
        || mr_kafka_conf_set(
               conf, "transaction.timeout.ms", TRANSACTION_TIME, err)
               != 0)
    {
        return -1;
    }

    return mr_kafka_conf_set(conf, "socket.timeout.ms", TRANSACTION_TIME, err);
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
mr_publisher_fence(mr_publisher_t *publisher, int most, mr_error_t *err)
{
    if (publisher->ready) {
        return 0;
    }

    if (!publisher->shut
        && publisher_result(publisher,
               rd_kafka_init_transactions(publisher->rk, ASK_WAIT),
               "cannot shut out other publishers", err)
               != 0)
    {
        /* It goes on by itself: only the waiting is over. */
        if (err->code == MR_ERROR_TIMEOUT) {
            err->code = MR_ERROR_KAFKA;
        }

        return -1;
    }

    publisher->shut = true;

    /* Or librdkafka may look for the leader only a second after a message. */
    if (publisher_ready(publisher, most, err) != 0) {
        return -1;
    }

    publisher->ready = true;

    return 0;
}


/* Whether the topic can be written to, as far as a broker says. */
static int
publisher_ready(mr_publisher_t *publisher, int most, mr_error_t *err)
{
    bool ready;
    int ms;
    rd_kafka_resp_err_t code;
    const struct rd_kafka_metadata *metadata;

    rd_kafka_poll(publisher->rk, 0);

    ms = publisher->wait < most ? publisher->wait : most;
    code = rd_kafka_metadata(publisher->rk, 0, publisher->topic, &metadata, ms);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {

        /* Each call asks anew, and cannot get the answer to the one before. */
        publisher->wait = 2 * ms;

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


int
mr_publisher_begin(mr_publisher_t *publisher, mr_error_t *err)
{
    return publisher_result(publisher,
        rd_kafka_begin_transaction(publisher->rk), "cannot begin", err);
}


int
mr_publisher_commit(mr_publisher_t *publisher, int ms, mr_error_t *err)
{
    return publisher_result(publisher,
        rd_kafka_commit_transaction(publisher->rk, ms), "cannot commit", err);
}


/* Ends `error`, which is NULL where all is well. */
static int
publisher_result(mr_publisher_t *publisher, rd_kafka_error_t *error,
    const char *what, mr_error_t *err)
{
    mr_code_t code;
    rd_kafka_resp_err_t reason;

    if (error == NULL) {
        return 0;
    }

    code = MR_ERROR_KAFKA;
    reason = rd_kafka_error_code(error);

    if (publisher_fence_code(reason)) {
        publisher->fenced = true;
    }

    if (publisher->fenced) {
        code = MR_ERROR_FENCED;

    } else if (rd_kafka_error_is_retriable(error)) {
        code = MR_ERROR_TIMEOUT;
    }

    if (code != MR_ERROR_TIMEOUT) {
        publisher->failed = true;
    }

    (void) mr_error_set(
        err, code, NULL, "%s: %s", what, rd_kafka_error_string(error));

    rd_kafka_error_destroy(error);

    return -1;
}


static bool
publisher_fence_code(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED
           || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED
           || code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
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


bool
mr_publisher_fenced(const mr_publisher_t *publisher)
{
    return publisher->fenced;
}


static void
publisher_delivered(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    mr_publisher_t *publisher;

    (void) rk;

    publisher = opaque;
    publisher->pending--;

    if (publisher_fence_code(msg->err)) {
        publisher->fenced = true;
        publisher->failed = true;
    }

    publisher->observer(publisher->ctx, msg->_private,
        msg->err ? rd_kafka_err2str(msg->err) : NULL);
}


static void
publisher_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    char text[512];
    mr_publisher_t *publisher;
    rd_kafka_resp_err_t fatal;

    publisher = opaque;

    if (code != RD_KAFKA_RESP_ERR__FATAL) {
        mr_log_warn("kafka: %s", reason);
        return;
    }

    publisher->failed = true;
    fatal = rd_kafka_fatal_error(rk, text, sizeof(text));

    if (publisher_fence_code(fatal)) {
        publisher->fenced = true;
        mr_log_warn("kafka: another member has begun to publish: %s", text);

    } else if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
        mr_log_error("kafka: the producer has failed for good and is made "
                     "anew: %s",
            text);
    }
}
