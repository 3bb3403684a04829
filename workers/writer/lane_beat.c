#include <millrace/time.h>

#include "../common/log.h"
#include "lane_private.h"


#define BEAT_MS 500
#define BEAT_CLAIMS 64

/*
 * How far caught_up stays behind the moment at which the end of the log was
 * asked for: room for clocks that differ and for records that have their
 * time but are not yet visible.
 */
#define BEAT_MARGIN_MS 500


static void beat_show_lag(mr_seat_t *seat);


void
mr_lane_beat(mr_lane_t *lane)
{
    size_t n;
    int64_t now, stored;
    mr_seat_t *seat;
    mr_error_t err;
    mr_caught_up_t claims[BEAT_CLAIMS];

    now = mr_time_monotonic();

    if (now < lane->beat) {
        return;
    }

    lane->beat = now + BEAT_MS;
    n = 0;

    pthread_mutex_lock(&lane->mutex);

    for (seat = lane->seats; seat != NULL && n < BEAT_CLAIMS; seat = seat->next)
    {
        if (seat->halted || !seat->partition->verified) {
            continue;
        }

        stored = seat->partition->ledger.next;
        beat_show_lag(seat);

        /* Not the log that was stored from, or not its newest end. */
        if (seat->end < stored) {
            continue;
        }

        if (seat->flush != NULL && seat->flush->records != 0) {
            continue;
        }

        /* Nothing waits to be stored, so all that was taken is stored. */
        if (seat->partition->position > stored) {
            stored = seat->partition->position;
        }

        if (seat->partition->reached > stored) {
            stored = seat->partition->reached;
        }

        if (seat->end > stored || seat->asked - BEAT_MARGIN_MS <= seat->claimed)
        {
            continue;
        }

        seat->claimed = seat->asked - BEAT_MARGIN_MS;

        claims[n].partition = seat->partition->id;
        claims[n].epoch = seat->partition->ledger.epoch;
        claims[n].next = seat->partition->ledger.next;
        claims[n].time = seat->claimed;
        claims[n].reached = stored;
        n++;
    }

    pthread_mutex_unlock(&lane->mutex);

    /* There may be more of them: those follow at once. */
    if (n == BEAT_CLAIMS) {
        lane->beat = now;
    }

    if (mr_store_caught_up(lane->store, claims, n, &err) != 0) {
        mr_log_warn("%s", err.message);
        mr_metric_add(lane->env->counters->store_retries, 1);
    }
}


void
mr_lane_show_lags(mr_lane_t *lane)
{
    mr_seat_t *seat;

    pthread_mutex_lock(&lane->mutex);

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        if (!seat->halted && seat->partition->verified) {
            beat_show_lag(seat);
        }
    }

    pthread_mutex_unlock(&lane->mutex);
}


static void
beat_show_lag(mr_seat_t *seat)
{
    int64_t end, stored;

    end = atomic_load(&seat->end);
    stored = seat->partition->ledger.next;

    mr_metric_set(seat->lag, end > stored ? (double) (end - stored) : 0);
}
