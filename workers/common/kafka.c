#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "check.h"
#include "kafka.h"
#include "log.h"


static int mr_kafka_check_type(
    const mr_options_t *options, rd_kafka_type_t type, mr_error_t *err);
static int mr_kafka_properties(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err);
static int mr_kafka_check_token(const rd_kafka_conf_t *conf, mr_error_t *err);
static int mr_kafka_is(
    const rd_kafka_conf_t *conf, const char *name, const char *value);
static void mr_kafka_log(
    const rd_kafka_t *rk, int level, const char *facility, const char *message);


int
mr_kafka_check(const mr_options_t *options, mr_error_t *err)
{
    if (mr_kafka_check_type(options, RD_KAFKA_PRODUCER, err) == -1
        || mr_kafka_check_type(options, RD_KAFKA_CONSUMER, err) == -1)
    {
        return -1;
    }

    return 0;
}


int
mr_kafka_conf(const mr_options_t *options, const char *client_id,
    rd_kafka_conf_t **ret_conf, mr_error_t *err)
{
    rd_kafka_conf_t *conf;

    conf = rd_kafka_conf_new();

    if (mr_kafka_properties(options, conf, err) == -1
        || mr_kafka_conf_set(
               conf, "bootstrap.servers", options->kafka.brokers, err)
               == -1
        || mr_kafka_conf_set(conf, "client.id", client_id, err) == -1
        /* A producer would have the broker make up topics by itself. */
        || mr_kafka_conf_set(conf, "allow.auto.create.topics", "false", err)
               == -1)
    {
        rd_kafka_conf_destroy(conf);
        return -1;
    }

    rd_kafka_conf_set_log_cb(conf, mr_kafka_log);

    *ret_conf = conf;

    return 0;
}


int
mr_kafka_conf_set(
    rd_kafka_conf_t *conf, const char *name, const char *value, mr_error_t *err)
{
    char why[160];

    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why))
        != RD_KAFKA_CONF_OK) {
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "[kafka] %s: %s", name, why);
    }

    return 0;
}


int
mr_kafka_conf_default(const mr_options_t *options, rd_kafka_conf_t *conf,
    const char *name, const char *value, mr_error_t *err)
{
    size_t i;
    const char *given;

    for (i = 0; i < options->kafka.n_properties; i++) {

        given = options->kafka.properties[i].name;

        /* Java's name of it, which librdkafka takes as well. */
        if (strcmp(given, "max.partition.fetch.bytes") == 0) {
            given = "fetch.message.max.bytes";
        }

        if (strcmp(given, name) == 0) {
            return 0;
        }
    }

    return mr_kafka_conf_set(conf, name, value, err);
}


int64_t
mr_kafka_conf_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[32];
    size_t size;

    size = sizeof(text);

    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK
               ? strtoll(text, NULL, 10)
               : 0;
}


/*
 * Some combinations, and files such as certificates, are judged only when a
 * client is made of the configuration.  This one knows no broker, so that it
 * connects to nothing.
 */
static int
mr_kafka_check_type(
    const mr_options_t *options, rd_kafka_type_t type, mr_error_t *err)
{
    char why[192];
    rd_kafka_t *client;
    rd_kafka_conf_t *conf;

    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, mr_kafka_log);

    if (mr_kafka_properties(options, conf, err) == -1
        || mr_kafka_check_token(conf, err) == -1
        || mr_kafka_conf_set(conf, "client.id", "millrace-check", err) == -1
        /* It would warn of every property that is for the other type. */
        || mr_kafka_conf_set(conf, "log_level", "3", err) == -1
        || (type == RD_KAFKA_CONSUMER
            && mr_kafka_conf_set(conf, "group.id", "check", err) == -1)
        || (type == RD_KAFKA_PRODUCER
            && (mr_kafka_conf_set(conf, "acks", "all", err) == -1
                || mr_kafka_conf_set(conf, "enable.idempotence", "true", err)
                       == -1)))
    {
        rd_kafka_conf_destroy(conf);
        return -1;
    }

    client = rd_kafka_new(type, conf, why, sizeof(why));

    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] the properties do not work together: %s", why);
    }

    rd_kafka_destroy(client);

    return 0;
}


/*
 * librdkafka asks its program for a token, and waits for ever without a word,
 * unless it fetches one by OIDC or makes an unsecured one.
 */
static int
mr_kafka_check_token(const rd_kafka_conf_t *conf, mr_error_t *err)
{
    if ((mr_kafka_is(conf, "security.protocol", "sasl_plaintext")
            || mr_kafka_is(conf, "security.protocol", "sasl_ssl"))
        && mr_kafka_is(conf, "sasl.mechanism", "OAUTHBEARER")
        && !mr_kafka_is(conf, "sasl.oauthbearer.method", "oidc")
        && !mr_kafka_is(conf, "enable.sasl.oauthbearer.unsecure.jwt", "true"))
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.method "
            "= oidc: the daemons have no token of their own to give");
    }

    return 0;
}


/* Not so either where this librdkafka does not have the property. */
static int
mr_kafka_is(const rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[64];
    size_t size;

    size = sizeof(text);

    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK
           && strcasecmp(text, value) == 0;
}


static int
mr_kafka_properties(
    const mr_options_t *options, rd_kafka_conf_t *conf, mr_error_t *err)
{
    char why[160];
    size_t i;
    const mr_property_t *property;

    for (i = 0; i < options->kafka.n_properties; i++) {

        property = &options->kafka.properties[i];

        if (rd_kafka_conf_set(
                conf, property->name, property->value, why, sizeof(why))
            != RD_KAFKA_CONF_OK)
        {
            return mr_error_set(err, MR_ERROR_CONFIG, NULL,
                "%s: [kafka] %s: %s", property->where, property->name, why);
        }
    }

    return 0;
}


/* Called by librdkafka's threads too, with its locks held: only log. */
static void
mr_kafka_log(
    const rd_kafka_t *rk, int level, const char *facility, const char *message)
{
    mr_log_level_t ours;

    (void) rk;

    /* syslog's levels */
    ours = level <= 3   ? MR_LOG_ERROR
           : level == 4 ? MR_LOG_WARN
           : level <= 6 ? MR_LOG_INFO
                        : MR_LOG_DEBUG;

    /*
     * Producers and consumers share one section, so each of them is given
     * properties that are for the other kind; and a property that the operator
     * may not set is not for him to do without.
     */
    if (strcmp(facility, "CONFWARN") == 0
        && (strstr(message, "will be ignored by this") != NULL
            || strstr(message, "auto.commit.enable is deprecated") != NULL))
    {
        ours = MR_LOG_DEBUG;
    }

    mr_log(ours, "kafka %s: %s", facility, message);
}
