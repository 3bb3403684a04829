/*
 * A member of a consumer group that is told where to read, for daemons that
 * keep their offsets elsewhere.  librdkafka stays behind this header.
 *
 * Each assigned partition is a source with a queue of its own, so that
 * several threads read different sources at once.  What is read ahead is
 * bounded a source (queued.max.messages.kbytes), which is the back-pressure:
 * a source that is not read is not fetched.
 *
 * Offsets are given within the assignment itself, never by a later seek, and
 * come from the observer alone.  Nothing is committed to Kafka but for
 * others to see the lag (mr_consumer_report).  An offset that the log does
 * not hold is reported (MR_RECORD_LOST), never reset.  Only committed records
 * are read (isolation.level=read_committed): who writes events in a
 * transaction and aborts it does not want them counted.  Every batch's
 * checksum is compared (check.crcs).
 *
 * Threads: open, poll, restart and close by one thread, which is also the
 * one that calls the observer; each source by one thread at a time; the rest
 * by any.
 */
#ifndef MILLRACE_KAFKA_CONSUMER_H
#define MILLRACE_KAFKA_CONSUMER_H

#include <stdint.h>

#include <millrace/error.h>

#include "kafka_source.h"
#include "options.h"


typedef struct mr_consumer_s mr_consumer_t;


#define MR_CLAIM_SKIP (-1)

/* A partition that the group gave to this member. */
typedef struct {
    int32_t partition;
    mr_source_t *source;
    int64_t start; /* set by the observer: the offset to begin at, or
                      MR_CLAIM_SKIP to read nothing */
} mr_claim_t;

typedef struct {
    /*
     * These partitions are ours, with nothing read yet.  Set every `start`.
     * Returns 0, or -1 if that cannot be decided now: then nothing is read,
     * and it is called again about a second later.
     */
    int (*assign)(void *ctx, mr_claim_t *claims, size_t n);

    /*
     * They are being read from where assign() said; only from here on may the
     * sources be used, or they might give what an earlier assignment left in
     * them.  Returns 0, or -1 if that is impossible now: as above.
     */
    int (*begin)(void *ctx, const mr_claim_t *claims, size_t n);

    /*
     * All sources end: when it returns, none of them is used any more.  Also
     * after an assign() that failed.
     */
    void (*revoke)(void *ctx);
} mr_consumer_observer_t;


/*
 * Fails with MR_ERROR_CONFIG for options that a member of [writer] group
 * cannot stay one with; connects to nothing.
 */
int mr_consumer_check(const mr_options_t *options, mr_error_t *err);

/*
 * Join `group` for `topic`.  It connects lazily.  Fails with MR_ERROR_CONFIG.
 * `options`, `observer` and `ctx` must outlive the consumer.
 */
int mr_consumer_open(const mr_options_t *options, const char *client_id,
    const char *group, const char *topic,
    const mr_consumer_observer_t *observer, void *ctx,
    mr_consumer_t **ret_consumer, mr_error_t *err);

/* Revoke what is assigned, leave the group.  NULL is allowed. */
void mr_consumer_close(mr_consumer_t *consumer);

/*
 * Serve the group for up to `timeout` ms.  Returns -1 when the consumer can
 * do no more (a fenced static member, for instance): close it and open
 * another.
 */
int mr_consumer_poll(mr_consumer_t *consumer, int timeout, mr_error_t *err);

/*
 * Revoke and assign what the group gave us once more, without the group: all
 * positions are decided anew.
 */
void mr_consumer_restart(mr_consumer_t *consumer);

/*
 * Ask the partitions' leaders where their logs begin (ret_starts), and what
 * offset comes after the last committed record (ret_ends); either may be
 * NULL.  Takes at most about `timeout` ms for each.  Fails with
 * MR_ERROR_KAFKA if any of them cannot be learnt.
 */
int mr_consumer_bounds(mr_consumer_t *consumer, const int32_t *partitions,
    size_t n, int timeout, int64_t *ret_starts, int64_t *ret_ends,
    mr_error_t *err);

/*
 * What offset comes after the last record, committed or not: behind that of
 * mr_consumer_bounds() while somebody has a transaction open.  Asked over a
 * connection of its own.  Fails with MR_ERROR_KAFKA if any of them cannot be
 * learnt.
 */
int mr_consumer_written(mr_consumer_t *consumer, const int32_t *partitions,
    size_t n, int timeout, int64_t *ret_ends, mr_error_t *err);

/*
 * The brokers that lead the partitions, by id, and -1 where there is none:
 * asked over a connection of its own.  Fails with MR_ERROR_KAFKA.
 */
int mr_consumer_leaders(mr_consumer_t *consumer, const int32_t *partitions,
    size_t n, int timeout, int32_t *ret_leaders, mr_error_t *err);

/*
 * The first offset whose record, committed or not, is later than `time` (ms),
 * or -1 if there is none: asked over a connection of its own.  Fails with
 * MR_ERROR_KAFKA.
 */
int mr_consumer_after(mr_consumer_t *consumer, int32_t partition, int64_t time,
    int timeout, int64_t *ret_offset, mr_error_t *err);

/* Tell Kafka, without waiting, how far a partition has been stored. */
void mr_consumer_report(
    mr_consumer_t *consumer, int32_t partition, int64_t next);

#endif /* MILLRACE_KAFKA_CONSUMER_H */
