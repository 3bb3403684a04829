/*
 * The live stream of statistics: one consumer of the `event-stats` topic a
 * process, fanned out to any number of listeners.
 *
 * One thread reads the topic from a few minutes back, makes each window one
 * shared message (stream_message.h) and keeps the recent ones in a ring
 * (stream_ring.h).  A listener is a place in the ring, a filter and a
 * connection: its body is made by the HTTP server's threads as fast as its
 * client takes it, and suspended while there is nothing for it.  So a
 * listener costs no thread and no copy of a message, and one that is slow
 * holds nothing up: when the ring has gone on without it, it is told so
 * (`event: dropped`) and ended.
 *
 * The ring is filled at most so fast that a message stays in it for some
 * seconds; what comes faster waits in Kafka.
 *
 * While Kafka is away no windows come and nothing is lost: reading goes on
 * where it was.  Before it has answered for the first time there is no
 * position to give, and listeners are refused.
 */
#ifndef MILLRACE_QUERY_STREAM_H
#define MILLRACE_QUERY_STREAM_H

#include <millrace/error.h>

#include "../common/options.h"
#include "flow.h"
#include "stream_filter.h"


typedef struct mr_stream_s mr_stream_t;

/*
 * Start reading [kafka] stats_topic; `options` must outlive the stream.
 * Success does not mean that Kafka is there.  Fails with MR_ERROR_CONFIG,
 * MR_ERROR_MEMORY or MR_ERROR_SYSTEM.  Main thread.
 */
int mr_stream_start(
    const mr_options_t *options, mr_stream_t **ret_stream, mr_error_t *err);

/*
 * End the body of every listener, and refuse new ones; the thread is ended
 * as well.  While the HTTP server is still there to send what is left.
 */
void mr_stream_stop(mr_stream_t *stream);

/*
 * Once all listeners' flows are closed; stops it where that was not done.
 * NULL is allowed.
 */
void mr_stream_free(mr_stream_t *stream);

/*
 * A new listener's body, which takes what `filter` holds.  `last` is the
 * header Last-Event-ID or NULL; where it does not name a position that can be
 * gone on from, the body begins with `event: reset`.  Fails, with the filter
 * left alone, with MR_ERROR_BUSY (Kafka has not answered yet, too many
 * listeners, or stopped) or MR_ERROR_MEMORY.  Any thread.
 */
int mr_stream_listen(mr_stream_t *stream, mr_stream_filter_t *filter,
    const char *last, mr_flow_t **ret_flow, mr_error_t *err);

#endif /* MILLRACE_QUERY_STREAM_H */
