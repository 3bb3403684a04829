#include <inttypes.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"

#include "member.h"


/* Windows that ended longer ago than this, about, are not recent. */
#define RECENT_TIME 60000 /* ms */

/*
 * While recent windows change, the others come in batches of so many, since
 * those wait for each; and rest after each as long as it took, at most this.
 */
#define OLDER_BATCH 128
#define OLDER_REST 100 /* ms */


static int merge_ledger(mr_member_t *member, mr_progress_list_t *ledger,
    int64_t *ret_as_of, mr_error_t *err);
static int merge_late(mr_member_t *member, const mr_error_t *err);
static void merge_caught_up(mr_member_t *member);
static int merge_pass(mr_member_t *member, mr_pass_t *pass, mr_error_t *err);
static int merge_partition(mr_member_t *member, mr_pass_t *pass,
    mr_progress_t *merged, int64_t flush, mr_error_t *err);
static int merge_walk(mr_member_t *member, mr_pass_t *pass,
    mr_changes_t *changes, mr_progress_t *merged, mr_error_t *err);
static int merge_part(mr_member_t *member, mr_pass_t *pass,
    mr_progress_t *merged, int64_t flush, mr_error_t *err);
static int merge_chunk(mr_member_t *member, mr_pass_t *pass, mr_error_t *err);
static bool merge_yields(const mr_member_t *member);
static int merge_rest(mr_member_t *member, int64_t took, mr_error_t *err);
static int merge_state(mr_member_t *member, mr_error_t *err);


int
mr_member_merge(mr_member_t *member, mr_error_t *err)
{
    int64_t as_of, since;

    if (mr_member_publish_rest(member, err) != 0
        || merge_ledger(member, &member->older.ledger, &as_of, err) != 0
        || mr_store_alone(member->store, err) != 0)
    {
        return -1;
    }

    /* The same for the whole round, and never earlier than before. */
    since =
        mr_window_start(MR_WIDTH_MINUTE, mr_member_time(member) - RECENT_TIME);

    if (since > member->since) {
        member->since = since;
    }

    if (mr_member_recent(member, err) != 0) {
        return -1;
    }

    member->older.age = member->late ? MR_AGE_ANY : MR_AGE_OLDER;

    if (merge_pass(member, &member->older, err) != 0) {
        return -1;
    }

    if (member->older.age == MR_AGE_ANY) {
        merge_caught_up(member);
    }

    member->as_of = as_of;

    if (merge_state(member, err) != 0) {
        return -1;
    }

    if (as_of != 0) {
        mr_metric_set(member->metrics.lag,
            (double) (mr_member_time(member) - as_of) / 1000);
        mr_metric_set(member->metrics.as_of, (double) as_of / 1000);
    }

    return 0;
}


int
mr_member_recent(mr_member_t *member, mr_error_t *err)
{
    int64_t begun, took, as_of;

    begun = mr_time_monotonic();

    if (merge_ledger(member, &member->recent.ledger, &as_of, err) != 0) {
        return -1;
    }

    member->late = false;

    if (merge_pass(member, &member->recent, err) != 0) {
        return merge_late(member, err);
    }

    took = mr_time_monotonic() - begun;
    member->recent_due =
        begun + took
        + mr_member_pause(member, took, member->options->stats.interval);
    mr_metric_set(member->metrics.recent, (double) took / 1000);

    return 0;
}


/*
 * The recent windows are as they were, or newer, and what is said to be merged
 * of them has not changed.  Until all are merged together nobody asks for them
 * again: it would take as long, and fail; and no other pass may have a window
 * at work that is in the walk over all.
 */
static int
merge_late(mr_member_t *member, const mr_error_t *err)
{
    if (err->code != MR_ERROR_TIMEOUT || mr_run_stopping()) {
        return -1;
    }

    mr_log_warn(
        "%s: all are merged in the order in which they came", err->message);

    mr_chunk_reset(member->recent.chunk);
    member->recent_due = INT64_MAX;
    member->late = true;

    return 0;
}


/* A round has merged all windows: the recent ones go on from there. */
static void
merge_caught_up(mr_member_t *member)
{
    member->late = false;
    member->older.age = MR_AGE_OLDER;
    member->recent_due = mr_time_monotonic();
}


/*
 * Everything that Kafka received until *ret_as_of is in what these ledgers
 * count.  A ledger that has seen nothing yet, or is not there yet, makes that
 * unknown, 0: its partition may hold records that nobody has read.
 */
static int
merge_ledger(mr_member_t *member, mr_progress_list_t *ledger,
    int64_t *ret_as_of, mr_error_t *err)
{
    size_t i;
    int64_t as_of, now;
    const mr_progress_t *at;

    if (mr_store_ledger(member->store, ledger, err) != 0) {
        return -1;
    }

    as_of = 0;

    for (i = 0; i < ledger->n; i++) {
        at = &ledger->list[i];

        if (i == 0 || at->as_of < as_of) {
            as_of = at->as_of;
        }
    }

    if ((int64_t) ledger->n < member->options->kafka.partitions) {
        as_of = 0;
    }

    /* The clock of a writer or of a broker may be ahead. */
    now = mr_member_time(member);

    if (as_of > now) {
        as_of = now;
    }

    *ret_as_of = as_of;

    return 0;
}


/* Everything of its windows that the ledgers counted when they were read. */
static int
merge_pass(mr_member_t *member, mr_pass_t *pass, mr_error_t *err)
{
    size_t i;
    mr_progress_t *at, *recent;
    const mr_progress_t *stored;

    mr_chunk_reset(pass->chunk);

    for (i = 0; i < pass->ledger.n; i++) {
        stored = &pass->ledger.list[i];
        at = mr_progress_at(&pass->merged, stored->partition);

        if (at == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        if (merge_partition(member, pass, at, stored->flush, err) != 0) {
            return -1;
        }
    }

    if (merge_chunk(member, pass, err) != 0) {
        return -1;
    }

    /* Only now is everything in. */
    for (i = 0; i < pass->ledger.n; i++) {
        stored = &pass->ledger.list[i];
        at = mr_progress_at(&pass->merged, stored->partition);

        member->unstored |=
            pass->age != MR_AGE_RECENT && at->flush != stored->flush;
        at->flush = stored->flush;

        at->seconds = at->flush;

        if (pass->age == MR_AGE_ANY) {
            recent = mr_progress_at(&member->recent.merged, stored->partition);

            if (recent == NULL) {
                return mr_error_set(
                    err, MR_ERROR_MEMORY, NULL, "out of memory");
            }

            *recent = *at;
        }
    }

    return 0;
}


static int
merge_partition(mr_member_t *member, mr_pass_t *pass, mr_progress_t *merged,
    int64_t flush, mr_error_t *err)
{
    int rc;
    mr_changes_t *changes;

    if (mr_member_keep(member, err) != 0) {
        return -1;
    }

    if (merged->flush == flush) {
        return 0;
    }

    if (merged->flush > flush) {
        mr_log_warn("partition=%" PRId32 " merged=%" PRId64 " stored=%" PRId64
                    " more was merged than is stored: its windows are merged "
                    "again",
            merged->partition, merged->flush, flush);

        merged->flush = 0;
        merged->seconds = 0;
    }

    if (mr_store_changes(
            member->store, merged, pass->age, member->since, &changes, err)
        != 0)
    {
        return -1;
    }

    rc = merge_walk(member, pass, changes, merged, err);

    mr_changes_close(changes);

    return rc;
}


static int
merge_walk(mr_member_t *member, mr_pass_t *pass, mr_changes_t *changes,
    mr_progress_t *merged, mr_error_t *err)
{
    mr_entry_t *entry;
    mr_partial_t *part;
    mr_window_key_t key;

    for (;;) {

        /* The server may have to look for what comes next. */
        if (mr_member_keep(member, err) != 0
            || mr_changes_next(
                   changes, mr_chunk_arena(pass->chunk), &key, &part, err)
                   != 0)
        {
            return -1;
        }

        if (part == NULL) {
            return 0;
        }

        entry = mr_chunk_add(pass->chunk, &key);

        if (entry == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        mr_entry_link(entry, part);

        if (mr_chunk_full(pass->chunk)
            && merge_part(member, pass, merged, part->flush, err) != 0)
        {
            return -1;
        }
    }
}


/*
 * The chunk is full.  There may be more of the flush that was read last, so
 * that the one before it is what has been merged, as far as the recent windows
 * are as well, where these are not in the walk.
 */
static int
merge_part(mr_member_t *member, mr_pass_t *pass, mr_progress_t *merged,
    int64_t flush, mr_error_t *err)
{
    mr_progress_t *recent;

    if (merge_chunk(member, pass, err) != 0) {
        return -1;
    }

    mr_chunk_reset(pass->chunk);

    if (pass->age == MR_AGE_RECENT) {
        return 0;
    }

    recent = mr_progress_at(&member->recent.merged, merged->partition);
    if (recent == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    flush--;

    if (pass->age == MR_AGE_OLDER && recent->flush < flush) {
        flush = recent->flush;
    }

    if (flush > merged->flush) {
        merged->flush = flush;
        member->unstored = true;
    }

    if (pass->age == MR_AGE_ANY && recent->flush < merged->flush) {
        recent->flush = merged->flush;
    }

    return merge_state(member, err);
}


static int
merge_chunk(mr_member_t *member, mr_pass_t *pass, mr_error_t *err)
{
    size_t i, n, count, most;
    int64_t begun;

    count = mr_chunk_count(pass->chunk);

    /* Or each batch would read the parts of all minutes again. */
    mr_chunk_sort(pass->chunk);

    for (i = 0; i < count; i += n) {
        most = pass->age != MR_AGE_RECENT ? mr_member_most(member)
                                          : MR_BATCH_WINDOWS;
        n = mr_chunk_slice(pass->chunk, i, most, pass->ledger.n);
        begun = mr_time_monotonic();

        if (mr_member_keep(member, err) != 0
            || mr_member_batch(member, pass, i, n, err) != 0)
        {
            return -1;
        }

        if (pass->age != MR_AGE_RECENT && i + n < count
            && merge_rest(member, mr_time_monotonic() - begun, err) != 0)
        {
            return -1;
        }
    }

    return pass->age != MR_AGE_RECENT ? mr_member_between(member, err) : 0;
}


/* Whether the last walk over the recent windows has found a change. */
static bool
merge_yields(const mr_member_t *member)
{
    return mr_chunk_count(member->recent.chunk) > 0;
}


size_t
mr_member_most(const mr_member_t *member)
{
    return merge_yields(member) ? OLDER_BATCH : MR_BATCH_WINDOWS;
}


/*
 * MongoDB has the writer's flushes and the recent windows to do as well, which
 * people wait for.
 */
static int
merge_rest(mr_member_t *member, int64_t took, mr_error_t *err)
{
    int64_t now, until, next;

    now = mr_time_monotonic();
    until = now;

    if (merge_yields(member)) {
        until += took < OLDER_REST ? took : OLDER_REST;
    }

    do {

        if (mr_member_between(member, err) != 0
            || mr_member_keep(member, err) != 0) {
            return -1;
        }

        now = mr_time_monotonic();
        next = until < member->recent_due ? until : member->recent_due;

        if (next > now) {
            mr_run_sleep(next - now);
            now = mr_time_monotonic();
        }

    } while (now < until);

    return 0;
}


int
mr_member_between(mr_member_t *member, mr_error_t *err)
{
    if (mr_time_monotonic() < member->recent_due) {
        return 0;
    }

    return mr_member_recent(member, err);
}


static int
merge_state(mr_member_t *member, mr_error_t *err)
{
    if (!member->unstored && member->as_of == member->stored_as_of) {
        return 0;
    }

    if (mr_member_keep(member, err) != 0
        || mr_store_set_state(member->store, member->lease.term,
               &member->older.merged, member->as_of, err)
               != 0)
    {
        return -1;
    }

    member->unstored = false;
    member->stored_as_of = member->as_of;

    return 0;
}
