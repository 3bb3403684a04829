/*
 * The resources of the query daemon: a table from path to handler (the
 * factory of answers), and what a handler is given.
 */
#ifndef MILLRACE_QUERY_ROUTE_H
#define MILLRACE_QUERY_ROUTE_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/receipt.h>
#include <millrace/str.h>

#include "../common/options.h"
#include "crew.h"
#include "health.h"
#include "reply.h"
#include "store.h"
#include "stream.h"


struct mr_pool_s;


/* What all requests share; lives as long as the server. */
typedef struct {
    const mr_options_t *options;
    mr_crew_t *crew;
    mr_store_t *store;
    mr_health_t *health;
    mr_stream_t *stream;
} mr_app_t;


/* Views are valid until the answer is given. */
typedef struct {
    const char *method;
    mr_str_t path;
    mr_str_t query;            /* behind the '?', still encoded */
    const char *ingest;        /* header Millrace-Ingest, or NULL */
    const char *if_none_match; /* header If-None-Match, or NULL */
    const char *last_event_id; /* header Last-Event-ID, or NULL */
    const char *accept;        /* header Accept, all of them, or NULL */
    int64_t timeout;           /* ms, of which deadline was made */
    int64_t deadline;          /* mr_time_monotonic() */
    struct mr_pool_s *pool;    /* where pieces of an answer are made */
    void *owner;               /* of a piece (relay.c) */

    /* Non-zero, with *err filled, once nobody waits for the answer. */
    int (*stopped)(void *ctx, mr_error_t *err);
    void *ctx;
} mr_request_t;


/* Always makes a reply.  Called in any thread, many at once. */
typedef void(mr_handler_t)(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply);


/*
 * What a request has to wait for before its handler is called: 1 with
 * *ret_after set, 0 for nothing, -1 with `reply` made when it need not be
 * called at all.  Asks nobody.  Any thread.
 */
typedef int(mr_prepare_t)(const mr_app_t *app, const mr_request_t *request,
    mr_receipt_t *ret_after, mr_reply_t *reply);


typedef struct {
    const char *path;
    const char *allow; /* header Allow of a 405 */
    int blocking;      /* asks MongoDB: runs on a query thread */
    mr_handler_t *handler;
    mr_prepare_t *prepare; /* of a blocking one; or NULL */
    int held; /* seconds that nginx may hold a problem for others who ask */
} mr_route_t;


/*
 * The route of a request, or NULL with `reply` made: 404, 405, or the answer
 * to OPTIONS where Allow names it.
 */
const mr_route_t *mr_route_find(const mr_request_t *request, mr_reply_t *reply);

#endif /* MILLRACE_QUERY_ROUTE_H */
