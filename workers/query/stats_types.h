/*
 * Do the windows of the event types that GET /stats is asked for hold all
 * their events?  Those that came when there was no place for another type are
 * counted under MR_EVENT_TYPE_OTHER: docs/decisions/0012-other-types.md.
 */
#ifndef MILLRACE_QUERY_STATS_TYPES_H
#define MILLRACE_QUERY_STATS_TYPES_H

#include "stats_plan.h"
#include "store.h"


/*
 * Whether events with a timestamp in [from, to) may have been counted as
 * others while there were fewer than `max` places; *ret_last is then the
 * newest moment, in or behind the range, at which one may lie.
 */
int mr_others_may_hold(const mr_other_t *others, size_t n, int64_t max,
    int64_t from, int64_t to, int64_t *ret_last);

/*
 * Judge the plan's types; where it asks for every type, append to `partial`,
 * as strings of a JSON array, those that have windows but not for all their
 * events of the range.  Asks for nothing when the plan neither names nor
 * groups types, and for little as long as no event is counted as another.
 *
 * Fails with MR_ERROR_ARGUMENT when the windows of a type that is named do
 * not hold all its events, or it cannot be known whether they do; and as
 * mr_session_*() do.
 */
int mr_stats_types(mr_session_t *session, const char *topic,
    const mr_stats_plan_t *plan, mr_buf_t *partial, mr_error_t *err);

#endif /* MILLRACE_QUERY_STATS_TYPES_H */
