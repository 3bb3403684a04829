/*
 * What a member believes about the publisher's lease.
 *
 * The lease itself is a document that is taken and renewed by one
 * compare-and-swap on the server, with the server's clock.  Members' clocks
 * are compared with nothing: a member measures with its own monotonic clock
 * how long ago it asked, and stops a tenth of the lease before the server
 * could give it to another.
 *
 * The server's clock may have been ahead when the lease was taken, or that of
 * the primary before this one; who had it may be gone by the time it is set
 * back.  So a lease that was not renewed for several times its duration, by
 * the clock of the member that looks on, is over whatever its end is.
 *
 * Plain data, no I/O.  One thread at a time.  Times are ms; `monotonic` is
 * mr_time_monotonic() at the moment named.
 */
#ifndef MILLRACE_STATS_LEASE_H
#define MILLRACE_STATS_LEASE_H

#include <stdbool.h>
#include <stdint.h>


/* The server's answer to an attempt. */
typedef struct {
    bool mine;
    int64_t term;
    int64_t until; /* by the server's clock */
} mr_lease_answer_t;


typedef struct {
    int64_t duration;
    bool held;
    int64_t term;   /* counts the changes of hands */
    int64_t sent;   /* monotonic, when the newest successful attempt began */
    int64_t offset; /* the server's clock minus monotonic, at most */

    mr_lease_answer_t seen; /* another's, or nothing */
    int64_t seen_at;        /* monotonic, when that was so at first */
} mr_lease_t;


typedef enum {
    MR_LEASE_WAITING, /* another member has it */
    MR_LEASE_TAKEN,   /* ours from now on: read the state anew */
    MR_LEASE_KEPT,    /* still ours */
    MR_LEASE_LOST     /* it was ours, and another member has it */
} mr_lease_event_t;


void mr_lease_init(mr_lease_t *lease, int64_t duration);

/* Note the answer to the attempt that was begun at `sent`. */
mr_lease_event_t mr_lease_answered(
    mr_lease_t *lease, const mr_lease_answer_t *answer, int64_t sent);

/* Whether it is safe to merge and to publish. */
bool mr_lease_valid(const mr_lease_t *lease, int64_t monotonic);

/* Whether it is time to renew: a third of the lease has passed. */
bool mr_lease_due(const mr_lease_t *lease, int64_t monotonic);

/* The moment from which on that is so, of a lease that is held. */
int64_t mr_lease_renewal(const mr_lease_t *lease);

/* How long a standby waits before it asks again. */
int64_t mr_lease_poll(const mr_lease_t *lease);

/*
 * Another's lease that has not changed for so long that it is over; NULL if
 * there is none.
 */
const mr_lease_answer_t *mr_lease_stale(
    const mr_lease_t *lease, int64_t monotonic);

/*
 * The server's clock, never behind it by more than drift and ahead by at
 * most the round trip of the last renewal.
 */
int64_t mr_lease_time(const mr_lease_t *lease, int64_t monotonic);

/* It is not ours any more, for whatever reason. */
void mr_lease_drop(mr_lease_t *lease);

#endif /* MILLRACE_STATS_LEASE_H */
