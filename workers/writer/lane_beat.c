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

/*
 * A clock that was ahead and has been set back has claimed what was to come.
 * The next claim sets that right; where none can be made, as there is always
 * something to store, what was claimed is taken back to the newest record.
 */
#define BEAT_AHEAD_MS 2000


static void beat_disarm(mr_lane_t *lane);
static void beat_show_lag(mr_seat_t *seat);
static int beat_claim(const mr_seat_t *seat, mr_caught_up_t *claim);
static int beat_all_stored(const mr_seat_t *seat, int64_t *ret_reached);


void
mr_lane_beat(mr_lane_t *lane)
{
    size_t n;
    int64_t now;
    mr_seat_t *seat;
    mr_error_t err;
    mr_caught_up_t claims[BEAT_CLAIMS];

    now = mr_time_monotonic();

    if (now < lane->beat) {
        return;
    }

    lane->beat = now + BEAT_MS;
    n = 0;

    beat_disarm(lane);

    pthread_mutex_lock(&lane->mutex);

    for (seat = lane->seats; seat != NULL && n < BEAT_CLAIMS; seat = seat->next)
    {
        if (seat->halted || !seat->partition->verified) {
            continue;
        }

        beat_show_lag(seat);

        if (beat_claim(seat, &claims[n])) {
            seat->claimed = claims[n].time;
            seat->reached = claims[n].reached;
            n++;
        }
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


/*
 * An order that was given to a partition which had not stopped, or not for
 * that, must not be obeyed when it does so one day, perhaps for another
 * reason.  Not before the log is known to be the one that was stored from:
 * if it is not, that is what the order is for.
 */
static void
beat_disarm(mr_lane_t *lane)
{
    mr_seat_t *seat;
    mr_error_t err;
    mr_partition_t *partition;

    for (seat = lane->seats; seat != NULL; seat = seat->next) {
        partition = seat->partition;

        if (seat->halted || !partition->verified
            || partition->ledger.resume == MR_RESUME_NONE
            || atomic_load(&partition->corrupted) != 0)
        {
            continue;
        }

        if (mr_store_disarm(
                lane->store, partition->id, &partition->ledger, &err)
            != 0) {
            mr_log_warn("%s", err.message);
            mr_metric_add(lane->env->counters->store_retries, 1);
            return;
        }

        mr_log_warn("partition=%d next=%lld is read: what the operator said "
                    "was not needed, and is forgotten",
            (int) partition->id, (long long) partition->ledger.next);
        partition->ledger.resume = MR_RESUME_NONE;
    }
}


static void
beat_show_lag(mr_seat_t *seat)
{
    int64_t end, stored;

    end = atomic_load(&seat->end);

    if (seat->written > end) {
        end = seat->written;
    }

    stored = seat->partition->ledger.next;

    mr_metric_set(seat->lag, end > stored ? (double) (end - stored) : 0);
}


/*
 * What can be said of the partition that was not said yet.  Returns whether
 * there is anything.
 */
static int
beat_claim(const mr_seat_t *seat, mr_caught_up_t *claim)
{
    const mr_ledger_t *ledger;

    ledger = &seat->partition->ledger;

    claim->partition = seat->partition->id;
    claim->epoch = ledger->epoch;
    claim->next = ledger->next;

    if (beat_all_stored(seat, &claim->reached)) {
        claim->time = seat->asked - BEAT_MARGIN_MS;
        return claim->time != seat->claimed;
    }

    if (seat->claimed <= seat->asked + BEAT_AHEAD_MS
        || ledger->last.offset == -1) {
        return 0;
    }

    claim->time = ledger->last.time - 1;
    claim->reached =
        seat->reached > ledger->next ? seat->reached : ledger->next;

    return claim->time < seat->claimed;
}


/* Is all stored that lay below the end of the log? */
static int
beat_all_stored(const mr_seat_t *seat, int64_t *ret_reached)
{
    int64_t stored;
    const mr_partition_t *partition;

    partition = seat->partition;
    stored = partition->ledger.next;

    /* Not the log that was stored from, or not its newest end. */
    if (seat->end < stored) {
        return 0;
    }

    if (seat->flush != NULL && seat->flush->records != 0) {
        return 0;
    }

    /* Nothing waits to be stored, so all that was taken is stored. */
    if (partition->position > stored) {
        stored = partition->position;
    }

    if (partition->reached > stored) {
        stored = partition->reached;
    }

    if (seat->end > stored || seat->written == -1) {
        return 0;
    }

    /* Kafka holds records that nobody can read yet: a transaction is open. */
    if (seat->written > stored) {
        return 0;
    }

    *ret_reached = stored;

    return 1;
}
