/*
 * An answer before it is sent, and problem details (RFC 9457): `type` is
 * about:blank, so `title` is the status' own name; `parameter` names the
 * query parameter at fault.
 */
#ifndef MILLRACE_QUERY_REPLY_H
#define MILLRACE_QUERY_REPLY_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "flow.h"


#define MR_REPLY_HEADERS 6

#define MR_TYPE_JSON "application/json"
#define MR_TYPE_NDJSON "application/x-ndjson"
#define MR_TYPE_PROBLEM "application/problem+json"


typedef struct {
    const char *name; /* static */
    char *value;      /* owned */
} mr_header_line_t;


/* Zeroed to begin with; ended with mr_reply_free(). */
typedef struct {
    unsigned status;
    const char *type; /* static; NULL without a body */
    mr_buf_t body;
    mr_flow_t *flow; /* owned; what comes instead of `body`, or NULL */
    mr_header_line_t headers[MR_REPLY_HEADERS];
    size_t n_headers;
} mr_reply_t;


void mr_reply_free(mr_reply_t *reply);

/* Fails with -1 on out of memory or when the table is full. */
int mr_reply_header(mr_reply_t *reply, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Make `reply` a problem; what it held is dropped.  `parameter` may be NULL.
 * 503 gets a Retry-After.  Never fails: without
 * memory the answer has no body.
 */
void mr_reply_problem(mr_reply_t *reply, unsigned status, const char *parameter,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Add a member to a problem.  Without memory the problem stays without it.
 */
void mr_reply_extend(mr_reply_t *reply, const char *name, const char *value);

/* The problem that an error of the query daemon's own code stands for. */
void mr_reply_error(mr_reply_t *reply, const mr_error_t *err);

#endif /* MILLRACE_QUERY_REPLY_H */
