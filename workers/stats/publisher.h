/*
 * The producer of the statistics topic: idempotent, acks=all.  It tells an
 * observer of every message's fate.
 *
 * The only file of this daemon that knows librdkafka.  One thread: the
 * observer is called from within mr_publisher_poll(), mr_publisher_send() and
 * mr_publisher_close().
 */
#ifndef MILLRACE_STATS_PUBLISHER_H
#define MILLRACE_STATS_PUBLISHER_H

#include <stdbool.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "../common/options.h"


typedef struct mr_publisher_s mr_publisher_t;

/*
 * A message was acknowledged by all in-sync replicas (`error` is NULL), or
 * was not, as far as is known.  `item` is what mr_publisher_send() was given.
 */
typedef void (*mr_publisher_observer_t)(
    void *ctx, void *item, const char *error);


/*
 * `timeout`: ms until a message that is not acknowledged is given up.
 * Success does not mean that Kafka is there.  Fails with MR_ERROR_CONFIG.
 */
int mr_publisher_open(const mr_options_t *options, int64_t timeout,
    mr_publisher_observer_t observer, void *ctx, mr_publisher_t **ret_publisher,
    mr_error_t *err);

/* Gives up what is pending, telling the observer.  NULL is allowed. */
void mr_publisher_close(mr_publisher_t *publisher);

/*
 * Hand a message over; key and value are copied.  Fails with MR_ERROR_KAFKA,
 * or with MR_ERROR_TIMEOUT when the local queue is full: poll, then repeat.
 */
int mr_publisher_send(mr_publisher_t *publisher, mr_str_t key, mr_str_t value,
    void *item, mr_error_t *err);

/* Wait at most `ms` for something to tell the observer. */
void mr_publisher_poll(mr_publisher_t *publisher, int ms);

/*
 * Whether the topic can be written to, as far as a broker says within `ms`.
 * Fails with MR_ERROR_KAFKA.
 */
int mr_publisher_ready(mr_publisher_t *publisher, int ms, mr_error_t *err);

/* Messages whose fate the observer does not know yet. */
size_t mr_publisher_pending(const mr_publisher_t *publisher);

/* Beyond repair: it must be closed and opened anew. */
bool mr_publisher_failed(const mr_publisher_t *publisher);

#endif /* MILLRACE_STATS_PUBLISHER_H */
