/*
 * The producer of the statistics topic: transactional, acks=all.  It tells an
 * observer of every message's fate.
 *
 * Transactions are there for one thing: their id is the same in all members,
 * so that Kafka takes nothing more of a publisher once another has called
 * mr_publisher_fence().  A member that was suspended with messages in its
 * queue, or in a socket, cannot send them after its successor's.  A message
 * is sent only by one who has looked, after fencing, that the lease is its
 * own: a successor fences after that, and before it sends.
 *
 * The only file of this daemon that knows librdkafka.  One thread: the
 * observer is called from within mr_publisher_poll(), mr_publisher_send(),
 * mr_publisher_commit() and mr_publisher_close().
 *
 * Calls fail with MR_ERROR_FENCED when another publisher has fenced this one,
 * and with MR_ERROR_KAFKA otherwise, unless they say more.
 */
#ifndef MILLRACE_STATS_PUBLISHER_H
#define MILLRACE_STATS_PUBLISHER_H

#include <stdbool.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "../common/options.h"


/* ms until a message that is not acknowledged is given up. */
#define MR_PUBLISHER_WAIT 2000


typedef struct mr_publisher_s mr_publisher_t;

/*
 * A message was acknowledged by all in-sync replicas (`error` is NULL), or
 * was not, as far as is known.  `item` is what mr_publisher_send() was given.
 */
typedef void (*mr_publisher_observer_t)(
    void *ctx, void *item, const char *error);


/*
 * Whether librdkafka makes a producer of [kafka] and of what is set here; it
 * connects to nothing.  Fails with MR_ERROR_CONFIG.
 */
int mr_publisher_check(const mr_options_t *options, mr_error_t *err);

/* Success does not mean that Kafka is there.  Fails with MR_ERROR_CONFIG. */
int mr_publisher_open(const mr_options_t *options,
    mr_publisher_observer_t observer, void *ctx, mr_publisher_t **ret_publisher,
    mr_error_t *err);

/*
 * Gives up what is pending, telling the observer, and the transaction that
 * was begun: who fences next ends it.  NULL is allowed.
 */
void mr_publisher_close(mr_publisher_t *publisher);

/*
 * Shut out every publisher before this one, and look whether the topic can be
 * written to.  Each takes some 100 ms at most, but who does not answer the
 * second in time is given twice as long at the next call, up to `most` ms.
 * After a failure it may be called again and goes on where it was.  Once it
 * has succeeded it does nothing.
 */
int mr_publisher_fence(mr_publisher_t *publisher, int most, mr_error_t *err);

/* Begin a transaction; fenced, and none is under way. */
int mr_publisher_begin(mr_publisher_t *publisher, mr_error_t *err);

/*
 * Commit it, when no message of it is pending and none has failed.  Takes at
 * most about `ms`; after MR_ERROR_TIMEOUT it is to be called again.  After
 * any other failure it is not known whether it was committed: close.
 */
int mr_publisher_commit(mr_publisher_t *publisher, int ms, mr_error_t *err);

/*
 * Hand a message of the transaction over; key and value are copied.  Fails
 * with MR_ERROR_TIMEOUT when the local queue is full: poll, then repeat.
 */
int mr_publisher_send(mr_publisher_t *publisher, mr_str_t key, mr_str_t value,
    void *item, mr_error_t *err);

/* Wait at most `ms` for something to tell the observer. */
void mr_publisher_poll(mr_publisher_t *publisher, int ms);

/* Messages whose fate the observer does not know yet. */
size_t mr_publisher_pending(const mr_publisher_t *publisher);

/* Beyond repair: it must be closed and opened anew. */
bool mr_publisher_failed(const mr_publisher_t *publisher);

/* Another publisher has fenced this one. */
bool mr_publisher_fenced(const mr_publisher_t *publisher);

#endif /* MILLRACE_STATS_PUBLISHER_H */
