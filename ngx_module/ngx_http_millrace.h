/*
 * The nginx module: POST /events -> Kafka.
 *
 * Data flows one way: handler (headers, body) -> request (judge, reserve,
 * produce) -> producer (librdkafka) -> delivery reports -> request (answer).
 *
 * Everything here runs in the worker's main thread, but the probe thread of
 * a producer (ngx_http_millrace_probe.c), which touches no nginx structure.
 * There are no globals: what a worker process owns hangs off the main
 * configuration of its cycle.
 */
#ifndef NGX_HTTP_MILLRACE_H
#define NGX_HTTP_MILLRACE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <librdkafka/rdkafka.h>

#include <millrace/batch.h>
#include <millrace/error.h>
#include <millrace/event.h>
#include <millrace/inflate.h>
#include <millrace/json.h>
#include <millrace/limits.h>
#include <millrace/receipt.h>
#include <millrace/str.h>
#include <millrace/time.h>

#include "ngx_http_millrace_counters.h"


/* Bytes of parsing, loading or producing that a request does at a turn. */
#define NGX_HTTP_MILLRACE_TURN 262144

/*
 * Messages that are handed to librdkafka at a time: it looks at the clocks
 * and takes the topic's lock once for all of them.
 */
#define NGX_HTTP_MILLRACE_CHUNK 64

/* Parts that a topic's partitions are divided into, to take turns. */
#define NGX_HTTP_MILLRACE_LANES 8

/*
 * What librdkafka keeps beside a message's key and value, for the accounting
 * of millrace_queue_size: its struct (about 200 bytes) and malloc's own.
 */
#define NGX_HTTP_MILLRACE_MESSAGE_OVERHEAD 256

/*
 * The part of message.max.bytes that an event cannot have: its key and the
 * framing of a record batch.
 */
#define NGX_HTTP_MILLRACE_FRAMING (MR_USER_ID_MAX + 256)

#define NGX_HTTP_MILLRACE_RETRY_AFTER "5"

#define NGX_HTTP_MILLRACE_ACK_TIMEOUT 10000 /* ms; the default */


/* The struct that an event or a queue link is embedded in. */
#define ngx_http_millrace_owner(member, type, name)                            \
    ((type *) ((u_char *) (member) -offsetof(type, name)))


typedef struct ngx_http_millrace_worker_s ngx_http_millrace_worker_t;
typedef struct ngx_http_millrace_producer_s ngx_http_millrace_producer_t;
typedef struct ngx_http_millrace_delivery_s ngx_http_millrace_delivery_t;
typedef struct ngx_http_millrace_probe_s ngx_http_millrace_probe_t;


/* Where a directive stood, for errors that show only when all is read. */
typedef struct {
    ngx_str_t file;
    ngx_uint_t line;
} ngx_http_millrace_place_t;


typedef struct {
    ngx_str_t brokers;
    rd_kafka_conf_t *kafka; /* our defaults, then millrace_kafka */
    ngx_array_t properties; /* of ngx_str_t: names given so far */
    ngx_array_t topics;     /* of ngx_str_t, NUL-terminated */
    ngx_uint_t queue_events;
    size_t queue_size;
    ngx_msec_t linger;
    ngx_msec_t ack_timeout;   /* the longest of the locations that take */
    ngx_msec_t least_timeout; /* POST, and the shortest */
    ngx_flag_t status;        /* a location tells what is counted */
    ngx_shm_zone_t *zone; /* of the counters; NULL: nothing is to be counted */
    ngx_http_millrace_worker_t *worker; /* NULL but in a worker process */
} ngx_http_millrace_main_conf_t;


typedef struct {
    ngx_flag_t enable;
    ngx_flag_t ready;    /* the location has millrace_ready */
    ngx_str_t answers;   /* the directive that answers in the location */
    ngx_flag_t problems; /* error pages as problem+json here too */
    ngx_flag_t beacon;
    ngx_flag_t ignore_client_abort;
    ngx_str_t topic;
    ngx_uint_t topic_index; /* in main conf's topics, if it takes part */
    ngx_msec_t ack_timeout;
    ngx_msec_t body_timeout;
    ngx_msec_t queue_wait;
    ngx_msec_t max_future;
    ngx_uint_t max_batch;
    size_t max_event_size;
    size_t max_inflated_size;
    ngx_http_millrace_place_t enable_place;
    ngx_http_millrace_place_t size_place;
    ngx_http_millrace_place_t batch_place;
} ngx_http_millrace_loc_conf_t;


/* What is known of a topic; ngx_http_millrace_state_text() has the words. */
typedef enum {
    NGX_HTTP_MILLRACE_STARTING, /* nothing is known yet */
    NGX_HTTP_MILLRACE_OK,
    NGX_HTTP_MILLRACE_NO_PRODUCER, /* it could not be created */
    NGX_HTTP_MILLRACE_NO_BROKER,   /* no broker answers */
    NGX_HTTP_MILLRACE_NO_TOPIC,
    NGX_HTTP_MILLRACE_NO_LEADER, /* a partition has none */
    NGX_HTTP_MILLRACE_REFUSED    /* the broker refuses: not authorised */
} ngx_http_millrace_state_t;


/*
 * The module's context of a request; what a POST needs is behind it (see
 * ngx_http_millrace_request.c).
 */
typedef struct {
    ngx_buf_t *problem; /* takes the place of nginx's own error page, */
    ngx_uint_t chosen;  /* but never that of one of the configuration's */
    ngx_uint_t status;  /* of a refusal that waits for the body's end */
    const char *detail;

    /* for the variables, so it stays when all else is let go of */
    ngx_http_millrace_counter_t outcome;
    ngx_uint_t events; /* accepted */
    ngx_uint_t rejected;
    size_t bytes;          /* of the body, inflated */
    uint64_t ack_time;     /* microseconds */
    unsigned produced : 1; /* ack_time is set */
} ngx_http_millrace_ctx_t;


/*
 * The observer of a request's delivery reports.  It outlives the request
 * when the client goes away, so it has memory of its own: allocated with
 * ngx_alloc() by the request, and given back by the producer with
 * ngx_free() when the last reference is gone.
 *
 * handler() runs once: at the first failure, or when the last report is in.
 * data is NULL when nobody waits any more.
 */
struct ngx_http_millrace_delivery_s {
    ngx_uint_t pending; /* messages in librdkafka, plus the producing code */
    rd_kafka_resp_err_t err; /* the first failure */
    void (*handler)(ngx_http_millrace_delivery_t *delivery);
    void *data;

    /* where the events were written, for the receipt */
    unsigned unplaced : 1; /* not all of it is known, or there is no room */
    ngx_uint_t nparts;
    ngx_uint_t nalloc;
    ngx_uint_t last; /* index of the report before: reports come in runs */
    mr_receipt_part_t parts[];
};


/* The events of some partitions. */
typedef struct {
    ngx_queue_t events; /* of ngx_http_millrace_event_t, by link */
    uint64_t due;       /* microseconds: they go from then on */
} ngx_http_millrace_lane_t;


/* See ngx_http_millrace_outbox.c. */
typedef struct {
    ngx_http_millrace_worker_t *worker;
    ngx_http_millrace_lane_t lanes[NGX_HTTP_MILLRACE_LANES];
    ngx_uint_t held;    /* events in all lanes */
    uint64_t linger;    /* microseconds */
    ngx_queue_t failed; /* requests that librdkafka has not taken */
    ngx_event_t timer;
    ngx_event_t again; /* more to hand over, or failed is not empty */
} ngx_http_millrace_outbox_t;


/* What a worker process owns. */
struct ngx_http_millrace_worker_s {
    ngx_http_millrace_main_conf_t *conf;
    ngx_cycle_t *cycle;
    ngx_http_millrace_producer_t *producer; /* NULL: there is none now */
    ngx_queue_t
        retiring; /* of producers that still have messages or a thread */
    mr_parser_t *parser;
    mr_inflate_t *inflate; /* a spare one, or NULL */
    ngx_http_millrace_outbox_t outbox;
    ngx_uint_t events; /* reserved: admitted and not yet reported */
    size_t bytes;
    ngx_event_t housekeeping;
    ngx_connection_t ident; /* nginx's debug log wants an fd of each event */
    ngx_msec_t retry;       /* when to try to create a producer again */
    ngx_msec_t delay;       /* the last wait after a fatal error */
    ngx_http_millrace_state_t *states; /* of topics, as logged last */
    unsigned exiting : 1;              /* no answers any more */
    ngx_uint_t limit;   /* events that may wait now, or fewer for the others */
    ngx_uint_t lowest;  /* since the last look: events, and */
    ngx_uint_t reports; /* acknowledgements */
    ngx_msec_t acked;   /* when the last one came; 0: none has */
    uint64_t rate;      /* of them, a second */
    ngx_msec_t looked;
    unsigned full : 1;  /* no more are admitted, until there is room for many */
    unsigned spent : 1; /* nor what was admitted before and is read now */
    ngx_queue_t held;   /* requests that wait for room, the first one first */
    ngx_uint_t nheld;
    ngx_event_t room; /* there is some */
};


struct ngx_http_millrace_producer_s {
    ngx_http_millrace_worker_t *worker;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t **topics; /* as main conf's topics */
    ngx_uint_t ntopics;
    rd_kafka_event_t *event; /* partly read delivery reports */
    ngx_connection_t *wake;  /* the eventfd */
    ngx_event_t again;       /* more to read, at the next turn */
    ngx_http_millrace_probe_t *probe;
    ngx_queue_t queue_link; /* in worker->retiring */
    ngx_msec_t deadline;    /* when retiring: what is left is purged then */
    unsigned fatal : 1;
    unsigned told : 1;      /* the fatal error is in the log */
    unsigned delivered : 1; /* an event has been acknowledged */
    unsigned closing : 1;   /* the probe thread destroys it */
};


/* ngx_http_millrace_module.c */

extern ngx_module_t ngx_http_millrace_module;


/* ngx_http_millrace_conf.c: what directives check and keep */

/* Each directive's function returns NGX_CONF_OK or what is wrong. */
rd_kafka_conf_t *ngx_http_millrace_kafka_conf(ngx_conf_t *cf);
char *ngx_http_millrace_kafka(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_millrace_brokers(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_millrace_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* A location that takes part: its topic is noted, its limits are checked. */
char *ngx_http_millrace_check_location(
    ngx_conf_t *cf, ngx_http_millrace_loc_conf_t *mlcf);
/* When everything is read: what the promise rests on goes into the conf. */
ngx_int_t ngx_http_millrace_check_main(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf);
void ngx_http_millrace_mark(ngx_conf_t *cf, ngx_http_millrace_place_t *place);
/* A directive whose handler answers in the location, as no other may. */
char *ngx_http_millrace_answers(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_millrace_loc_conf_t *mlcf, ngx_http_handler_pt handler);


/* ngx_http_millrace_security.c: TLS and SASL, as far as it needs no broker */

/* Once the properties are complete; logs what is wrong. */
ngx_int_t ngx_http_millrace_check_security(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf);


/* ngx_http_millrace_handler.c: from the first header to the whole body */

ngx_int_t ngx_http_millrace_precontent_handler(ngx_http_request_t *r);
/* Begins to read the body, or refuses; returns as a content handler does. */
ngx_int_t ngx_http_millrace_admit(ngx_http_request_t *r, mr_format_t format,
    mr_coding_t coding, ngx_uint_t lenient);


/* ngx_http_millrace_hold.c: waiting for room, before the body is read */

void ngx_http_millrace_hold_init(ngx_http_millrace_worker_t *worker);
/*
 * NGX_DECLINED when there is nothing to wait for, or nobody may; else the
 * request is admitted later, and this returns as a content handler does.
 */
ngx_int_t ngx_http_millrace_hold(ngx_http_request_t *r, mr_format_t format,
    mr_coding_t coding, ngx_uint_t lenient);
/* There is room again. */
void ngx_http_millrace_hold_wake(ngx_http_millrace_worker_t *worker);


/* ngx_http_millrace_request.c: from the whole body to the answer */

/* `format`, `coding` and `lenient` come from the headers. */
ngx_int_t ngx_http_millrace_request_create(ngx_http_request_t *r,
    mr_format_t format, mr_coding_t coding, ngx_uint_t lenient);
/* Takes over once the body is read; answers and finalizes by itself. */
void ngx_http_millrace_request_start(ngx_http_request_t *r);
/* Bounds the time of a body that is not here yet. */
void ngx_http_millrace_request_expect(ngx_http_request_t *r);
/* Learn of a client that goes away while nothing is read from it. */
ngx_int_t ngx_http_millrace_watch(ngx_http_request_t *r);


/*
 * ngx_http_millrace_response.c: each sends a whole answer and returns what
 * ngx_http_finalize_request() wants.
 */

ngx_int_t ngx_http_millrace_send(
    ngx_http_request_t *r, ngx_uint_t status, mr_str_t type, mr_str_t body);
/* `errors`: members of the array as JSON text, or NULL. */
ngx_int_t ngx_http_millrace_send_problem(ngx_http_request_t *r,
    ngx_uint_t status, const char *detail, const mr_buf_t *errors,
    ngx_uint_t total);
ngx_int_t ngx_http_millrace_send_accepted(ngx_http_request_t *r,
    ngx_uint_t accepted, ngx_uint_t rejected, ngx_uint_t lenient,
    const mr_buf_t *errors);
/* 503 with Retry-After. */
ngx_int_t ngx_http_millrace_send_unavailable(
    ngx_http_request_t *r, const char *detail);
/* The text of a problem, allocated from the pool: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_millrace_problem(ngx_pool_t *pool, ngx_uint_t status,
    const char *detail, ngx_str_t *ret_text);
/*
 * For locations that are only asked, and whose answer no cache may keep:
 * NGX_DECLINED to go on, or what to return, after any method but GET and HEAD
 * has been answered with `detail`.
 */
ngx_int_t ngx_http_millrace_only_get(ngx_http_request_t *r, const char *detail);
/* The same, answered with what `write` makes; it returns 0 or -1. */
ngx_int_t ngx_http_millrace_tell(ngx_http_request_t *r, const char *detail,
    mr_str_t type,
    int (*write)(mr_buf_t *buf, ngx_http_millrace_main_conf_t *mmcf));
/* Add a header to the answer; both strings must live as long as that. */
ngx_int_t ngx_http_millrace_header(
    ngx_http_request_t *r, const char *name, const char *value);


/* ngx_http_millrace_filter.c: nginx's own error pages as problem+json */

ngx_int_t ngx_http_millrace_filter_init(ngx_conf_t *cf);
/* In the rewrite phase: is the request on its way to an error_page? */
ngx_int_t ngx_http_millrace_rewrite_handler(ngx_http_request_t *r);


/* ngx_http_millrace_ready.c */

char *ngx_http_millrace_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/*
 * The state of the location's topic; in a location whose topic takes no part
 * in anything, the worst of all.
 */
ngx_http_millrace_state_t ngx_http_millrace_ready_state(ngx_http_request_t *r);


/* ngx_http_millrace_status.c */

char *ngx_http_millrace_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* A request's outcome in a word, as the counters' labels have it. */
const char *ngx_http_millrace_outcome_text(ngx_http_millrace_counter_t outcome);


/* ngx_http_millrace_acknowledged.c */

char *ngx_http_millrace_acknowledged(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* What a topic is called where there is no room for its name. */
uint64_t ngx_http_millrace_topic_hash(ngx_str_t *topic);


/* ngx_http_millrace_variables.c */

ngx_int_t ngx_http_millrace_add_variables(ngx_conf_t *cf);


/* ngx_http_millrace_worker.c: one worker process' life */

ngx_int_t ngx_http_millrace_worker_init(ngx_cycle_t *cycle);
void ngx_http_millrace_worker_exit(ngx_cycle_t *cycle);
/* A producer that had a fatal error makes room for a new one. */
void ngx_http_millrace_worker_replace(ngx_http_millrace_worker_t *worker);
/* The calling process' worker, or NULL where there can be none. */
ngx_http_millrace_worker_t *ngx_http_millrace_worker(
    ngx_http_millrace_main_conf_t *mmcf);
ngx_http_millrace_state_t ngx_http_millrace_state(
    ngx_http_millrace_worker_t *worker, ngx_uint_t topic);
const char *ngx_http_millrace_state_text(ngx_http_millrace_state_t state);
/* Why events would not be acknowledged now, or NULL. */
const char *ngx_http_millrace_refusal(ngx_http_millrace_worker_t *worker,
    ngx_http_millrace_loc_conf_t *mlcf,
    ngx_http_millrace_counter_t *ret_outcome);


/* ngx_http_millrace_room.c: reservations, and when the queue is full */

void ngx_http_millrace_room_init(ngx_http_millrace_worker_t *worker);
/*
 * Room for `events` messages of `bytes` in all (keys and values, without
 * overhead): NGX_OK, or NGX_BUSY when there is none now, or NGX_DECLINED
 * when there never will be beside the `held` bytes that the request has
 * reserved before.
 */
ngx_int_t ngx_http_millrace_reserve(ngx_http_millrace_worker_t *worker,
    ngx_uint_t events, size_t bytes, size_t held);
void ngx_http_millrace_release(
    ngx_http_millrace_worker_t *worker, ngx_uint_t events, size_t bytes);
/* Part of the housekeeping. */
void ngx_http_millrace_room_look(ngx_http_millrace_worker_t *worker);


/* ngx_http_millrace_outbox.c: the rest is in ngx_http_millrace_request.h */

void ngx_http_millrace_outbox_init(ngx_http_millrace_worker_t *worker);
/* At the end of the worker process; what is in it is not produced. */
void ngx_http_millrace_outbox_exit(ngx_http_millrace_outbox_t *outbox);


/* ngx_http_millrace_producer.c: one librdkafka producer */

ngx_http_millrace_producer_t *ngx_http_millrace_producer_create(
    ngx_http_millrace_worker_t *worker);
/*
 * Hand `n` reserved messages over, at most NGX_HTTP_MILLRACE_CHUNK; librdkafka
 * copies keys and values.  Their _private is a delivery, which must not end
 * before the caller has added what was taken to its pending: each report
 * counts that down and releases the reservation.  Returns how many were
 * taken; the others have their err set, and nothing has changed for them.
 */
ngx_uint_t ngx_http_millrace_produce(ngx_http_millrace_producer_t *producer,
    ngx_uint_t topic, rd_kafka_message_t *messages, ngx_uint_t n);
/* Read reports; returns 0 when there are none left. */
ngx_uint_t ngx_http_millrace_producer_poll(
    ngx_http_millrace_producer_t *producer, ngx_uint_t budget, ngx_msec_t wait);
/* Fail what is queued or in flight; the reports come as ever. */
void ngx_http_millrace_producer_purge(ngx_http_millrace_producer_t *producer);
/* Let go of everything in the event loop and tell the thread to destroy. */
void ngx_http_millrace_producer_close(ngx_http_millrace_producer_t *producer);
/*
 * Join the thread and free the rest: NGX_OK, or, unless `wait`, NGX_AGAIN
 * while it still works.
 */
ngx_int_t ngx_http_millrace_producer_join(
    ngx_http_millrace_producer_t *producer, ngx_uint_t wait);

/* Drop one reference; calls the handler and frees as the struct says. */
void ngx_http_millrace_delivery_done(
    ngx_http_millrace_delivery_t *delivery, rd_kafka_resp_err_t err);


/*
 * ngx_http_millrace_probe.c: the thread of a producer that does what may
 * block: asks a broker for the topics' metadata, and destroys the handle.
 */

ngx_http_millrace_probe_t *ngx_http_millrace_probe_start(rd_kafka_t *rk,
    rd_kafka_topic_t **topics, ngx_uint_t ntopics, ngx_log_t *log);
/* The topic's state; *ret_since: since when it is so (mr_time_monotonic). */
ngx_http_millrace_state_t ngx_http_millrace_probe_state(
    ngx_http_millrace_probe_t *probe, ngx_uint_t topic, int64_t *ret_since);
/* How many partitions the topic had when last asked for; 0: not known. */
ngx_uint_t ngx_http_millrace_probe_partitions(
    ngx_http_millrace_probe_t *probe, ngx_uint_t topic);
/* No more questions: what is under way ends within half a second. */
void ngx_http_millrace_probe_quiet(ngx_http_millrace_probe_t *probe);
/* From here on the thread owns rk and topics and destroys them. */
void ngx_http_millrace_probe_stop(ngx_http_millrace_probe_t *probe);
ngx_int_t ngx_http_millrace_probe_join(
    ngx_http_millrace_probe_t *probe, ngx_uint_t wait);

#endif /* NGX_HTTP_MILLRACE_H */
