#include <inttypes.h>
#include <stdlib.h>

#include <millrace/json.h>
#include <millrace/limits.h>
#include <millrace/time.h>

#include "stats_types.h"


#define MR_TYPE_SHOWN 40
#define MR_TYPE_TEXT (4 * MR_TYPE_SHOWN + 8)


typedef struct {
    const mr_stats_plan_t *plan;
    const mr_other_t *others;
    size_t n;
    mr_buf_t *partial;
} mr_stats_check_t;


static int mr_stats_type(mr_session_t *session, const mr_stats_check_t *check,
    mr_str_t type, mr_error_t *err);
static int mr_stats_type_late(
    const mr_stats_check_t *check, mr_str_t type, int64_t max, mr_error_t *err);
static int mr_stats_type_unknown(mr_session_t *session,
    const mr_stats_check_t *check, mr_str_t type, mr_error_t *err);
static int mr_stats_type_partial(
    void *ctx, const mr_type_t *type, mr_error_t *err);


int
mr_others_may_hold(const mr_other_t *others, size_t n, int64_t max,
    int64_t from, int64_t to, int64_t *ret_last)
{
    int may;
    size_t i;
    int64_t last;

    may = 0;
    last = INT64_MIN;

    for (i = 0; i < n; i++) {

        if (others[i].max >= max) {
            continue;
        }

        may |= others[i].first < to && others[i].last >= from;
        last = others[i].last > last ? others[i].last : last;
    }

    if (may) {
        *ret_last = last;
    }

    return may;
}


int
mr_stats_types(mr_session_t *session, const char *topic,
    const mr_stats_plan_t *plan, mr_buf_t *partial, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_other_t *others;
    mr_stats_check_t check;

    if (plan->n_types == 0 && !plan->grouped) {
        return 0;
    }

    if (mr_session_others(session, topic, &others, &check.n, err) == -1) {
        return -1;
    }

    check.plan = plan;
    check.others = others;
    check.partial = partial;
    rc = 0;

    for (i = 0; check.n > 0 && rc == 0 && i < plan->n_types; i++) {
        rc = mr_stats_type(session, &check, plan->types[i], err);
    }

    if (check.n > 0 && plan->n_types == 0) {
        rc = mr_session_types(session, mr_stats_type_partial, &check, err);
    }

    free(others);

    return rc;
}


static int
mr_stats_type(mr_session_t *session, const mr_stats_check_t *check,
    mr_str_t type, mr_error_t *err)
{
    int found, occurs;
    int64_t max;

    if (mr_str_eq(type, mr_str(MR_EVENT_TYPE_OTHER))) {
        return 0;
    }

    found = mr_session_type(session, type, &max, err);
    occurs = 0;

    /*
     * In this order: a type is registered with its first event, so one that
     * occurs and is not registered after all has no windows.
     */
    if (found == 0) {
        occurs = mr_session_occurs(session, type, err);
    }

    if (occurs == 1) {
        found = mr_session_type(session, type, &max, err);
    }

    if (found == -1 || occurs == -1) {
        return -1;
    }

    if (found) {
        return mr_stats_type_late(check, type, max, err);
    }

    if (occurs) {
        char text[MR_TYPE_TEXT];

        return mr_error_set(err, MR_ERROR_ARGUMENT, "event_type",
            "event type \"%s\" has no statistics of its own: it came after "
            "the first ones to come, and is counted under "
            "\"" MR_EVENT_TYPE_OTHER "\"; GET /events has its events",
            mr_error_excerpt(
                text, sizeof(text), type.data, type.len, MR_TYPE_SHOWN));
    }

    return mr_stats_type_unknown(session, check, type, err);
}


/* It has windows of its own since there are `max` places. */
static int
mr_stats_type_late(
    const mr_stats_check_t *check, mr_str_t type, int64_t max, mr_error_t *err)
{
    char text[MR_TYPE_TEXT];
    int64_t last, length;

    if (!mr_others_may_hold(check->others, check->n, max, check->plan->from,
            check->plan->to, &last))
    {
        return 0;
    }

    length = check->plan->interval->length;

    return mr_error_set(err, MR_ERROR_ARGUMENT, "event_type",
        "event type \"%s\" has statistics of its own from %" PRId64 " on; "
        "earlier events of it may be counted under \"" MR_EVENT_TYPE_OTHER
        "\", and GET /events has them",
        mr_error_excerpt(
            text, sizeof(text), type.data, type.len, MR_TYPE_SHOWN),
        (mr_time_floor(last, length) + length) / 1000);
}


/*
 * No block holds an event of it.  That is because there never was one, or
 * because blocks were removed, or events out of them.
 */
static int
mr_stats_type_unknown(mr_session_t *session, const mr_stats_check_t *check,
    mr_str_t type, mr_error_t *err)
{
    int trimmed;
    char text[MR_TYPE_TEXT];
    int64_t last;

    if (!mr_others_may_hold(check->others, check->n, INT64_MAX,
            check->plan->from, check->plan->to, &last))
    {
        return 0;
    }

    trimmed = mr_session_trimmed(session, err);

    if (trimmed <= 0) {
        return trimmed;
    }

    return mr_error_set(err, MR_ERROR_ARGUMENT, "event_type",
        "event type \"%s\" has no statistics of its own, and whether it is "
        "counted under \"" MR_EVENT_TYPE_OTHER "\" can no longer be told: "
        "old events have been removed",
        mr_error_excerpt(
            text, sizeof(text), type.data, type.len, MR_TYPE_SHOWN));
}


static int
mr_stats_type_partial(void *ctx, const mr_type_t *type, mr_error_t *err)
{
    int64_t last;
    const mr_stats_check_t *check;

    check = ctx;

    if (!mr_others_may_hold(check->others, check->n, type->max,
            check->plan->from, check->plan->to, &last))
    {
        return 0;
    }

    if ((check->partial->len > 0 && mr_buf_append(check->partial, ",", 1) == -1)
        || mr_json_string(check->partial, type->name) == -1)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}
