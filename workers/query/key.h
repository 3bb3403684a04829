/*
 * The place of an event in the order of GET /events, and a place to go on
 * from.
 *
 * Events are ordered by (timestamp, event_id bytewise, user_id bytewise,
 * partition, offset).  The epoch comes last: only in a topic that was
 * recreated can two events agree in all the rest.  No two stored events are
 * equal in all of it, so a page that goes on after a key repeats nothing.
 */
#ifndef MILLRACE_QUERY_KEY_H
#define MILLRACE_QUERY_KEY_H

#include <stdint.h>

#include <millrace/str.h>


typedef enum { MR_ORDER_DESC, MR_ORDER_ASC } mr_order_t;


/* Plain data; the strings are views that the holder must keep alive. */
typedef struct {
    int64_t time; /* ms since the epoch */
    mr_str_t event_id;
    mr_str_t user_id;
    int32_t partition;
    int64_t offset;
    int64_t epoch;
} mr_key_t;


typedef enum {
    MR_POSITION_START,    /* from the beginning of the range */
    MR_POSITION_FRONTIER, /* from key.time on, nothing of it was given yet */
    MR_POSITION_EVENT     /* after the event `key` */
} mr_position_kind_t;


typedef struct {
    mr_position_kind_t kind;
    mr_key_t key; /* FRONTIER: only its time counts */
} mr_position_t;


/*
 * < 0, 0 or > 0 as `a` comes before, at or after `b` in this order; DESC is
 * ASC reversed, ties included.  Any thread.
 */
int mr_key_cmp(const mr_key_t *a, const mr_key_t *b, mr_order_t order);

#endif /* MILLRACE_QUERY_KEY_H */
