#include <string.h>

#include "lease.h"


#define POLL_MAX INT64_C(500)

/* Three renewals are due in one duration: all of this many are missing. */
#define STALE_DURATIONS 3


void
mr_lease_init(mr_lease_t *lease, int64_t duration)
{
    memset(lease, 0, sizeof(mr_lease_t));
    lease->duration = duration;
}


mr_lease_event_t
mr_lease_answered(
    mr_lease_t *lease, const mr_lease_answer_t *answer, int64_t sent)
{
    bool held;

    held = lease->held;

    if (!answer->mine) {

        if (answer->term != lease->seen.term
            || answer->until != lease->seen.until) {
            lease->seen = *answer;
            lease->seen_at = sent;
        }

        mr_lease_drop(lease);
        return held ? MR_LEASE_LOST : MR_LEASE_WAITING;
    }

    memset(&lease->seen, 0, sizeof(lease->seen));
    held = held && lease->term == answer->term;

    lease->held = true;
    lease->term = answer->term;
    lease->sent = sent;
    lease->offset = answer->until - lease->duration - sent;

    return held ? MR_LEASE_KEPT : MR_LEASE_TAKEN;
}


bool
mr_lease_valid(const mr_lease_t *lease, int64_t monotonic)
{
    return lease->held
           && monotonic - lease->sent < lease->duration - lease->duration / 10;
}


bool
mr_lease_due(const mr_lease_t *lease, int64_t monotonic)
{
    return !lease->held || monotonic >= mr_lease_renewal(lease);
}


int64_t
mr_lease_renewal(const mr_lease_t *lease)
{
    return lease->sent + lease->duration / 3;
}


int64_t
mr_lease_poll(const mr_lease_t *lease)
{
    int64_t poll;

    poll = lease->duration / 10;

    return poll < POLL_MAX ? poll : POLL_MAX;
}


const mr_lease_answer_t *
mr_lease_stale(const mr_lease_t *lease, int64_t monotonic)
{
    if (lease->seen.until == 0
        || monotonic - lease->seen_at < STALE_DURATIONS * lease->duration)
    {
        return NULL;
    }

    return &lease->seen;
}


int64_t
mr_lease_time(const mr_lease_t *lease, int64_t monotonic)
{
    return monotonic + lease->offset;
}


void
mr_lease_drop(mr_lease_t *lease)
{
    lease->held = false;
}
