#include "stretch.h"


static void judge_partition(
    mr_audit_t *audit, const mr_audit_partition_t *partition);
static void judge_waiting(
    mr_audit_t *audit, const mr_audit_partition_t *partition);
static void judge_end(mr_audit_t *audit, const mr_audit_partition_t *partition,
    int64_t before, int64_t after);
static void judge_accounts(mr_audit_t *audit,
    const mr_audit_partition_t *partition, const mr_audit_stretch_t *stretch,
    int64_t before);
static void judge_records(mr_audit_t *audit,
    const mr_audit_partition_t *partition, const mr_audit_stretch_t *stretch);
static int judge_kafka(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch);
static void judge_blocks(mr_audit_t *audit,
    const mr_audit_partition_t *partition, const mr_audit_stretch_t *stretch);
static void judge_empty(mr_audit_t *audit,
    const mr_audit_partition_t *partition, size_t from, size_t to,
    int64_t slack);
static void judge_crossing(mr_audit_t *audit,
    const mr_audit_partition_t *partition, const mr_audit_stretch_t *stretch);
static int judge_forgotten(const mr_audit_partition_t *partition, size_t i);
static void judge_unknown(mr_audit_minute_t *row);
static int64_t judge_offsets(
    const mr_audit_partition_t *partition, size_t from, size_t to);
static void judge_rows(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch, int64_t records);
static void judge_acknowledged(mr_audit_t *audit);
static void judge_totals(mr_audit_t *audit);
static void judge_total(mr_audit_t *audit, int32_t partition, int64_t stored,
    int64_t counted, const char *what);
static void judge_tally(mr_audit_t *audit);
static void judge_cell(mr_audit_t *audit, const mr_tally_cell_t *cell);
static void judge_uncompared(mr_audit_t *audit);
static size_t judge_index(const mr_audit_t *audit, int64_t minute);
static void judge_add(int64_t *sum, int64_t n);


void
mr_audit_judge(mr_audit_t *audit)
{
    size_t i;

    for (i = 0; i < audit->n_partitions; i++) {
        judge_partition(audit, &audit->partitions[i]);
    }

    for (i = 0; i < audit->n_past; i++) {
        judge_partition(audit, &audit->past[i]);
    }

    judge_acknowledged(audit);
    judge_tally(audit);
    judge_totals(audit);
    judge_uncompared(audit);
}


/*
 * Of an epoch of before, which has no `offsets`, the accounts and the blocks
 * alone: Kafka has another log by now, and where its own ended nobody knows.
 */
static void
judge_partition(mr_audit_t *audit, const mr_audit_partition_t *partition)
{
    size_t at;
    int64_t before, after;
    mr_audit_stretch_t stretch;

    if (partition->offsets != NULL) {
        judge_waiting(audit, partition);
    }

    /* Between `before` and what follows, accounts of `after` on are missing. */
    before = partition->before;
    after = partition->after;
    stretch.to = 0;
    at = 0;

    while (stretch.to < partition->n_accounts) {
        mr_audit_stretch_next(partition, &stretch);

        if (before < stretch.first && mr_audit_accounts_fade(audit, after)) {
            before = MR_AUDIT_UNKNOWN;
        }

        judge_empty(audit, partition, at, judge_index(audit, stretch.low),
            stretch.holes);

        if (mr_audit_stretch_crosses(audit, &stretch)) {
            judge_crossing(audit, partition, &stretch);

        } else {
            judge_accounts(audit, partition, &stretch, before);
            judge_records(audit, partition, &stretch);
            judge_blocks(audit, partition, &stretch);
        }

        before = stretch.last + 1;
        after = stretch.high + MR_AUDIT_MINUTE;
        at = judge_index(audit, stretch.high) + 1;
    }

    judge_empty(audit, partition, at, audit->n_minutes, partition->holes);

    if (partition->offsets != NULL) {
        judge_end(audit, partition, before, after);
    }
}


/* What Kafka holds and is not stored, or has deleted before it was. */
static void
judge_waiting(mr_audit_t *audit, const mr_audit_partition_t *partition)
{
    size_t i;
    int64_t waiting, start;

    if (partition->known && partition->log_first > partition->next) {
        mr_audit_find(audit, "kafka", MR_AUDIT_UNKNOWN, partition->id,
            partition->next - partition->log_first,
            "Kafka has deleted the offsets %lld to %lld before they were "
            "stored",
            (long long) partition->next, (long long) partition->log_first - 1);
    }

    for (i = 0; i < audit->n_minutes; i++) {
        start = partition->offsets[i] > partition->next ? partition->offsets[i]
                                                        : partition->next;
        waiting = partition->offsets[i + 1] - start;
        audit->minutes[i].waiting += waiting > 0 ? waiting : 0;
    }
}


/* The ledger ends where the last account does. */
static void
judge_end(mr_audit_t *audit, const mr_audit_partition_t *partition,
    int64_t before, int64_t after)
{
    if (before != MR_AUDIT_UNKNOWN && before != partition->next
        && !mr_audit_accounts_fade(audit, after)
        && partition->offsets[audit->n_minutes] >= partition->next)
    {
        mr_audit_find(audit, "accounts", MR_AUDIT_UNKNOWN, partition->id,
            before - partition->next,
            "the offsets %lld to %lld are stored and in no account",
            (long long) before, (long long) partition->next - 1);
    }
}


/* Every offset in one account, and only in one. */
static void
judge_accounts(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch, int64_t before)
{
    int64_t covered, sum;

    covered = stretch->last + 1 - stretch->first;
    sum = stretch->stored + stretch->repeated + stretch->dead + stretch->holes;

    if (before != MR_AUDIT_UNKNOWN && before != stretch->first) {
        mr_audit_find(audit, "accounts", stretch->low, partition->id,
            before - stretch->first,
            before < stretch->first
                ? "%sthe offsets %lld to %lld are in no account"
                : "%sthe offsets from %lld down to %lld are in two accounts",
            partition->origin, (long long) before,
            (long long) stretch->first - (before < stretch->first ? 1 : 0));
    }

    if (covered != sum) {
        mr_audit_find(audit, "accounts", stretch->low, partition->id,
            sum - covered,
            "%sthe account speaks of %lld records and holes, from offset %lld "
            "to %lld there are %lld",
            partition->origin, (long long) sum, (long long) stretch->first,
            (long long) stretch->last, (long long) covered);
    }
}


/* What Kafka says of it. */
static void
judge_records(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch)
{
    if (partition->offsets == NULL || partition->log_start > stretch->first) {
        judge_rows(audit, partition, stretch, MR_AUDIT_UNKNOWN);

    } else if (judge_kafka(audit, partition, stretch) == 0) {
        judge_rows(audit, partition, stretch,
            stretch->stored + stretch->repeated + stretch->dead);

    } else {
        judge_rows(audit, partition, stretch,
            judge_offsets(partition, judge_index(audit, stretch->low),
                judge_index(audit, stretch->high) + 1)
                - stretch->holes);
    }
}


/*
 * Holes are transaction markers, whose own time Kafka knows and we do not:
 * they may lie a minute before the record that they are accounted with.
 */
static int
judge_kafka(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch)
{
    int64_t covered, offsets, slack;

    covered = stretch->last + 1 - stretch->first;
    offsets = judge_offsets(partition, judge_index(audit, stretch->low),
        judge_index(audit, stretch->high) + 1);
    slack = stretch->holes
            + (stretch->to < partition->n_accounts
                    ? partition->accounts[stretch->to].holes
                    : partition->holes);

    if (offsets > covered + slack || offsets < covered - slack) {
        mr_audit_find(audit, "kafka", stretch->low, partition->id,
            covered - offsets,
            "Kafka received %lld records, and %lld are accounted for",
            (long long) offsets, (long long) covered);
        return -1;
    }

    return 0;
}


static void
judge_blocks(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch)
{
    if (mr_audit_blocks_fade(audit, stretch->low)) {
        return;
    }

    if (stretch->found != stretch->stored) {
        mr_audit_find(audit, "blocks", stretch->low, partition->id,
            stretch->found - stretch->stored,
            "%s%lld events were stored, and the blocks hold %lld of the "
            "offsets %lld to %lld",
            partition->origin, (long long) stretch->stored,
            (long long) stretch->found, (long long) stretch->first,
            (long long) stretch->last);
    }
}


/*
 * Minutes [from, to) have no account: Kafka must not have records there, but
 * for those of which the account may have been removed by age.
 */
static void
judge_empty(mr_audit_t *audit, const mr_audit_partition_t *partition,
    size_t from, size_t to, int64_t slack)
{
    size_t i;
    int64_t offsets;

    if (partition->offsets == NULL) {
        return;
    }

    for (i = from; i < to; i++) {
        offsets = judge_offsets(partition, i, i + 1);

        if (mr_audit_accounts_fade(audit, audit->minutes[i].start)
            && (offsets > slack || judge_forgotten(partition, i)))
        {
            judge_unknown(&audit->minutes[i]);
            continue;
        }

        if (offsets <= slack) {
            continue;
        }

        if (partition->offsets[i] < partition->log_start) {
            judge_add(&audit->minutes[i].records, MR_AUDIT_UNKNOWN);
            continue;
        }

        judge_add(&audit->minutes[i].records, offsets);

        mr_audit_find(audit, "kafka", audit->minutes[i].start, partition->id,
            -offsets,
            "Kafka received %lld records, and there is no account of them",
            (long long) offsets);
    }
}


/* May Kafka have had records in the minute, and deleted them? */
static int
judge_forgotten(const mr_audit_partition_t *partition, size_t i)
{
    return partition->known && partition->log_start > 0
           && partition->offsets[i] <= partition->log_start;
}


/* Its account is gone, of one partition at least. */
static void
judge_unknown(mr_audit_minute_t *row)
{
    row->records = MR_AUDIT_UNKNOWN;
    row->stored = MR_AUDIT_UNKNOWN;
    row->repeated = MR_AUDIT_UNKNOWN;
    row->dead = MR_AUDIT_UNKNOWN;
    row->blocks = MR_AUDIT_UNKNOWN;
}


/*
 * Kafka was asked for only some of its minutes, and of its accounts those that
 * are far from the period may not have been read.
 */
static void
judge_crossing(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch)
{
    size_t i;
    mr_audit_minute_t *row;
    const mr_audit_account_t *account;

    for (i = stretch->from; i < stretch->to; i++) {
        account = &partition->accounts[i];

        if (account->minute < audit->from || account->minute >= audit->to) {
            continue;
        }

        row = &audit->minutes[judge_index(audit, account->minute)];

        judge_add(&row->stored, account->stored);
        judge_add(&row->repeated, account->repeated);
        judge_add(&row->dead, account->dead);
        judge_add(&row->records, MR_AUDIT_UNKNOWN);
        judge_add(&row->blocks, MR_AUDIT_UNKNOWN);
    }
}


/* How many offsets Kafka gave in minutes [from, to), as far as is stored. */
static int64_t
judge_offsets(const mr_audit_partition_t *partition, size_t from, size_t to)
{
    int64_t first, last;

    first = partition->offsets[from];
    last = partition->offsets[to];

    first = first < partition->next ? first : partition->next;
    last = last < partition->next ? last : partition->next;

    return last - first;
}


static void
judge_rows(mr_audit_t *audit, const mr_audit_partition_t *partition,
    const mr_audit_stretch_t *stretch, int64_t records)
{
    size_t i, missing;
    int64_t sum, spread, found;
    mr_audit_minute_t *row;
    const mr_audit_account_t *account;

    missing = judge_index(audit, stretch->low);
    spread = records;
    found = stretch->found;

    for (i = stretch->from; i < stretch->to; i++) {
        account = &partition->accounts[i];
        row = &audit->minutes[judge_index(audit, account->minute)];
        sum = account->stored + account->repeated + account->dead;

        judge_add(&row->stored, account->stored);
        judge_add(&row->repeated, account->repeated);
        judge_add(&row->dead, account->dead);
        judge_add(&row->records, records == MR_AUDIT_UNKNOWN ? records : sum);
        judge_add(&row->blocks, mr_audit_blocks_fade(audit, account->minute)
                                    ? MR_AUDIT_UNKNOWN
                                    : account->stored);
        spread -= sum;
        found -= account->stored;
    }

    /* What does not agree is shown in the first minute of the stretch. */
    row = &audit->minutes[missing];

    if (row->records != MR_AUDIT_UNKNOWN) {
        row->records += spread;
    }

    if (row->blocks != MR_AUDIT_UNKNOWN) {
        row->blocks += found;
    }
}


/*
 * At least: what nginx does not know any more, or does not know the place of,
 * is in no count of its own.
 */
static void
judge_acknowledged(mr_audit_t *audit)
{
    size_t i;
    int64_t there;
    const mr_audit_minute_t *row;

    for (i = 0; i < audit->n_minutes; i++) {
        row = &audit->minutes[i];

        if (row->stored == MR_AUDIT_UNKNOWN) {
            continue;
        }

        there = row->stored + row->repeated + row->dead + row->waiting;

        if (row->acknowledged > there) {
            mr_audit_find(audit, "acknowledged", row->start, -1,
                there - row->acknowledged,
                "Kafka has acknowledged %lld events to nginx, and %lld are "
                "there",
                (long long) row->acknowledged, (long long) there);
        }
    }
}


static void
judge_totals(mr_audit_t *audit)
{
    size_t i;
    int64_t stored;
    const mr_audit_partition_t *partition;

    stored = audit->stored_before;

    for (i = 0; i < audit->n_partitions; i++) {
        partition = &audit->partitions[i];
        stored += partition->stored;

        judge_total(audit, (int32_t) i, partition->stored,
            partition->totals.hours, "partials of an hour");
        judge_total(audit, (int32_t) i, partition->stored,
            partition->totals.hours_types, "partials of an hour and a type");
        judge_total(audit, (int32_t) i, partition->stored,
            partition->totals.days, "partials of a day");
        judge_total(audit, (int32_t) i, partition->stored,
            partition->totals.days_types, "partials of a day and a type");
    }

    if (audit->merged) {
        judge_total(
            audit, -1, stored, audit->windows_hours, "windows of an hour");
        judge_total(audit, -1, stored, audit->windows_days, "windows of a day");
    }
}


static void
judge_total(mr_audit_t *audit, int32_t partition, int64_t stored,
    int64_t counted, const char *what)
{
    if (stored != counted) {
        mr_audit_find(audit, "totals", MR_AUDIT_UNKNOWN, partition,
            counted - stored,
            "%lld events were ever stored, and the %s count %lld",
            (long long) stored, what, (long long) counted);
    }
}


static void
judge_tally(mr_audit_t *audit)
{
    int gone;
    size_t i, n;
    mr_audit_minute_t *row;
    const mr_tally_cell_t *cells;

    for (i = 0; i < audit->n_minutes; i++) {
        row = &audit->minutes[i];
        gone = mr_audit_windows_fade(audit, row->start);

        if (gone || mr_audit_events_fade(audit, row->start)) {
            row->events = MR_AUDIT_UNKNOWN;
        }

        if (gone) {
            row->counted = MR_AUDIT_UNKNOWN;
        }

        if (gone) {
            row->windows = MR_AUDIT_UNKNOWN;
        }
    }

    n = mr_tally_cells(audit->tally, &cells);

    for (i = 0; i < n; i++) {
        if (!mr_audit_windows_fade(
                audit, audit->minutes[cells[i].minute].start)) {
            judge_cell(audit, &cells[i]);
        }
    }
}


static void
judge_cell(mr_audit_t *audit, const mr_tally_cell_t *cell)
{
    char name[64];
    mr_str_t type;
    mr_audit_minute_t *row;

    row = &audit->minutes[cell->minute];
    type = mr_tally_name(audit->tally, cell->type);

    if (cell->partition == -1) {

        if (cell->unmerged) {
            row->windows = type.len == 0 ? MR_AUDIT_UNKNOWN : row->windows;
            return;
        }

        row->windows += type.len == 0 ? cell->counted : 0;

    } else if (type.len == 0) {
        judge_add(&row->events, cell->events);
        row->counted += cell->counted;
    }

    if (cell->events == cell->counted) {
        return;
    }

    /* What was removed by age stays counted; what is there was counted too. */
    if (cell->partition != -1 && cell->events < cell->counted
        && mr_audit_events_fade(audit, row->start))
    {
        return;
    }

    if (type.len != 0) {
        (void) mr_error_excerpt(name, sizeof(name), type.data, type.len, 40);
    }

    mr_audit_find(audit, cell->partition == -1 ? "windows" : "partials",
        row->start, cell->partition, cell->counted - cell->events,
        cell->partition == -1 ? "%s%s: the partials count %lld events, the "
                                "window of this minute %lld"
                              : "%s%s: the blocks hold %lld events of this "
                                "minute, its partial counts %lld",
        type.len == 0 ? "all types" : "type ", type.len == 0 ? "" : name,
        (long long) cell->events, (long long) cell->counted);
}


static void
judge_uncompared(mr_audit_t *audit)
{
    size_t i;
    const mr_audit_minute_t *row;

    for (i = 0; i < audit->n_minutes; i++) {
        row = &audit->minutes[i];

        audit->uncompared[MR_AUDIT_RECORDS] += row->records == MR_AUDIT_UNKNOWN;
        audit->uncompared[MR_AUDIT_BLOCKS] +=
            row->blocks == MR_AUDIT_UNKNOWN
            || mr_audit_blocks_fade(audit, row->start);
        audit->uncompared[MR_AUDIT_EVENTS] += row->events == MR_AUDIT_UNKNOWN;
        audit->uncompared[MR_AUDIT_WINDOWS] += row->windows == MR_AUDIT_UNKNOWN;
    }
}


/* The first for what lies before the period, the last for what comes after. */
static size_t
judge_index(const mr_audit_t *audit, int64_t minute)
{
    minute = minute < audit->from ? audit->from : minute;
    minute = minute < audit->to ? minute : audit->to - MR_AUDIT_MINUTE;

    return (size_t) ((minute - audit->from) / MR_AUDIT_MINUTE);
}


/* What is unknown of one partition is unknown of the sum. */
static void
judge_add(int64_t *sum, int64_t n)
{
    if (n == MR_AUDIT_UNKNOWN || *sum == MR_AUDIT_UNKNOWN) {
        *sum = MR_AUDIT_UNKNOWN;

    } else {
        *sum += n;
    }
}
