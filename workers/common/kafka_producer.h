/*
 * Producing records that must not be lost, a batch at a time: idempotent,
 * acks=all, and done only when the brokers have acknowledged every one.  Used
 * for dead letters, which are rare: it is built for certainty, not for speed.
 */
#ifndef MILLRACE_KAFKA_PRODUCER_H
#define MILLRACE_KAFKA_PRODUCER_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "options.h"


#define MR_LETTER_HEADERS 4


typedef struct mr_producer_s mr_producer_t;

typedef struct {
    const char *name;
    mr_str_t value;
} mr_header_t;

/* A record to be produced; data NULL: it has no key, or no value. */
typedef struct {
    mr_str_t key;
    mr_str_t value;
    mr_header_t headers[MR_LETTER_HEADERS];
} mr_letter_t;


/* It connects lazily.  Fails with MR_ERROR_CONFIG or MR_ERROR_MEMORY. */
int mr_producer_open(const mr_options_t *options, const char *client_id,
    const char *topic, mr_producer_t **ret_producer, mr_error_t *err);
void mr_producer_close(mr_producer_t *producer);

/*
 * Produce one record; its bytes are copied.  Between begin and end, which
 * lock the producer for one thread; the calls of a batch must not nest.
 * After a failure the whole batch is to be produced again: what arrived
 * already is then there twice.  mr_producer_end() waits for all of the batch
 * and fails when nothing of it has arrived for `timeout` ms, or, once
 * patient(ctx) says 0, when not all of it arrives within that time.  It asks
 * that in its own thread, as often as something has arrived.
 * Fails with MR_ERROR_KAFKA.  Any thread.
 */
int mr_producer_begin(mr_producer_t *producer, mr_error_t *err);
int mr_producer_send(
    mr_producer_t *producer, const mr_letter_t *letter, mr_error_t *err);
int mr_producer_end(mr_producer_t *producer, int64_t timeout,
    int (*patient)(void *ctx), void *ctx, mr_error_t *err);

#endif /* MILLRACE_KAFKA_PRODUCER_H */
