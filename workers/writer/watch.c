#include <millrace/time.h>

#include "../common/log.h"
#include "writer_private.h"


#define WATCH_MS 250
#define WATCH_ASK_MS 1000
#define WATCH_QUIET_MS 2000
#define WATCH_HELD_MS 10000


static int watch_ask(
    mr_writer_t *writer, size_t first, size_t n, mr_error_t *err);
static void watch_held(mr_slot_t *slot, int32_t partition, int64_t written);
static void watch_apart(mr_writer_t *writer, size_t n);
static size_t watch_gather(mr_writer_t *writer, size_t first, size_t n);


/*
 * The questions have a second use: librdkafka 2.0.2 looks whether a queue
 * that was full has room again only when something wakes the broker's thread,
 * and a question does.
 */
void
mr_claims_watch(mr_writer_t *writer)
{
    size_t i, n;
    mr_error_t err;

    if (mr_time_monotonic() < writer->watch) {
        return;
    }

    writer->watch = mr_time_monotonic() + WATCH_MS;
    n = 0;

    for (i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].reading) {
            writer->ids[n++] = (int32_t) i;
        }
    }

    if (watch_ask(writer, 0, n, &err) != 0) {
        mr_log_warn("%s", err.message);
        watch_apart(writer, n);
        writer->watch = mr_time_monotonic() + WATCH_QUIET_MS;
    }
}


/* Ask where the writer->ids[first, first + n) end, and tell their lanes. */
static int
watch_ask(mr_writer_t *writer, size_t first, size_t n, mr_error_t *err)
{
    size_t i;
    int32_t id;
    int64_t asked;
    mr_slot_t *slot;

    /* Before the question: the answers are no older than this. */
    asked = mr_time_now();

    /* In this order: without a transaction `written` is never beyond. */
    if (mr_consumer_written(writer->consumer, writer->ids + first, n,
            WATCH_ASK_MS, writer->written, err)
            != 0
        || mr_consumer_bounds(writer->consumer, writer->ids + first, n,
               WATCH_ASK_MS, NULL, writer->ends, err)
               != 0)
    {
        return -1;
    }

    for (i = 0; i < n; i++) {
        id = writer->ids[first + i];
        slot = &writer->slots[id];

        /* A log that gets shorter is another one: look at all of it anew. */
        if (writer->ends[i] < slot->end) {
            mr_log_warn("partition=%d the log ended at %lld and ends at %lld",
                (int) id, (long long) slot->end, (long long) writer->ends[i]);
            atomic_store(&writer->restart, 1);
        }

        slot->end = writer->ends[i];
        watch_held(slot, id, writer->written[i]);

        mr_lane_bounds(writer->lanes[(size_t) id % writer->n_lanes], id,
            writer->ends[i], writer->written[i], asked);
    }

    return 0;
}


/*
 * What a transaction has written is read when it ends, and so is everything
 * behind its first record.  Kafka ends one that its producer has left after
 * transaction.timeout.ms, and some by the operator alone.
 */
static void
watch_held(mr_slot_t *slot, int32_t partition, int64_t written)
{
    int64_t now;

    if (written <= slot->end) {
        slot->held_since = 0;
        return;
    }

    now = mr_time_monotonic();

    if (slot->held_since == 0 || slot->held != slot->end) {
        slot->held = slot->end;
        slot->held_since = now;
        slot->held_said = 0;
        return;
    }

    if (slot->held_said || now - slot->held_since < WATCH_HELD_MS) {
        return;
    }

    slot->held_said = 1;

    mr_log_warn("partition=%d somebody has had a transaction open for %d s: "
                "what Kafka holds from offset %lld on, %lld records for now, "
                "waits for its end",
        (int) partition, WATCH_HELD_MS / 1000, (long long) slot->end,
        (long long) (written - slot->end));
}


/*
 * One partition without a leader, or one leader that does not answer, makes a
 * question fail for all of them: so each leader is asked by itself.
 */
static void
watch_apart(mr_writer_t *writer, size_t n)
{
    size_t first, next;
    mr_error_t err;

    if (mr_consumer_leaders(writer->consumer, writer->ids, n, WATCH_ASK_MS,
            writer->leaders, &err)
        != 0)
    {
        return;
    }

    for (first = 0; first < n; first = next) {
        next = watch_gather(writer, first, n);

        /* It is said once, of the question to all. */
        if (writer->leaders[first] != MR_LEADER_NONE && next - first != n) {
            (void) watch_ask(writer, first, next - first, &err);
        }
    }
}


/*
 * Bring the partitions from `first` on that have the same leader together:
 * returns where they end.
 */
static size_t
watch_gather(mr_writer_t *writer, size_t first, size_t n)
{
    size_t i, next;
    int32_t id, leader;

    next = first + 1;

    for (i = next; i < n; i++) {
        leader = writer->leaders[i];

        if (leader != writer->leaders[first]) {
            continue;
        }

        id = writer->ids[i];
        writer->ids[i] = writer->ids[next];
        writer->leaders[i] = writer->leaders[next];
        writer->ids[next] = id;
        writer->leaders[next] = leader;
        next++;
    }

    return next;
}
