#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "kafka.h"
#include "kafka_consumer.h"
#include "kafka_offsets.h"
#include "log.h"


#define CONSUMER_RETRY_MS 1000
#define CONSUMER_WARN_MS 10000


struct mr_consumer_s {
    rd_kafka_t *rk;
    rd_kafka_t *asker; /* for questions that must not wait */
    char *topic;
    const mr_consumer_observer_t *observer;
    void *ctx;

    mr_claim_t *claims; /* what the group gave us */
    size_t n;
    int offered;   /* the observer knows of them, and */
    int assigned;  /* has them */
    int64_t retry; /* when to offer them again */
    int64_t warned;
};

typedef struct {
    const char *name;
    const char *value;
} consumer_property_t;


static int consumer_conf(const mr_options_t *options, const char *client_id,
    const char *group, rd_kafka_conf_t **ret_conf, mr_error_t *err);
static int consumer_beats(const rd_kafka_conf_t *conf, mr_error_t *err);
static int consumer_subscribe(mr_consumer_t *consumer, mr_error_t *err);
static void consumer_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
    rd_kafka_topic_partition_list_t *list, void *ctx);
static int consumer_claim(
    mr_consumer_t *consumer, const rd_kafka_topic_partition_list_t *list);
static void consumer_assign(mr_consumer_t *consumer);
static int consumer_read(mr_consumer_t *consumer, int anything);
static rd_kafka_resp_err_t consumer_tell(
    mr_consumer_t *consumer, const rd_kafka_topic_partition_list_t *list);
static void consumer_revoke(mr_consumer_t *consumer);
static void consumer_unclaim(mr_consumer_t *consumer);
static void consumer_error(
    mr_consumer_t *consumer, rd_kafka_resp_err_t code, const char *text);


/* What the promise rests on: set last, so that no option can change it. */
static const consumer_property_t consumer_fixed[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {"isolation.level", "read_committed"},
    {"check.crcs", "true"},
    /* Cooperative assignment has open wounds in librdkafka before 2.10. */
    {"partition.assignment.strategy", "range"},
};

/* Where the operator has no option. */
static const consumer_property_t consumer_default[] = {
    /* A killed member's partitions go to another one after this time. */
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "2000"},
    /* A topic that is created or extended is seen after this time. */
    {"topic.metadata.refresh.interval.ms", "10000"},
    /* Read ahead, a partition. */
    {"queued.max.messages.kbytes", "2048"},
    {"fetch.message.max.bytes", "1048576"},
    {"fetch.error.backoff.ms", "100"},
    /*
     * A fetch that is answered with a few records costs the broker as much as
     * a full one.  A question to the same broker waits behind a fetch.
     */
    {"fetch.min.bytes", "262144"},
    {"fetch.wait.max.ms", "100"},
};


int
mr_consumer_check(const mr_options_t *options, mr_error_t *err)
{
    rd_kafka_conf_t *conf;

    if (consumer_conf(
            options, "millrace-check", options->writer.group, &conf, err)
        != 0)
    {
        return -1;
    }

    rd_kafka_conf_destroy(conf);

    return 0;
}


int
mr_consumer_open(const mr_options_t *options, const char *client_id,
    const char *group, const char *topic,
    const mr_consumer_observer_t *observer, void *ctx,
    mr_consumer_t **ret_consumer, mr_error_t *err)
{
    char why[256];
    mr_consumer_t *consumer;
    rd_kafka_conf_t *conf;

    if (consumer_conf(options, client_id, group, &conf, err) != 0) {
        return -1;
    }

    consumer = calloc(1, sizeof(mr_consumer_t));

    if (consumer == NULL || (consumer->topic = strdup(topic)) == NULL) {
        free(consumer);
        rd_kafka_conf_destroy(conf);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    consumer->observer = observer;
    consumer->ctx = ctx;

    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_rebalance_cb(conf, consumer_rebalance);

    consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));

    if (consumer->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        free(consumer->topic);
        free(consumer);
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "[kafka] consumer: %s", why);
    }

    /* Errors and rebalances arrive where poll waits. */
    rd_kafka_poll_set_consumer(consumer->rk);

    if (mr_offsets_client(options, client_id, 1, &consumer->asker, err) != 0
        || consumer_subscribe(consumer, err) != 0)
    {
        mr_consumer_close(consumer);
        return -1;
    }

    *ret_consumer = consumer;

    return 0;
}


void
mr_consumer_close(mr_consumer_t *consumer)
{
    if (consumer == NULL) {
        return;
    }

    consumer_revoke(consumer);

    /* Sources hold queues, which must not outlive the client. */
    consumer_unclaim(consumer);

    (void) rd_kafka_consumer_close(consumer->rk);

    /* What the group gave us while it closed was begun all the same. */
    consumer_revoke(consumer);
    consumer_unclaim(consumer);
    rd_kafka_destroy(consumer->rk);

    if (consumer->asker != NULL) {
        rd_kafka_destroy(consumer->asker);
    }

    free(consumer->topic);
    free(consumer);
}


int
mr_consumer_poll(mr_consumer_t *consumer, int timeout, mr_error_t *err)
{
    char why[256];
    rd_kafka_message_t *message;
    rd_kafka_resp_err_t code;

    message = rd_kafka_consumer_poll(consumer->rk, timeout);

    if (message != NULL) {
        consumer_error(
            consumer, message->err, rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }

    code = rd_kafka_fatal_error(consumer->rk, why, sizeof(why));

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(
            err, MR_ERROR_KAFKA, NULL, "%s: %s", rd_kafka_err2name(code), why);
    }

    if (consumer->n != 0 && !consumer->assigned
        && mr_time_monotonic() >= consumer->retry)
    {
        consumer_assign(consumer);
    }

    return 0;
}


void
mr_consumer_restart(mr_consumer_t *consumer)
{
    if (consumer->n == 0) {
        return;
    }

    consumer_revoke(consumer);
    consumer_assign(consumer);
}


int
mr_consumer_bounds(mr_consumer_t *consumer, const int32_t *partitions, size_t n,
    int timeout, int64_t *ret_starts, int64_t *ret_ends, mr_error_t *err)
{
    if (n == 0) {
        return 0;
    }

    if (ret_starts != NULL
        && mr_offsets_ask(consumer->rk, consumer->topic, partitions, n,
               MR_OFFSETS_START, timeout, ret_starts, err)
               != 0)
    {
        return -1;
    }

    if (ret_ends != NULL
        && mr_offsets_ask(consumer->rk, consumer->topic, partitions, n,
               MR_OFFSETS_END, timeout, ret_ends, err)
               != 0)
    {
        return -1;
    }

    return 0;
}


int
mr_consumer_written(mr_consumer_t *consumer, const int32_t *partitions,
    size_t n, int timeout, int64_t *ret_ends, mr_error_t *err)
{
    if (n == 0) {
        return 0;
    }

    return mr_offsets_ask(consumer->asker, consumer->topic, partitions, n,
        MR_OFFSETS_END, timeout, ret_ends, err);
}


int
mr_consumer_leaders(mr_consumer_t *consumer, const int32_t *partitions,
    size_t n, int timeout, int32_t *ret_leaders, mr_error_t *err)
{
    return mr_offsets_leaders(consumer->asker, consumer->topic, partitions, n,
        timeout, ret_leaders, err);
}


int
mr_consumer_after(mr_consumer_t *consumer, int32_t partition, int64_t time,
    int timeout, int64_t *ret_offset, mr_error_t *err)
{
    return mr_offsets_ask(consumer->asker, consumer->topic, &partition, 1,
        time + 1, timeout, ret_offset, err);
}


void
mr_consumer_report(mr_consumer_t *consumer, int32_t partition, int64_t next)
{
    rd_kafka_topic_partition_list_t *list;

    list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, consumer->topic, partition)
        ->offset = next;

    /* Nobody reads it back; the next one repairs a failure. */
    (void) rd_kafka_commit(consumer->rk, list, 1);

    rd_kafka_topic_partition_list_destroy(list);
}


static int
consumer_conf(const mr_options_t *options, const char *client_id,
    const char *group, rd_kafka_conf_t **ret_conf, mr_error_t *err)
{
    size_t i;
    rd_kafka_conf_t *conf;

    if (mr_kafka_conf(options, client_id, &conf, err) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(consumer_default) / sizeof(consumer_default[0]); i++)
    {
        if (mr_kafka_conf_default(options, conf, consumer_default[i].name,
                consumer_default[i].value, err)
            != 0)
        {
            goto failed;
        }
    }

    for (i = 0; i < sizeof(consumer_fixed) / sizeof(consumer_fixed[0]); i++) {
        if (mr_kafka_conf_set(
                conf, consumer_fixed[i].name, consumer_fixed[i].value, err)
            != 0)
        {
            goto failed;
        }
    }

    if (mr_kafka_conf_set(conf, "group.id", group, err) != 0
        || consumer_beats(conf, err) != 0)
    {
        goto failed;
    }

    *ret_conf = conf;

    return 0;

failed:

    rd_kafka_conf_destroy(conf);

    return -1;
}


/* librdkafka takes any two of them, as brokers do. */
static int
consumer_beats(const rd_kafka_conf_t *conf, mr_error_t *err)
{
    int64_t beat, session;

    beat = mr_kafka_conf_number(conf, "heartbeat.interval.ms");
    session = mr_kafka_conf_number(conf, "session.timeout.ms");

    if (beat < session) {
        return 0;
    }

    return mr_error_set(err, MR_ERROR_CONFIG, NULL,
        "[kafka] heartbeat.interval.ms (%lld) must be less than "
        "session.timeout.ms (%lld), or a writer loses its partitions with "
        "each session",
        (long long) beat, (long long) session);
}


static int
consumer_subscribe(mr_consumer_t *consumer, mr_error_t *err)
{
    rd_kafka_resp_err_t code;
    rd_kafka_topic_partition_list_t *list;

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(
        list, consumer->topic, RD_KAFKA_PARTITION_UA);

    code = rd_kafka_subscribe(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot subscribe to %s: %s", consumer->topic,
            rd_kafka_err2str(code));
    }

    return 0;
}


/* Runs inside poll and close, in their thread. */
static void
consumer_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
    rd_kafka_topic_partition_list_t *list, void *ctx)
{
    mr_consumer_t *consumer = ctx;

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS
        && consumer_claim(consumer, list) == 0)
    {
        mr_log_info("topic=%s the group gave us %d partitions", consumer->topic,
            list->cnt);
        consumer_assign(consumer);
        return;
    }

    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        mr_log_info("topic=%s the group takes %d partitions back%s",
            consumer->topic, list->cnt,
            rd_kafka_assignment_lost(rk) ? " (they were lost)" : "");

    } else if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        mr_log_error("topic=%s rebalance failed: %s", consumer->topic,
            rd_kafka_err2str(code));

    } else {
        mr_log_error("topic=%s out of memory: no partition can be taken",
            consumer->topic);
    }

    consumer_revoke(consumer);
    consumer_unclaim(consumer);
    (void) consumer_tell(consumer, NULL);
}


/* Remember what the group gave us, each with its source. */
static int
consumer_claim(
    mr_consumer_t *consumer, const rd_kafka_topic_partition_list_t *list)
{
    int i;

    consumer_revoke(consumer);
    consumer_unclaim(consumer);

    consumer->claims = calloc((size_t) list->cnt + 1, sizeof(mr_claim_t));
    if (consumer->claims == NULL) {
        return -1;
    }

    for (i = 0; i < list->cnt; i++) {
        consumer->claims[i].partition = list->elems[i].partition;
        consumer->claims[i].start = MR_CLAIM_SKIP;
        consumer->claims[i].source = mr_source_open(
            consumer->rk, consumer->topic, list->elems[i].partition);

        if (consumer->claims[i].source == NULL) {
            return -1;
        }

        consumer->n++;
    }

    return 0;
}


/* Ask the observer for the positions and start to read. */
static void
consumer_assign(mr_consumer_t *consumer)
{
    int rc;

    consumer->retry = mr_time_monotonic() + CONSUMER_RETRY_MS;
    consumer->offered = 1;

    rc = consumer->observer->assign(
        consumer->ctx, consumer->claims, consumer->n);

    rc = consumer_read(consumer, rc == 0) != 0 ? -1 : rc;

    if (rc != 0) {
        return;
    }

    consumer->assigned = 1;

    if (consumer->observer->begin(consumer->ctx, consumer->claims, consumer->n)
        != 0)
    {
        consumer_revoke(consumer);
        (void) consumer_read(consumer, 0);
    }
}


/*
 * Tell librdkafka what to read from where.  Nothing is an empty list, which,
 * unlike none, keeps us a member.  When this returns, whatever was read
 * before is outdated: librdkafka drops it when it is taken from its queue.
 */
static int
consumer_read(mr_consumer_t *consumer, int anything)
{
    size_t i;
    rd_kafka_resp_err_t code;
    rd_kafka_topic_partition_list_t *list;

    list = rd_kafka_topic_partition_list_new((int) consumer->n);

    for (i = 0; anything && i < consumer->n; i++) {
        if (consumer->claims[i].start != MR_CLAIM_SKIP) {
            rd_kafka_topic_partition_list_add(
                list, consumer->topic, consumer->claims[i].partition)
                ->offset = consumer->claims[i].start;
        }
    }

    code = consumer_tell(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        mr_log_error("topic=%s cannot assign: %s", consumer->topic,
            rd_kafka_err2str(code));
        return -1;
    }

    return 0;
}


/*
 * librdkafka's thread first orders fetchers to stop, and later hears that they
 * have: an assignment in between orders them again, and the second answer
 * trips an assertion (its issue 5573, in 2.0 to 2.15 at least).  It serves
 * requests in order: after one, the last assignment's fetchers have stopped.
 * It is made before the new one, since a group that closes answers no more.
 */
static rd_kafka_resp_err_t
consumer_tell(
    mr_consumer_t *consumer, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *now;

    if (rd_kafka_assignment(consumer->rk, &now) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_topic_partition_list_destroy(now);
    }

    return rd_kafka_assign(consumer->rk, list);
}


static void
consumer_revoke(mr_consumer_t *consumer)
{
    if (consumer->offered) {
        consumer->observer->revoke(consumer->ctx);
        consumer->offered = 0;
        consumer->assigned = 0;
    }
}


static void
consumer_unclaim(mr_consumer_t *consumer)
{
    size_t i;

    for (i = 0; i < consumer->n; i++) {
        mr_source_close(consumer->claims[i].source);
    }

    free(consumer->claims);
    consumer->claims = NULL;
    consumer->n = 0;
}


/*
 * librdkafka retries by itself whatever is worth it; say what goes on, but
 * not a thousand times.
 */
static void
consumer_error(
    mr_consumer_t *consumer, rd_kafka_resp_err_t code, const char *text)
{
    int64_t now;

    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF
        || code == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        return;
    }

    now = mr_time_monotonic();

    if (consumer->warned != 0 && now - consumer->warned < CONSUMER_WARN_MS) {
        return;
    }

    consumer->warned = now;

    mr_log_warn("topic=%s kafka: %s: %s", consumer->topic,
        rd_kafka_err2name(code), text);
}
