/*
 * One POST on its way: what the files that handle a request share
 * (ngx_http_millrace_request.c, _body.c, _judge.c and _outbox.c).
 */
#ifndef NGX_HTTP_MILLRACE_REQUEST_H
#define NGX_HTTP_MILLRACE_REQUEST_H

#include "ngx_http_millrace.h"


typedef enum {
    NGX_HTTP_MILLRACE_READING,
    NGX_HTTP_MILLRACE_LOADING,
    NGX_HTTP_MILLRACE_INFLATING,
    NGX_HTTP_MILLRACE_JUDGING,
    NGX_HTTP_MILLRACE_PRODUCING,
    NGX_HTTP_MILLRACE_WAITING
} ngx_http_millrace_phase_t;


typedef struct ngx_http_millrace_request_s ngx_http_millrace_request_t;


/* An event that will be produced: its bytes in the body, and its key. */
typedef struct {
    mr_str_t value;
    mr_str_t key;
    ngx_http_millrace_request_t *request;
    ngx_queue_t link; /* in its lane of the outbox; next is NULL: in none */
} ngx_http_millrace_event_t;


struct ngx_http_millrace_request_s {
    ngx_http_millrace_ctx_t ctx; /* must be first */
    ngx_http_request_t *request;
    ngx_http_millrace_worker_t *worker;
    ngx_http_millrace_loc_conf_t *conf;
    ngx_http_millrace_phase_t phase;
    ngx_event_t timer; /* of the body, then of the acknowledgement */
    ngx_event_t turn;
    mr_format_t format;
    mr_coding_t coding;

    mr_str_t body;
    u_char *copy;      /* the body, where nginx does not have it in one piece */
    ngx_chain_t *link; /* loading, inflating: the next buffer to take */
    off_t offset;      /* and how much of it was taken */
    size_t loaded;

    mr_inflate_t *inflate;
    u_char *piece;         /* of a file, to be inflated */
    mr_buf_t inflated;     /* the body then */
    size_t inflated_bytes; /* reserved for it and the decoder */

    mr_batch_t batch;
    ngx_uint_t seen;
    ngx_uint_t rejected;
    mr_buf_t errors; /* JSON text, members of an array */
    ngx_list_t *events;
    ngx_uint_t accepted;

    ngx_http_millrace_delivery_t *delivery;
    ngx_list_part_t *part; /* producing: the next event */
    ngx_uint_t next;
    ngx_uint_t partitions;   /* of the topic; 0: nobody has asked */
    ngx_uint_t held;         /* events in the outbox */
    rd_kafka_resp_err_t err; /* why librdkafka has not taken an event */
    ngx_queue_t failed;      /* in the outbox; next is NULL: it is not */
    ngx_uint_t reserved;     /* events reserved and not yet produced */
    size_t reserved_bytes;
    size_t accepted_bytes; /* of all accepted events, with their keys */
    uint64_t start;        /* microseconds: the first event was produced */

    ngx_int_t answer; /* what sending it has returned */
    unsigned lenient : 1;
    unsigned watched : 1;
    unsigned counted : 1;
    unsigned producing : 1; /* this request holds a reference to delivery */
};


/*
 * Phases.  Each returns NGX_OK when it is done, NGX_AGAIN to go on at the
 * next turn, NGX_DONE when the request waits or has ended by itself,
 * NGX_ABORT when it is answered, or the status of a special response.
 */

/* ngx_http_millrace_body.c: the body in one piece */

ngx_int_t ngx_http_millrace_body(ngx_http_millrace_request_t *req);
ngx_int_t ngx_http_millrace_load(ngx_http_millrace_request_t *req);
/* Once the events are copied, or nobody wants them. */
void ngx_http_millrace_free_copy(ngx_http_millrace_request_t *req);


/* ngx_http_millrace_inflate.c: the same where it has a Content-Encoding */

ngx_int_t ngx_http_millrace_inflate(ngx_http_millrace_request_t *req);
void ngx_http_millrace_inflate_free(ngx_http_millrace_request_t *req);


/* ngx_http_millrace_judge.c: valid or not, and is there room */

ngx_int_t ngx_http_millrace_judge(ngx_http_millrace_request_t *req);


/* ngx_http_millrace_outbox.c: events wait for their partition's turn */

/*
 * The event goes to its lane, and with it its request must stay, or withdraw
 * it.  Nothing is handed over before the next ngx_http_millrace_outbox_run().
 */
void ngx_http_millrace_outbox_add(
    ngx_http_millrace_outbox_t *outbox, ngx_http_millrace_event_t *event);
/* Hand over what is due.  No request ends in here. */
void ngx_http_millrace_outbox_run(ngx_http_millrace_outbox_t *outbox);
/*
 * The request ends: its events leave the outbox, and are handed over all the
 * same if `hand` is set.
 */
void ngx_http_millrace_outbox_withdraw(
    ngx_http_millrace_request_t *req, ngx_uint_t hand);


/* ngx_http_millrace_request.c */

/*
 * Some of its events have been handed over.  NGX_OK, or NGX_DECLINED when
 * ngx_http_millrace_request_failed() is to be called, later.
 */
ngx_int_t ngx_http_millrace_handed(ngx_http_millrace_request_t *req);
/* Answers and ends a request that is in the outbox's queue of failed ones. */
void ngx_http_millrace_request_failed(ngx_http_millrace_request_t *req);

/*
 * Keeps the outcome and what sending the answer has returned; returns
 * NGX_ABORT.
 */
ngx_int_t ngx_http_millrace_answer(ngx_http_millrace_request_t *req,
    ngx_http_millrace_counter_t outcome, ngx_int_t rc);
/* Answers 503 because of an error of librdkafka; returns NGX_ABORT. */
ngx_int_t ngx_http_millrace_answer_error(
    ngx_http_millrace_request_t *req, rd_kafka_resp_err_t err);
/* Answers what ngx_http_millrace_reserve() has refused; returns NGX_ABORT. */
ngx_int_t ngx_http_millrace_answer_no_room(
    ngx_http_millrace_request_t *req, ngx_int_t rc);
ngx_int_t ngx_http_millrace_answer_no_memory(ngx_http_millrace_request_t *req);


/* ngx_http_millrace_account.c: what became of it, for the counters */

/* Once it is answered or gone; only the first call counts. */
void ngx_http_millrace_account(ngx_http_millrace_request_t *req);
/* A clock that never steps, in microseconds. */
uint64_t ngx_http_millrace_clock(void);

#endif /* NGX_HTTP_MILLRACE_REQUEST_H */
