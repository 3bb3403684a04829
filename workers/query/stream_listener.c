#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <millrace/time.h>

#include "stream_private.h"


/*
 * ms without anything to send after which a comment is.  A sweep takes place
 * every second, so it comes within 15.
 */
#define MR_STREAM_BEAT 14000

/* What a client is asked to wait before it comes back, ms. */
#define MR_STREAM_RETRY 2000

/*
 * Bytes that the kernel may hold for a listener that does not take them; by
 * itself it would go up to some megabytes.
 */
#define MR_STREAM_UNSENT (128 * 1024)

#define MR_STREAM_RESET_OLD                                                    \
    "the position is not, or no longer, among the recent windows"
#define MR_STREAM_RESET_TOPIC                                                  \
    "the topic of the windows does not hold what comes next"
#define MR_STREAM_DROPPED "windows came faster than this listener took them"


static ssize_t listener_read(mr_flow_t *flow, char *buf, size_t size);
static void listener_close(mr_flow_t *flow);
static void listener_bound(const mr_stream_listener_t *listener);
static int listener_begin(mr_stream_listener_t *listener, const char *last);
static int listener_due(mr_stream_listener_t *listener);
static int listener_next(mr_stream_listener_t *listener);
static int listener_reset(mr_stream_listener_t *listener, const char *reason);
static int listener_position(mr_stream_listener_t *listener);
static size_t listener_copy(
    char *buf, size_t size, const char *text, size_t len, size_t *at);
static void listener_resume(mr_stream_listener_t *listener);


static const mr_flow_type_t listener_type = {
    listener_read,
    listener_close,
};


int
mr_stream_listen(mr_stream_t *stream, mr_stream_filter_t *filter,
    const char *last, mr_flow_t **ret_flow, mr_error_t *err)
{
    int rc;
    mr_stream_listener_t *listener;

    listener = calloc(1, sizeof(mr_stream_listener_t));

    if (listener == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    listener->flow.type = &listener_type;
    listener->stream = stream;
    listener->sent = mr_time_monotonic();

    pthread_mutex_lock(&stream->mutex);

    if (stream->stopping) {
        rc = mr_error_set(err, MR_ERROR_POLICY, NULL,
            "the query daemon is being stopped; try again");

    } else if (!stream->ready) {
        rc = mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "the stream has no position yet: Kafka, or the topic of the "
            "statistics, is away; try again");

    } else if (stream->n_listeners >= stream->options->query.stream_listeners) {
        rc = mr_error_set(err, MR_ERROR_POLICY, NULL,
            "there are as many listeners as there may be "
            "(stream_listeners); try again later, or ask GET /stats");

    } else {
        rc = listener_begin(listener, last);

        if (rc != 0) {
            (void) mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }
    }

    if (rc == 0) {
        listener->filter = *filter;
        memset(filter, 0, sizeof(mr_stream_filter_t));

        listener->next = stream->listeners;

        if (listener->next != NULL) {
            listener->next->prev = listener;
        }

        stream->listeners = listener;
        stream->n_listeners++;
        mr_metric_set(stream->metrics.listeners, (double) stream->n_listeners);
    }

    pthread_mutex_unlock(&stream->mutex);

    if (rc != 0) {
        mr_metric_add(stream->metrics.refused, 1);
        mr_buf_free(&listener->note);
        free(listener);
        return -1;
    }

    *ret_flow = &listener->flow;

    return 0;
}


void
mr_stream_wake(mr_stream_t *stream)
{
    mr_stream_listener_t *listener;

    for (listener = stream->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->waiting && listener_due(listener)) {
            listener_resume(listener);
        }
    }
}


/* Whether there is anything to send. */
static int
listener_due(mr_stream_listener_t *listener)
{
    mr_stream_t *stream;
    mr_stream_message_t *message;

    stream = listener->stream;

    if (stream->stopping) {
        return 1;
    }

    if (listener->epoch != stream->epoch) {
        return stream->ready;
    }

    return mr_stream_ring_next(
               &stream->ring, &listener->cursor, &listener->filter, &message)
           != MR_STREAM_NONE;
}


void
mr_stream_sweep(mr_stream_t *stream)
{
    int64_t now;
    mr_stream_listener_t *listener;

    now = mr_time_monotonic();

    for (listener = stream->listeners; listener != NULL;
         listener = listener->next) {
        if (!listener->waiting) {
            continue;
        }

        listener->left = mr_flow_left(&listener->flow);
        listener->beat = now - listener->sent >= MR_STREAM_BEAT;

        if (listener->left || listener->beat) {
            listener_resume(listener);
        }
    }
}


/* In a thread of the HTTP server. */
static ssize_t
listener_read(mr_flow_t *flow, char *buf, size_t size)
{
    ssize_t rc;
    size_t n;
    mr_stream_t *stream;
    mr_stream_listener_t *listener;

    listener = (mr_stream_listener_t *) flow;
    stream = listener->stream;
    n = 0;
    rc = MR_FLOW_WAIT;

    if (!listener->bound) {
        listener->bound = 1;
        listener_bound(listener);
    }

    pthread_mutex_lock(&stream->mutex);

    while (n < size && !listener->left) {

        if (listener->note_at < listener->note.len) {
            n += listener_copy(buf + n, size - n, listener->note.data,
                listener->note.len, &listener->note_at);
            continue;
        }

        if (listener->message != NULL) {
            n += listener_copy(buf + n, size - n, listener->message->text,
                listener->message->len, &listener->message_at);

            if (listener->message_at == listener->message->len) {
                mr_stream_message_unref(listener->message);
                listener->message = NULL;
            }

            continue;
        }

        if (listener->ending || stream->stopping) {
            rc = MR_FLOW_END;
            break;
        }

        rc = listener_next(listener);

        if (rc <= 0) {
            break;
        }
    }

    if (listener->left || rc == MR_FLOW_CUT) {
        rc = MR_FLOW_CUT;

    } else if (n > 0) {
        listener->sent = mr_time_monotonic();
        rc = (ssize_t) n;

    } else if (rc == MR_FLOW_WAIT) {
        listener->waiting = 1;
        mr_flow_suspend(flow);
    }

    pthread_mutex_unlock(&stream->mutex);

    return rc;
}


static void
listener_close(mr_flow_t *flow)
{
    mr_stream_t *stream;
    mr_stream_listener_t *listener;

    listener = (mr_stream_listener_t *) flow;
    stream = listener->stream;

    pthread_mutex_lock(&stream->mutex);

    if (listener->prev != NULL) {
        listener->prev->next = listener->next;

    } else {
        stream->listeners = listener->next;
    }

    if (listener->next != NULL) {
        listener->next->prev = listener->prev;
    }

    stream->n_listeners--;
    mr_metric_set(stream->metrics.listeners, (double) stream->n_listeners);

    pthread_mutex_unlock(&stream->mutex);

    mr_stream_message_unref(listener->message);
    mr_stream_filter_free(&listener->filter);
    mr_buf_free(&listener->note);
    free(listener);
}


static void
listener_bound(const mr_stream_listener_t *listener)
{
    int size = MR_STREAM_UNSENT;

    /* Without it, it costs more memory and works as well. */
    (void) setsockopt(
        listener->flow.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}


/*
 * The first lines, which take the header along to the client at once, and
 * give it a position even if it never gets a window.
 */
static int
listener_begin(mr_stream_listener_t *listener, const char *last)
{
    mr_stream_t *stream;

    stream = listener->stream;
    listener->epoch = stream->epoch;

    if (mr_buf_printf(
            &listener->note, ": millrace\nretry: %d\n", MR_STREAM_RETRY)
        != 0)
    {
        return -1;
    }

    mr_stream_ring_end(&stream->ring, &listener->cursor);

    if (last == NULL) {
        return listener_position(listener);
    }

    if (mr_stream_ring_resume(&stream->ring, last, &listener->cursor) == 0) {
        return mr_buf_append(&listener->note, "\n", 1);
    }

    return listener_reset(listener, MR_STREAM_RESET_OLD);
}


/* What to send next: 1, or 0 if there is nothing, or MR_FLOW_CUT. */
static int
listener_next(mr_stream_listener_t *listener)
{
    int rc;
    mr_stream_t *stream;
    mr_stream_message_t *message;

    stream = listener->stream;
    message = NULL;

    mr_buf_reset(&listener->note);
    listener->note_at = 0;

    /* What there was is read first, and is no news to who has been here. */
    if (listener->epoch != stream->epoch && !stream->ready) {

        if (!listener->beat) {
            return 0;
        }

        listener->beat = 0;

        return mr_buf_append(&listener->note, ":\n\n", 3) == 0 ? 1
                                                               : MR_FLOW_CUT;
    }

    if (listener->epoch != stream->epoch) {
        listener->epoch = stream->epoch;
        mr_stream_ring_end(&stream->ring, &listener->cursor);

        return listener_reset(listener, MR_STREAM_RESET_TOPIC) == 0
                   ? 1
                   : MR_FLOW_CUT;
    }

    switch (mr_stream_ring_next(
        &stream->ring, &listener->cursor, &listener->filter, &message))
    {
    case MR_STREAM_FOUND:
        mr_stream_message_ref(message);
        listener->message = message;
        listener->message_at = 0;
        listener->cursor.next++;
        mr_metric_add(stream->metrics.sent, 1);
        return 1;

    case MR_STREAM_LOST:
        listener->ending = 1;
        mr_metric_add(stream->metrics.dropped, 1);
        rc = mr_buf_printf(&listener->note,
            "event: dropped\ndata: {\"reason\":\"" MR_STREAM_DROPPED "\"}\n\n");
        break;

    default:
        if (!listener->beat) {
            return 0;
        }

        listener->beat = 0;
        rc = mr_buf_append(&listener->note, ":\n", 2);
        rc |= listener_position(listener);
        break;
    }

    return rc == 0 ? 1 : MR_FLOW_CUT;
}


static int
listener_reset(mr_stream_listener_t *listener, const char *reason)
{
    mr_metric_add(listener->stream->metrics.resets, 1);

    if (mr_buf_printf(&listener->note,
            "event: reset\ndata: {\"reason\":\"%s\"}\n", reason)
        != 0)
    {
        return -1;
    }

    return listener_position(listener);
}


/*
 * An `id` without `data` moves the client's Last-Event-ID and is no event.
 * Right only for a listener that stands at the ring's end.
 */
static int
listener_position(mr_stream_listener_t *listener)
{
    char text[MR_STREAM_ID_SIZE];
    mr_str_t id;
    const mr_stream_ring_t *ring;

    ring = &listener->stream->ring;
    id = mr_stream_id(ring->last, ring->partitions, text);

    if (mr_buf_printf(&listener->note, "id: ") != 0
        || mr_buf_append(&listener->note, id.data, id.len) != 0
        || mr_buf_append(&listener->note, "\n\n", 2) != 0)
    {
        return -1;
    }

    return 0;
}


static size_t
listener_copy(char *buf, size_t size, const char *text, size_t len, size_t *at)
{
    size_t n;

    n = len - *at < size ? len - *at : size;

    memcpy(buf, text + *at, n);
    *at += n;

    return n;
}


static void
listener_resume(mr_stream_listener_t *listener)
{
    listener->waiting = 0;
    mr_flow_resume(&listener->flow);
}
