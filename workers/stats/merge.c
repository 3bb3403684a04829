#include <inttypes.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/log.h"

#include "member.h"


/* Batches of windows closed in one round. */
#define CLOSE_BATCHES 16

/* Minutes that forget their seconds in one round. */
#define FORGET_MINUTES 1000


static int merge_ledger(
    mr_member_t *member, int64_t *ret_as_of, mr_error_t *err);
static int merge_partition(
    mr_member_t *member, mr_progress_t *merged, int64_t flush, mr_error_t *err);
static int merge_walk(mr_member_t *member, mr_changes_t *changes,
    mr_progress_t *merged, mr_error_t *err);
static int merge_chunk(mr_member_t *member, mr_error_t *err);
static int merge_batch(
    mr_member_t *member, size_t first, size_t n, mr_error_t *err);
static int merge_entry(mr_member_t *member, mr_entry_t *entry,
    mr_merged_t **ret_next, mr_error_t *err);
static int merge_store(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err);
static int merge_state(mr_member_t *member, mr_error_t *err);
static int merge_close(mr_member_t *member, mr_error_t *err);
static int merge_forget(mr_member_t *member, mr_error_t *err);
static int merge_close_batch(
    mr_member_t *member, size_t *ret_n, mr_error_t *err);


int
mr_member_merge(mr_member_t *member, mr_error_t *err)
{
    size_t i;
    int64_t as_of;
    mr_progress_t *at;

    if (mr_member_publish_rest(member, err) != 0
        || merge_ledger(member, &as_of, err) != 0
        || mr_store_alone(member->store, err) != 0)
    {
        return -1;
    }

    mr_chunk_reset(member->chunk);

    for (i = 0; i < member->ledger.n; i++) {
        at = mr_progress_at(&member->merged, member->ledger.list[i].partition);

        if (at == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        if (merge_partition(member, at, member->ledger.list[i].flush, err) != 0)
        {
            return -1;
        }
    }

    if (merge_chunk(member, err) != 0) {
        return -1;
    }

    /* Only now is everything in that the ledgers counted. */
    for (i = 0; i < member->ledger.n; i++) {
        at = mr_progress_at(&member->merged, member->ledger.list[i].partition);

        if (at->flush != member->ledger.list[i].flush) {
            at->flush = member->ledger.list[i].flush;
            member->unstored = true;
        }

        at->seconds = at->flush;
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

    if (merge_close(member, err) != 0) {
        return -1;
    }

    return merge_forget(member, err);
}


/*
 * Everything that Kafka received until *ret_as_of is in what these ledgers
 * count.  A ledger that has seen nothing yet, or is not there yet, makes that
 * unknown, 0: its partition may hold records that nobody has read.
 */
static int
merge_ledger(mr_member_t *member, int64_t *ret_as_of, mr_error_t *err)
{
    size_t i;
    int64_t as_of;
    const mr_progress_t *at;

    if (mr_store_ledger(member->store, &member->ledger, err) != 0) {
        return -1;
    }

    as_of = 0;

    for (i = 0; i < member->ledger.n; i++) {
        at = &member->ledger.list[i];

        if (i == 0 || at->as_of < as_of) {
            as_of = at->as_of;
        }
    }

    if ((int64_t) member->ledger.n < member->options->kafka.partitions) {
        as_of = 0;
    }

    *ret_as_of = as_of;

    return 0;
}


static int
merge_partition(
    mr_member_t *member, mr_progress_t *merged, int64_t flush, mr_error_t *err)
{
    int rc;
    mr_changes_t *changes;

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

    if (mr_store_changes(member->store, merged, &changes, err) != 0) {
        return -1;
    }

    rc = merge_walk(member, changes, merged, err);

    mr_changes_close(changes);

    return rc;
}


static int
merge_walk(mr_member_t *member, mr_changes_t *changes, mr_progress_t *merged,
    mr_error_t *err)
{
    mr_entry_t *entry;
    mr_partial_t *part;
    mr_window_key_t key;

    for (;;) {

        if (mr_changes_next(
                changes, mr_chunk_arena(member->chunk), &key, &part, err)
            != 0)
        {
            return -1;
        }

        if (part == NULL) {
            return 0;
        }

        entry = mr_chunk_add(member->chunk, &key);

        if (entry == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        mr_entry_link(entry, part);

        if (!mr_chunk_full(member->chunk)) {
            continue;
        }

        if (merge_chunk(member, err) != 0) {
            return -1;
        }

        /*
         * There may be more of the flush that was read last, so that the one
         * before it is what has been merged.
         */
        if (part->flush - 1 > merged->flush) {
            merged->flush = part->flush - 1;
            member->unstored = true;
        }

        if (merge_state(member, err) != 0) {
            return -1;
        }

        mr_chunk_reset(member->chunk);
    }
}


static int
merge_chunk(mr_member_t *member, mr_error_t *err)
{
    size_t i, n, count;

    count = mr_chunk_count(member->chunk);

    for (i = 0; i < count; i += n) {
        n = count - i < MR_BATCH_WINDOWS ? count - i : MR_BATCH_WINDOWS;

        if (mr_member_keep(member, err) != 0
            || merge_batch(member, i, n, err) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
merge_batch(mr_member_t *member, size_t first, size_t n, mr_error_t *err)
{
    size_t i;
    mr_merged_t *next;
    mr_merged_list_t windows;

    next = NULL;

    if (mr_store_read(
            member->store, member->chunk, first, n, &member->ledger, err)
        != 0)
    {
        return -1;
    }

    windows.list = member->batch;
    windows.n = 0;

    for (i = first; i < first + n; i++) {

        if (merge_entry(member, mr_chunk_at(member->chunk, i), &next, err) != 0)
        {
            return -1;
        }

        if (next != NULL) {
            windows.list[windows.n++] = next;
        }
    }

    if (merge_store(member, &windows, err) != 0) {
        return -1;
    }

    mr_metric_add(member->metrics.merged, (int64_t) windows.n);

    return 0;
}


static int
merge_entry(mr_member_t *member, mr_entry_t *entry, mr_merged_t **ret_next,
    mr_error_t *err)
{
    int64_t expire;
    mr_str_t users;
    mr_arena_t *arena;
    mr_merged_t *next;
    mr_scalars_t scalars;

    arena = mr_chunk_arena(member->chunk);
    next = mr_arena_alloc(arena, sizeof(mr_merged_t));

    if (next == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    users = entry->stored != NULL ? entry->stored->scalars.users : mr_str("");

    if (mr_partials_fold(arena, entry->partials, users, &scalars, &expire, err)
        != 0)
    {
        return -1;
    }

    *ret_next = NULL;

    switch (mr_window_next(arena, &entry->key, &scalars, expire, entry->stored,
        member->options->stats.grace, mr_member_time(member), next))
    {
    case MR_MERGE_WRITE:
        *ret_next = next;
        break;

    case MR_MERGE_EXPIRED:
        mr_metric_add(member->metrics.expired, 1);
        break;

    case MR_MERGE_BACKWARDS:
        mr_log_error("width=%s start=%" PRId64 " the partials of a window "
                     "hold %" PRId64 " events, fewer than the %" PRId64
                     " that were merged before: the window is kept",
            mr_width_name(entry->key.width), entry->key.start / 1000,
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): from it */
            scalars.count, entry->stored->scalars.count);
        break;

    case MR_MERGE_MEMORY:
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");

    case MR_MERGE_SAME:
        break;
    }

    return 0;
}


/* Store new revisions, then publish those that are published at all. */
static int
merge_store(
    mr_member_t *member, const mr_merged_list_t *windows, mr_error_t *err)
{
    bool was_dirty;
    size_t i;
    mr_merged_list_t dirty;

    if (windows->n == 0) {
        return 0;
    }

    was_dirty = member->dirty;

    /* Also when the answer is lost: some may have been written. */
    member->dirty = true;

    if (mr_store_write(member->store, member->lease.term, windows, err) != 0) {
        return -1;
    }

    dirty.list = windows->list;
    dirty.n = 0;

    for (i = 0; i < windows->n; i++) {

        if (windows->list[i]->dirty) {
            dirty.list[dirty.n++] = windows->list[i];
        }
    }

    if (dirty.n == 0) {
        member->dirty = was_dirty;
        return 0;
    }

    mr_metric_set(member->metrics.dirty, (double) dirty.n);

    if (member->away) {
        return 0;
    }

    if (mr_member_publish(member, &dirty, err) != 0) {
        return mr_member_away(member, err);
    }

    /* Where a revision was frozen, the one after it is still to be sent. */
    for (i = 0; i < dirty.n && !was_dirty; i++) {
        was_dirty = dirty.list[i]->frozen != 0;
    }

    if (!was_dirty) {
        mr_metric_set(member->metrics.dirty, 0);
    }

    member->dirty = was_dirty;

    return 0;
}


static int
merge_state(mr_member_t *member, mr_error_t *err)
{
    if (!member->unstored && member->as_of == member->stored_as_of) {
        return 0;
    }

    if (mr_member_keep(member, err) != 0
        || mr_store_set_state(member->store, member->lease.term,
               &member->merged, member->as_of, err)
               != 0)
    {
        return -1;
    }

    member->unstored = false;
    member->stored_as_of = member->as_of;

    return 0;
}


/* By the clock, not by the events: the last window of a type closes too. */
static int
merge_close(mr_member_t *member, mr_error_t *err)
{
    size_t i, n;

    for (i = 0; i < CLOSE_BATCHES; i++) {

        if (mr_member_keep(member, err) != 0
            || merge_close_batch(member, &n, err) != 0) {
            return -1;
        }

        if (n < MR_BATCH_WINDOWS) {
            break;
        }
    }

    return 0;
}


static int
merge_close_batch(mr_member_t *member, size_t *ret_n, mr_error_t *err)
{
    size_t i, n;
    int64_t now;
    mr_merge_t what;
    mr_merged_t *next;
    mr_merged_list_t windows;

    mr_arena_reset(&member->arena);

    now = mr_member_time(member);
    windows.list = member->batch;
    windows.n = MR_BATCH_WINDOWS;

    if (mr_store_closing(member->store, &member->arena, now, &windows, err)
        != 0) {
        return -1;
    }

    n = windows.n;
    windows.n = 0;

    for (i = 0; i < n; i++) {

        next = mr_arena_alloc(&member->arena, sizeof(mr_merged_t));
        if (next == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        what = mr_window_close(&member->arena, windows.list[i], now, next);

        if (what == MR_MERGE_MEMORY) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        if (what == MR_MERGE_WRITE) {
            windows.list[windows.n++] = next;
        }
    }

    if (merge_store(member, &windows, err) != 0) {
        return -1;
    }

    mr_metric_add(member->metrics.closed, (int64_t) windows.n);
    *ret_n = n;

    return 0;
}


/*
 * Seconds are kept for a shorter time than the minutes that they are in.  In
 * the thread that merges, so that none goes while its window is made of it.
 */
static int
merge_forget(mr_member_t *member, mr_error_t *err)
{
    size_t n;

    if (mr_member_keep(member, err) != 0
        || mr_store_forget(
               member->store, mr_member_time(member), FORGET_MINUTES, &n, err)
               != 0)
    {
        return -1;
    }

    mr_metric_add(member->metrics.forgotten, (int64_t) n);

    return 0;
}
