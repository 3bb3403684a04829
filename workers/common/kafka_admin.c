#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "kafka_admin_request.h"
#include "log.h"
#include "run.h"


#define MR_ADMIN_METADATA 1000 /* ms that one request may take */
#define MR_ADMIN_PAUSE 200     /* ms between two attempts */


static int mr_admin_metadata(mr_kafka_admin_t *admin, int64_t deadline,
    const rd_kafka_metadata_t **ret_metadata, mr_error_t *err);
static int mr_admin_leaders(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int64_t deadline, mr_error_t *err);
static const rd_kafka_metadata_topic_t *mr_admin_find(
    const rd_kafka_metadata_t *metadata, const char *topic);


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

    admin->refused = (mr_error_t) MR_ERROR_INIT;

    do {
        options = mr_kafka_admin_options(
            admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline);

        rd_kafka_CreateTopics(
            admin->client, &new_topic, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_kafka_admin_result(admin, topic, deadline, &event, &code, err);

        if (rc == 0) {
            rd_kafka_event_destroy(event);
        }

        if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            rc = 0;
            break;
        }

    } while (rc == -1 && mr_kafka_admin_retriable(code)
             && mr_kafka_admin_pause(topic, deadline, err) == 0);

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

    admin->refused = (mr_error_t) MR_ERROR_INIT;

    do {
        options = mr_kafka_admin_options(
            admin, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, deadline);

        rd_kafka_CreatePartitions(
            admin->client, &more, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_kafka_admin_result(admin, topic, deadline, &event, &code, err);

        if (rc == 0) {
            rd_kafka_event_destroy(event);
        }

    } while (rc == -1 && mr_kafka_admin_retriable(code)
             && mr_kafka_admin_pause(topic, deadline, err) == 0);

    rd_kafka_NewPartitions_destroy(more);

    if (rc == -1) {
        return -1;
    }

    return mr_admin_leaders(admin, topic, partitions, deadline, err);
}


static int
mr_admin_metadata(mr_kafka_admin_t *admin, int64_t deadline,
    const rd_kafka_metadata_t **ret_metadata, mr_error_t *err)
{
    int64_t left;
    rd_kafka_resp_err_t code;

    for (;;) {

        left = deadline - mr_time_monotonic();
        left = left > MR_ADMIN_METADATA ? MR_ADMIN_METADATA
               : left < 1               ? 1
                                        : left;

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

        if (mr_kafka_admin_pause(topic, deadline, err) == -1) {
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
