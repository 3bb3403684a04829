/*
 * The daemons' configuration: one INI file for all of them, read once at the
 * start.  conf/millrace.conf shows every key with its default and unit.
 *
 * Values: durations are a number with ms, s, m, h or d ("200ms", "7d");
 * sizes a number with k, m or g, or plain bytes ("32m").  An unknown section
 * or key, a repeated key, or a value out of range is an error that names
 * file, line and what is allowed.
 */
#ifndef MILLRACE_OPTIONS_H
#define MILLRACE_OPTIONS_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/value.h>


#define MR_MEASURES_MAX 16


/* A librdkafka property, passed through as it is. */
typedef struct {
    char *name;
    char *value; /* may be a secret: never logged */
    char *where; /* "file:line", or the environment variable's name */
} mr_property_t;


/* A number inside the event that statistics are kept of. */
typedef struct {
    char *name; /* [a-z][a-z0-9_]{0,31}; a MongoDB field name */
    char *text; /* JSON Pointer into the event */
    mr_pointer_t *pointer;
} mr_measure_t;


/* Durations are in ms, sizes in bytes. */
typedef struct {
    struct {
        char *brokers;               /* 127.0.0.1:9092 */
        char *topic;                 /* events */
        char *stats_topic;           /* event-stats */
        char *dead_topic;            /* events-dead */
        int64_t partitions;          /* 8 */
        int64_t replication;         /* 1 */
        int64_t min_insync_replicas; /* 1 */
        int64_t retention;           /* 7d */
        mr_property_t *properties;   /* every key with a dot */
        size_t n_properties;
    } kafka;

    struct {
        char *uri;       /* mongodb://127.0.0.1:27017/... */
        char *database;  /* millrace */
        int64_t pool;    /* 16: connections a process at most */
        int64_t timeout; /* 20s: a command's socket timeout */
    } mongodb;

    struct {
        char *group;            /* millrace-writer */
        int64_t threads;        /* 2: partitions flushed at once */
        int64_t flush_events;   /* 65536 */
        int64_t flush_size;     /* 32m of BSON */
        int64_t flush_interval; /* 200ms: the oldest record's wait */
        int64_t dedup_window;   /* 500000 records a partition (W) */
        int64_t retention;      /* 0: keep events for ever */
        int64_t keep_accounts;  /* 90d: a minute's account of the log */
        int64_t sketch_cache;   /* 64m of sketches, over all threads */
        char *metrics;          /* 127.0.0.1:9101 */
    } writer;

    struct {
        int64_t interval;     /* 250ms between two merges */
        int64_t grace;        /* 1h after a window's end: final */
        int64_t keep_second;  /* 1h */
        int64_t keep_minute;  /* 35d */
        int64_t max_types;    /* 2000 with windows of their own */
        int64_t merge_memory; /* 256m of partials that were walked over */
        int64_t lease;        /* 10s */
        char *metrics;        /* 127.0.0.1:9102 */
    } stats;

    struct {
        char *listen;             /* 127.0.0.1:8081 */
        int64_t threads;          /* 4: queries answered at once */
        int64_t queue;            /* 256: queries waiting, then 503 */
        int64_t timeout;          /* 10s: a query's deadline */
        int64_t scan_blocks;      /* 8000: blocks a page may read */
        int64_t slow_block;       /* 80 us: then walks are divided */
        int64_t exports;          /* 2: long NDJSON answers at once */
        int64_t export_patience;  /* 5m to take 24 MiB of one of them */
        int64_t stream_listeners; /* 2000 of GET /stats/stream, then 503 */
        int64_t stream_memory;    /* 32m of windows that it can resume from */
        char *metrics;            /* 127.0.0.1:9103 */
    } query;

    struct {
        mr_measure_t list[MR_MEASURES_MAX];
        size_t n; /* default: value = /metadata/value */
    } measures;
} mr_options_t;


/*
 * Read `path`, or only the defaults when it is NULL.  Then the environment:
 * MILLRACE_<SECTION>_<KEY>, in capitals, with dots of a librdkafka property
 * as underscores, overrides a key (MILLRACE_MONGODB_URI,
 * MILLRACE_KAFKA_SASL_PASSWORD), so that no secret need stand in a file.
 *
 * Fails with MR_ERROR_CONFIG.  On success the caller owns *ret_options and
 * ends it with mr_options_free().  The measures' pointers may be shared by
 * threads.
 */
int mr_options_load(
    const char *path, mr_options_t *ret_options, mr_error_t *err);
void mr_options_free(mr_options_t *options);

/*
 * Print every section and key with default, unit, range and meaning as
 * Markdown, from the table that the parser itself uses.
 */
void mr_options_document(void);

#endif /* MILLRACE_OPTIONS_H */
