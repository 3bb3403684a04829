/*
 * MongoDB as the statistics daemon sees it; docs/data-model.md is the schema.
 * The only files of this daemon that know libmongoc are store*.c.
 *
 * A store belongs to one thread.  It has one causally consistent session, so
 * that a change of the primary cannot show it less than it has seen.  Every
 * call blocks until the server answers or a time-out of the driver passes,
 * and fails with MR_ERROR_MONGODB unless it says otherwise; after a failure
 * call mr_store_reset() before going on.
 */
#ifndef MILLRACE_STATS_STORE_H
#define MILLRACE_STATS_STORE_H

#include <millrace/error.h>

#include "chunk.h"
#include "lease.h"


typedef struct mr_store_s mr_store_t;
typedef struct mr_changes_s mr_changes_t;


/* How far one partition is stored (the ledger) or merged (the state). */
typedef struct {
    int32_t partition;
    int64_t flush;
    int64_t as_of; /* ledger only; 0: nothing is known yet */

    /*
     * Merged only: seconds of this flush and earlier are merged wherever they
     * are.  It may be behind `flush`, which goes by the documents: one that
     * was changed later may hold a second that was not since.  0: unknown.
     */
    int64_t seconds;
} mr_progress_t;

/* Sorted by partition; grown as needed, freed by mr_progress_free(). */
typedef struct {
    mr_progress_t *list;
    size_t n;
    size_t cap;
} mr_progress_list_t;

#define MR_PROGRESS_INIT                                                       \
    {                                                                          \
        NULL, 0, 0                                                             \
    }

/* Find a partition, or add it with flush 0; NULL on out of memory. */
mr_progress_t *mr_progress_at(mr_progress_list_t *progress, int32_t partition);
void mr_progress_free(mr_progress_list_t *progress);


/* Windows to write, publish or mark; the caller owns the array. */
typedef struct {
    mr_merged_t **list;
    size_t n;
} mr_merged_list_t;


int mr_store_open(
    const mr_options_t *options, mr_store_t **ret_store, mr_error_t *err);
void mr_store_close(mr_store_t *store);
void mr_store_reset(mr_store_t *store);

/* Whether a primary answers within `timeout` ms. */
int mr_store_ping(mr_store_t *store, int64_t timeout, mr_error_t *err);


/*
 * Take or renew the lease for `owner`: one compare-and-swap by the server's
 * clock, which must be answered within half of `duration`.  Where it still is
 * as *stale, which may be NULL, it is over.
 */
int mr_store_lease(mr_store_t *store, const char *owner, int64_t duration,
    const mr_lease_answer_t *stale, mr_lease_answer_t *ret_answer,
    mr_error_t *err);

/* Give the lease up, if it still is `owner`'s of that term. */
int mr_store_release(
    mr_store_t *store, const char *owner, int64_t term, mr_error_t *err);


/* The ledgers of the topic that there are; *progress is replaced. */
int mr_store_ledger(
    mr_store_t *store, mr_progress_list_t *progress, mr_error_t *err);

/*
 * The state of the last merge; empty and 0 when there is none or when it
 * makes no sense.  *progress is replaced.
 */
int mr_store_state(mr_store_t *store, mr_progress_list_t *progress,
    int64_t *ret_as_of, mr_error_t *err);

/*
 * Store the state; `as_of` 0 leaves the field out.  Fails with
 * MR_ERROR_FENCED if a member of a later term has stored one.
 */
int mr_store_set_state(mr_store_t *store, int64_t term,
    const mr_progress_list_t *progress, int64_t as_of, mr_error_t *err);


/*
 * Look whether there are seconds that are documents of their own, as version
 * 0.1.0 wrote them: only then mr_store_read() asks for such.
 */
int mr_store_alone(mr_store_t *store, mr_error_t *err);

/* Windows that end after a certain minute's begin, those that do not, all. */
typedef enum { MR_AGE_RECENT, MR_AGE_OLDER, MR_AGE_ANY } mr_age_t;

/*
 * Walk the partials of a partition whose documents were changed after
 * merged->flush, in the order of their flushes; of the seconds inside, those
 * that were changed after merged->seconds.  Only windows of that age: recent
 * ones end after `since`, the begin of a minute.
 *
 * The server looks at every change for these.  Where that is so many that it
 * would take longer than a command may, or than a lease is good for, the walk
 * over recent windows fails with MR_ERROR_TIMEOUT; the session is as before.
 */
int mr_store_changes(mr_store_t *store, const mr_progress_t *merged,
    mr_age_t age, int64_t since, mr_changes_t **ret_changes, mr_error_t *err);

/*
 * The next one: *ret_partial lives in `arena`, the key's text until the next
 * call, and *ret_partial is NULL after the last.  A minute is followed by its
 * seconds.
 */
int mr_changes_next(mr_changes_t *changes, mr_arena_t *arena,
    mr_window_key_t *ret_key, mr_partial_t **ret_partial, mr_error_t *err);
void mr_changes_close(mr_changes_t *changes);


/*
 * Complete the slice's entries: read the windows as stored and the partials of
 * the given partitions that are not there yet; these without their users where
 * the stored window has them merged already.
 */
int mr_store_read(mr_store_t *store, const mr_slice_t *slice,
    const mr_progress_list_t *partitions, mr_error_t *err);

/*
 * Take at most `limit` minutes' seconds away that are kept no longer at
 * `now`; *ret_n is the number of those that were found.
 */
int mr_store_forget(mr_store_t *store, int64_t now, size_t limit, size_t *ret_n,
    mr_error_t *err);

/*
 * Write new revisions, each on the condition that the revision it was made of
 * is what is stored, and not by a member of a later term.  Fails with
 * MR_ERROR_FENCED when one was not: others may have been written.
 */
int mr_store_write(mr_store_t *store, int64_t term,
    const mr_merged_list_t *windows, mr_error_t *err);

/*
 * Note that Kafka has acknowledged these very revisions, or the ones that
 * were frozen, where there is one.
 */
int mr_store_published(
    mr_store_t *store, const mr_merged_list_t *windows, mr_error_t *err);

/*
 * Read at most `windows->n` windows that are dirty, or that are to be closed
 * at `now`, into the caller's array; sets windows->n.
 */
int mr_store_dirty(mr_store_t *store, mr_arena_t *arena,
    mr_merged_list_t *windows, mr_error_t *err);
int mr_store_closing(mr_store_t *store, mr_arena_t *arena, int64_t now,
    mr_merged_list_t *windows, mr_error_t *err);

/* How many are dirty; counts no further than `limit`. */
int mr_store_count_dirty(
    mr_store_t *store, int64_t limit, int64_t *ret_n, mr_error_t *err);

#endif /* MILLRACE_STATS_STORE_H */
