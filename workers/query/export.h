/*
 * GET /events as NDJSON: one event a line, and at last the line
 * {"next_cursor": ...}, without which a stream was cut.  It ends with a cursor
 * before its limit where nothing was found for half the time of a query.
 *
 * It is made in pieces, each a page that goes on where the one before has
 * ended: between two pieces nothing is held in MongoDB and no query thread
 * is used, so a slow client costs the memory of two pieces and no more.  A
 * piece has at most MR_EXPORT_ROWS events and MR_EXPORT_SIZE bytes of them.
 *
 * One of at most MR_EXPORT_PAGE events is one piece, as any other answer is,
 * and ends with a cursor where that does.
 */
#ifndef MILLRACE_QUERY_EXPORT_H
#define MILLRACE_QUERY_EXPORT_H

#include "params.h"
#include "plan.h"
#include "route.h"


#define MR_EXPORT_ROWS 65536
#define MR_EXPORT_SIZE (24 * 1024 * 1024)


/* What may have more events than this is a stream: only some may be at once. */
#define MR_EXPORT_PAGE MR_LIMIT_MAX


/*
 * Make the first piece, or the problem that came first; reply->flow brings
 * the others.  Takes `plan` and `params`, which it was made of.
 */
void mr_export_begin(const mr_app_t *app, const mr_request_t *request,
    mr_plan_t *plan, mr_params_t *params, mr_reply_t *reply);

#endif /* MILLRACE_QUERY_EXPORT_H */
