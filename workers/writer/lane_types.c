#include <millrace/limits.h>

#include "../common/log.h"
#include "lane_private.h"


/* The max at which this process last said that a type came too late. */
static _Atomic int64_t lane_types_told;


static void lane_types_tell(const mr_flush_t *flush, int64_t max);


void
mr_lane_types(mr_lane_t *lane, const mr_flush_t *flush)
{
    int64_t total, max;

    if (flush->unsure == 0) {
        return;
    }

    mr_store_types_seen(lane->store, &total, &max);
    mr_metric_set(lane->env->counters->types, (double) total);
    mr_metric_set(lane->env->counters->types_max, (double) max);
    mr_metric_add(lane->env->counters->other, flush->partials.other);

    if (flush->partials.other != 0
        && atomic_exchange(&lane_types_told, max) != max) {
        lane_types_tell(flush, max);
    }
}


static void
lane_types_tell(const mr_flush_t *flush, int64_t max)
{
    size_t i;
    char name[64];

    for (i = 0; i < flush->types.n; i++) {
        if (flush->other[i]) {
            break;
        }
    }

    if (i == flush->types.n) {
        return;
    }

    (void) mr_error_excerpt(name, sizeof(name), flush->types.names[i].data,
        flush->types.names[i].len, 40);

    mr_log_warn("%lld event types have windows of their own, as many as "
                "[stats] max_types allows: %s, and whatever else is new, is "
                "counted under " MR_EVENT_TYPE_OTHER
                " (docs/operations.md); not said again",
        (long long) max, name);
}
