/*
 * Counters over all worker processes, in a shared-memory zone that a reload
 * keeps.
 *
 * A worker process has a slot of its own: the index that nginx's master has
 * given the process.  No two processes of a master have the same at a time,
 * so only one process ever writes to a slot, without a lock, and the one
 * that follows a worker that died goes on counting where that one stopped.
 * Whoever asks adds the slots up.
 *
 * A binary upgrade starts a new master, with a zone of its own: there the
 * counters start from 0, as they do after a stop.
 *
 * Beside the counters a slot has the acknowledged events of the last minutes,
 * by topic and by the minute in which Kafka received them.
 */
#ifndef NGX_HTTP_MILLRACE_COUNTERS_H
#define NGX_HTTP_MILLRACE_COUNTERS_H

#include <ngx_config.h>
#include <ngx_core.h>


/* Upper bounds of the acknowledgement's time, without the infinite one. */
#define NGX_HTTP_MILLRACE_BUCKETS 13


/*
 * What is counted.  Adding one here needs its line in the table of
 * ngx_http_millrace_status.c, and a new NGX_HTTP_MILLRACE_LAYOUT.
 */
typedef enum {
    /* Requests.  The first is that of a request without an outcome yet. */
    NGX_HTTP_MILLRACE_UNDECIDED,
    NGX_HTTP_MILLRACE_ACCEPTED,
    NGX_HTTP_MILLRACE_INVALID,     /* 400: an event is */
    NGX_HTTP_MILLRACE_MALFORMED,   /* 400: the body or the headers are */
    NGX_HTTP_MILLRACE_TOO_LARGE,   /* 413 */
    NGX_HTTP_MILLRACE_UNSUPPORTED, /* 415 */
    NGX_HTTP_MILLRACE_SLOW,        /* 408 */
    NGX_HTTP_MILLRACE_QUEUE_FULL,  /* 503, as all to NO_MEMORY */
    NGX_HTTP_MILLRACE_UNACKNOWLEDGED,
    NGX_HTTP_MILLRACE_TOPIC_MISSING,
    NGX_HTTP_MILLRACE_KAFKA_AWAY,
    NGX_HTTP_MILLRACE_PRODUCER_MISSING,
    NGX_HTTP_MILLRACE_KAFKA_ERROR,
    NGX_HTTP_MILLRACE_NO_MEMORY,
    NGX_HTTP_MILLRACE_ABORTED, /* the connection ended before the answer */
    NGX_HTTP_MILLRACE_FAILED,  /* 500 */

    /* Events. */
    NGX_HTTP_MILLRACE_EVENTS_ACCEPTED,
    NGX_HTTP_MILLRACE_EVENTS_SYNTAX,  /* rejected: no JSON */
    NGX_HTTP_MILLRACE_EVENTS_FORMAT,  /* rejected: no event */
    NGX_HTTP_MILLRACE_EVENTS_POLICY,  /* rejected: by a limit */
    NGX_HTTP_MILLRACE_EVENTS_REFUSED, /* valid, the request was refused */
    NGX_HTTP_MILLRACE_EVENTS_UNACKNOWLEDGED, /* produced, then 503 */
    NGX_HTTP_MILLRACE_EVENTS_ABORTED, /* produced, then nobody to answer */

    NGX_HTTP_MILLRACE_BODY_BYTES,
    NGX_HTTP_MILLRACE_ACCEPTED_BYTES,

    /* librdkafka. */
    NGX_HTTP_MILLRACE_DELIVERED,
    NGX_HTTP_MILLRACE_DELIVERY_ERRORS,
    NGX_HTTP_MILLRACE_PRODUCE_ERRORS,
    NGX_HTTP_MILLRACE_PRODUCERS,
    NGX_HTTP_MILLRACE_PRODUCER_FAILURES,
    NGX_HTTP_MILLRACE_FATAL_ERRORS,

    NGX_HTTP_MILLRACE_COUNTERS
} ngx_http_millrace_counter_t;


/* Of one process, or of all: only sums count.  Times in microseconds. */
typedef struct {
    uint64_t counters[NGX_HTTP_MILLRACE_COUNTERS];
    uint64_t buckets[NGX_HTTP_MILLRACE_BUCKETS + 1];
    uint64_t ack_time;
    uint64_t queue_events; /* gauges: reserved by the process now */
    uint64_t queue_bytes;
    uint64_t workers; /* in a slot the process' id, in a sum their number */
} ngx_http_millrace_counts_t;


/* The last minutes of a process, of all its topics together. */
#define NGX_HTTP_MILLRACE_MINUTES 64

/* And of a topic in all processes: theirs need not be the same. */
#define NGX_HTTP_MILLRACE_MINUTES_ALL 128

typedef struct {
    uint64_t minute; /* since the epoch; 0: none */
    uint64_t topic;  /* the hash of its name */
    uint64_t events; /* acknowledged */
} ngx_http_millrace_minute_t;


/* In microseconds, as many as NGX_HTTP_MILLRACE_BUCKETS. */
extern const uint64_t ngx_http_millrace_bounds[];


/* Adds the zone to the configuration. */
ngx_shm_zone_t *ngx_http_millrace_counters_zone(ngx_conf_t *cf);

/* The start and the end of a worker process; both forget its gauges. */
void ngx_http_millrace_counters_enter(ngx_shm_zone_t *zone);
void ngx_http_millrace_counters_leave(ngx_shm_zone_t *zone);

/* Only in a worker process. */
void ngx_http_millrace_count(
    ngx_shm_zone_t *zone, ngx_http_millrace_counter_t counter, uint64_t n);
/* An acknowledgement that has taken `time` microseconds. */
void ngx_http_millrace_count_ack(ngx_shm_zone_t *zone, uint64_t time);
void ngx_http_millrace_count_queue(
    ngx_shm_zone_t *zone, uint64_t events, uint64_t bytes);

/* An event of the topic that was acknowledged; `time` is its record's, ms. */
void ngx_http_millrace_count_minute(
    ngx_shm_zone_t *zone, uint64_t topic, int64_t time);

/* Any process. */
void ngx_http_millrace_counters_sum(
    ngx_shm_zone_t *zone, ngx_http_millrace_counts_t *ret_counts);
/*
 * A topic's minutes over all processes, ascending; returns how many there are,
 * at most NGX_HTTP_MILLRACE_MINUTES_ALL: the latest.
 */
ngx_uint_t ngx_http_millrace_counters_minutes(ngx_shm_zone_t *zone,
    uint64_t topic, ngx_http_millrace_minute_t *ret_minutes);

#endif /* NGX_HTTP_MILLRACE_COUNTERS_H */
