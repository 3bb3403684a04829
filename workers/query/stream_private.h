/* What stream.c and stream_listener.c share; nobody else includes it. */
#ifndef MILLRACE_QUERY_STREAM_PRIVATE_H
#define MILLRACE_QUERY_STREAM_PRIVATE_H

#include <pthread.h>

#include "../common/kafka_tail.h"
#include "../common/metrics.h"
#include "stream.h"
#include "stream_ring.h"


typedef struct mr_stream_listener_s mr_stream_listener_t;

/* Everything but stream, filter and flow is guarded by the stream's mutex. */
struct mr_stream_listener_s {
    mr_flow_t flow; /* first: it is what the server knows */
    mr_stream_t *stream;
    mr_stream_filter_t filter;
    mr_stream_cursor_t cursor;
    uint64_t epoch;

    mr_buf_t note; /* text of its own, sent before `message` */
    size_t note_at;
    mr_stream_message_t *message; /* the one being sent, referenced */
    size_t message_at;

    int64_t sent; /* monotonic, ms: when it last had anything to send */
    int bound;    /* its socket is; the HTTP server's threads' */
    int waiting;  /* suspended */
    int beat;     /* a comment is due */
    int left;     /* the client has */
    int ending;   /* nothing comes behind what is begun */

    mr_stream_listener_t *prev;
    mr_stream_listener_t *next;
};


struct mr_stream_s {
    const mr_options_t *options;
    mr_tail_t *tail; /* the thread's */
    pthread_t thread;
    int running; /* the main thread's: the thread is to be joined */

    pthread_mutex_t mutex; /* guards all below but the metrics */
    pthread_cond_t wake;   /* stopping */
    mr_stream_ring_t ring;
    uint64_t epoch; /* one more with each reset of the ring */
    int ready;      /* the ring has a position */
    int stopping;
    mr_stream_listener_t *listeners;
    int64_t n_listeners;

    struct {
        mr_metric_t *listeners;
        mr_metric_t *windows;
        mr_metric_t *malformed;
        mr_metric_t *sent;
        mr_metric_t *dropped;
        mr_metric_t *resets;
        mr_metric_t *refused;
    } metrics;
};


/*
 * Let those go on that have something to send, after messages were pushed,
 * a ring that was reset became ready, or `stopping` was set.  With the mutex
 * held.
 */
void mr_stream_wake(mr_stream_t *stream);

/*
 * About once a second: comments for those that had nothing for long, and an
 * end for those whose clients have left.  With the mutex held.
 */
void mr_stream_sweep(mr_stream_t *stream);

#endif /* MILLRACE_QUERY_STREAM_PRIVATE_H */
