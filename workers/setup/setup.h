/*
 * millrace-setup: what Kafka and MongoDB must hold before the daemons start.
 * One shot and idempotent: it looks, mends what differs, and says what it
 * did, one line each on standard output.  One thread.
 */
#ifndef MILLRACE_SETUP_H
#define MILLRACE_SETUP_H

#include <stdint.h>

#include <millrace/error.h>

#include "../common/options.h"


typedef struct {
    const mr_options_t *options;
    int64_t deadline;    /* of mr_time_monotonic() */
    int initiate;        /* a one-member replica set */
    int add_partitions;  /* the operator accepts the cost */
    int lower_retention; /* of topics, likewise */
} mr_setup_t;


/* Say what was done: "topic events: created with 8 partitions". */
void mr_setup_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * The topics of docs/data-model.md.  Fails with MR_ERROR_KAFKA,
 * MR_ERROR_TIMEOUT or MR_ERROR_CONFIG (partitions would have to be added, or
 * min.insync.replicas could never be met).
 */
int mr_setup_topics(const mr_setup_t *setup, mr_error_t *err);

#endif /* MILLRACE_SETUP_H */
