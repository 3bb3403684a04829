/* Answers as JSON text. */
#ifndef MILLRACE_QUERY_RENDER_H
#define MILLRACE_QUERY_RENDER_H

#include <millrace/error.h>
#include <millrace/str.h>

#include "page.h"


/*
 * Append an event as api.md gives it: event_id, user_id, event_type,
 * timestamp, metadata.  The last one is taken from the row's data, the rest
 * from what stands beside it.  Numbers keep their value: integers as integers,
 * doubles with a fraction or an exponent.  Fails with MR_ERROR_MEMORY, or
 * MR_ERROR_EVENT for what the writer does not write; then `buf` is as it was.
 */
int mr_render_event(mr_buf_t *buf, const mr_row_t *row, mr_error_t *err);

/* {"events":[...],"next_cursor":...}; `cursor` NULL data: null. */
int mr_render_page(
    mr_buf_t *buf, const mr_page_t *page, mr_str_t cursor, mr_error_t *err);

/* The last line of a stream: {"next_cursor":...}; NULL data: null. */
int mr_render_cursor(mr_buf_t *buf, mr_str_t cursor);

#endif /* MILLRACE_QUERY_RENDER_H */
