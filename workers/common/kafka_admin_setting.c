#include <stdio.h>
#include <string.h>

#include "kafka_admin_request.h"


static int mr_admin_setting_ask(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event, mr_error_t *err);


int
mr_kafka_admin_setting(mr_kafka_admin_t *admin, const char *topic,
    const char *name, int64_t deadline, char *buf, size_t size, mr_error_t *err)
{
    size_t i, n;
    const char *value;
    rd_kafka_event_t *event;
    const rd_kafka_ConfigEntry_t **entries;
    const rd_kafka_ConfigResource_t **resources;

    if (mr_admin_setting_ask(admin, topic, deadline, &event, err) == -1) {
        return -1;
    }

    resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &n);
    entries = rd_kafka_ConfigResource_configs(resources[0], &n);

    value = NULL;

    for (i = 0; i < n; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0) {
            value = rd_kafka_ConfigEntry_value(entries[i]);
        }
    }

    (void) snprintf(buf, size, "%s", value == NULL ? "" : value);

    rd_kafka_event_destroy(event);

    return 0;
}


static int
mr_admin_setting_ask(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event, mr_error_t *err)
{
    int rc;
    rd_kafka_resp_err_t code;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_ConfigResource_t *resource;

    resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);

    admin->refused = (mr_error_t) MR_ERROR_INIT;

    do {
        options = mr_kafka_admin_options(
            admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, deadline);

        rd_kafka_DescribeConfigs(
            admin->client, &resource, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_kafka_admin_result(
            admin, topic, deadline, ret_event, &code, err);

    } while (rc == -1 && mr_kafka_admin_retriable(code)
             && mr_kafka_admin_pause(topic, deadline, err) == 0);

    rd_kafka_ConfigResource_destroy(resource);

    return rc;
}
