#include <inttypes.h>

#include <millrace/time.h>

#include "../common/log.h"

#include "member.h"


/* Between two lines about damage: each merge finds them again. */
#define DAMAGE_QUIET 60000 /* ms */


static int batch_merge(
    mr_member_t *member, mr_pass_t *pass, mr_slice_t *slice, mr_error_t *err);
static int batch_entry(mr_member_t *member, mr_arena_t *arena,
    const mr_entry_t *entry, mr_merged_t **ret_next, mr_error_t *err);
static void batch_unreadable(mr_member_t *member, const mr_entry_t *entry);
static bool batch_quiet(mr_member_t *member);
static void batch_damage(
    mr_member_t *member, const mr_entry_t *entry, const mr_damage_t *damage);


int
mr_member_batch(mr_member_t *member, mr_pass_t *pass, size_t first, size_t n,
    mr_error_t *err)
{
    int rc;
    mr_slice_t slice = {pass->chunk, first, n, &member->arena};

    mr_arena_reset(slice.arena);
    rc = batch_merge(member, pass, &slice, err);
    mr_slice_end(&slice);

    return rc;
}


static int
batch_merge(
    mr_member_t *member, mr_pass_t *pass, mr_slice_t *slice, mr_error_t *err)
{
    size_t i;
    mr_merged_t *next;
    mr_merged_list_t windows;

    next = NULL;

    if (mr_store_read(member->store, slice, &pass->ledger, err) != 0) {
        return -1;
    }

    windows.list = member->batch;
    windows.n = 0;

    for (i = slice->first; i < slice->first + slice->n; i++) {

        if (batch_entry(
                member, slice->arena, mr_chunk_at(slice->chunk, i), &next, err)
            != 0)
        {
            return -1;
        }

        if (next != NULL) {
            windows.list[windows.n++] = next;
        }
    }

    return mr_member_store(member, &windows, member->metrics.merged, err);
}


static int
batch_entry(mr_member_t *member, mr_arena_t *arena, const mr_entry_t *entry,
    mr_merged_t **ret_next, mr_error_t *err)
{
    int64_t expire;
    mr_str_t users;
    mr_damage_t damage;
    mr_merged_t *next;
    mr_scalars_t scalars;

    next = mr_arena_alloc(arena, sizeof(mr_merged_t));

    if (next == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    *ret_next = NULL;

    if (entry->unreadable) {
        batch_unreadable(member, entry);
        return 0;
    }

    users = entry->stored != NULL ? entry->stored->scalars.users : mr_str("");

    if (mr_partials_fold(
            arena, entry->partials, users, &scalars, &expire, &damage, err)
        != 0)
    {
        return -1;
    }

    if (entry->stored != NULL && entry->stored->damaged) {
        damage.n++;
        damage.partition = -1;
        damage.name = mr_str("");
    }

    if (damage.n > 0) {
        batch_damage(member, entry, &damage);
    }

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

    /*
     * Stored by a member whose lease was over already, perhaps after this one
     * had published what was dirty.
     */
    if (*ret_next == NULL && entry->stored != NULL && entry->stored->dirty) {
        member->dirty = true;
    }

    return 0;
}


/* All others go on; this one, when somebody has mended or removed it. */
static void
batch_unreadable(mr_member_t *member, const mr_entry_t *entry)
{
    mr_metric_add(member->metrics.unreadable, 1);

    if (batch_quiet(member)) {
        return;
    }

    mr_log_error("width=%s start=%" PRId64 " event_type=\"%.*s\" the window's "
                 "document is damaged: it is left as it is",
        mr_width_name(entry->key.width), entry->key.start / 1000,
        (int) entry->key.event_type.len, entry->key.event_type.data);
}


/* Whether something has been said of damage a moment ago. */
static bool
batch_quiet(mr_member_t *member)
{
    int64_t now;

    now = mr_time_monotonic();

    if (now < member->damage_quiet) {
        return true;
    }

    member->damage_quiet = now + DAMAGE_QUIET;

    return false;
}


static void
batch_damage(
    mr_member_t *member, const mr_entry_t *entry, const mr_damage_t *damage)
{
    mr_metric_add(member->metrics.damaged, (int64_t) damage->n);

    if (batch_quiet(member)) {
        return;
    }

    mr_log_error("width=%s start=%" PRId64 " event_type=\"%.*s\" %zu damaged "
                 "sketches are left out, the last of %s%.*s in %s; counts and "
                 "sums are not affected",
        mr_width_name(entry->key.width), entry->key.start / 1000,
        (int) entry->key.event_type.len, entry->key.event_type.data, damage->n,
        damage->name.len > 0 ? "the measure " : "users", (int) damage->name.len,
        damage->name.data, damage->partition == -1 ? "windows" : "partials");
}


int
mr_member_store(mr_member_t *member, const mr_merged_list_t *windows,
    mr_metric_t *counter, mr_error_t *err)
{
    bool was_dirty, all;
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

    /* They are stored, whatever becomes of the rest. */
    mr_metric_add(counter, (int64_t) windows->n);

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

    if (member->away) {
        return 0;
    }

    if (mr_member_publish(member, &dirty, &all, err) != 0) {
        return mr_member_away(member, err);
    }

    if (!all) {
        return 0;
    }

    /* Where a revision was frozen, the one after it is still to be sent. */
    for (i = 0; i < dirty.n && !was_dirty; i++) {
        was_dirty = dirty.list[i]->frozen != 0;
    }

    member->dirty = was_dirty;

    return 0;
}
