/*
 * The recent messages of the live stream, bounded in number and in bytes,
 * the position of a listener among them, and the text form of a position
 * (`id`, Last-Event-ID).  Pure: no Kafka, no HTTP, no clock; the caller's
 * lock.
 *
 * A position is, for each partition of the topic, the offset and the time of
 * the last record behind it.  Offsets mean the same in every query daemon, so
 * a client may come back to another one; the time tells a topic that was
 * created anew.
 */
#ifndef MILLRACE_QUERY_STREAM_RING_H
#define MILLRACE_QUERY_STREAM_RING_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/str.h>

#include "stream_filter.h"
#include "stream_message.h"


/* As many as kafka_tail.h follows. */
#define MR_STREAM_PARTITIONS 64

/* Room for the text of any position, with its NUL. */
#define MR_STREAM_ID_SIZE (MR_STREAM_PARTITIONS * 42)


typedef struct {
    int64_t offset;
    int64_t time; /* ms; 0: not known */
} mr_stream_at_t;

typedef struct {
    mr_stream_message_t **slots;
    size_t size; /* a power of two */
    size_t bytes;
    size_t bytes_max;
    uint64_t tail; /* number of the oldest message */
    uint64_t head; /* number that the next one gets */

    size_t partitions;
    mr_stream_at_t floor[MR_STREAM_PARTITIONS]; /* last one not here */
    mr_stream_at_t last[MR_STREAM_PARTITIONS];
} mr_stream_ring_t;

/* Where a listener is.  Belongs to one ring since its last reset. */
typedef struct {
    uint64_t next;
    int resumed; /* what lies at or below `skip` was had already */
    int64_t skip[MR_STREAM_PARTITIONS];
} mr_stream_cursor_t;

typedef enum {
    MR_STREAM_FOUND,
    MR_STREAM_NONE, /* nothing yet that matches */
    MR_STREAM_LOST  /* the ring went on without this listener */
} mr_stream_next_t;


/* `size` messages, a power of two.  -1 on out of memory. */
int mr_stream_ring_init(mr_stream_ring_t *ring, size_t size, size_t bytes_max);
void mr_stream_ring_free(mr_stream_ring_t *ring);

/*
 * Forget all messages; numbers go on.  `firsts` are the offsets that will be
 * read first.
 */
void mr_stream_ring_reset(
    mr_stream_ring_t *ring, size_t partitions, const int64_t *firsts);

/* Note that a record was read of which no message was made. */
void mr_stream_ring_pass(
    mr_stream_ring_t *ring, size_t partition, int64_t offset, int64_t time);

/*
 * Take a message with its reference; the oldest make room.  The position is
 * behind it from now on.
 */
void mr_stream_ring_push(mr_stream_ring_t *ring, mr_stream_message_t *message);

/*
 * The next message that matches, which stays the ring's own: *ret_message.
 * The cursor moves over what does not match, and stands on what does.
 */
mr_stream_next_t mr_stream_ring_next(const mr_stream_ring_t *ring,
    mr_stream_cursor_t *cursor, const mr_stream_filter_t *filter,
    mr_stream_message_t **ret_message);

/* A cursor behind the newest message. */
void mr_stream_ring_end(
    const mr_stream_ring_t *ring, mr_stream_cursor_t *ret_cursor);

/*
 * The text of a position, such as the ring's `last`, into MR_STREAM_ID_SIZE
 * bytes.
 */
mr_str_t mr_stream_id(const mr_stream_at_t *at, size_t partitions, char *buf);

/*
 * A cursor at the position that `id` tells.  -1 if that is no position, or
 * not one of this log, or some of what followed is not here any more.
 */
int mr_stream_ring_resume(const mr_stream_ring_t *ring, const char *id,
    mr_stream_cursor_t *ret_cursor);

#endif /* MILLRACE_QUERY_STREAM_RING_H */
