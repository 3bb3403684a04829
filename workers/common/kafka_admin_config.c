#include <stdio.h>
#include <string.h>

#include "kafka_admin_request.h"


static int mr_admin_describe_configs(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, rd_kafka_event_t **ret_event, mr_error_t *err);
static int mr_admin_alter_configs(mr_kafka_admin_t *admin, const char *topic,
    const rd_kafka_ConfigEntry_t **entries, size_t n,
    const mr_kafka_setting_t *settings, size_t n_settings, int64_t deadline,
    mr_error_t *err);
static int mr_admin_stands(const rd_kafka_ConfigEntry_t **entries, size_t n,
    const mr_kafka_setting_t *setting);
static int mr_admin_ours(
    const mr_kafka_setting_t *settings, size_t n, const char *name);
static const char *mr_admin_value(
    const rd_kafka_ConfigEntry_t **entries, size_t n, const char *name);


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
        if (!mr_admin_stands(entries, n, &settings[i])) {
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


int
mr_kafka_admin_setting(mr_kafka_admin_t *admin, const char *topic,
    const char *name, int64_t deadline, char *buf, size_t size, mr_error_t *err)
{
    size_t n;
    const char *value;
    rd_kafka_event_t *event;
    const rd_kafka_ConfigEntry_t **entries;
    const rd_kafka_ConfigResource_t **resources;

    if (mr_admin_describe_configs(admin, topic, deadline, &event, err) == -1) {
        return -1;
    }

    resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &n);
    entries = rd_kafka_ConfigResource_configs(resources[0], &n);
    value = mr_admin_value(entries, n, name);

    (void) snprintf(buf, size, "%s", value == NULL ? "" : value);

    rd_kafka_event_destroy(event);

    return 0;
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

    admin->refused = (mr_error_t) MR_ERROR_INIT;

    do {
        options = mr_kafka_admin_options(
            admin, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, deadline);

        rd_kafka_AlterConfigs(
            admin->client, &resource, 1, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);

        rc = mr_kafka_admin_result(admin, topic, deadline, &event, &code, err);

    } while (rc == -1 && mr_kafka_admin_retriable(code)
             && mr_kafka_admin_pause(topic, deadline, err) == 0);

    if (rc == 0) {
        rd_kafka_event_destroy(event);
    }

    rd_kafka_ConfigResource_destroy(resource);

    return rc;
}


/* Has the topic this value as its own?  One of the broker's may change. */
static int
mr_admin_stands(const rd_kafka_ConfigEntry_t **entries, size_t n,
    const mr_kafka_setting_t *setting)
{
    size_t i;
    const char *value;

    for (i = 0; i < n; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), setting->name) == 0) {
            value = rd_kafka_ConfigEntry_value(entries[i]);

            return value != NULL && strcmp(value, setting->value) == 0
                   && rd_kafka_ConfigEntry_source(entries[i])
                          == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
        }
    }

    return 0;
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
