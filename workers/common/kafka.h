/*
 * What every Kafka client of the daemons has in common: its configuration
 * from [kafka], and librdkafka's log in ours.
 */
#ifndef MILLRACE_KAFKA_H
#define MILLRACE_KAFKA_H

#include <librdkafka/rdkafka.h>

#include <millrace/error.h>

#include "options.h"


/*
 * A configuration with brokers, client.id, every pass-through property and a
 * log callback set.  The caller owns it until it hands it to rd_kafka_new().
 * Fails with MR_ERROR_CONFIG for a property that librdkafka refuses.
 */
int mr_kafka_conf(const mr_options_t *options, const char *client_id,
    rd_kafka_conf_t **ret_conf, mr_error_t *err);

/* Set one property; fails with MR_ERROR_CONFIG. */
int mr_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
    const char *value, mr_error_t *err);

/* The same unless `options` have it, under whatever name. */
int mr_kafka_conf_default(const mr_options_t *options, rd_kafka_conf_t *conf,
    const char *name, const char *value, mr_error_t *err);

/* A number of it; 0 where this librdkafka does not have the property. */
int64_t mr_kafka_conf_number(const rd_kafka_conf_t *conf, const char *name);

#endif /* MILLRACE_KAFKA_H */
