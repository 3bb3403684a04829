/* What the load generator was asked to do. */
#ifndef MR_LOAD_OPTIONS_H
#define MR_LOAD_OPTIONS_H

#include <stdint.h>

#include "workload.h"


#define MR_LOAD_HEADERS_MAX 16


typedef enum {
    MR_LOAD_RUN,      /* send to a server */
    MR_LOAD_DESCRIBE, /* print what the events are like */
    MR_LOAD_EMIT,     /* write events to standard output */
    MR_LOAD_EXPAND    /* print a sender's log as text */
} mr_load_mode_t;


typedef enum {
    MR_LOAD_NDJSON, /* one event a line */
    MR_LOAD_ARRAY,  /* a JSON array */
    MR_LOAD_JSON    /* a single object */
} mr_load_format_t;


/* Strings belong to argv. */
typedef struct {
    mr_load_mode_t mode;
    mr_workload_options_t workload;

    const char *url;
    mr_load_format_t format;
    uint32_t batch;       /* events a request */
    uint32_t connections; /* of all threads */
    uint32_t threads;
    double rate;     /* requests a second; 0: closed loop */
    double duration; /* s, measured; 0: until `events` are sent */
    double warmup;   /* s before that */
    uint64_t events; /* 0: no bound */
    double timeout;  /* s that an answer may take */
    int retry;
    double retry_wait; /* s at most before what got 503 is sent again */

    const char *headers[MR_LOAD_HEADERS_MAX];
    unsigned nheaders;

    const char *json; /* file for the result, "-" is standard output */
    const char *log;  /* file for the sender's log, or the one to expand */
    int quiet;
} mr_load_options_t;


/*
 * Parse the command line: 0; 1 if help was asked for and printed; -1 after
 * a message on standard error.
 */
int mr_load_options(int argc, char **argv, mr_load_options_t *ret_options);

#endif /* MR_LOAD_OPTIONS_H */
