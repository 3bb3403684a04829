#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "../common/run.h"

#include "member.h"


#define BACKOFF_BASE 100 /* ms */

/*
 * A round that takes long is of a busy log, whose old windows change again and
 * again.  Whoever looks at the recent ones does not wait for it.
 */
#define ROUND_PAUSE 15000 /* ms at most */

/* What a round leaves for closing and forgetting at least, if need be. */
#define TIDY_TIME 500 /* ms */


static void member_free(mr_pass_t *pass);
static void member_metrics(mr_member_metrics_t *metrics);
static int member_owner(mr_member_t *member, mr_error_t *err);
static int member_turn(mr_member_t *member, mr_error_t *err);
static int member_round(mr_member_t *member, mr_error_t *err);
static int member_lease(mr_member_t *member, mr_error_t *err);
static int member_ask(
    mr_member_t *member, mr_lease_event_t *ret_event, mr_error_t *err);
static void member_drop(mr_member_t *member);
static int member_begin(mr_member_t *member, mr_error_t *err);
static void member_sleep(const mr_member_t *member);
static void member_failed(mr_member_t *member, const mr_error_t *err);


int
mr_member_open(
    const mr_options_t *options, mr_member_t *member, mr_error_t *err)
{
    memset(member, 0, sizeof(mr_member_t));

    member->options = options;
    mr_lease_init(&member->lease, options->stats.lease);
    member_metrics(&member->metrics);

    if (member_owner(member, err) != 0
        || mr_store_open(options, &member->store, err) != 0)
    {
        return -1;
    }

    member->recent.age = MR_AGE_RECENT;
    member->recent.chunk =
        mr_chunk_create(MR_CHUNK_WINDOWS, (size_t) options->stats.merge_memory);
    member->older.age = MR_AGE_OLDER;
    member->older.chunk =
        mr_chunk_create(MR_CHUNK_WINDOWS, (size_t) options->stats.merge_memory);
    member->batch = calloc(MR_BATCH_WINDOWS, sizeof(mr_merged_t *));

    if (member->recent.chunk == NULL || member->older.chunk == NULL
        || member->batch == NULL)
    {
        mr_member_close(member);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


void
mr_member_close(mr_member_t *member)
{
    mr_error_t err;

    mr_publisher_close(member->publisher);

    /* The next member need not wait for the lease's end. */
    if (mr_lease_valid(&member->lease, mr_time_monotonic())
        && mr_store_release(
               member->store, member->owner, member->lease.term, &err)
               != 0)
    {
        mr_log_warn("%s", err.message);
    }

    mr_store_close(member->store);
    member_free(&member->recent);
    member_free(&member->older);
    mr_arena_free(&member->arena);
    free(member->batch);
}


static void
member_free(mr_pass_t *pass)
{
    mr_chunk_destroy(pass->chunk);
    mr_progress_free(&pass->ledger);
    mr_progress_free(&pass->merged);
}


static void
member_metrics(mr_member_metrics_t *metrics)
{
    metrics->merged =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_windows_merged_total", "",
            "Revisions of windows that were merged from partials.");
    metrics->closed =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_windows_closed_total", "",
            "Windows that became final by the clock alone.");
    metrics->published =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_windows_published_total",
            "", "Revisions that Kafka acknowledged, repeated ones included.");
    metrics->conflicts =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_conflicts_total", "",
            "Rounds that ended because another member had changed something.");
    metrics->expired =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_windows_expired_total", "",
            "Changes that came when their window was about to be deleted.");
    metrics->damaged = mr_metric(MR_METRIC_COUNTER,
        "millrace_stats_sketches_damaged_total", "",
        "Damaged sketches that were left out of a window, each as often as "
        "the window was merged.");
    metrics->unreadable = mr_metric(MR_METRIC_COUNTER,
        "millrace_stats_windows_unreadable_total", "",
        "Windows that were left as they are since their documents are "
        "damaged, each as often as it was to be merged.");
    metrics->forgotten = mr_metric(MR_METRIC_COUNTER,
        "millrace_stats_partials_forgotten_total", "",
        "Partials of a minute that lost their seconds, which are kept "
        "for a shorter time.");
    metrics->failures =
        mr_metric(MR_METRIC_COUNTER, "millrace_stats_failures_total", "",
            "Rounds that failed because MongoDB or Kafka did.");
    metrics->dirty = mr_metric(MR_METRIC_GAUGE, "millrace_stats_windows_dirty",
        "",
        "Windows that are stored but not yet acknowledged by Kafka, as counted "
        "every few seconds; 100000 also stands for more.");
    metrics->lag = mr_metric(MR_METRIC_GAUGE, "millrace_stats_lag_seconds", "",
        "Age of the statistics at the end of the last round.");
    metrics->as_of = mr_metric(MR_METRIC_GAUGE,
        "millrace_stats_as_of_timestamp_seconds", "",
        "Everything received until then is counted; 0 while that is unknown.");
    metrics->lease = mr_metric(MR_METRIC_GAUGE, "millrace_stats_lease_held", "",
        "1 in the member that publishes, 0 in those that stand by.");
    metrics->term = mr_metric(MR_METRIC_GAUGE, "millrace_stats_lease_term", "",
        "How often the lease has changed hands.");
    metrics->round = mr_metric(MR_METRIC_GAUGE, "millrace_stats_round_seconds",
        "", "What merging took in the last round.");
    metrics->recent =
        mr_metric(MR_METRIC_GAUGE, "millrace_stats_recent_seconds", "",
            "What the last merge of the recent windows alone took.");
}


/* Unique to this process, and telling to who reads the document. */
static int
member_owner(mr_member_t *member, mr_error_t *err)
{
    char host[65];
    uint64_t random;

    if (gethostname(host, sizeof(host)) != 0) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot get the host's name: %s", strerror(errno));
    }

    host[sizeof(host) - 1] = '\0';

    if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot get random bytes: %s", strerror(errno));
    }

    (void) snprintf(member->owner, sizeof(member->owner), "%s/%ld/%016" PRIx64,
        host, (long) getpid(), random);

    return 0;
}


void
mr_member_run(mr_member_t *member)
{
    unsigned attempt;
    mr_error_t err;

    attempt = 0;

    while (!mr_run_stopping()) {

        if (member_turn(member, &err) == 0) {
            attempt = 0;
            continue;
        }

        if (mr_run_stopping()) {
            break;
        }

        member_failed(member, &err);
        mr_run_backoff(attempt++, BACKOFF_BASE);
    }
}


/*
 * What is due and the pause after it: a round, the recent windows alone, or a
 * question for the lease.
 */
static int
member_turn(mr_member_t *member, mr_error_t *err)
{
    int64_t begun;

    begun = mr_time_monotonic();

    if (mr_lease_due(&member->lease, begun) && member_lease(member, err) != 0) {
        return -1;
    }

    if (!member->lease.held) {
        mr_run_sleep(mr_lease_poll(&member->lease));
        return 0;
    }

    if (begun >= member->due) {

        if (member_round(member, err) != 0) {
            return -1;
        }

    } else if (mr_member_between(member, err) != 0) {
        return -1;
    }

    member_sleep(member);

    return 0;
}


/*
 * What the clock alone asks for may take the pause, and as long as merging
 * took: the more there is to merge, the more there will be to close and to
 * forget.
 */
static int
member_round(mr_member_t *member, mr_error_t *err)
{
    int64_t begun, merged, took, due, until;

    begun = mr_time_monotonic();

    if (mr_member_merge(member, err) != 0) {
        return -1;
    }

    merged = mr_time_monotonic();
    took = merged - begun;
    mr_metric_set(member->metrics.round, (double) took / 1000);

    due = merged + mr_member_pause(member, took, ROUND_PAUSE);
    until = merged + (took > TIDY_TIME ? took : TIDY_TIME);

    if (mr_member_tidy(member, until > due ? until : due, err) != 0) {
        return -1;
    }

    member->due = due;

    return 0;
}


static void
member_sleep(const mr_member_t *member)
{
    int64_t until, now, renewal;

    now = mr_time_monotonic();
    until = member->due;
    renewal = mr_lease_renewal(&member->lease);

    if (until > member->recent_due) {
        until = member->recent_due;
    }

    /* The pause may be longer than the lease. */
    if (until > renewal) {
        until = renewal;
    }

    if (until > now) {
        mr_run_sleep(until - now);
    }
}


static int
member_lease(mr_member_t *member, mr_error_t *err)
{
    mr_lease_event_t event;

    if (member_ask(member, &event, err) != 0) {
        return -1;
    }

    if (event == MR_LEASE_TAKEN && member_begin(member, err) != 0) {
        member_drop(member);
        return -1;
    }

    return 0;
}


static int
member_ask(mr_member_t *member, mr_lease_event_t *ret_event, mr_error_t *err)
{
    int64_t sent;
    mr_lease_answer_t answer;
    mr_lease_event_t event;
    const mr_lease_answer_t *stale;

    sent = mr_time_monotonic();
    stale = mr_lease_stale(&member->lease, sent);

    if (mr_store_lease(member->store, member->owner, member->lease.duration,
            stale, &answer, err)
        != 0)
    {
        return -1;
    }

    event = mr_lease_answered(&member->lease, &answer, sent);

    mr_metric_set(member->metrics.lease, member->lease.held);
    mr_metric_set(member->metrics.term, (double) answer.term);

    if (!member->lease.held) {
        mr_metric_set(member->metrics.dirty, 0);
    }

    if (event == MR_LEASE_TAKEN) {
        mr_log_info("term=%" PRId64 " owner=%s this member publishes",
            answer.term, member->owner);

    } else if (event == MR_LEASE_LOST) {
        mr_log_warn("term=%" PRId64 " another member publishes", answer.term);
    }

    *ret_event = event;

    return 0;
}


/* A new term begins with what is stored, not with what this member knew. */
static int
member_begin(mr_member_t *member, mr_error_t *err)
{
    size_t i;
    mr_progress_t *at;
    const mr_progress_t *merged;

    mr_publisher_close(member->publisher);
    member->publisher = NULL;

    if (mr_store_state(
            member->store, &member->older.merged, &member->as_of, err)
        != 0)
    {
        return -1;
    }

    member->recent.merged.n = 0;

    for (i = 0; i < member->older.merged.n; i++) {
        merged = &member->older.merged.list[i];
        at = mr_progress_at(&member->recent.merged, merged->partition);

        if (at == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        *at = *merged;
    }

    member->since = 0;
    member->late = false;
    member->due = 0;
    member->stored_as_of = member->as_of;
    member->unstored = false;
    member->dirty = true;
    member->away = false;
    member->count = 0;

    return 0;
}


int
mr_member_keep(mr_member_t *member, mr_error_t *err)
{
    int64_t now;
    mr_error_t late;
    mr_lease_event_t event;

    if (mr_run_stopping()) {
        return mr_error_set(err, MR_ERROR_TIMEOUT, NULL, "asked to stop");
    }

    now = mr_time_monotonic();

    if (mr_lease_valid(&member->lease, now)
        && mr_lease_due(&member->lease, now)) {
        if (member_ask(member, &event, &late) != 0) {
            mr_log_warn("%s", late.message);

        } else if (event != MR_LEASE_KEPT) {
            /* Even if it is ours again: a term begins with a new round. */
            member_drop(member);
        }
    }

    if (!mr_lease_valid(&member->lease, mr_time_monotonic())) {
        return mr_error_set(
            err, MR_ERROR_FENCED, NULL, "the lease was not renewed in time");
    }

    return 0;
}


static void
member_drop(mr_member_t *member)
{
    mr_lease_drop(&member->lease);
    mr_metric_set(member->metrics.lease, 0);
    mr_metric_set(member->metrics.dirty, 0);
}


int64_t
mr_member_time(const mr_member_t *member)
{
    return mr_lease_time(&member->lease, mr_time_monotonic());
}


/*
 * The interval counts from the begin, but what took long is followed by as
 * long a pause: what changes meanwhile is merged once instead of twice.
 */
int64_t
mr_member_pause(const mr_member_t *member, int64_t took, int64_t most)
{
    int64_t left, pause;

    left = member->options->stats.interval - took;
    pause = took < most ? took : most;

    return pause > left ? pause : left;
}


static void
member_failed(mr_member_t *member, const mr_error_t *err)
{
    if (err->code == MR_ERROR_FENCED) {
        mr_metric_add(member->metrics.conflicts, 1);
        mr_log_warn("%s", err->message);

    } else {
        mr_metric_add(member->metrics.failures, 1);
        mr_log_error("%s; trying again", err->message);
    }

    mr_store_reset(member->store);

    /* Whatever was under way: what is stored tells how far it got. */
    member->dirty = true;

    if (!mr_lease_valid(&member->lease, mr_time_monotonic())) {
        member_drop(member);
    }
}
