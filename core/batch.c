#include <string.h>

#include <millrace/batch.h>

#include "parser.h"
#include "scan.h"


typedef enum {
    MR_BATCH_START,         /* before the body's first byte */
    MR_BATCH_INSIDE_OBJECT, /* its end is not found yet */
    MR_BATCH_INSIDE_ELEMENT,
    MR_BATCH_AFTER,  /* after an element: a comma or the end */
    MR_BATCH_LINES,  /* NDJSON: before a line */
    MR_BATCH_OBJECT, /* after the one object of the body */
    MR_BATCH_FINISHED,
    MR_BATCH_FAILED
} mr_batch_state_t;


static mr_batch_status_t mr_batch_start(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);
static mr_batch_status_t mr_batch_object(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);
static mr_batch_status_t mr_batch_first(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);
static mr_batch_status_t mr_batch_after(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);
static mr_batch_status_t mr_batch_element(mr_batch_t *batch,
    mr_parser_t *parser, mr_str_t *ret_slice, mr_event_t *ret_event,
    mr_error_t *err);
static int mr_batch_scan(
    mr_batch_t *batch, mr_batch_state_t inside, const char **ret_end);
static mr_batch_status_t mr_batch_line(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);
static mr_batch_status_t mr_batch_judge(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t slice, mr_str_t *ret_slice, mr_event_t *ret_event,
    mr_error_t *err);
static mr_batch_status_t mr_batch_finish(
    mr_batch_t *batch, const char *pos, mr_error_t *err);
static mr_batch_status_t mr_batch_broken(
    mr_batch_t *batch, const char *pos, const char *what, mr_error_t *err);


void
mr_batch_init(mr_batch_t *batch, mr_format_t format, mr_str_t body)
{
    memset(batch, 0, sizeof(mr_batch_t));

    /* No body at all has no address to do arithmetic with. */

    if (body.len == 0) {
        body = mr_str("");
    }

    batch->format = format;
    batch->begin = body.data;
    batch->pos = body.data;
    batch->end = body.data + body.len;
    batch->state =
        (format == MR_FORMAT_NDJSON) ? MR_BATCH_LINES : MR_BATCH_START;
}


void
mr_batch_limit(mr_batch_t *batch, size_t limit)
{
    batch->limit = limit;
}


void
mr_batch_max_event_size(mr_batch_t *batch, size_t size)
{
    batch->max_event_size = size;
}


mr_batch_status_t
mr_batch_next(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    switch ((mr_batch_state_t) batch->state) {

    case MR_BATCH_START:
        return mr_batch_start(batch, parser, ret_slice, ret_event, err);

    case MR_BATCH_INSIDE_OBJECT:
        return mr_batch_object(batch, parser, ret_slice, ret_event, err);

    case MR_BATCH_INSIDE_ELEMENT:
        return mr_batch_element(batch, parser, ret_slice, ret_event, err);

    case MR_BATCH_AFTER:
        return mr_batch_after(batch, parser, ret_slice, ret_event, err);

    case MR_BATCH_LINES:
        return mr_batch_line(batch, parser, ret_slice, ret_event, err);

    case MR_BATCH_OBJECT:
        return mr_batch_finish(batch, batch->pos, err);

    case MR_BATCH_FINISHED:
        return MR_BATCH_DONE;

    default:
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "the body is broken and cannot be read any further");
        return MR_BATCH_BROKEN;
    }
}


static mr_batch_status_t
mr_batch_start(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    const char *pos;

    pos = mr_scan_space(batch->pos, batch->end);

    if (pos == batch->end) {
        return mr_batch_broken(batch, NULL,
            "the body is empty; send an event as a JSON object, or an array "
            "of events",
            err);
    }

    batch->pos = pos;

    switch (*pos) {

    case '{':
        return mr_batch_object(batch, parser, ret_slice, ret_event, err);

    case '[':
        batch->pos = pos + 1;
        return mr_batch_first(batch, parser, ret_slice, ret_event, err);

    default:
        return mr_batch_broken(
            batch, pos, "the body is neither a JSON object nor an array", err);
    }
}


static mr_batch_status_t
mr_batch_object(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    mr_str_t slice;
    const char *end, *rest;

    if (mr_batch_scan(batch, MR_BATCH_INSIDE_OBJECT, &end) == 0) {
        return MR_BATCH_MORE;
    }

    if (end == NULL) {
        return mr_batch_broken(batch, batch->end,
            "the body ends before the object, or a string in it, is closed",
            err);
    }

    rest = mr_scan_space(end, batch->end);

    if (rest != batch->end) {
        return mr_batch_broken(batch, rest,
            "something follows the object; send several events as an array, "
            "or as application/x-ndjson",
            err);
    }

    slice.data = batch->pos;
    slice.len = (size_t) (end - batch->pos);
    batch->pos = rest;
    batch->state = MR_BATCH_OBJECT;

    return mr_batch_judge(batch, parser, slice, ret_slice, ret_event, err);
}


static mr_batch_status_t
mr_batch_first(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    const char *pos;

    pos = mr_scan_space(batch->pos, batch->end);

    if (pos < batch->end && *pos == ']') {
        return mr_batch_finish(batch, pos + 1, err);
    }

    batch->pos = pos;

    return mr_batch_element(batch, parser, ret_slice, ret_event, err);
}


static mr_batch_status_t
mr_batch_after(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    const char *pos;

    pos = mr_scan_space(batch->pos, batch->end);

    if (pos == batch->end) {
        return mr_batch_broken(
            batch, pos, "the body ends before the array is closed by ']'", err);
    }

    if (*pos == ']') {
        return mr_batch_finish(batch, pos + 1, err);
    }

    if (*pos != ',') {
        return mr_batch_broken(batch, pos,
            "events of an array must be separated by ',' and followed by ']'",
            err);
    }

    batch->pos = mr_scan_space(pos + 1, batch->end);

    if (batch->pos < batch->end && *batch->pos == ']') {
        return mr_batch_broken(
            batch, pos, "the ',' before ']' is one too many", err);
    }

    return mr_batch_element(batch, parser, ret_slice, ret_event, err);
}


static mr_batch_status_t
mr_batch_element(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    mr_str_t slice;
    const char *end;

    if (batch->pos == batch->end) {
        return mr_batch_broken(batch, batch->end,
            "the body ends before the array is closed by ']'", err);
    }

    if (mr_batch_scan(batch, MR_BATCH_INSIDE_ELEMENT, &end) == 0) {
        return MR_BATCH_MORE;
    }

    if (end == NULL) {
        return mr_batch_broken(batch, batch->end,
            "the body ends before an event of the array is closed", err);
    }

    if (end == batch->pos) {
        return mr_batch_broken(
            batch, batch->pos, "an event of the array is missing", err);
    }

    slice.data = batch->pos;
    slice.len = (size_t) (end - batch->pos);
    batch->pos = end;
    batch->state = MR_BATCH_AFTER;

    return mr_batch_judge(batch, parser, slice, ret_slice, ret_event, err);
}


/* As mr_scan_step(), for the value at batch->pos; `inside` is its state. */

static int
mr_batch_scan(mr_batch_t *batch, mr_batch_state_t inside, const char **ret_end)
{
    if (batch->limit == 0) {
        *ret_end = mr_scan_value(batch->pos, batch->end);
        return 1;
    }

    if (batch->state != (unsigned) inside) {
        mr_scan_begin(&batch->scan, batch->pos);
        batch->state = (unsigned) inside;
    }

    return mr_scan_step(&batch->scan, batch->end, batch->limit, ret_end);
}


static mr_batch_status_t
mr_batch_line(mr_batch_t *batch, mr_parser_t *parser, mr_str_t *ret_slice,
    mr_event_t *ret_event, mr_error_t *err)
{
    mr_str_t slice;
    const char *pos, *end;

    /* This skips empty lines as well. */

    pos = mr_scan_space(batch->pos, batch->end);

    if (pos == batch->end) {
        return mr_batch_finish(batch, pos, err);
    }

    end = memchr(pos, '\n', (size_t) (batch->end - pos));

    if (end == NULL) {
        end = batch->end;
    }

    batch->pos = end;

    while (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r') {
        end--;
    }

    slice.data = pos;
    slice.len = (size_t) (end - pos);

    return mr_batch_judge(batch, parser, slice, ret_slice, ret_event, err);
}


static mr_batch_status_t
mr_batch_judge(mr_batch_t *batch, mr_parser_t *parser, mr_str_t slice,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err)
{
    int rc;
    size_t base;
    mr_error_t error;

    batch->index = batch->seen++;

    if (batch->max_event_size != 0 && slice.len > batch->max_event_size) {
        parser->event_id = mr_str("");
        (void) mr_event_too_large(slice.len, batch->max_event_size, err);
        *ret_slice = slice;
        return MR_BATCH_INVALID;
    }

    if (batch->format == MR_FORMAT_NDJSON) {
        rc = mr_event_parse_in(parser, slice, 0, "line", ret_event, &error);

    } else {
        base = (size_t) (slice.data - batch->begin);
        rc = mr_event_parse_in(parser, slice, base, "body", ret_event, &error);
    }

    if (rc == 0) {
        *ret_slice = slice;
        return MR_BATCH_EVENT;
    }

    if (err != NULL) {
        *err = error;
    }

    if (error.code == MR_ERROR_MEMORY
        || (error.code == MR_ERROR_SYNTAX && batch->format == MR_FORMAT_JSON))
    {
        batch->state = MR_BATCH_FAILED;
        return MR_BATCH_BROKEN;
    }

    *ret_slice = slice;

    return MR_BATCH_INVALID;
}


/* All that may follow `pos` is white space. */

static mr_batch_status_t
mr_batch_finish(mr_batch_t *batch, const char *pos, mr_error_t *err)
{
    pos = mr_scan_space(pos, batch->end);

    if (pos != batch->end) {
        return mr_batch_broken(
            batch, pos, "something follows the array; remove it", err);
    }

    batch->pos = pos;

    if (batch->seen == 0) {
        return mr_batch_broken(batch, NULL,
            (batch->format == MR_FORMAT_NDJSON)
                ? "the body has no event; send one JSON object a line"
                : "the array is empty; send at least one event",
            err);
    }

    batch->state = MR_BATCH_FINISHED;

    return MR_BATCH_DONE;
}


/* `pos` is where it breaks, or NULL if there is no such place. */

static mr_batch_status_t
mr_batch_broken(
    mr_batch_t *batch, const char *pos, const char *what, mr_error_t *err)
{
    char excerpt[MR_EXCERPT_BUF];

    if (pos == NULL) {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL, "%s", what);

    } else if (pos == batch->end) {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "at byte %zu of the body: %s", (size_t) (pos - batch->begin) + 1,
            what);

    } else {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "at byte %zu of the body, near \"%s\": %s",
            (size_t) (pos - batch->begin) + 1,
            mr_error_excerpt(excerpt, sizeof(excerpt), pos,
                (size_t) (batch->end - pos), MR_EXCERPT / 2),
            what);
    }

    batch->state = MR_BATCH_FAILED;

    return MR_BATCH_BROKEN;
}
