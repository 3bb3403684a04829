/* Content negotiation of GET /events: header Accept (RFC 9110, 12.5.1). */
#ifndef MILLRACE_QUERY_ACCEPT_H
#define MILLRACE_QUERY_ACCEPT_H

#include <millrace/str.h>


/*
 * Whether application/x-ndjson is preferred to application/json: it has the
 * greater quality, or the same and is named more exactly.  A media range that
 * cannot be read counts as not there.  NDJSON's other names
 * (application/ndjson, application/jsonl) are the same.  `accept` may be
 * NULL: no header.  Any thread.
 */
int mr_accept_lines(const char *accept);

#endif /* MILLRACE_QUERY_ACCEPT_H */
