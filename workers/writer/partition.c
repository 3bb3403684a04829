#include "partition.h"

#include <stdlib.h>
#include <string.h>


static int partition_hole(mr_partition_t *partition, int64_t to);
static int partition_believes(const mr_partition_t *partition, int64_t to);
static size_t partition_find_hole(
    const mr_partition_t *partition, int64_t from);
static void partition_forget_holes(mr_partition_t *partition, int64_t offset);
static mr_take_t partition_look_back(mr_partition_t *partition,
    const mr_record_t *record, mr_parser_t *parser, mr_error_t *err);
static mr_take_t partition_judge(mr_partition_t *partition,
    const mr_record_t *record, mr_parser_t *parser, mr_error_t *err);
static int partition_repeat(
    mr_partition_t *partition, int64_t offset, const mr_event_t *event);
static int partition_dead(
    mr_partition_t *partition, const mr_record_t *record, const char *reason);
static mr_take_t partition_failed(mr_partition_t *partition, mr_error_t *err);


mr_partition_t *
mr_partition_create(int32_t id, int64_t window_size)
{
    mr_partition_t *partition;

    partition = calloc(1, sizeof(mr_partition_t));
    if (partition == NULL) {
        return NULL;
    }

    partition->id = id;
    partition->window_size = window_size;
    partition->filled = -1;
    partition->hole = -1;
    partition->later_end = -1;

    return partition;
}


void
mr_partition_destroy(mr_partition_t *partition)
{
    if (partition == NULL) {
        return;
    }

    mr_dedup_destroy(partition->window);
    free(partition->holes);
    free(partition);
}


int
mr_partition_forget(mr_partition_t *partition)
{
    if (partition->window == NULL) {
        return 0;
    }

    mr_dedup_destroy(partition->window);
    partition->window = NULL;
    partition->filled = -1;

    return 1;
}


int
mr_partition_start(mr_partition_t *partition, const mr_ledger_t *ledger,
    int64_t log_start, int64_t *ret_start)
{
    int same;
    int64_t kept, start;

    if (partition->window == NULL) {
        partition->window = mr_dedup_create(partition->window_size);
        if (partition->window == NULL) {
            return -1;
        }
    }

    same = partition->window_epoch == ledger->epoch;
    kept = same ? partition->filled : -1;

    start = mr_ledger_start(
        ledger, log_start, partition->window_size, kept, &partition->fill);

    if (partition->fill != kept) {
        mr_dedup_reset(partition->window);
    }

    if (start > partition->corrupt || !same) {
        atomic_store(&partition->corrupted, 0);
    }

    if (!same) {
        partition->later_end = -1;
    }

    partition->window_epoch = ledger->epoch;
    partition->filled = partition->fill;
    partition->ledger = *ledger;
    partition->last = ledger->last;
    partition->position = start;
    partition->reached = start;
    partition->hole = -1;
    partition->doubtful = 0;
    partition->verified = start > ledger->last.offset;
    partition->foreign = 0;
    partition->appended = 0;
    partition->last_appended = 0;

    *ret_start = start;

    return 0;
}


mr_take_t
mr_partition_take(mr_partition_t *partition, const mr_record_t *record,
    mr_parser_t *parser, mr_error_t *err)
{
    if (record->offset < partition->position) {
        return MR_TAKE_STALE;
    }

    if (record->offset > partition->position
        && partition_hole(partition, record->offset) != 0)
    {
        return partition_failed(partition, err);
    }

    partition->position = record->offset + 1;

    if (record->offset >= partition->corrupt) {
        atomic_store_explicit(&partition->corrupted, 0, memory_order_relaxed);
    }

    if (record->offset < partition->ledger.next) {
        return partition_look_back(partition, record, parser, err);
    }

    if (!partition->verified) {
        partition->foreign = 1;
        mr_error_set(err, MR_ERROR_GAP, NULL,
            "the last stored record, at offset %lld, is no longer there",
            (long long) partition->ledger.last.offset);
        return MR_TAKE_RECREATED;
    }

    return partition_judge(partition, record, parser, err);
}


int
mr_partition_doubts(const mr_partition_t *partition, int64_t offset)
{
    return partition->doubtful == 0 && offset > partition->position
           && !partition_believes(partition, offset);
}


int
mr_partition_doubtful(const mr_partition_t *partition)
{
    return partition->doubtful != 0;
}


void
mr_partition_corrupt(mr_partition_t *partition, int64_t offset)
{
    if (offset < partition->position) {
        offset = partition->position;
    }

    if (offset != partition->corrupt) {
        atomic_store(&partition->corrupted, 0);
        partition->corrupt = offset;
    }

    atomic_fetch_add(&partition->corrupted, 1);
}


void
mr_partition_end(mr_partition_t *partition, int64_t offset)
{
    if (offset > partition->reached) {
        partition->reached = offset;
    }
}


void
mr_partition_after(const mr_partition_t *partition, mr_ledger_t *ret_ledger)
{
    *ret_ledger = partition->ledger;

    ret_ledger->next = partition->last.offset + 1;
    ret_ledger->last = partition->last;
    ret_ledger->flush++;
}


void
mr_partition_committed(mr_partition_t *partition, const mr_ledger_t *ledger)
{
    partition->ledger = *ledger;
    partition->appended = partition->last_appended;
    partition->hole = -1;
    partition_forget_holes(partition, ledger->next - partition->window_size);
    mr_flush_reset(partition->flush);
}


/* The offsets from the position to `to` were passed over. */
static int
partition_hole(mr_partition_t *partition, int64_t to)
{
    size_t i;
    int64_t from;

    from = partition->position;

    if (to > partition->ledger.next && partition->hole == -1) {
        partition->hole =
            from > partition->ledger.next ? from : partition->ledger.next;
    }

    if (partition_believes(partition, to)) {
        return 0;
    }

    i = partition_find_hole(partition, from);

    if (partition->n_holes == partition->holes_cap) {
        size_t cap;
        mr_hole_t *holes;

        cap = 2 * partition->holes_cap + 16;

        holes = realloc(partition->holes, cap * sizeof(mr_hole_t));
        if (holes == NULL) {
            return -1;
        }

        partition->holes = holes;
        partition->holes_cap = cap;
    }

    memmove(partition->holes + i + 1, partition->holes + i,
        (partition->n_holes - i) * sizeof(mr_hole_t));

    partition->holes[i].from = from;
    partition->holes[i].to = to;
    partition->n_holes++;
    partition->doubtful++;

    return 0;
}


/* Is it a marker's, or was it met before? */
static int
partition_believes(const mr_partition_t *partition, int64_t to)
{
    size_t i;

    if (to - partition->position == 1) {
        return 1;
    }

    i = partition_find_hole(partition, partition->position);

    return i < partition->n_holes
           && partition->holes[i].from == partition->position
           && partition->holes[i].to == to;
}


/* The first hole that begins at `from` or later. */
static size_t
partition_find_hole(const mr_partition_t *partition, int64_t from)
{
    size_t low, high, middle;

    low = 0;
    high = partition->n_holes;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (partition->holes[middle].from < from) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


/* Those before `offset` are never read again. */
static void
partition_forget_holes(mr_partition_t *partition, int64_t offset)
{
    size_t i;

    i = partition_find_hole(partition, offset);

    if (i != 0) {
        memmove(partition->holes, partition->holes + i,
            (partition->n_holes - i) * sizeof(mr_hole_t));
        partition->n_holes -= i;
    }
}


/* A record that is stored already: verify it, and fill the window. */
static mr_take_t
partition_look_back(mr_partition_t *partition, const mr_record_t *record,
    mr_parser_t *parser, mr_error_t *err)
{
    mr_event_t event;
    mr_error_t reason;

    if (!partition->verified && record->offset >= partition->ledger.last.offset)
    {
        if (!mr_last_matches(&partition->ledger.last, record->offset,
                record->time, mr_hash(record->value)))
        {
            partition->foreign = 1;
            mr_error_set(err, MR_ERROR_GAP, NULL,
                "the record at offset %lld is not the one that was stored",
                (long long) partition->ledger.last.offset);
            return MR_TAKE_RECREATED;
        }

        partition->verified = 1;
        partition->appended = record->appended;
    }

    if (record->offset < partition->fill) {
        return MR_TAKE_DONE;
    }

    if (mr_event_parse(parser, record->value, &event, &reason) == 0) {
        (void) mr_dedup_add(partition->window, record->offset,
            mr_hash_identity(event.user_id, event.event_id));

    } else if (reason.code == MR_ERROR_MEMORY) {
        return partition_failed(partition, err);
    }

    partition->filled = record->offset + 1;

    return MR_TAKE_DONE;
}


static mr_take_t
partition_judge(mr_partition_t *partition, const mr_record_t *record,
    mr_parser_t *parser, mr_error_t *err)
{
    int rc;
    int64_t expected;
    mr_flush_t *flush;
    mr_event_t event;
    mr_error_t reason;
    mr_account_t *account;

    flush = partition->flush;

    expected = flush->records == 0 ? partition->ledger.next
                                   : partition->last.offset + 1;

    account = mr_accounts_take(
        &flush->accounts, record->time, record->offset, expected);
    if (account == NULL) {
        return partition_failed(partition, err);
    }

    if (record->value.data == NULL) {
        account->dead++;
        rc = partition_dead(partition, record, "the record has no value");

    } else if (mr_event_parse(parser, record->value, &event, &reason) != 0) {

        if (reason.code == MR_ERROR_MEMORY) {
            return partition_failed(partition, err);
        }

        account->dead++;
        rc = partition_dead(partition, record, reason.message);

    } else if (partition_repeat(partition, record->offset, &event)) {
        account->repeated++;
        flush->repeated++;
        rc = 0;

    } else {
        account->stored++;
        rc = mr_flush_event(flush, &event, record->offset, record->time);
    }

    if (rc != 0) {
        return partition_failed(partition, err);
    }

    flush->records++;

    partition->last_appended = record->appended;
    partition->last.offset = record->offset;
    partition->last.time = record->time;
    partition->last.hash = mr_hash(record->value);
    partition->filled = record->offset + 1;

    return MR_TAKE_DONE;
}


/* Does one of the same identity lie within the window?  It enters it. */
static int
partition_repeat(
    mr_partition_t *partition, int64_t offset, const mr_event_t *event)
{
    int repeat;

    repeat = mr_dedup_add(partition->window, offset,
        mr_hash_identity(event->user_id, event->event_id));

#ifdef MR_FAULT_NO_DEDUP
    repeat = 0;
#endif

    return repeat;
}


static int
partition_dead(
    mr_partition_t *partition, const mr_record_t *record, const char *reason)
{
    mr_dead_t dead;

    dead.offset = record->offset;
    dead.has_key = record->key.data != NULL;
    dead.has_value = record->value.data != NULL;
    dead.key = record->key;
    dead.value = record->value;
    dead.reason = (mr_str_t){reason, strlen(reason)};

    return mr_flush_dead(partition->flush, &dead);
}


/* Half a record may have been taken: nothing of this can be used again. */
static mr_take_t
partition_failed(mr_partition_t *partition, mr_error_t *err)
{
    partition->filled = -1;

    mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");

    return MR_TAKE_FAILED;
}
