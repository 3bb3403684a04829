#include <stdlib.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "writer_private.h"


#define CLAIMS_BOUNDS_MS 5000
#define CLAIMS_LEADERS_MS 1000
#define CLAIMS_RELEASE_MS 5000
#define CLAIMS_KEEP_MS 300000 /* a window, after the group took it away */

/* What is corrupt is read so often at once, and then after so long. */
#define CLAIMS_CORRUPT_TRIES 3
#define CLAIMS_CORRUPT_MS 30000


typedef struct {
    int64_t start;
    int64_t end;
    mr_ledger_t ledger;
} claims_state_t;


static int claims_assign(void *ctx, mr_claim_t *claims, size_t n);
static int claims_begin(void *ctx, const mr_claim_t *claims, size_t n);
static void claims_revoke(void *ctx);
static mr_slot_t *claims_slot(mr_writer_t *writer, int32_t partition);
static void claims_learn_leaders(mr_writer_t *writer);
static void claims_shun(mr_writer_t *writer, int32_t leader);
static int claims_try(
    mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim, mr_error_t *err);
static void claims_wait(mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim,
    const mr_error_t *err);
static int claims_resolve(
    mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim, mr_error_t *err);
static int claims_look(mr_writer_t *writer, int32_t partition,
    claims_state_t *state, mr_error_t *err);
static int claims_create(mr_writer_t *writer, int32_t partition,
    claims_state_t *state, mr_error_t *err);
static mr_verdict_t claims_judge(
    const mr_slot_t *slot, const claims_state_t *state);
static int claims_corrupt(const mr_slot_t *slot, const claims_state_t *state);
static void claims_note_corrupt(mr_slot_t *slot);
static int claims_on_trial(mr_writer_t *writer, mr_slot_t *slot);
static mr_resume_t claims_way_out(mr_verdict_t verdict);
static void claims_stop(mr_writer_t *writer, mr_slot_t *slot, int32_t partition,
    mr_verdict_t verdict, const claims_state_t *state);
static int claims_start(mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim,
    const claims_state_t *state, mr_error_t *err);
static void claims_show_lag(mr_slot_t *slot, int32_t partition,
    mr_verdict_t verdict, const claims_state_t *state);
static void claims_forget_others(mr_writer_t *writer);
static void claims_count_stopped(mr_writer_t *writer);


const mr_consumer_observer_t mr_claims_observer = {
    claims_assign, claims_begin, claims_revoke};


int
mr_claims_review(mr_writer_t *writer)
{
    size_t i;
    mr_slot_t *slot;
    mr_error_t err;
    mr_verdict_t verdict;
    claims_state_t state;

    claims_learn_leaders(writer);

    for (i = 0; i < writer->n_slots; i++) {
        slot = &writer->slots[i];

        if (!slot->claimed
            || (slot->stopped == MR_LEDGER_READ && !slot->waiting)
            || claims_on_trial(writer, slot) || slot->leader == MR_LEADER_NONE)
        {
            continue;
        }

        if (claims_look(writer, (int32_t) i, &state, &err) != 0) {
            mr_log_warn("partition=%zu %s", i, err.message);

            if (err.code != MR_ERROR_KAFKA) {
                return 0;
            }

            claims_shun(writer, slot->leader);
            continue;
        }

        if (slot->waiting) {
            return 1;
        }

        verdict = claims_judge(slot, &state);

        if (verdict == MR_LEDGER_READ
            || mr_ledger_allows(&state.ledger, claims_way_out(verdict)))
        {
            return 1;
        }

        claims_show_lag(slot, (int32_t) i, verdict, &state);

        /* What was corrupt may have been deleted, or a gap have grown. */
        claims_stop(writer, slot, (int32_t) i, verdict, &state);
    }

    return 0;
}


void
mr_claims_tidy(mr_writer_t *writer)
{
    size_t i;
    mr_slot_t *slot;

    for (i = 0; i < writer->n_slots; i++) {
        slot = &writer->slots[i];

        if (!slot->claimed && slot->partition != NULL
            && mr_time_monotonic() - slot->released >= CLAIMS_KEEP_MS
            && mr_partition_forget(slot->partition))
        {
            mr_log_debug("partition=%zu its dedup window has been freed", i);
        }
    }
}


void
mr_claims_free(mr_writer_t *writer)
{
    size_t i;

    for (i = 0; i < writer->n_slots; i++) {
        mr_partition_destroy(writer->slots[i].partition);
    }

    free(writer->slots);
    free(writer->ids);
    free(writer->ends);
    free(writer->written);
    free(writer->leaders);
    writer->slots = NULL;
    writer->n_slots = 0;
}


static int
claims_assign(void *ctx, mr_claim_t *claims, size_t n)
{
    size_t i, waiting;
    mr_error_t err;
    mr_slot_t *slot;
    mr_writer_t *writer = ctx;

    for (i = 0; i < n; i++) {
        slot = claims_slot(writer, claims[i].partition);

        if (slot == NULL) {
            mr_log_error("out of memory");
            return -1;
        }

        slot->claimed = 1;
    }

    claims_learn_leaders(writer);
    waiting = 0;

    for (i = 0; i < n; i++) {
        slot = &writer->slots[claims[i].partition];

        if (claims_try(writer, slot, &claims[i], &err) == 0) {
            slot->waiting = 0;
            continue;
        }

        /* Without MongoDB none of them can begin, and perhaps without it. */
        if (err.code != MR_ERROR_KAFKA || ++waiting == n) {
            mr_log_warn("partition=%d cannot begin: %s",
                (int) claims[i].partition, err.message);
            mr_metric_add(writer->counters.assign_retries, 1);
            return -1;
        }

        claims_wait(writer, slot, &claims[i], &err);
    }

    claims_forget_others(writer);
    claims_count_stopped(writer);

    return 0;
}


static int
claims_begin(void *ctx, const mr_claim_t *claims, size_t n)
{
    size_t i;
    mr_slot_t *slot;
    mr_writer_t *writer = ctx;

    for (i = 0; i < n; i++) {

        if (claims[i].start == MR_CLAIM_SKIP) {
            continue;
        }

        slot = &writer->slots[claims[i].partition];

        if (mr_lane_attach(
                writer->lanes[(size_t) claims[i].partition % writer->n_lanes],
                slot->partition, claims[i].source, writer->consumer, slot->end)
            != 0)
        {
            mr_log_error("out of memory");
            return -1;
        }

        slot->lag = mr_counters_lag(claims[i].partition);
        slot->reading = 1;
    }

    mr_metric_set(writer->counters.assigned, (double) n);

    return 0;
}


/* The lanes store what they have, all at once, and let go. */
static void
claims_revoke(void *ctx)
{
    size_t i;
    int64_t deadline;
    mr_writer_t *writer = ctx;

    deadline = mr_time_monotonic() + CLAIMS_RELEASE_MS;

    for (i = 0; i < writer->n_lanes; i++) {
        mr_lane_release(writer->lanes[i], deadline);
    }

    for (i = 0; i < writer->n_lanes; i++) {
        mr_lane_wait(writer->lanes[i]);
    }

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].claimed) {
            writer->slots[i].released = mr_time_monotonic();
        }

        writer->slots[i].reading = 0;
        writer->slots[i].claimed = 0;
    }

    mr_metric_set(writer->counters.assigned, 0);
    claims_count_stopped(writer);
}


static mr_slot_t *
claims_slot(mr_writer_t *writer, int32_t partition)
{
    size_t n;
    int32_t *ids;
    int32_t *leaders;
    int64_t *ends, *written;
    mr_slot_t *slots;

    n = (size_t) partition + 1;

    if (n > writer->n_slots) {
        slots = realloc(writer->slots, n * sizeof(mr_slot_t));
        writer->slots = slots != NULL ? slots : writer->slots;

        ids = realloc(writer->ids, n * sizeof(int32_t));
        writer->ids = ids != NULL ? ids : writer->ids;

        ends = realloc(writer->ends, n * sizeof(int64_t));
        writer->ends = ends != NULL ? ends : writer->ends;

        written = realloc(writer->written, n * sizeof(int64_t));
        writer->written = written != NULL ? written : writer->written;

        leaders = realloc(writer->leaders, n * sizeof(int32_t));
        writer->leaders = leaders != NULL ? leaders : writer->leaders;

        if (slots == NULL || ids == NULL || ends == NULL || written == NULL
            || leaders == NULL)
        {
            return NULL;
        }

        while (writer->n_slots < n) {
            slots[writer->n_slots++] = (mr_slot_t){0};
        }
    }

    return &writer->slots[partition];
}


/* Who leads the partitions that are ours: as far as that can be learnt. */
static void
claims_learn_leaders(mr_writer_t *writer)
{
    int rc;
    size_t i, n;
    mr_error_t err;

    n = 0;

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].claimed) {
            writer->ids[n++] = (int32_t) i;
        }
    }

    rc = n == 0 ? 0
                : mr_consumer_leaders(writer->consumer, writer->ids, n,
                    CLAIMS_LEADERS_MS, writer->leaders, &err);

    if (rc != 0) {
        mr_log_warn("%s", err.message);
    }

    for (i = 0; i < n; i++) {
        writer->slots[writer->ids[i]].leader =
            rc == 0 ? writer->leaders[i] : MR_LEADER_UNKNOWN;
    }
}


/*
 * What has no leader, or one that has just not answered, is not asked for:
 * every question may wait for seconds, and the group does not wait for ever.
 */
static void
claims_shun(mr_writer_t *writer, int32_t leader)
{
    size_t i;

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].leader == leader) {
            writer->slots[i].leader = MR_LEADER_NONE;
        }
    }
}


/* As claims_resolve(). */
static int
claims_try(
    mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim, mr_error_t *err)
{
    int32_t leader;

    leader = slot->leader;

    if (leader == MR_LEADER_NONE) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "it has no leader, or that one does not answer");
    }

    if (claims_resolve(writer, slot, claim, err) != 0) {
        claims_shun(writer, leader);
        return -1;
    }

    return 0;
}


/* Not this one, for now; mr_claims_review() looks at it again. */
static void
claims_wait(mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim,
    const mr_error_t *err)
{
    claim->start = MR_CLAIM_SKIP;
    mr_metric_add(writer->counters.assign_retries, 1);

    if (!slot->waiting) {
        mr_log_warn("partition=%d waits: %s; it is tried again, and keeps the "
                    "others from nothing",
            (int) claim->partition, err->message);
    }

    slot->waiting = 1;
}


/* Decide where the partition is read from, or that it is not. */
static int
claims_resolve(
    mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim, mr_error_t *err)
{
    mr_verdict_t verdict;
    mr_resume_t way_out;
    claims_state_t state;

    if (claims_look(writer, claim->partition, &state, err) != 0) {
        return -1;
    }

    claims_note_corrupt(slot);
    verdict = claims_judge(slot, &state);
    way_out = claims_way_out(verdict);

    if (verdict != MR_LEDGER_READ && mr_ledger_allows(&state.ledger, way_out)) {
        mr_log_warn("partition=%d next=%lld as the operator said, it goes on "
                    "at the log's start, offset %lld%s",
            (int) claim->partition, (long long) state.ledger.next,
            (long long) state.start,
            way_out == MR_RESUME_EPOCH ? ", in a new epoch" : "");

        if (mr_store_resume(writer->store, claim->partition, &state.ledger,
                way_out, state.start, err)
                != 0
            || claims_look(writer, claim->partition, &state, err) != 0)
        {
            return -1;
        }

        verdict = claims_judge(slot, &state);
    }

    if (verdict != MR_LEDGER_READ) {
        claims_show_lag(slot, claim->partition, verdict, &state);
        claims_stop(writer, slot, claim->partition, verdict, &state);
        claim->start = MR_CLAIM_SKIP;
        return 0;
    }

    return claims_start(writer, slot, claim, &state, err);
}


/*
 * The log's bounds and the ledger, which is created if there is none.  Another
 * writer may be storing at this moment: a start that is older than the ledger,
 * and an end that is newer, are true of it whatever it does.
 */
static int
claims_look(mr_writer_t *writer, int32_t partition, claims_state_t *state,
    mr_error_t *err)
{
    int found;

    if (mr_consumer_bounds(writer->consumer, &partition, 1, CLAIMS_BOUNDS_MS,
            &state->start, NULL, err)
            != 0
        || mr_store_read(writer->store, partition, &found, &state->ledger, err)
               != 0)
    {
        return -1;
    }

    if (!found && claims_create(writer, partition, state, err) != 0) {
        return -1;
    }

    return mr_consumer_bounds(writer->consumer, &partition, 1, CLAIMS_BOUNDS_MS,
        NULL, &state->end, err);
}


/* Its first ledger: nothing of the partition was ever stored. */
static int
claims_create(mr_writer_t *writer, int32_t partition, claims_state_t *state,
    mr_error_t *err)
{
    int found;

    if (mr_store_create(writer->store, partition, state->start, err) != 0
        || mr_store_read(writer->store, partition, &found, &state->ledger, err)
               != 0)
    {
        return -1;
    }

    if (!found) {
        return mr_error_set(
            err, MR_ERROR_MONGODB, NULL, "the ledger has gone again");
    }

    if (state->start > 0) {
        mr_log_warn("partition=%d its first ledger begins at offset %lld: "
                    "Kafka has deleted the %lld records before it, and none "
                    "of them was ever stored in this database",
            (int) partition, (long long) state->start,
            (long long) state->start);
    }

    return 0;
}


static mr_verdict_t
claims_judge(const mr_slot_t *slot, const claims_state_t *state)
{
    mr_verdict_t verdict;
    const mr_partition_t *partition;

    partition = slot->partition;

    /* Found out while reading; it holds until the ledger is moved. */
    if (partition != NULL && partition->foreign
        && partition->ledger.epoch == state->ledger.epoch
        && partition->ledger.next == state->ledger.next)
    {
        return MR_LEDGER_RECREATED;
    }

    verdict = mr_ledger_judge(&state->ledger, state->start, state->end);

    if (verdict == MR_LEDGER_READ && claims_corrupt(slot, state)) {
        return MR_LEDGER_CORRUPT;
    }

    return verdict;
}


/*
 * Until it is tried again.  The operator may have it deleted meanwhile: then
 * it is a gap, or nothing at all if it was stored before.
 */
static int
claims_corrupt(const mr_slot_t *slot, const claims_state_t *state)
{
    const mr_partition_t *partition;

    partition = slot->partition;

    return partition != NULL && slot->seen >= CLAIMS_CORRUPT_TRIES
           && partition->corrupt >= state->start
           && mr_time_monotonic() < slot->again;
}


/* With the partition in our hands: has it met something corrupt since? */
static void
claims_note_corrupt(mr_slot_t *slot)
{
    unsigned corrupted;

    if (slot->partition == NULL) {
        return;
    }

    corrupted = atomic_load(&slot->partition->corrupted);

    if (corrupted > slot->seen) {
        slot->again = mr_time_monotonic() + CLAIMS_CORRUPT_MS;
    }

    slot->seen = corrupted;
}


/*
 * A partition that was stopped because something in it was corrupt, and is
 * read again, counts as stopped until that has been read.
 */
static int
claims_on_trial(mr_writer_t *writer, mr_slot_t *slot)
{
    if (!slot->reading) {
        return 0;
    }

    if (atomic_load(&slot->partition->corrupted) == 0) {
        mr_log_info("partition=%d what was corrupt has been read",
            (int) slot->partition->id);
        slot->stopped = MR_LEDGER_READ;
        claims_count_stopped(writer);
    }

    return 1;
}


static mr_resume_t
claims_way_out(mr_verdict_t verdict)
{
    switch (verdict) {

    case MR_LEDGER_GAP:
        return MR_RESUME_GAP;

    case MR_LEDGER_RECREATED:
        return MR_RESUME_EPOCH;

    default:
        return MR_RESUME_NONE;
    }
}


/* Nothing of the partition is read until the operator has decided. */
static void
claims_stop(mr_writer_t *writer, mr_slot_t *slot, int32_t partition,
    mr_verdict_t verdict, const claims_state_t *state)
{
    if (slot->stopped == verdict && slot->epoch == state->ledger.epoch
        && slot->next == state->ledger.next)
    {
        return;
    }

    slot->stopped = verdict;
    slot->epoch = state->ledger.epoch;
    slot->next = state->ledger.next;

    mr_metric_add(writer->counters.stops[verdict], 1);

    if (verdict == MR_LEDGER_GAP) {
        mr_log_error("partition=%d next=%lld STOPPED: Kafka has deleted the "
                     "records before offset %lld, so %lld records that were "
                     "never stored are lost; to go on without them run "
                     "millrace-writer --accept-gap %d",
            (int) partition, (long long) state->ledger.next,
            (long long) state->start,
            (long long) (state->start - state->ledger.next), (int) partition);
        return;
    }

    if (verdict == MR_LEDGER_CORRUPT) {
        mr_log_error("partition=%d next=%lld STOPPED: what Kafka has at "
                     "offset %lld is corrupt: restore it, or let another "
                     "replica lead; it is read again every %d s.  To go on "
                     "without it, have the log deleted up to behind it",
            (int) partition, (long long) state->ledger.next,
            (long long) slot->partition->corrupt, CLAIMS_CORRUPT_MS / 1000);
        return;
    }

    mr_log_error("partition=%d next=%lld STOPPED: the log (offsets %lld to "
                 "%lld) is not the one that was stored from: the topic was "
                 "deleted and created again, or has lost its end; to store "
                 "this log from its start, all of it, also what may be stored "
                 "already, run millrace-writer --new-epoch %d",
        (int) partition, (long long) state->ledger.next,
        (long long) state->start, (long long) state->end, (int) partition);
}


static int
claims_start(mr_writer_t *writer, mr_slot_t *slot, mr_claim_t *claim,
    const claims_state_t *state, mr_error_t *err)
{
    if (slot->partition == NULL) {
        slot->partition = mr_partition_create(
            claim->partition, writer->options->writer.dedup_window);
    }

    if (slot->partition == NULL
        || mr_partition_start(
               slot->partition, &state->ledger, state->start, &claim->start)
               != 0)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    /* One that is read again after that has yet to show that it can be. */
    if (slot->stopped != MR_LEDGER_CORRUPT
        || atomic_load(&slot->partition->corrupted) == 0)
    {
        slot->stopped = MR_LEDGER_READ;
    }

    slot->end = state->end;

    mr_log_info("partition=%d epoch=%lld next=%lld reading from offset %lld, "
                "the window is known from %lld; the log is %lld to %lld",
        (int) claim->partition, (long long) state->ledger.epoch,
        (long long) state->ledger.next, (long long) claim->start,
        (long long) slot->partition->fill, (long long) state->start,
        (long long) state->end);

    return 0;
}


/* Of a partition that is not read: while it is, that is its lane's to say. */
static void
claims_show_lag(mr_slot_t *slot, int32_t partition, mr_verdict_t verdict,
    const claims_state_t *state)
{
    int64_t from;

    if (slot->lag == NULL) {
        slot->lag = mr_counters_lag(partition);
    }

    /* Nothing of another log has been stored. */
    from = verdict == MR_LEDGER_RECREATED ? state->start : state->ledger.next;

    mr_metric_set(
        slot->lag, state->end > from ? (double) (state->end - from) : 0);
}


/*
 * What the group gave to another member is that one's to say.  Until it has
 * given everything anew, and that has been begun, the last value stands.
 */
static void
claims_forget_others(mr_writer_t *writer)
{
    size_t i;

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].claimed) {
            continue;
        }

        writer->slots[i].waiting = 0;

        if (writer->slots[i].lag != NULL) {
            mr_metric_set(writer->slots[i].lag, 0);
        }
    }
}


static void
claims_count_stopped(mr_writer_t *writer)
{
    size_t i;

    writer->n_stopped = 0;
    writer->n_waiting = 0;

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].claimed && writer->slots[i].waiting) {
            writer->n_waiting++;
        }

        if (writer->slots[i].claimed
            && writer->slots[i].stopped != MR_LEDGER_READ) {
            writer->n_stopped++;
        }
    }

    mr_metric_set(writer->counters.stopped, (double) writer->n_stopped);
}
