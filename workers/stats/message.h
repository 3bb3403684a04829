/*
 * The text of a window on Kafka: a pure function of the stored document, so
 * that a revision that is sent twice is the same byte for byte.
 *
 * It is written with core's JSON functions rather than through a library's
 * tree: the order of keys and the text of doubles are then ours to keep, and
 * do not change with a library's version.
 *
 *   key    page_view|1m|1700000040
 *   value  {"schema":1,"event_type":"page_view","width":"1m",
 *           "start":1700000040,"end":1700000100,"count":3,"rate":0.05,
 *           "measures":{"value":{"count":2,"sum":3.5,"average":1.75,
 *           "min":1.0,"max":2.5}},"revision":2,"final":false}
 *
 * (without the line breaks).  docs/event-stats.md explains the fields.
 */
#ifndef MILLRACE_STATS_MESSAGE_H
#define MILLRACE_STATS_MESSAGE_H

#include "merged.h"


#define MR_MESSAGE_SCHEMA 1


/* Each appends to `buf`; 0, or -1 on out of memory. */
int mr_message_key(mr_buf_t *buf, const mr_window_key_t *key);
int mr_message_value(mr_buf_t *buf, const mr_merged_t *window);

#endif /* MILLRACE_STATS_MESSAGE_H */
