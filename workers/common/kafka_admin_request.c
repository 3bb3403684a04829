#include <millrace/time.h>

#include "kafka_admin_request.h"
#include "log.h"
#include "run.h"


#define MR_ADMIN_ATTEMPT 5000 /* ms that one request may take */
#define MR_ADMIN_PAUSE 200    /* ms between two attempts */


static int mr_admin_failed(rd_kafka_event_t *event,
    rd_kafka_resp_err_t *ret_code, const char **ret_why);
static int mr_admin_unanswered(mr_kafka_admin_t *admin, mr_error_t *err);


rd_kafka_AdminOptions_t *
mr_kafka_admin_options(
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


int
mr_kafka_admin_result(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event,
    rd_kafka_resp_err_t *ret_code, mr_error_t *err)
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
        (void) mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
            "Kafka did not answer a request on topic %s", topic);
        return mr_admin_unanswered(admin, err);
    }

    if (mr_admin_failed(event, ret_code, &why)) {
        (void) mr_error_set(err, MR_ERROR_KAFKA, NULL, "topic %s: %s", topic,
            why == NULL ? rd_kafka_err2str(*ret_code) : why);
        rd_kafka_event_destroy(event);

        if (*ret_code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
            return mr_admin_unanswered(admin, err);
        }

        /* librdkafka's own are below. */
        if (*ret_code > 0) {
            admin->refused = *err;
        }

        return -1;
    }

    *ret_event = event;

    return 0;
}


/* A reason is of more use than that there was no time for another attempt. */
static int
mr_admin_unanswered(mr_kafka_admin_t *admin, mr_error_t *err)
{
    if (admin->refused.code != MR_OK) {
        *err = admin->refused;
    }

    return -1;
}


int
mr_kafka_admin_retriable(rd_kafka_resp_err_t code)
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


int
mr_kafka_admin_pause(const char *topic, int64_t deadline, mr_error_t *err)
{
    if (mr_time_monotonic() + MR_ADMIN_PAUSE >= deadline) {
        return -1;
    }

    mr_log_debug("topic %s: %s; trying again", topic, err->message);

    return mr_run_sleep(MR_ADMIN_PAUSE) ? -1 : 0;
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

    if (n == 0 || (topics == NULL && resources == NULL)) {
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
