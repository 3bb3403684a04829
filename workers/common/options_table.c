#include <stdio.h>
#include <string.h>

#include "options_table.h"


#define MR_OFFSET(field) offsetof(mr_options_t, field)


const mr_option_t mr_option_table[] = {

    {"kafka", "brokers", MR_OPTION_BROKERS, MR_OFFSET(kafka.brokers),
        "127.0.0.1:9092", NULL, NULL, NULL,
        "brokers to ask for the cluster's members"},

    {"kafka", "topic", MR_OPTION_TOPIC, MR_OFFSET(kafka.topic), "events", NULL,
        NULL, NULL, "topic that the nginx module writes events to"},

    {"kafka", "stats_topic", MR_OPTION_TOPIC, MR_OFFSET(kafka.stats_topic),
        "event-stats", NULL, NULL, NULL,
        "topic that statistics are published to"},

    {"kafka", "dead_topic", MR_OPTION_TOPIC, MR_OFFSET(kafka.dead_topic),
        "events-dead", NULL, NULL, NULL,
        "topic for records that are no valid event"},

    {"kafka", "partitions", MR_OPTION_COUNT, MR_OFFSET(kafka.partitions), "8",
        "1", "10000", NULL,
        "partitions of the events topic; adding some later resets the dedup "
        "horizon, so start with enough"},

    {"kafka", "replication", MR_OPTION_COUNT, MR_OFFSET(kafka.replication), "1",
        "1", "100", NULL,
        "replicas of each partition, at creation; 3 in production"},

    {"kafka", "min_insync_replicas", MR_OPTION_COUNT,
        MR_OFFSET(kafka.min_insync_replicas), "1", "1", "100", NULL,
        "replicas that must have a record before it is acknowledged; 2 in "
        "production"},

    {"kafka", "retention", MR_OPTION_DURATION, MR_OFFSET(kafka.retention), "7d",
        "1m", "3650d", "for ever",
        "how long Kafka keeps events: how long the writer may be away; lowered "
        "only by millrace-setup --lower-retention"},


    {"mongodb", "uri", MR_OPTION_URI, MR_OFFSET(mongodb.uri),
        "mongodb://127.0.0.1:27017/?replicaSet=rs0", NULL, NULL, NULL,
        "connection string of a replica set, with TLS and credentials; better "
        "in the environment when it holds a password"},

    {"mongodb", "database", MR_OPTION_DATABASE, MR_OFFSET(mongodb.database),
        "millrace", NULL, NULL, NULL, "database of all collections"},

    {"mongodb", "pool", MR_OPTION_COUNT, MR_OFFSET(mongodb.pool), "16", "1",
        "1000", NULL, "connections a process at most"},

    {"mongodb", "timeout", MR_OPTION_DURATION, MR_OFFSET(mongodb.timeout),
        "20s", "1s", "4m", NULL,
        "how long a command may take on the wire, unless the URI sets "
        "socketTimeoutMS"},


    {"writer", "group", MR_OPTION_GROUP, MR_OFFSET(writer.group),
        "millrace-writer", NULL, NULL, NULL,
        "Kafka consumer group that the writers share"},

    {"writer", "threads", MR_OPTION_COUNT, MR_OFFSET(writer.threads), "4", "1",
        "256", NULL, "partitions flushed at once"},

    {"writer", "flush_events", MR_OPTION_COUNT, MR_OFFSET(writer.flush_events),
        "65536", "1", "1000000", NULL, "events a transaction at most"},

    {"writer", "flush_size", MR_OPTION_SIZE, MR_OFFSET(writer.flush_size),
        "32m", "64k", "256m", NULL, "BSON a transaction at most"},

    {"writer", "flush_interval", MR_OPTION_DURATION,
        MR_OFFSET(writer.flush_interval), "200ms", "1ms", "60s", NULL,
        "how long the oldest record may wait for others"},

    {"writer", "dedup_window", MR_OPTION_COUNT, MR_OFFSET(writer.dedup_window),
        "500000", "1", "50000000", NULL,
        "records of a partition within which a repeated event is recognised; "
        "fixed at the first set-up"},

    /* 2^31 seconds: MongoDB's limit for an index that deletes. */
    {"writer", "retention", MR_OPTION_DURATION, MR_OFFSET(writer.retention),
        "0", "1h", "24855d", "for ever",
        "how long MongoDB keeps events after they were received"},

    {"writer", "keep_accounts", MR_OPTION_DURATION,
        MR_OFFSET(writer.keep_accounts), "90d", "1h", "36500d", "for ever",
        "how long the account of a minute of the log is kept, by which "
        "millrace-audit proves that nothing was lost"},

    {"writer", "sketch_cache", MR_OPTION_SIZE, MR_OFFSET(writer.sketch_cache),
        "64m", "1m", "64g", NULL,
        "sketches of window partials kept in memory, over all threads; what "
        "does not fit is read again when it changes"},

    {"writer", "metrics", MR_OPTION_ADDRESS, MR_OFFSET(writer.metrics),
        "127.0.0.1:9101", NULL, NULL, NULL,
        "where /metrics and /healthz are served"},


    {"stats", "interval", MR_OPTION_DURATION, MR_OFFSET(stats.interval),
        "250ms", "10ms", "60s", NULL, "time between two merges"},

    {"stats", "grace", MR_OPTION_DURATION, MR_OFFSET(stats.grace), "1h", "1s",
        "30d", "final at once",
        "how long after its end a window becomes final"},

    {"stats", "keep_second", MR_OPTION_DURATION, MR_OFFSET(stats.keep_second),
        "1h", "1m", "30d", NULL, "how long windows of one second are kept"},

    {"stats", "keep_minute", MR_OPTION_DURATION, MR_OFFSET(stats.keep_minute),
        "35d", "1h", "3650d", NULL,
        "how long windows of one minute are kept; hours and days are kept for "
        "ever"},

    {"stats", "max_types", MR_OPTION_COUNT, MR_OFFSET(stats.max_types), "2000",
        "1", "100000", NULL,
        "event types that have statistics of their own, the first ones to "
        "come; all others are counted together, under (other); kept in "
        "MongoDB, where millrace-setup raises it and nothing lowers it"},

    {"stats", "merge_memory", MR_OPTION_SIZE, MR_OFFSET(stats.merge_memory),
        "256m", "1m", "64g", NULL,
        "changed partials that a merge holds in memory, and again as much of "
        "what it reads beside; what does not fit waits for its next part"},

    {"stats", "lease", MR_OPTION_DURATION, MR_OFFSET(stats.lease), "10s", "1s",
        "5m", NULL,
        "how long a publisher that has died keeps others from taking over"},

    {"stats", "metrics", MR_OPTION_ADDRESS, MR_OFFSET(stats.metrics),
        "127.0.0.1:9102", NULL, NULL, NULL,
        "where /metrics and /healthz are served"},


    {"query", "listen", MR_OPTION_ADDRESS, MR_OFFSET(query.listen),
        "127.0.0.1:8081", NULL, NULL, NULL,
        "where nginx reaches the query daemon"},

    {"query", "threads", MR_OPTION_COUNT, MR_OFFSET(query.threads), "4", "1",
        "256", NULL, "queries answered at once"},

    {"query", "queue", MR_OPTION_COUNT, MR_OFFSET(query.queue), "256", "1",
        "65536", NULL, "queries that may wait; beyond that 503"},

    {"query", "timeout", MR_OPTION_DURATION, MR_OFFSET(query.timeout), "10s",
        "100ms", "5m", NULL, "deadline of a query"},

    {"query", "scan_blocks", MR_OPTION_COUNT, MR_OFFSET(query.scan_blocks),
        "8000", "1", "1000000", NULL,
        "blocks that one page may read before it is answered short"},

    {"query", "slow_block", MR_OPTION_COUNT, MR_OFFSET(query.slow_block), "80",
        "1", "1000000", "always so",
        "microseconds; where the blocks of a user have lately taken longer "
        "each to come from MongoDB, they are read on four connections "
        "(1000000: never)"},

    {"query", "stream_listeners", MR_OPTION_COUNT,
        MR_OFFSET(query.stream_listeners), "2000", "1", "100000", NULL,
        "listeners of GET /stats/stream at once; beyond that 503"},

    {"query", "stream_memory", MR_OPTION_SIZE, MR_OFFSET(query.stream_memory),
        "32m", "1m", "1g", NULL,
        "recent windows that GET /stats/stream can go on from"},

    {"query", "exports", MR_OPTION_COUNT, MR_OFFSET(query.exports), "2", "1",
        "256", NULL, "NDJSON answers of more than 1,000 events at once"},

    {"query", "export_patience", MR_OPTION_DURATION,
        MR_OFFSET(query.export_patience), "5m", "1s", "24h", NULL,
        "how long a client may take over each 24 MiB of such an answer"},

    {"query", "metrics", MR_OPTION_ADDRESS, MR_OFFSET(query.metrics),
        "127.0.0.1:9103", NULL, NULL, NULL,
        "where /metrics and /healthz are served"},

    {NULL, NULL, MR_OPTION_COUNT, 0, NULL, NULL, NULL, NULL, NULL}};


const mr_option_t *
mr_option_find(const char *section, const char *key)
{
    const mr_option_t *option;

    for (option = mr_option_table; option->section != NULL; option++) {
        if (strcmp(option->section, section) == 0
            && strcmp(option->key, key) == 0) {
            return option;
        }
    }

    return NULL;
}


int
mr_option_section(const char *section)
{
    const mr_option_t *option;

    for (option = mr_option_table; option->section != NULL; option++) {
        if (strcmp(option->section, section) == 0) {
            return 1;
        }
    }

    return strcmp(section, "measures") == 0;
}


char *
mr_option_keys(const char *section, char *buf, size_t size)
{
    int n;
    size_t len;
    const mr_option_t *option;

    len = 0;
    buf[0] = '\0';

    for (option = mr_option_table; option->section != NULL; option++) {

        if (strcmp(option->section, section) != 0) {
            continue;
        }

        n = snprintf(
            buf + len, size - len, "%s%s", len == 0 ? "" : ", ", option->key);

        if (n < 0 || (size_t) n >= size - len) {
            break;
        }

        len += (size_t) n;
    }

    return buf;
}
