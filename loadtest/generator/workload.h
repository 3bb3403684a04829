/*
 * The measured workload: an endless sequence of events.  Event i is a pure
 * function of the seed, of i and of the time it is given, so that two runs
 * send the same bytes, any thread can make any event, and an audit needs no
 * more than the numbers of what was sent.
 *
 * Users: 1,000,000 by Zipf with exponent 0.9.  event_id: a UUID version 4.
 * Types: view 60 %, click 25 %, search 8 %, add_to_cart 4 %, purchase 2 %,
 * signup 1 %.  1 % late by up to an hour.  0.5 % repeat one of the
 * `repeat_window` events before, byte for byte.  220 to 320 bytes.
 *
 * What does not tell events apart (type, metadata) comes from a fixed number
 * of texts made beforehand, in turn.
 */
#ifndef MR_LOAD_WORKLOAD_H
#define MR_LOAD_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>


#define MR_WORKLOAD_USERS 1000000
#define MR_WORKLOAD_ZIPF 0.9
#define MR_WORKLOAD_EVENT_MIN 220 /* bytes of one event */
#define MR_WORKLOAD_EVENT_MAX 320
#define MR_WORKLOAD_ID_LEN 36
#define MR_WORKLOAD_USER_LEN 12
#define MR_WORKLOAD_REPEATS 0.005
#define MR_WORKLOAD_LATE 0.01
#define MR_WORKLOAD_LATEST 3600000 /* ms */
#define MR_WORKLOAD_TYPES 6

/* Events; `repeat_window` may not be more. */
#define MR_WORKLOAD_WINDOW_MAX 65536


typedef struct {
    uint64_t seed;
    /*
     * ms since the epoch of event 0; event i is i / pace seconds later.
     * 0: the time that mr_workload_event() is given.
     */
    int64_t base;
    double pace;            /* events a second; not 0 */
    uint32_t texts;         /* made beforehand, about 260 bytes each */
    uint32_t repeat_window; /* 1 .. MR_WORKLOAD_WINDOW_MAX */
} mr_workload_options_t;

#define MR_WORKLOAD_DEFAULTS                                                   \
    {                                                                          \
        1, 0, 100000, 131072, 10000                                            \
    }


/* Any number of threads may use one at a time. */
typedef struct mr_workload_s mr_workload_t;


extern const char *const mr_workload_types[MR_WORKLOAD_TYPES];
extern const double mr_workload_shares[MR_WORKLOAD_TYPES];


/* NULL on out of memory. */
mr_workload_t *mr_workload_create(const mr_workload_options_t *options);
void mr_workload_destroy(mr_workload_t *workload);

/*
 * Write event `index` to `out`, which has room for MR_WORKLOAD_EVENT_MAX
 * bytes, and return its length.  `now` in ms since the epoch is its time
 * unless there is a base.
 *
 * Without a base, a repeat has the time that its original was given, if
 * that was written by then: always so with one thread.
 */
size_t mr_workload_event(
    mr_workload_t *workload, uint64_t index, int64_t now, char *out);

/* The event that is sent as number `index`: itself, or the one it repeats. */
uint64_t mr_workload_origin(const mr_workload_t *workload, uint64_t index);

/* What tells event `index` from others: neither is NUL-terminated. */
void mr_workload_identity(const mr_workload_t *workload, uint64_t index,
    char ret_id[MR_WORKLOAD_ID_LEN], char ret_user[MR_WORKLOAD_USER_LEN]);

/* The user's number: 0 sends most. */
uint32_t mr_workload_user(const mr_workload_t *workload, uint64_t index);

/* ms by which the event is late, mostly 0. */
uint32_t mr_workload_lateness(const mr_workload_t *workload, uint64_t index);

/* The index in mr_workload_types of the event's type. */
unsigned mr_workload_type(const mr_workload_t *workload, uint64_t index);

#endif /* MR_LOAD_WORKLOAD_H */
