/*
 * Topics of the Kafka cluster: what is there, create, extend, configure.
 * Mechanism only; what they should look like is millrace-setup's business.
 *
 * Every call waits at most until `deadline` (mr_time_monotonic()) and ends
 * early when the process is asked to stop.  What a starting cluster answers
 * (no controller yet, too few brokers yet) is tried again until then.
 * Errors: MR_ERROR_KAFKA, MR_ERROR_TIMEOUT, MR_ERROR_MEMORY.  One thread.
 */
#ifndef MILLRACE_KAFKA_ADMIN_H
#define MILLRACE_KAFKA_ADMIN_H

#include <stdint.h>

#include <millrace/error.h>

#include "options.h"


typedef struct mr_kafka_admin_s mr_kafka_admin_t;

/* A setting of a topic, by Kafka's own name. */
typedef struct {
    const char *name;
    const char *value;
} mr_kafka_setting_t;

/* Called once for each setting that was changed; `was` may be NULL. */
typedef void (*mr_kafka_changed_t)(
    void *ctx, const char *name, const char *was, const char *is);


/* It connects lazily.  Fails with MR_ERROR_CONFIG. */
int mr_kafka_admin_open(const mr_options_t *options, const char *client_id,
    mr_kafka_admin_t **ret_admin, mr_error_t *err);
void mr_kafka_admin_close(mr_kafka_admin_t *admin);

/* Wait until the cluster answers. */
int mr_kafka_admin_wait(
    mr_kafka_admin_t *admin, int64_t deadline, mr_error_t *err);

/*
 * Partitions of a topic and the replicas of the partition that has fewest;
 * 0 and 0 when there is no such topic.  Never creates it.
 */
int mr_kafka_admin_describe(mr_kafka_admin_t *admin, const char *topic,
    int64_t deadline, int *ret_partitions, int *ret_replication,
    mr_error_t *err);

/*
 * Create a topic and wait until each partition has a leader.  Somebody else
 * having created it meanwhile is success.
 */
int mr_kafka_admin_create(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int replication, const mr_kafka_setting_t *settings,
    size_t n_settings, int64_t deadline, mr_error_t *err);

/* Raise the number of partitions to `partitions`. */
int mr_kafka_admin_extend(mr_kafka_admin_t *admin, const char *topic,
    int partitions, int64_t deadline, mr_error_t *err);

/*
 * The value in force of one of the topic's settings, "" when it has none; cut
 * off where `buf` is too small.
 */
int mr_kafka_admin_setting(mr_kafka_admin_t *admin, const char *topic,
    const char *name, int64_t deadline, char *buf, size_t size,
    mr_error_t *err);

/*
 * Bring the topic's settings to those given, leaving every other one as it
 * is.  `changed` hears of each difference once it has been mended.
 */
int mr_kafka_admin_configure(mr_kafka_admin_t *admin, const char *topic,
    const mr_kafka_setting_t *settings, size_t n_settings, int64_t deadline,
    mr_kafka_changed_t changed, void *ctx, mr_error_t *err);

#endif /* MILLRACE_KAFKA_ADMIN_H */
