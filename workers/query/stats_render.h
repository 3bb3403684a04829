/* The parts of the answer of GET /stats as JSON text. */
#ifndef MILLRACE_QUERY_STATS_RENDER_H
#define MILLRACE_QUERY_STATS_RENDER_H

#include <stdint.h>

#include <millrace/str.h>

#include "../common/window.h"
#include "stats_plan.h"
#include "stats_point.h"
#include "store.h"


/*
 * Each appends and returns 0, or -1 on out of memory.  Together, in this
 * order, head, merged and tail are the whole answer; `points` is what
 * mr_stats_render_point() has appended, `partial` what mr_stats_types() has.
 */
int mr_stats_render_head(mr_buf_t *buf, const mr_stats_plan_t *plan);
int mr_stats_render_merged(
    mr_buf_t *buf, const mr_merged_t *merged, int64_t now);
int mr_stats_render_tail(mr_buf_t *buf, const mr_stats_plan_t *plan,
    const mr_point_t *total, const mr_buf_t *points, const mr_buf_t *partial,
    int64_t now);

/* `event_type` NULL: null, a series over several types. */
int mr_stats_render_point(mr_buf_t *buf, const mr_stats_plan_t *plan,
    size_t index, const mr_str_t *event_type, const mr_point_t *point,
    int64_t now, int first);

/*
 * Whether the header If-None-Match names `etag`: a list, or "*", compared
 * weakly (RFC 9110, 13.1.2).  `header` may be NULL.
 */
int mr_stats_etag_matches(const char *header, const char *etag);

#endif /* MILLRACE_QUERY_STATS_RENDER_H */
