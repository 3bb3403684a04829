/* What the two forms of GET /events share: a page, and an export of many. */
#ifndef MILLRACE_QUERY_EVENTS_H
#define MILLRACE_QUERY_EVENTS_H

#include <millrace/error.h>

#include "page.h"
#include "plan.h"
#include "route.h"


/* Read a page from MongoDB, and count what it has cost. */
int mr_events_read(const mr_app_t *app, const mr_request_t *request,
    const mr_plan_t *plan, const mr_budget_t *budget, mr_page_t *ret_page,
    mr_error_t *err);

#endif /* MILLRACE_QUERY_EVENTS_H */
