#include <millrace/time.h>

#include "member.h"


/* Minutes that forget their seconds at a time. */
#define FORGET_MINUTES 1000


static int tidy_close(mr_member_t *member, bool *ret_more, mr_error_t *err);
static int tidy_forget(mr_member_t *member, bool *ret_more, mr_error_t *err);


int
mr_member_tidy(mr_member_t *member, int64_t until, mr_error_t *err)
{
    bool closing, forgetting;

    closing = true;
    forgetting = true;

    /* In turn, so that neither waits for the other's backlog. */
    do {

        if (closing
            && (tidy_close(member, &closing, err) != 0
                || mr_member_between(member, err) != 0))
        {
            return -1;
        }

        if (forgetting
            && (tidy_forget(member, &forgetting, err) != 0
                || mr_member_between(member, err) != 0))
        {
            return -1;
        }

    } while ((closing || forgetting) && mr_time_monotonic() < until);

    return 0;
}


/* By the clock, not by the events: the last window of a type closes too. */
static int
tidy_close(mr_member_t *member, bool *ret_more, mr_error_t *err)
{
    size_t i, n, most;
    int64_t now;
    mr_merge_t what;
    mr_merged_t *next;
    mr_merged_list_t windows;

    if (mr_member_keep(member, err) != 0) {
        return -1;
    }

    mr_arena_reset(&member->arena);

    now = mr_member_time(member);
    most = mr_member_most(member);
    windows.list = member->batch;
    windows.n = most;

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

    if (mr_member_store(member, &windows, member->metrics.closed, err) != 0) {
        return -1;
    }

    *ret_more = n == most;

    return 0;
}


/*
 * Seconds are kept for a shorter time than the minutes that they are in.  In
 * the thread that merges, so that none goes while its window is made of it.
 */
static int
tidy_forget(mr_member_t *member, bool *ret_more, mr_error_t *err)
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
    *ret_more = n == FORGET_MINUTES;

    return 0;
}
