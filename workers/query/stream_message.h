/*
 * A window of the `event-stats` topic as a message of the live stream:
 * rendered once, and shared by all who send it.
 *
 * The text is a whole server-sent event (HTML, 9.2): `event: window`, the
 * window as `data`, and as `id` the position behind it.  The window is the
 * record's value without its sketches: those of one busy hour are larger
 * than everything else that a listener is sent in a minute.  Who merges
 * sketches subscribes to Kafka.
 */
#ifndef MILLRACE_QUERY_STREAM_MESSAGE_H
#define MILLRACE_QUERY_STREAM_MESSAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include <millrace/hash.h>
#include <millrace/str.h>

#include "../common/options.h"
#include "../common/window.h"


/* Nothing but `refs` changes once it is made. */
typedef struct {
    atomic_uint refs;
    size_t partition;
    int64_t offset;
    int64_t time; /* of the record, ms */

    mr_hash_t event_type;
    mr_width_t width;
    uint32_t measures; /* bit i: it carries the i-th measure */

    size_t len;
    char text[];
} mr_stream_message_t;


/*
 * A message with one reference from a record's value; `id` is what a client
 * is to send back as Last-Event-ID.  NULL with *ret_malformed set if the
 * value is no window, or cleared on out of memory.
 */
mr_stream_message_t *mr_stream_message_create(const mr_options_t *options,
    mr_str_t value, mr_str_t id, int *ret_malformed);

/* Any thread. */
void mr_stream_message_ref(mr_stream_message_t *message);
void mr_stream_message_unref(mr_stream_message_t *message);

/*
 * Append `json`, a valid JSON text, without the members called "sketches"
 * and without the white space between tokens.  -1 on out of memory, or if it
 * is nested too deeply.
 */
int mr_stream_cut(mr_buf_t *buf, mr_str_t json);

#endif /* MILLRACE_QUERY_STREAM_MESSAGE_H */
