/*
 * The audit: does every record that Kafka took stand in an account, every
 * record of an account as an event in a block, every event of a block in the
 * windows, once each?
 *
 * What Kafka and MongoDB say is gathered here as plain numbers (gather.c,
 * store*.c); judge.c compares them and says in sentences what does not agree.
 * docs/reliability.md has the equations.
 *
 * One thread.  Times are ms since the epoch; minutes are whole ones of UTC.
 */
#ifndef MR_AUDIT_AUDIT_H
#define MR_AUDIT_AUDIT_H

#include <stdint.h>
#include <stdio.h>

#include <millrace/error.h>

#include "../common/options.h"
#include "tally.h"


#define MR_AUDIT_MINUTE INT64_C(60000)
#define MR_AUDIT_MINUTES_MAX 10080 /* a week */
#define MR_AUDIT_UNKNOWN INT64_C(-1)
#define MR_AUDIT_PARTITIONS_MAX (INT64_C(1) << 20) /* numbers above: none */

/* By how much a timestamp may lie after its receipt: millrace_max_future. */
#define MR_AUDIT_FUTURE (INT64_C(24) * 3600 * 1000)


/* A document of `accounts`; in the audit `found` is what its blocks hold. */
typedef struct {
    int64_t minute;
    int64_t first;
    int64_t last;
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t holes;
    int64_t flush; /* first offset of the first flush that it covers */
} mr_audit_account_t;

/* Sums that should all be what the ledger calls stored. */
typedef struct {
    int64_t hours;       /* partials of an hour over all types */
    int64_t hours_types; /* the same, of each type */
    int64_t days;
    int64_t days_types;
} mr_audit_totals_t;

/* What is known of one partition of the topic, or of one of before. */
typedef struct {
    int32_t id;
    char origin[32]; /* "epoch 1: " where it is one of before, else empty */
    int known;       /* it has a ledger; else all below but log_* is 0 */
    int64_t epoch;
    int64_t next;
    int64_t flush;
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t log_first; /* where Kafka's log began when it was asked first, */
    int64_t log_start; /* and last: it moves on as records are removed by age */
    int64_t log_end;
    int64_t *offsets; /* of the period's minutes and its end: the first offset
                         that Kafka has of that time or later */
    int64_t before;   /* first offset after the last account before the
                         period, or MR_AUDIT_UNKNOWN */
    int64_t after;    /* the minute after that account's */
    int64_t holes;    /* of the first account after the period */
    mr_audit_account_t *accounts; /* of the period, and of others those that
                                     interleave; ascending by `first` */
    size_t n_accounts;
    size_t accounts_cap;
    int64_t *found; /* of each account: offsets of its range in blocks */
    mr_audit_totals_t totals;
} mr_audit_partition_t;

/* One line of the report; MR_AUDIT_UNKNOWN: it can no longer be known. */
typedef struct {
    int64_t start;
    int64_t acknowledged; /* to nginx; 0 where nobody has said so */
    int64_t records; /* that Kafka received in this minute and that are done */
    int64_t waiting; /* and that are not done yet */
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t blocks;  /* stored ones that the blocks hold */
    int64_t events;  /* in blocks, whose timestamp is of this minute */
    int64_t counted; /* by the partials of this minute */
    int64_t windows; /* by the merged windows of this minute */
    int bad;         /* a finding speaks of it */
} mr_audit_minute_t;

typedef struct {
    const char *check;  /* static: "kafka", "accounts", "blocks", ... */
    int64_t minute;     /* or MR_AUDIT_UNKNOWN */
    int32_t partition;  /* or -1 */
    int64_t difference; /* found minus what should be, in records */
    char text[224];
} mr_audit_finding_t;

/*
 * The equations that are held minute by minute.  Which of them cannot be told
 * of a minute any more, since one of its sides has been removed by age?
 */
typedef enum {
    MR_AUDIT_RECORDS, /* records = stored + repeated + dead */
    MR_AUDIT_BLOCKS,  /* stored = blocks */
    MR_AUDIT_EVENTS,  /* events = counted */
    MR_AUDIT_WINDOWS, /* counted = windows */
    MR_AUDIT_EQUATIONS
} mr_audit_equation_t;

typedef struct {
    const mr_options_t *options;
    int64_t now;    /* when MongoDB was read, or a little later */
    int64_t future; /* ms; MR_AUDIT_FUTURE unless set otherwise */
    int64_t from;
    int64_t to;
    size_t n_minutes;
    mr_audit_minute_t *minutes;
    size_t n_partitions;
    mr_audit_partition_t *partitions;
    mr_tally_t *tally; /* events, counts and windows by minute and type */
    int acknowledged;  /* mr_audit_acknowledged() has been called */
    int merged;        /* the windows hold all that is stored */
    int64_t *merges;   /* by partition: the flush that is merged */
    size_t n_merges;
    mr_audit_partition_t *past; /* earlier epochs, and partitions that the topic
                                   has no longer: id, origin, epoch and what
                                   there is of accounts, all else is 0 */
    size_t n_past;
    size_t past_cap;
    int64_t other_max;     /* the smallest [stats] max_types under which events
                              were counted as others; 0: none were */
    int64_t stored_before; /* of partitions that the topic has no longer */
    int64_t windows_hours; /* sums over the merged windows of all types */
    int64_t windows_days;
    mr_audit_finding_t *findings; /* the first MR_AUDIT_FINDINGS of them */
    size_t n_findings;            /* all of them */
    size_t uncompared[MR_AUDIT_EQUATIONS]; /* minutes */
} mr_audit_t;

#define MR_AUDIT_FINDINGS 1000


/*
 * An empty audit of [from, to), which must be whole minutes and at most
 * MR_AUDIT_MINUTES_MAX of them.  Fails with MR_ERROR_MEMORY.
 */
int mr_audit_init(mr_audit_t *audit, const mr_options_t *options, int64_t from,
    int64_t to, int64_t now, mr_error_t *err);
int mr_audit_partitions(mr_audit_t *audit, size_t n, mr_error_t *err);
void mr_audit_free(mr_audit_t *audit);

/* Add an epoch of before, of which Kafka has nothing; -1: out of memory. */
int mr_audit_past(mr_audit_t *audit, int32_t partition, int64_t epoch);

/* Append an account; ascending by first afterwards. */
int mr_audit_account(
    mr_audit_partition_t *partition, const mr_audit_account_t *account);
void mr_audit_sort(mr_audit_partition_t *partition);

/*
 * Note up to which flush a partition, of the topic or of what it was before,
 * is merged into the windows; and learn it, 0 where nobody has said so.  The
 * first returns -1 on out of memory.
 */
int mr_audit_merge(mr_audit_t *audit, int64_t partition, int64_t flush);
int64_t mr_audit_merged(const mr_audit_t *audit, int64_t partition);

/*
 * May that have been removed by age: accounts, blocks with records, blocks
 * with events, windows and partials of this minute?
 */
int mr_audit_accounts_fade(const mr_audit_t *audit, int64_t minute);
int mr_audit_blocks_fade(const mr_audit_t *audit, int64_t minute);
int mr_audit_events_fade(const mr_audit_t *audit, int64_t minute);
int mr_audit_windows_fade(const mr_audit_t *audit, int64_t minute);

/*
 * Note that something does not agree.  `minute` and `partition` as in the
 * finding.
 */
void mr_audit_find(mr_audit_t *audit, const char *check, int64_t minute,
    int32_t partition, int64_t difference, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/*
 * Read what the module's millrace_acknowledged answered: JSON documents of one
 * nginx or of several, which add up.  `name` is the file's, for errors: fails
 * with MR_ERROR_ARGUMENT when they are something else or about other topics,
 * and with MR_ERROR_SYSTEM.  Before mr_audit_gather(): what was acknowledged
 * is in Kafka by then.
 */
int mr_audit_acknowledged(
    mr_audit_t *audit, FILE *in, const char *name, mr_error_t *err);

/* Compare all that is known: fills `minutes`, `findings` and `uncompared`. */
void mr_audit_judge(mr_audit_t *audit);

/* Whether nothing could be compared of any minute: then there is no verdict. */
int mr_audit_blind(const mr_audit_t *audit);


/*
 * Ask Kafka and MongoDB for everything that mr_audit_judge() compares.  All
 * that MongoDB says is of one moment, and Kafka is asked after it: what lies
 * beyond is waiting, never a loss.  With `settle` it first waits until what
 * Kafka holds now is stored and merged.  Fails when either does not answer
 * until `deadline` (mr_time_monotonic()).
 */
int mr_audit_gather(
    mr_audit_t *audit, int settle, int64_t deadline, mr_error_t *err);

/* The report, to stdout. */
void mr_audit_print(const mr_audit_t *audit);
int mr_audit_print_json(const mr_audit_t *audit, mr_error_t *err);
void mr_audit_print_metrics(const mr_audit_t *audit);

#endif /* MR_AUDIT_AUDIT_H */
