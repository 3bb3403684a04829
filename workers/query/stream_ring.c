#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_ring.h"


static mr_stream_message_t **mr_stream_slot(
    const mr_stream_ring_t *ring, uint64_t number);
static void mr_stream_evict(mr_stream_ring_t *ring);
static int mr_stream_parse(
    const char *id, size_t partitions, mr_stream_at_t *ret_at);
static int mr_stream_number(
    const char **p, char end, int may_be_last, int64_t *ret_value);
static int mr_stream_known(
    const mr_stream_ring_t *ring, const mr_stream_at_t *at);


int
mr_stream_ring_init(mr_stream_ring_t *ring, size_t size, size_t bytes_max)
{
    memset(ring, 0, sizeof(mr_stream_ring_t));

    ring->slots = calloc(size, sizeof(mr_stream_message_t *));
    ring->size = size;
    ring->bytes_max = bytes_max;

    return ring->slots != NULL ? 0 : -1;
}


void
mr_stream_ring_free(mr_stream_ring_t *ring)
{
    while (ring->tail < ring->head) {
        mr_stream_evict(ring);
    }

    free(ring->slots);
    ring->slots = NULL;
}


void
mr_stream_ring_reset(
    mr_stream_ring_t *ring, size_t partitions, const int64_t *firsts)
{
    size_t i;

    while (ring->tail < ring->head) {
        mr_stream_evict(ring);
    }

    ring->partitions = partitions;

    for (i = 0; i < partitions; i++) {
        ring->floor[i].offset = firsts[i] - 1;
        ring->floor[i].time = 0;
        ring->last[i] = ring->floor[i];
    }
}


void
mr_stream_ring_pass(
    mr_stream_ring_t *ring, size_t partition, int64_t offset, int64_t time)
{
    ring->last[partition].offset = offset;
    ring->last[partition].time = time;
}


void
mr_stream_ring_push(mr_stream_ring_t *ring, mr_stream_message_t *message)
{
    while (ring->head - ring->tail == ring->size
           || (ring->tail < ring->head
               && ring->bytes + message->len > ring->bytes_max))
    {
        mr_stream_evict(ring);
    }

    *mr_stream_slot(ring, ring->head) = message;
    ring->bytes += message->len;
    ring->head++;

    mr_stream_ring_pass(
        ring, message->partition, message->offset, message->time);
}


mr_stream_next_t
mr_stream_ring_next(const mr_stream_ring_t *ring, mr_stream_cursor_t *cursor,
    const mr_stream_filter_t *filter, mr_stream_message_t **ret_message)
{
    mr_stream_message_t *message;

    if (cursor->next < ring->tail) {
        return MR_STREAM_LOST;
    }

    for (/* void */; cursor->next < ring->head; cursor->next++) {
        message = *mr_stream_slot(ring, cursor->next);

        if (cursor->resumed
            && message->offset <= cursor->skip[message->partition]) {
            continue;
        }

        if (mr_stream_filter_match(filter, message)) {
            *ret_message = message;
            return MR_STREAM_FOUND;
        }
    }

    return MR_STREAM_NONE;
}


void
mr_stream_ring_end(const mr_stream_ring_t *ring, mr_stream_cursor_t *ret_cursor)
{
    ret_cursor->next = ring->head;
    ret_cursor->resumed = 0;
}


mr_str_t
mr_stream_id(const mr_stream_at_t *at, size_t partitions, char *buf)
{
    int n;
    size_t i;
    mr_str_t id;

    id.data = buf;
    id.len = 0;

    for (i = 0; i < partitions; i++) {
        n = snprintf(buf + id.len, MR_STREAM_ID_SIZE - id.len,
            "%s%" PRId64 ":%" PRId64, i > 0 ? "," : "", at[i].offset,
            at[i].time);

        if (n > 0 && (size_t) n < MR_STREAM_ID_SIZE - id.len) {
            id.len += (size_t) n;
        }
    }

    return id;
}


int
mr_stream_ring_resume(const mr_stream_ring_t *ring, const char *id,
    mr_stream_cursor_t *ret_cursor)
{
    size_t i;
    uint64_t number;
    mr_stream_at_t at[MR_STREAM_PARTITIONS];
    const mr_stream_at_t *seen;
    mr_stream_cursor_t cursor;
    const mr_stream_message_t *message;

    if (mr_stream_parse(id, ring->partitions, at) == -1
        || !mr_stream_known(ring, at))
    {
        return -1;
    }

    memset(&cursor, 0, sizeof(cursor));
    cursor.next = ring->head;
    cursor.resumed = 1;

    for (i = 0; i < ring->partitions; i++) {
        cursor.skip[i] = at[i].offset;
    }

    /* From the newest back: who comes back was seldom away for long. */
    for (number = ring->head; number-- > ring->tail; /* void */) {
        message = *mr_stream_slot(ring, number);
        seen = &at[message->partition];

        if (message->offset > seen->offset) {
            cursor.next = number;
            continue;
        }

        if (message->offset == seen->offset && seen->time != 0
            && message->time != seen->time)
        {
            return -1;
        }

        if (ring->partitions == 1) {
            break;
        }
    }

    *ret_cursor = cursor;

    return 0;
}


static mr_stream_message_t **
mr_stream_slot(const mr_stream_ring_t *ring, uint64_t number)
{
    return &ring->slots[number & (ring->size - 1)];
}


static void
mr_stream_evict(mr_stream_ring_t *ring)
{
    mr_stream_message_t **slot;

    slot = mr_stream_slot(ring, ring->tail);

    ring->floor[(*slot)->partition].offset = (*slot)->offset;
    ring->floor[(*slot)->partition].time = (*slot)->time;
    ring->bytes -= (*slot)->len;
    ring->tail++;

    mr_stream_message_unref(*slot);
    *slot = NULL;
}


static int
mr_stream_parse(const char *id, size_t partitions, mr_stream_at_t *ret_at)
{
    int last;
    size_t i;

    for (i = 0; i < partitions; i++) {
        last = i + 1 == partitions;

        if (mr_stream_number(&id, ':', 0, &ret_at[i].offset) == -1
            || mr_stream_number(&id, ',', last, &ret_at[i].time) == -1)
        {
            return -1;
        }
    }

    return partitions > 0 ? 0 : -1;
}


/* A number and what ends it: `end`, or where it may be the last, the text's. */
static int
mr_stream_number(const char **p, char end, int may_be_last, int64_t *ret_value)
{
    char *rest;
    long long value;

    if (!isdigit((unsigned char) **p)
        && !(**p == '-' && isdigit((unsigned char) (*p)[1])))
    {
        return -1;
    }

    errno = 0;
    value = strtoll(*p, &rest, 10);

    if (errno != 0 || *rest != (may_be_last ? '\0' : end)) {
        return -1;
    }

    *p = may_be_last ? rest : rest + 1;
    *ret_value = value;

    return 0;
}


/*
 * Nothing that followed was lost.  A position ahead of what was read here is
 * one that another daemon gave; then its record is newer than all of these,
 * where in a topic that was created anew it would be older.
 */
static int
mr_stream_known(const mr_stream_ring_t *ring, const mr_stream_at_t *at)
{
    size_t i;
    const mr_stream_at_t *floor, *last;

    for (i = 0; i < ring->partitions; i++) {
        floor = &ring->floor[i];
        last = &ring->last[i];

        if (at[i].offset < floor->offset
            || (at[i].offset == floor->offset && at[i].time != 0
                && floor->time != 0 && at[i].time != floor->time)
            || (at[i].offset > last->offset
                && (last->time == 0 || at[i].time < last->time))
            || (at[i].offset == last->offset && at[i].time != 0
                && last->time != 0 && at[i].time != last->time))
        {
            return 0;
        }
    }

    return 1;
}
