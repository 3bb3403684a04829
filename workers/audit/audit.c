#include "audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int audit_compare(const void *a, const void *b);


int
mr_audit_init(mr_audit_t *audit, const mr_options_t *options, int64_t from,
    int64_t to, int64_t now, mr_error_t *err)
{
    size_t i;

    memset(audit, 0, sizeof(mr_audit_t));

    audit->options = options;
    audit->from = from;
    audit->to = to;
    audit->now = now;
    audit->future = MR_AUDIT_FUTURE;
    audit->n_minutes = (size_t) ((to - from) / MR_AUDIT_MINUTE);

    audit->minutes = calloc(audit->n_minutes, sizeof(mr_audit_minute_t));
    audit->findings = calloc(MR_AUDIT_FINDINGS, sizeof(mr_audit_finding_t));
    audit->tally = mr_tally_create();

    if (audit->minutes == NULL || audit->findings == NULL
        || audit->tally == NULL) {
        mr_audit_free(audit);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    for (i = 0; i < audit->n_minutes; i++) {
        audit->minutes[i].start = from + (int64_t) i * MR_AUDIT_MINUTE;
    }

    return 0;
}


int
mr_audit_partitions(mr_audit_t *audit, size_t n, mr_error_t *err)
{
    size_t i;

    audit->partitions = calloc(n, sizeof(mr_audit_partition_t));
    if (audit->partitions == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    audit->n_partitions = n;

    for (i = 0; i < n; i++) {
        audit->partitions[i].id = (int32_t) i;
        audit->partitions[i].before = MR_AUDIT_UNKNOWN;
        audit->partitions[i].after = audit->from;
        audit->partitions[i].offsets =
            calloc(audit->n_minutes + 1, sizeof(int64_t));

        if (audit->partitions[i].offsets == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }
    }

    return 0;
}


void
mr_audit_free(mr_audit_t *audit)
{
    size_t i;

    for (i = 0; i < audit->n_partitions; i++) {
        free(audit->partitions[i].offsets);
        free(audit->partitions[i].accounts);
        free(audit->partitions[i].found);
    }

    for (i = 0; i < audit->n_past; i++) {
        free(audit->past[i].accounts);
        free(audit->past[i].found);
    }

    free(audit->partitions);
    free(audit->past);
    free(audit->merges);
    free(audit->minutes);
    free(audit->findings);
    mr_tally_destroy(audit->tally);
    memset(audit, 0, sizeof(mr_audit_t));
}


int
mr_audit_past(mr_audit_t *audit, int32_t partition, int64_t epoch)
{
    size_t cap;
    mr_audit_partition_t *past;

    if (audit->n_past == audit->past_cap) {
        cap = 2 * audit->past_cap + 16;

        past = realloc(audit->past, cap * sizeof(mr_audit_partition_t));
        if (past == NULL) {
            return -1;
        }

        audit->past = past;
        audit->past_cap = cap;
    }

    past = &audit->past[audit->n_past++];
    *past = (mr_audit_partition_t){.id = partition,
        .epoch = epoch,
        .before = MR_AUDIT_UNKNOWN,
        .after = audit->from};
    (void) snprintf(
        past->origin, sizeof(past->origin), "epoch %lld: ", (long long) epoch);

    return 0;
}


int
mr_audit_account(
    mr_audit_partition_t *partition, const mr_audit_account_t *account)
{
    size_t cap;
    void *grown;

    if (partition->n_accounts == partition->accounts_cap) {
        cap = 2 * partition->accounts_cap + 64;

        grown = realloc(partition->accounts, cap * sizeof(mr_audit_account_t));
        if (grown == NULL) {
            return -1;
        }

        partition->accounts = grown;

        grown = realloc(partition->found, cap * sizeof(int64_t));
        if (grown == NULL) {
            return -1;
        }

        partition->found = grown;
        partition->accounts_cap = cap;
    }

    partition->found[partition->n_accounts] = 0;
    partition->accounts[partition->n_accounts++] = *account;

    return 0;
}


void
mr_audit_sort(mr_audit_partition_t *partition)
{
    if (partition->n_accounts != 0) {
        qsort(partition->accounts, partition->n_accounts,
            sizeof(mr_audit_account_t), audit_compare);
    }
}


int
mr_audit_merge(mr_audit_t *audit, int64_t partition, int64_t flush)
{
    size_t n;
    int64_t *grown;

    if (partition < 0 || partition >= MR_AUDIT_PARTITIONS_MAX) {
        return 0;
    }

    n = (size_t) partition + 1;

    if (n > audit->n_merges) {
        grown = realloc(audit->merges, n * sizeof(int64_t));
        if (grown == NULL) {
            return -1;
        }

        memset(grown + audit->n_merges, 0,
            (n - audit->n_merges) * sizeof(int64_t));
        audit->merges = grown;
        audit->n_merges = n;
    }

    audit->merges[partition] = flush;

    return 0;
}


int64_t
mr_audit_merged(const mr_audit_t *audit, int64_t partition)
{
    return partition >= 0 && (size_t) partition < audit->n_merges
               ? audit->merges[partition]
               : 0;
}


int
mr_audit_accounts_fade(const mr_audit_t *audit, int64_t minute)
{
    int64_t keep;

    keep = audit->options->writer.keep_accounts;

    return keep != 0 && minute + MR_AUDIT_MINUTE <= audit->now - keep;
}


int
mr_audit_blocks_fade(const mr_audit_t *audit, int64_t minute)
{
    int64_t retention;

    retention = audit->options->writer.retention;

    return retention != 0 && minute <= audit->now - retention;
}


/* An event may have come, and gone, before the minute of its timestamp. */
int
mr_audit_events_fade(const mr_audit_t *audit, int64_t minute)
{
    return mr_audit_blocks_fade(audit, minute - audit->future);
}


int
mr_audit_windows_fade(const mr_audit_t *audit, int64_t minute)
{
    return minute + MR_AUDIT_MINUTE
           <= audit->now - audit->options->stats.keep_minute;
}


void
mr_audit_find(mr_audit_t *audit, const char *check, int64_t minute,
    int32_t partition, int64_t difference, const char *fmt, ...)
{
    va_list args;
    mr_audit_finding_t *finding;

    if (minute >= audit->from && minute < audit->to) {
        audit->minutes[(minute - audit->from) / MR_AUDIT_MINUTE].bad = 1;
    }

    if (audit->n_findings++ >= MR_AUDIT_FINDINGS) {
        return;
    }

    finding = &audit->findings[audit->n_findings - 1];
    finding->check = check;
    finding->minute = minute;
    finding->partition = partition;
    finding->difference = difference;

    va_start(args, fmt);
    (void) vsnprintf(finding->text, sizeof(finding->text), fmt, args);
    va_end(args);
}


int
mr_audit_blind(const mr_audit_t *audit)
{
    int i;

    for (i = 0; i < MR_AUDIT_EQUATIONS; i++) {
        if (audit->uncompared[i] < audit->n_minutes) {
            return 0;
        }
    }

    return 1;
}


static int
audit_compare(const void *a, const void *b)
{
    const mr_audit_account_t *x = a, *y = b;

    if (x->first != y->first) {
        return x->first < y->first ? -1 : 1;
    }

    return (x->last > y->last) - (x->last < y->last);
}
