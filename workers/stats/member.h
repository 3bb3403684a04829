/*
 * One member of the statistics daemons: it waits for the lease, and while it
 * has it merges, publishes and closes windows, round after round.
 *
 *   main.c     starts and stops it
 *   member.c   the lease, rounds, failures
 *   merge.c    one round: what was changed becomes new revisions
 *   tidy.c     after it: windows are closed, and what is kept no longer goes
 *   batch.c    windows that are read, merged, stored and published together
 *   outbox.c   stored revisions go to Kafka and are marked
 *
 * Everything runs in one thread.  Whatever fails ends the round with an
 * error; the next one begins with what is stored, so that no step needs to
 * be undone.
 *
 * A round merges the recent windows first.  Those are merged again between
 * the batches of all the others, which late events can make many: so a window
 * that people look at does not wait for them.  These batches are small, with
 * rests between, while recent windows change.  Which windows are recent
 * changes only from one round to the next, so that two passes never have the
 * same window at work.
 *
 * To find the recent ones the server looks at all that has changed.  Where
 * that is too much, after a long outage or a lost state, the round merges all
 * windows in the order of their changes instead, and stores how far it got.
 */
#ifndef MILLRACE_STATS_MEMBER_H
#define MILLRACE_STATS_MEMBER_H

#include "../common/metrics.h"

#include "publisher.h"
#include "store.h"


/* Windows of one round at most; the rest is for the same walk's next part. */
#define MR_CHUNK_WINDOWS 32768

/* Windows that are read, written and published together. */
#define MR_BATCH_WINDOWS 1024


typedef struct {
    mr_metric_t *merged;
    mr_metric_t *published;
    mr_metric_t *closed;
    mr_metric_t *conflicts;
    mr_metric_t *expired;
    mr_metric_t *damaged;
    mr_metric_t *unreadable;
    mr_metric_t *forgotten;
    mr_metric_t *failures;
    mr_metric_t *dirty;
    mr_metric_t *lag;
    mr_metric_t *as_of;
    mr_metric_t *lease;
    mr_metric_t *term;
    mr_metric_t *round;
    mr_metric_t *recent;
} mr_member_metrics_t;


/* A walk over the changes of the recent windows, or of all the others. */
typedef struct {
    mr_age_t age;
    mr_chunk_t *chunk;
    mr_progress_list_t ledger; /* as it was when the walk began */
    mr_progress_list_t merged;
} mr_pass_t;


typedef struct {
    const mr_options_t *options;
    mr_store_t *store;
    mr_publisher_t *publisher; /* NULL: none needed yet, or it has failed */
    mr_lease_t lease;
    char owner[128];

    mr_pass_t recent;
    mr_pass_t older;    /* its `merged` is what state.merge says or will say */
    int64_t since;      /* the recent windows end after it */
    int64_t recent_due; /* monotonic; when these are merged again */
    bool late;          /* they are not, until a round has merged all */
    int64_t due;        /* monotonic; of the next round */

    mr_arena_t arena; /* of the windows of one batch */
    mr_merged_t **batch;
    const char *delivery_error;
    unsigned halved; /* times: a transaction's size, as Kafka is slow */
    size_t turn;     /* in a list that Kafka did not take all of: the next */

    int64_t as_of; /* 0: unknown */
    int64_t stored_as_of;
    bool unstored; /* older.merged has changed since it was stored */
    bool dirty;    /* windows may be stored that Kafka does not have */
    bool away;     /* Kafka is: merging goes on without it */
    int64_t ask;   /* monotonic; when it is asked again */
    int64_t look;  /* monotonic; when dirty windows are looked for anyway */
    int64_t count; /* monotonic; when dirty windows are counted again */

    int64_t damage_quiet; /* monotonic; until then nothing is said of it */

    mr_member_metrics_t metrics;
} mr_member_t;


/* `options` must outlive the member. */
int mr_member_open(
    const mr_options_t *options, mr_member_t *member, mr_error_t *err);
void mr_member_close(mr_member_t *member);

/* Until the process is asked to stop. */
void mr_member_run(mr_member_t *member);

/*
 * Renew the lease if that is due.  Fails with MR_ERROR_FENCED when it is no
 * longer safe to go on, and with MR_ERROR_TIMEOUT when the process is asked
 * to stop.  To be called before each step that writes or publishes.
 */
int mr_member_keep(mr_member_t *member, mr_error_t *err);

/* The server's clock. */
int64_t mr_member_time(const mr_member_t *member);


/*
 * ms until something that took `took` ms is done again: as long as it took, at
 * most `most`, and at least what is left of the interval.
 */
int64_t mr_member_pause(const mr_member_t *member, int64_t took, int64_t most);


/* One round: outbox.c's rest, then all that has changed. */
int mr_member_merge(mr_member_t *member, mr_error_t *err);

/*
 * Close windows and forget seconds, whose time has come: until all are done,
 * or until `until`, about (monotonic), but some of both.
 */
int mr_member_tidy(mr_member_t *member, int64_t until, mr_error_t *err);

/*
 * Only the recent windows; not before the first round of a term.  Where there
 * is too much to look at they are left to the next round: member->late.
 */
int mr_member_recent(mr_member_t *member, mr_error_t *err);

/*
 * The same, if it is due: whoever looks at the newest windows does not wait
 * for what is done in batches, which have so many windows at most.
 */
int mr_member_between(mr_member_t *member, mr_error_t *err);
size_t mr_member_most(const mr_member_t *member);

/*
 * Merge the windows [first, first + n) of the pass's chunk, at most
 * MR_BATCH_WINDOWS.
 */
int mr_member_batch(mr_member_t *member, mr_pass_t *pass, size_t first,
    size_t n, mr_error_t *err);

/*
 * Store new revisions, which `counter` counts, then publish those that are
 * published at all.
 */
int mr_member_store(mr_member_t *member, const mr_merged_list_t *windows,
    mr_metric_t *counter, mr_error_t *err);


/*
 * Publish windows that are stored as they are here, and mark them.  Those that
 * Kafka does not take in time stay dirty, and *ret_all is false.
 */
int mr_member_publish(mr_member_t *member, const mr_merged_list_t *windows,
    bool *ret_all, mr_error_t *err);

/* Publish what is stored dirty, while Kafka takes it, for a bounded time. */
int mr_member_publish_rest(mr_member_t *member, mr_error_t *err);

/*
 * Publishing has failed with *err.  Returns 0 if that is Kafka's matter alone
 * and the round may go on without it, else -1.
 */
int mr_member_away(mr_member_t *member, const mr_error_t *err);

#endif /* MILLRACE_STATS_MEMBER_H */
