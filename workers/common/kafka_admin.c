#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "kafka.h"
#include "kafka_admin.h"
#include "log.h"
#include "run.h"


#define MR_ADMIN_ATTEMPT 5000 /* ms that one request may take */
#define MR_ADMIN_PAUSE 200    /* ms between two attempts */


struct mr_kafka_admin_s {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    char *brokers;
};


static int mr_admin_metadata(mr_kafka_admin_t *admin, int64_t deadline,
    const rd_kafka_metadata_t **ret_metadata, mr_error_t *err);
static int mr_admin_leaders(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int64_t deadline, mr_error_t *err);
static const rd_kafka_metadata_topic_t *mr_admin_find(
    const rd_kafka_metadata_t *metadata, const char *topic);

static rd_kafka_AdminOptions_t *mr_admin_options(
    mr_kafka_admin_t *admin, rd_kafka_admin_op_t op, int64_t deadline);
static int mr_admin_result(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event,
    rd_kafka_resp_err_t *ret_code, mr_error_t *err);
static int mr_admin_failed(rd_kafka_event_t *event,
    rd_kafka_resp_err_t *ret_code, const char **ret_why);
static int mr_admin_retriable(rd_kafka_resp_err_t code);
static int mr_admin_pause(const char *topic, int64_t deadline, mr_error_t *err);

static int mr_admin_describe_configs(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event, mr_error_t *err);
static int mr_admin_alter_configs(mr_kafka_admin_t *admin, const char *topic,
    const rd_kafka_ConfigEntry_t **entries, size_t n,
    const mr_kafka_setting_t *settings, size_t n_settings, int64_t deadline,
    mr_error_t *err);
static int mr_admin_ours(
    const mr_kafka_setting_t *settings, size_t n, const char *name);
static const char *mr_admin_value(
    const rd_kafka_ConfigEntry_t **entries, size_t n, const char *name);


int
mr_kafka_admin_open(const mr_options_t *options, const char *client_id,
    mr_kafka_admin_t **ret_admin, mr_error_t *err)
{
    char why[160];
    rd_kafka_conf_t *conf;
    mr_kafka_admin_t *admin;

    if (mr_kafka_conf(options, client_id, &conf, err) == -1) {
        return -1;
    }

    admin = calloc(1, sizeof(mr_kafka_admin_t));

    if (admin == NULL) {
        rd_kafka_conf_destroy(conf);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    admin->brokers = strdup(options->kafka.brokers);
    admin->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));

    if (admin->client == NULL) {
        rd_kafka_conf_destroy(conf);
        mr_kafka_admin_close(admin);
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] the properties do not work together: %s", why);
    }

    admin->queue = rd_kafka_queue_new(admin->client);

    *ret_admin = admin;

    return 0;
}


void
mr_kafka_admin_close(mr_kafka_admin_t *admin)
{
    if (admin == NULL) {
        return;
    }

    if (admin->queue != NULL) {
        rd_kafka_queue_destroy(admin->queue);
    }

    if (admin->client != NULL) {
        rd_kafka_destroy(admin->client);
    }

    free(admin->brokers);
    free(admin);
}


int
mr_kafka_admin_wait(mr_kafka_admin_t *admin, int64_t deadline, mr_error_t *err)
{
    const rd_kafka_metadata_t *metadata;

    if (mr_admin_metadata(admin, deadline, &metadata, err) == -1) {
        return -1;
    }

    rd_kafka_metadata_destroy(metadata);

    return 0;
}


int
mr_kafka_admin_describe(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, int *ret_partitions, int *ret_replication,
    mr_error_t *err)
{
    int i, n, replication;
    const rd_kafka_metadata_t *metadata;
    const rd_kafka_metadata_topic_t *found;

    /* All topics: to ask for one by name may create it. */
    if (mr_admin_metadata(admin, deadline, &metadata, err) == -1) {
        return -1;
    }

    n = 0;
    replication = 0;
    found = mr_admin_find(metadata, topic);

    if (found != NULL) {

        n = found->partition_cnt;

        for (i = 0; i < n; i++) {
            if (i == 0 || found->partitions[i].replica_cnt < replication) {
                replication = found->partitions[i].replica_cnt;
            }
        }
    }

    rd_kafka_metadata_destroy(metadata);

    *ret_partitions = n;
    *ret_replication = replication;

    return 0;
}


int
mr_kafka_admin_create(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int replication, const mr_kafka_setting_t *settings,
    size_t n_settings, int64_t deadline, mr_error_t *err)
{
    int rc;
    char why[160];
    size_t i;
    rd_kafka_event_t *event;
    rd_kafka_NewTopic_t *new_topic;
    rd_kafka_resp_err_t code;
    rd_kafka_AdminOptions_t *options;

    new_topic =
        rd_kafka_NewTopic_new(topic, partitions, replication, why, sizeof(why));

    if (new_topic == NULL) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot create topic %s: %s", topic, why);
    }

    for (i = 0; i < n_settings; i++) {
        (void) rd_kafka_NewTopic_set_config(
            new_topic, settings[i].name, settings[i].value);
    }

    do {
        options =
            mr_admin_options(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline);

        rd_kafka_CreateTopics(
            admin->client, &new_topic, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_admin_result(admin, topic, deadline, &event, &code, err);

        if (rc == 0) {
            rd_kafka_event_destroy(event);
        }

        if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            rc = 0;
            break;
        }

    } while (rc == -1 && mr_admin_retriable(code)
             && mr_admin_pause(topic, deadline, err) == 0);

    rd_kafka_NewTopic_destroy(new_topic);

    if (rc == -1) {
        return -1;
    }

    return mr_admin_leaders(admin, topic, partitions, deadline, err);
}


int
mr_kafka_admin_extend(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int64_t deadline, mr_error_t *err)
{
    int rc;
    char why[160];
    rd_kafka_event_t *event;
    rd_kafka_resp_err_t code;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_NewPartitions_t *more;

    more = rd_kafka_NewPartitions_new(
        topic, (size_t) partitions, why, sizeof(why));

    if (more == NULL) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot add partitions to %s: %s", topic, why);
    }

    do {
        options = mr_admin_options(
            admin, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, deadline);

        rd_kafka_CreatePartitions(
            admin->client, &more, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_admin_result(admin, topic, deadline, &event, &code, err);

        if (rc == 0) {
            rd_kafka_event_destroy(event);
        }

    } while (rc == -1 && mr_admin_retriable(code)
             && mr_admin_pause(topic, deadline, err) == 0);

    rd_kafka_NewPartitions_destroy(more);

    if (rc == -1) {
        return -1;
    }

    return mr_admin_leaders(admin, topic, partitions, deadline, err);
}


int
mr_kafka_admin_configure(mr_kafka_admin_t *admin, const char *topic,
    const mr_kafka_setting_t *settings, size_t n_settings, int64_t deadline,
    mr_kafka_changed_t changed, void *ctx, mr_error_t *err)
{
    int rc, differs;
    size_t i, n, n_resources;
    const char *value;
    rd_kafka_event_t *event = NULL;
    const rd_kafka_ConfigEntry_t **entries;
    const rd_kafka_ConfigResource_t **resources;

    if (mr_admin_describe_configs(admin, topic, deadline, &event, err) == -1) {
        return -1;
    }

    resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &n_resources);
    entries = rd_kafka_ConfigResource_configs(resources[0], &n);

    rc = 0;
    differs = 0;

    for (i = 0; i < n_settings; i++) {
        value = mr_admin_value(entries, n, settings[i].name);

        if (value == NULL || strcmp(value, settings[i].value) != 0) {
            differs = 1;
        }
    }

    if (differs) {
        rc = mr_admin_alter_configs(
            admin, topic, entries, n, settings, n_settings, deadline, err);
    }

    for (i = 0; rc == 0 && i < n_settings; i++) {
        value = mr_admin_value(entries, n, settings[i].name);

        if (value == NULL || strcmp(value, settings[i].value) != 0) {
            changed(ctx, settings[i].name, value, settings[i].value);
        }
    }

    rd_kafka_event_destroy(event);

    return rc;
}


static int
mr_admin_metadata(mr_kafka_admin_t *admin, int64_t deadline,
    const rd_kafka_metadata_t **ret_metadata, mr_error_t *err)
{
    int64_t left;
    rd_kafka_resp_err_t code;

    for (;;) {

        left = deadline - mr_time_monotonic();
        left = left > 1000 ? 1000 : left < 1 ? 1 : left;

        code =
            rd_kafka_metadata(admin->client, 1, NULL, ret_metadata, (int) left);

        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return 0;
        }

        if (mr_run_stopping()) {
            return mr_error_set(err, MR_ERROR_KAFKA, NULL, "interrupted");
        }

        if (mr_time_monotonic() >= deadline) {
            return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
                "Kafka at %s does not answer: %s", admin->brokers,
                rd_kafka_err2str(code));
        }

        mr_log_debug("waiting for Kafka: %s", rd_kafka_err2str(code));
        (void) mr_run_sleep(MR_ADMIN_PAUSE);
    }
}


/* Whoever produces to a partition without a leader would have to wait. */
static int
mr_admin_leaders(mr_kafka_admin_t *admin, const char *topic, int partitions,
    int64_t deadline, mr_error_t *err)
{
    int i, leaders;
    const rd_kafka_metadata_t *metadata;
    const rd_kafka_metadata_topic_t *found;

    for (;;) {

        if (mr_admin_metadata(admin, deadline, &metadata, err) == -1) {
            return -1;
        }

        leaders = 0;
        found = mr_admin_find(metadata, topic);

        for (i = 0; found != NULL && i < found->partition_cnt; i++) {
            leaders += found->partitions[i].leader != -1;
        }

        rd_kafka_metadata_destroy(metadata);

        if (leaders >= partitions) {
            return 0;
        }

        (void) mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
            "only %d of %d partitions of topic %s have a leader", leaders,
            partitions, topic);

        if (mr_admin_pause(topic, deadline, err) == -1) {
            return -1;
        }
    }
}


static const rd_kafka_metadata_topic_t *
mr_admin_find(const rd_kafka_metadata_t *metadata, const char *topic)
{
    int i;

    for (i = 0; i < metadata->topic_cnt; i++) {
        if (strcmp(metadata->topics[i].topic, topic) == 0
            && metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            return &metadata->topics[i];
        }
    }

    return NULL;
}


static rd_kafka_AdminOptions_t *
mr_admin_options(
    mr_kafka_admin_t *admin, rd_kafka_admin_op_t op, int64_t deadline)
{
    char why[80];
    int64_t left;
    rd_kafka_AdminOptions_t *options;

    left = deadline - mr_time_monotonic();
    left = left > MR_ADMIN_ATTEMPT ? MR_ADMIN_ATTEMPT : left < 1 ? 1 : left;

    options = rd_kafka_AdminOptions_new(admin->client, op);

    /* Fails only for a value out of range, which this is not. */
    (void) rd_kafka_AdminOptions_set_request_timeout(
        options, (int) left, why, sizeof(why));

    return options;
}


/* On success the caller destroys *ret_event.  *ret_code is always set. */
static int
mr_admin_result(mr_kafka_admin_t *admin, const char *topic, int64_t deadline,
    rd_kafka_event_t **ret_event, rd_kafka_resp_err_t *ret_code,
    mr_error_t *err)
{
    int64_t left;
    const char *why;
    rd_kafka_event_t *event;

    /* The request has its own time-out; this is longer than that. */
    left = deadline - mr_time_monotonic();
    left = left > MR_ADMIN_ATTEMPT ? MR_ADMIN_ATTEMPT : left < 1 ? 1 : left;

    event = rd_kafka_queue_poll(admin->queue, (int) left + 1000);

    if (event == NULL) {
        *ret_code = RD_KAFKA_RESP_ERR__TIMED_OUT;
        return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
            "Kafka did not answer a request on topic %s", topic);
    }

    if (mr_admin_failed(event, ret_code, &why)) {
        (void) mr_error_set(err, MR_ERROR_KAFKA, NULL, "topic %s: %s", topic,
            why == NULL ? rd_kafka_err2str(*ret_code) : why);
        rd_kafka_event_destroy(event);
        return -1;
    }

    *ret_event = event;

    return 0;
}


/* The request as a whole may fail, or the one topic in it. */
static int
mr_admin_failed(rd_kafka_event_t *event, rd_kafka_resp_err_t *ret_code,
    const char **ret_why)
{
    size_t n;
    const rd_kafka_topic_result_t **topics;
    const rd_kafka_ConfigResource_t **resources;

    n = 0;
    topics = NULL;
    resources = NULL;

    *ret_code = rd_kafka_event_error(event);
    *ret_why = rd_kafka_event_error_string(event);

    if (*ret_code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return 1;
    }

    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
        topics = rd_kafka_CreateTopics_result_topics(
            rd_kafka_event_CreateTopics_result(event), &n);
        break;

    case RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT:
        topics = rd_kafka_CreatePartitions_result_topics(
            rd_kafka_event_CreatePartitions_result(event), &n);
        break;

    case RD_KAFKA_EVENT_ALTERCONFIGS_RESULT:
        resources = rd_kafka_AlterConfigs_result_resources(
            rd_kafka_event_AlterConfigs_result(event), &n);
        break;

    case RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT:
        resources = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &n);
        break;

    default:
        break;
    }

    if (n == 0) {
        *ret_code = RD_KAFKA_RESP_ERR__BAD_MSG;
        *ret_why = "an answer without a result";
        return 1;
    }

    if (topics != NULL) {
        *ret_code = rd_kafka_topic_result_error(topics[0]);
        *ret_why = rd_kafka_topic_result_error_string(topics[0]);

    } else {
        *ret_code = rd_kafka_ConfigResource_error(resources[0]);
        *ret_why = rd_kafka_ConfigResource_error_string(resources[0]);
    }

    return *ret_code != RD_KAFKA_RESP_ERR_NO_ERROR;
}


/* What a cluster that is starting, or moving its controller, may say. */
static int
mr_admin_retriable(rd_kafka_resp_err_t code)
{
    switch (code) {

    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return 1;

    default:
        return 0;
    }
}


/* Pause before another attempt; -1 with *err as it is when there is none. */
static int
mr_admin_pause(const char *topic, int64_t deadline, mr_error_t *err)
{
    if (mr_time_monotonic() + MR_ADMIN_PAUSE >= deadline) {
        return -1;
    }

    mr_log_debug("topic %s: %s; trying again", topic, err->message);

    return mr_run_sleep(MR_ADMIN_PAUSE) ? -1 : 0;
}


static int
mr_admin_describe_configs(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event, mr_error_t *err)
{
    int rc;
    rd_kafka_resp_err_t code;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_ConfigResource_t *resource;

    resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);

    do {
        options = mr_admin_options(
            admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, deadline);

        rd_kafka_DescribeConfigs(
            admin->client, &resource, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_admin_result(admin, topic, deadline, ret_event, &code, err);

    } while (rc == -1 && mr_admin_retriable(code)
             && mr_admin_pause(topic, deadline, err) == 0);

    rd_kafka_ConfigResource_destroy(resource);

    return rc;
}


/*
 * librdkafka before 2.2 knows only the call that replaces all settings of a
 * topic, so those that are not ours are sent along.
 */
static int
mr_admin_alter_configs(mr_kafka_admin_t *admin, const char *topic,
    const rd_kafka_ConfigEntry_t **entries, size_t n,
    const mr_kafka_setting_t *settings, size_t n_settings, int64_t deadline,
    mr_error_t *err)
{
    int rc;
    size_t i;
    const char *name, *value;
    rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t code;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_ConfigResource_t *resource;

    resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);

    for (i = 0; i < n; i++) {
        name = rd_kafka_ConfigEntry_name(entries[i]);
        value = rd_kafka_ConfigEntry_value(entries[i]);

        if (rd_kafka_ConfigEntry_source(entries[i])
                == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG
            && value != NULL && !mr_admin_ours(settings, n_settings, name))
        {
            (void) rd_kafka_ConfigResource_set_config(resource, name, value);
        }
    }

    for (i = 0; i < n_settings; i++) {
        (void) rd_kafka_ConfigResource_set_config(
            resource, settings[i].name, settings[i].value);
    }

    do {
        options =
            mr_admin_options(admin, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, deadline);

        rd_kafka_AlterConfigs(
            admin->client, &resource, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_admin_result(admin, topic, deadline, &event, &code, err);

    } while (rc == -1 && mr_admin_retriable(code)
             && mr_admin_pause(topic, deadline, err) == 0);

    if (rc == 0) {
        rd_kafka_event_destroy(event);
    }

    rd_kafka_ConfigResource_destroy(resource);

    return rc;
}


static int
mr_admin_ours(const mr_kafka_setting_t *settings, size_t n, const char *name)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return 1;
        }
    }

    return 0;
}


/* The value in force; NULL when there is no such setting. */
static const char *
mr_admin_value(
    const rd_kafka_ConfigEntry_t **entries, size_t n, const char *name)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0) {
            return rd_kafka_ConfigEntry_value(entries[i]);
        }
    }

    return NULL;
}
