/* Reading the windows that answer GET /stats. */
#ifndef MILLRACE_QUERY_STATS_READ_H
#define MILLRACE_QUERY_STATS_READ_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "route.h"
#include "stats_plan.h"
#include "stats_point.h"


/* Zeroed to begin with; the caller ends the buffers with mr_buf_free(). */
typedef struct {
    mr_merged_t merged;
    mr_point_t total;
    mr_buf_t points;  /* what mr_stats_render_point() has appended */
    mr_buf_t partial; /* what mr_stats_types() has */
} mr_stats_result_t;


/*
 * Blocks on MongoDB.  A series that stands for stored windows one by one is
 * read without their sketches; a total, then, from as few sketches as cover
 * the range.  Other series are merged from sketches, a bounded number of
 * buckets at a time.  `now` in ms since the epoch.
 *
 * Fails as mr_session_*() and mr_stats_types() do, and with MR_ERROR_ARGUMENT
 * when there turn out to be too many points.
 */
int mr_stats_read(const mr_app_t *app, const mr_request_t *request,
    const mr_stats_plan_t *plan, int64_t now, mr_stats_result_t *result,
    mr_error_t *err);

#endif /* MILLRACE_QUERY_STATS_READ_H */
