/*
 * What a measurement needs of a topic: create it, read its watermarks, and
 * audit its records against senders' logs.
 *
 *     topic_tool BROKERS create TOPIC PARTITIONS [NAME=VALUE...]
 *     topic_tool BROKERS marks TOPIC
 *     topic_tool BROKERS audit TOPIC LOG...
 *
 * The answer is one line of JSON.  Exit status 1: it failed, or the audit
 * found an event lost, unknown or misplaced; 2: wrong command line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "audit.h"


#define TOOL_TIMEOUT 30000 /* ms */
#define TOOL_PARTITIONS_MAX 1024
#define TOOL_BATCH 10000


typedef struct {
    rd_kafka_t *rk;
    const char *topic;
    int partitions;
    int64_t start[TOOL_PARTITIONS_MAX];
    int64_t end[TOOL_PARTITIONS_MAX];
} tool_t;


static int tool_open(tool_t *tool, const char *brokers);
static int tool_create(tool_t *tool, int argc, char **argv);
static int tool_created(rd_kafka_event_t *event);
static rd_kafka_resp_err_t tool_partitions(tool_t *tool);
static int tool_wait(tool_t *tool);
static int tool_marks(tool_t *tool);
static void tool_print_marks(const tool_t *tool);
static int tool_audit(tool_t *tool, int argc, char **argv);
static int tool_assign(tool_t *tool);
static int tool_read(tool_t *tool, mr_audit_t *audit);
static int tool_judge(const mr_audit_t *audit);
static int tool_fail(const char *what, const char *why);


int
main(int argc, char **argv)
{
    int rc;
    tool_t tool;

    memset(&tool, 0, sizeof(tool));

    if (argc < 4) {
        (void) fprintf(stderr,
            "usage: topic_tool BROKERS create TOPIC PARTITIONS "
            "[NAME=VALUE...]\n"
            "       topic_tool BROKERS marks TOPIC\n"
            "       topic_tool BROKERS audit TOPIC LOG...\n");
        return 2;
    }

    tool.topic = argv[3];

    if (tool_open(&tool, argv[1]) != 0) {
        return 1;
    }

    if (strcmp(argv[2], "create") == 0 && argc > 4) {
        rc = tool_create(&tool, argc - 4, argv + 4);

        if (rc == 0) {
            (void) printf("{\"created\":true}\n");
        }

    } else if (strcmp(argv[2], "marks") == 0 && argc == 4) {
        rc = tool_marks(&tool);

        if (rc == 0) {
            tool_print_marks(&tool);
        }

    } else if (strcmp(argv[2], "audit") == 0 && argc > 4) {
        rc = tool_audit(&tool, argc - 4, argv + 4);

    } else {
        rc = tool_fail(argv[2], "there is no such command, or it lacks "
                                "arguments");
    }

    rd_kafka_destroy(tool.rk);

    return rc == 0 ? 0 : 1;
}


static int
tool_open(tool_t *tool, const char *brokers)
{
    char errstr[256];
    size_t i;
    rd_kafka_conf_t *conf;
    const char *settings[][2] = {{"bootstrap.servers", brokers},
        {"group.id", "topic_tool"}, {"enable.auto.commit", "false"},
        {"auto.offset.reset", "error"}, {"check.crcs", "true"}};

    conf = rd_kafka_conf_new();

    for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (rd_kafka_conf_set(
                conf, settings[i][0], settings[i][1], errstr, sizeof(errstr))
            != RD_KAFKA_CONF_OK)
        {
            rd_kafka_conf_destroy(conf);
            return tool_fail(settings[i][0], errstr);
        }
    }

    tool->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, errstr, sizeof(errstr));

    if (tool->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return tool_fail(brokers, errstr);
    }

    (void) rd_kafka_poll_set_consumer(tool->rk);

    return 0;
}


static int
tool_create(tool_t *tool, int argc, char **argv)
{
    int i, rc;
    char *end, *value, errstr[256];
    long partitions;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
    rd_kafka_NewTopic_t *topic;

    partitions = strtol(argv[0], &end, 10);

    if (*end != '\0' || partitions < 1 || partitions > TOOL_PARTITIONS_MAX) {
        return tool_fail(argv[0], "this is no number of partitions");
    }

    topic = rd_kafka_NewTopic_new(
        tool->topic, (int) partitions, 1, errstr, sizeof(errstr));

    if (topic == NULL) {
        return tool_fail(tool->topic, errstr);
    }

    for (i = 1; i < argc; i++) {
        value = strchr(argv[i], '=');

        if (value == NULL) {
            rd_kafka_NewTopic_destroy(topic);
            return tool_fail(argv[i], "this is not name=value");
        }

        *value = '\0';
        (void) rd_kafka_NewTopic_set_config(topic, argv[i], value + 1);
    }

    queue = rd_kafka_queue_new(tool->rk);
    rd_kafka_CreateTopics(tool->rk, &topic, 1, NULL, queue);

    event = rd_kafka_queue_poll(queue, TOOL_TIMEOUT);
    rc = tool_created(event);

    if (event) {
        rd_kafka_event_destroy(event);
    }

    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);

    return rc == 0 ? tool_wait(tool) : rc;
}


static int
tool_created(rd_kafka_event_t *event)
{
    size_t n;
    const rd_kafka_topic_result_t **results;

    if (event == NULL) {
        return tool_fail("CreateTopics", "no answer");
    }

    if (rd_kafka_event_error(event)) {
        return tool_fail("CreateTopics", rd_kafka_event_error_string(event));
    }

    results = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result(event), &n);

    if (n != 1 || rd_kafka_topic_result_error(results[0])) {
        return tool_fail("CreateTopics",
            n ? rd_kafka_topic_result_error_string(results[0]) : "no result");
    }

    return 0;
}


/* The number of partitions, all of which have a leader. */
static rd_kafka_resp_err_t
tool_partitions(tool_t *tool)
{
    int i;
    rd_kafka_topic_t *topic;
    rd_kafka_resp_err_t err;
    const struct rd_kafka_metadata *metadata;

    topic = rd_kafka_topic_new(tool->rk, tool->topic, NULL);
    err = rd_kafka_metadata(tool->rk, 0, topic, &metadata, TOOL_TIMEOUT);
    rd_kafka_topic_destroy(topic);

    if (err) {
        return err;
    }

    err = metadata->topics[0].err;
    tool->partitions = metadata->topics[0].partition_cnt;

    for (i = 0; i < tool->partitions && !err; i++) {
        if (metadata->topics[0].partitions[i].leader == -1) {
            err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        }
    }

    if (tool->partitions > TOOL_PARTITIONS_MAX) {
        err = RD_KAFKA_RESP_ERR_INVALID_PARTITIONS;
    }

    rd_kafka_metadata_destroy(metadata);

    return err;
}


/* A topic that was just created is not known everywhere at once. */
static int
tool_wait(tool_t *tool)
{
    int tries;
    rd_kafka_resp_err_t err;
    const struct timespec pause = {0, 50000000};

    err = RD_KAFKA_RESP_ERR_NO_ERROR;

    for (tries = 0; tries < 400; tries++) {
        err = tool_partitions(tool);

        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return 0;
        }

        (void) nanosleep(&pause, NULL);
    }

    return tool_fail(tool->topic, rd_kafka_err2str(err));
}


static int
tool_marks(tool_t *tool)
{
    int i;
    rd_kafka_resp_err_t err;

    err = tool_partitions(tool);

    if (err) {
        return tool_fail(tool->topic, rd_kafka_err2str(err));
    }

    for (i = 0; i < tool->partitions; i++) {
        err = rd_kafka_query_watermark_offsets(tool->rk, tool->topic, i,
            &tool->start[i], &tool->end[i], TOOL_TIMEOUT);

        if (err) {
            return tool_fail("watermarks", rd_kafka_err2str(err));
        }
    }

    return 0;
}


static void
tool_print_marks(const tool_t *tool)
{
    int i;
    int64_t sum;

    sum = 0;
    (void) printf("{\"start\":[");

    for (i = 0; i < tool->partitions; i++) {
        (void) printf("%s%" PRId64, i ? "," : "", tool->start[i]);
    }

    (void) printf("],\"end\":[");

    for (i = 0; i < tool->partitions; i++) {
        (void) printf("%s%" PRId64, i ? "," : "", tool->end[i]);
        sum += tool->end[i];
    }

    (void) printf("],\"total\":%" PRId64 "}\n", sum);
}


static int
tool_audit(tool_t *tool, int argc, char **argv)
{
    int i, rc;
    mr_audit_t *audit;

    audit = mr_audit_create();

    if (audit == NULL) {
        return tool_fail("audit", "out of memory");
    }

    rc = 0;

    for (i = 0; i < argc && rc == 0; i++) {
        rc = mr_audit_log(audit, argv[i]);
    }

    if (rc == 0) {
        rc = tool_marks(tool);
    }

    if (rc == 0) {
        rc = tool_assign(tool);
    }

    if (rc == 0) {
        rc = tool_read(tool, audit);
    }

    if (rc == 0) {
        rc = tool_judge(audit);
    }

    mr_audit_destroy(audit);

    return rc;
}


static int
tool_assign(tool_t *tool)
{
    int i;
    rd_kafka_resp_err_t err;
    rd_kafka_topic_partition_list_t *list;

    list = rd_kafka_topic_partition_list_new(tool->partitions);

    for (i = 0; i < tool->partitions; i++) {
        if (tool->start[i] < tool->end[i]) {
            rd_kafka_topic_partition_list_add(list, tool->topic, i)->offset =
                tool->start[i];
        }
    }

    err = rd_kafka_assign(tool->rk, list);
    rd_kafka_topic_partition_list_destroy(list);

    return err ? tool_fail("assign", rd_kafka_err2str(err)) : 0;
}


/* Up to the ends that were there at the beginning. */
static int
tool_read(tool_t *tool, mr_audit_t *audit)
{
    int i;
    int64_t left;
    ssize_t j, n;
    rd_kafka_queue_t *queue;
    static rd_kafka_message_t *messages[TOOL_BATCH];

    left = 0;

    for (i = 0; i < tool->partitions; i++) {
        left += tool->end[i] - tool->start[i];
    }

    queue = rd_kafka_queue_get_consumer(tool->rk);

    while (left > 0) {
        n = rd_kafka_consume_batch_queue(
            queue, TOOL_TIMEOUT, messages, TOOL_BATCH);

        if (n <= 0) {
            rd_kafka_queue_destroy(queue);
            return tool_fail("reading", "nothing comes any more");
        }

        for (j = 0; j < n; j++) {
            if (messages[j]->err) {
                rd_kafka_queue_destroy(queue);
                return tool_fail(
                    "reading", rd_kafka_message_errstr(messages[j]));
            }

            if (messages[j]->offset < tool->end[messages[j]->partition]) {
                mr_audit_record(audit, messages[j]->key, messages[j]->key_len,
                    messages[j]->payload, messages[j]->len);
                left--;
            }

            rd_kafka_message_destroy(messages[j]);
        }
    }

    rd_kafka_queue_destroy(queue);

    return 0;
}


static int
tool_judge(const mr_audit_t *audit)
{
    mr_audit_result_t r;

    mr_audit_finish(audit, &r);

    (void) printf("{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64
                  ",\"records\":%" PRIu64 ",\"distinct\":%" PRIu64
                  ",\"missing\":%" PRIu64 ",\"unknown\":%" PRIu64
                  ",\"misplaced\":%" PRIu64 ",\"surplus\":%" PRIu64
                  ",\"extra\":%" PRIu64 "}\n",
        r.sent, r.acknowledged, r.records, r.distinct, r.missing, r.unknown,
        r.misplaced, r.surplus, r.extra);

    return r.missing || r.unknown || r.misplaced || r.surplus ? -1 : 0;
}


static int
tool_fail(const char *what, const char *why)
{
    (void) fprintf(stderr, "topic_tool: %s: %s\n", what, why);

    return -1;
}
