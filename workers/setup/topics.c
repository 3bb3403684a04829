#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/kafka_admin.h"
#include "setup.h"


#define MR_TOPIC_SETTINGS_MAX 8

#define MR_TOPIC_RETENTION "retention.ms"
#define MR_TOPIC_INSYNC "min.insync.replicas"
#define MR_TOPIC_SIZE "max.message.bytes"

#define MR_TOPIC_VALUE 32

/* Dead letters wait for a person. */
#define MR_DEAD_RETENTION_MS "31536000000" /* 365 days */

/*
 * A dead letter is a record of any size that the events topic took, and its
 * headers: it must never be too large for its own topic.
 */
#define MR_DEAD_SIZE_MAX "16777216" /* 16 MiB */


typedef struct {
    const char *name;
    int partitions;
    int fixed; /* partitions carry a meaning */
    size_t n;
    mr_kafka_setting_t settings[MR_TOPIC_SETTINGS_MAX];
} mr_topic_t;


static int mr_setup_topic(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    const mr_topic_t *topic, mr_error_t *err);
static int mr_setup_topic_existing(const mr_setup_t *setup,
    mr_kafka_admin_t *admin, const mr_topic_t *topic, int partitions,
    int replication, mr_error_t *err);
static int mr_setup_keep(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    mr_topic_t *topic, const char *name, uint64_t most, const char *lower,
    char buf[MR_TOPIC_VALUE], mr_error_t *err);
static int mr_setup_extend(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    const mr_topic_t *topic, int partitions, mr_error_t *err);
static void mr_setup_changed(
    void *ctx, const char *name, const char *was, const char *is);
static void mr_topic_init(mr_topic_t *topic, const char *name, int partitions,
    int fixed, const char *retention, const char *insync);
static void mr_topic_set(
    mr_topic_t *topic, const char *name, const char *value);
static void mr_setup_ms(int64_t ms, char *buf, size_t size);


int
mr_setup_topics(const mr_setup_t *setup, mr_error_t *err)
{
    int rc;
    char retention[MR_TOPIC_VALUE], insync[MR_TOPIC_VALUE];
    char keep[MR_TOPIC_VALUE];
    mr_topic_t events, stats, dead;
    mr_kafka_admin_t *admin;
    const mr_options_t *options;

    options = setup->options;

    mr_setup_ms(options->kafka.retention, retention, sizeof(retention));
    mr_setup_ms(options->stats.keep_minute, keep, sizeof(keep));
    (void) snprintf(insync, sizeof(insync), "%lld",
        (long long) options->kafka.min_insync_replicas);

    mr_topic_init(&events, options->kafka.topic,
        (int) options->kafka.partitions, 1, retention, insync);
    mr_topic_set(&events, "cleanup.policy", "delete");
    /* Retention and "received" go by receipt, not by what a client says. */
    mr_topic_set(&events, "message.timestamp.type", "LogAppendTime");

    mr_topic_init(&stats, options->kafka.stats_topic, 1, 0, keep, insync);
    mr_topic_set(&stats, "cleanup.policy", "compact,delete");

    mr_topic_init(
        &dead, options->kafka.dead_topic, 1, 0, MR_DEAD_RETENTION_MS, insync);
    mr_topic_set(&dead, "cleanup.policy", "delete");
    mr_topic_set(&dead, MR_TOPIC_SIZE, MR_DEAD_SIZE_MAX);

    if (mr_kafka_admin_open(options, "millrace-setup", &admin, err) == -1) {
        return -1;
    }

    rc = 0;

    if (mr_kafka_admin_wait(admin, setup->deadline, err) == -1
        || mr_setup_topic(setup, admin, &events, err) == -1
        || mr_setup_topic(setup, admin, &stats, err) == -1
        || mr_setup_topic(setup, admin, &dead, err) == -1)
    {
        rc = -1;
    }

    mr_kafka_admin_close(admin);

    return rc;
}


static int
mr_setup_topic(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    const mr_topic_t *topic, mr_error_t *err)
{
    int partitions, replication;

    if (mr_kafka_admin_describe(
            admin, topic->name, setup->deadline, &partitions, &replication, err)
        == -1)
    {
        return -1;
    }

    if (partitions > 0) {
        return mr_setup_topic_existing(
            setup, admin, topic, partitions, replication, err);
    }

    replication = (int) setup->options->kafka.replication;

    if (mr_kafka_admin_create(admin, topic->name, topic->partitions,
            replication, topic->settings, topic->n, setup->deadline, err)
        == -1)
    {
        return -1;
    }

    mr_setup_say("topic %s: created, %d partition%s, %d replica%s each",
        topic->name, topic->partitions, topic->partitions == 1 ? "" : "s",
        replication, replication == 1 ? "" : "s");

    return 0;
}


static int
mr_setup_topic_existing(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    const mr_topic_t *topic, int partitions, int replication, mr_error_t *err)
{
    char retention[MR_TOPIC_VALUE], insync[MR_TOPIC_VALUE];
    char largest[MR_TOPIC_VALUE];
    mr_topic_t kept;

    if (replication < setup->options->kafka.min_insync_replicas) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "topic %s has %d replica(s), but [kafka] min_insync_replicas is "
            "%lld: no write could succeed; add replicas with Kafka's "
            "kafka-reassign-partitions or lower the setting",
            topic->name, replication,
            (long long) setup->options->kafka.min_insync_replicas);
    }

    if (replication < setup->options->kafka.replication) {
        mr_setup_say("topic %s: has %d replica(s) a partition, [kafka] "
                     "replication is %lld: left as it is, add them with "
                     "Kafka's kafka-reassign-partitions",
            topic->name, replication,
            (long long) setup->options->kafka.replication);
    }

    if (partitions < topic->partitions
        && mr_setup_extend(setup, admin, topic, partitions, err) == -1)
    {
        return -1;
    }

    if (partitions > topic->partitions) {
        mr_setup_say("topic %s: has %d partitions, more than the %d %s: left "
                     "as it is, Kafka cannot remove any",
            topic->name, partitions, topic->partitions,
            topic->fixed ? "of [kafka] partitions" : "that it needs");
    }

    kept = *topic;

    /* Kafka deletes at once what a shorter retention ends. */
    if (!setup->lower_retention
        && mr_setup_keep(setup, admin, &kept, MR_TOPIC_RETENTION, UINT64_MAX,
               "--lower-retention to shorten it", retention, err)
               == -1)
    {
        return -1;
    }

    /*
     * More than there are replicas would let no write succeed; a dead letter
     * that is too large stops its partition until somebody raises the limit.
     */
    if (mr_setup_keep(setup, admin, &kept, MR_TOPIC_INSYNC,
            (uint64_t) replication, "Kafka's kafka-configs to lower it", insync,
            err)
            == -1
        || mr_setup_keep(setup, admin, &kept, MR_TOPIC_SIZE, UINT64_MAX,
               "Kafka's kafka-configs to lower it", largest, err)
               == -1
        || mr_kafka_admin_configure(admin, kept.name, kept.settings, kept.n,
               setup->deadline, mr_setup_changed, &kept, err)
               == -1)
    {
        return -1;
    }

    mr_setup_say("topic %s: ready", topic->name);

    return 0;
}


/*
 * Leave a setting that is greater than the configured one, up to `most`:
 * somebody may have raised it by hand, so that Kafka keeps what cannot be
 * stored yet, or more replicas of it.  The value that stays is in `buf`, and
 * `lower` says what would lower it.
 */
static int
mr_setup_keep(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    mr_topic_t *topic, const char *name, uint64_t most, const char *lower,
    char buf[MR_TOPIC_VALUE], mr_error_t *err)
{
    size_t i;
    char *end;
    uint64_t is, wanted;

    if (mr_kafka_admin_setting(
            admin, topic->name, name, setup->deadline, buf, MR_TOPIC_VALUE, err)
        == -1)
    {
        return -1;
    }

    /* -1, the longest retention of all, is the greatest without its sign. */
    is = (uint64_t) strtoll(buf, &end, 10);

    for (i = 0; end != buf && i < topic->n; i++) {

        if (strcmp(topic->settings[i].name, name) != 0) {
            continue;
        }

        wanted = (uint64_t) strtoll(topic->settings[i].value, NULL, 10);

        if (is > wanted && is <= most) {
            mr_setup_say("topic %s: %s is %s, more than the configured %s: "
                         "left as it is, %s",
                topic->name, name, buf, topic->settings[i].value, lower);
            topic->settings[i].value = buf;
        }
    }

    return 0;
}


/*
 * A partition is chosen by the user's hash modulo their number: with another
 * number users move, and a repeat is looked for in one partition only.
 */
static int
mr_setup_extend(const mr_setup_t *setup, mr_kafka_admin_t *admin,
    const mr_topic_t *topic, int partitions, mr_error_t *err)
{
    if (!setup->add_partitions) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "topic %s has %d partitions, [kafka] partitions is %d; users "
            "would move to other partitions, and an event sent before and "
            "again after that be stored twice: --add-partitions to accept, "
            "or set partitions = %d",
            topic->name, partitions, topic->partitions, partitions);
    }

    if (mr_kafka_admin_extend(
            admin, topic->name, topic->partitions, setup->deadline, err)
        == -1)
    {
        return -1;
    }

    mr_setup_say("topic %s: extended from %d to %d partitions; repeats of "
                 "events sent before now are not recognised",
        topic->name, partitions, topic->partitions);

    return 0;
}


static void
mr_setup_changed(void *ctx, const char *name, const char *was, const char *is)
{
    const mr_topic_t *topic;

    topic = ctx;

    mr_setup_say("topic %s: %s changed from %s to %s", topic->name, name,
        was == NULL ? "nothing" : was, is);
}


/*
 * With the settings of every topic.  A topic has the broker's defaults in all
 * others: those that would delete a record before its time, or one that was
 * acknowledged, are therefore set.
 */
static void
mr_topic_init(mr_topic_t *topic, const char *name, int partitions, int fixed,
    const char *retention, const char *insync)
{
    memset(topic, 0, sizeof(*topic));
    topic->name = name;
    topic->partitions = partitions;
    topic->fixed = fixed;

    mr_topic_set(topic, MR_TOPIC_RETENTION, retention);
    mr_topic_set(topic, "retention.bytes", "-1");
    mr_topic_set(topic, MR_TOPIC_INSYNC, insync);
    mr_topic_set(topic, "unclean.leader.election.enable", "false");
}


static void
mr_topic_set(mr_topic_t *topic, const char *name, const char *value)
{
    topic->settings[topic->n].name = name;
    topic->settings[topic->n].value = value;
    topic->n++;
}


/* Kafka's "for ever" is -1. */
static void
mr_setup_ms(int64_t ms, char *buf, size_t size)
{
    (void) snprintf(buf, size, "%lld", ms == 0 ? -1LL : (long long) ms);
}
