/*
 * A request body as a batch of events: a JSON object, a JSON array of
 * objects, or NDJSON, cut into slices of the original bytes.
 *
 * The reader is pulled one event at a time, so that a caller with an event
 * loop can stop after any event and go on later.
 */
#ifndef MILLRACE_BATCH_H
#define MILLRACE_BATCH_H

#include <stdint.h>

#include <millrace/event.h>


typedef enum {
    MR_FORMAT_JSON,  /* one object, or an array of objects */
    MR_FORMAT_NDJSON /* one object a line; empty lines are skipped */
} mr_format_t;


typedef enum {
    MR_BATCH_EVENT,   /* a valid event: slice and event are set */
    MR_BATCH_INVALID, /* this one is refused (err), the next may be good */
    MR_BATCH_BROKEN,  /* the body itself is no batch (err): stop */
    MR_BATCH_MORE,    /* an event's end is not found yet: call again; comes
                         only after mr_batch_limit() */
    MR_BATCH_DONE     /* no more; at least one was seen */
} mr_batch_status_t;


/* How far the end of an event has been looked for; all of it is private. */
typedef struct {
    const char *pos;
    char first;
    size_t depth;
    uint64_t carry;
    uint64_t inside;
} mr_batch_scan_t;


/*
 * Fields but `index` are private.  Plain data: no memory of its own, nothing
 * to release.  It keeps a view of the body, which must stay unchanged.
 */
typedef struct {
    size_t index; /* of the item returned last, from 0 */
    mr_format_t format;
    const char *begin;
    const char *pos;
    const char *end;
    unsigned state;
    size_t seen;
    size_t limit;
    size_t max_event_size;
    mr_batch_scan_t scan;
} mr_batch_t;


/*
 * The format that a media type names (type and subtype in any case,
 * parameters ignored; a charset other than utf-8 is refused), or -1:
 * application/json, text/plain -> JSON; application/x-ndjson,
 * application/ndjson, application/jsonl -> NDJSON.
 */
int mr_format_find(mr_str_t media_type, mr_format_t *ret_format);


void mr_batch_init(mr_batch_t *batch, mr_format_t format, mr_str_t body);

/*
 * Look for the end of an event of JSON through about so many bytes a call
 * (at least 64) and then return MORE.  0, as mr_batch_init() sets it, is no
 * limit.
 */
void mr_batch_limit(mr_batch_t *batch, size_t limit);

/*
 * Refuse an event of more bytes than that for its size alone, without looking
 * into it: INVALID with MR_ERROR_POLICY, as mr_event_admit() does after
 * parsing, and with no event_id.  0, as mr_batch_init() sets it, is no limit.
 */
void mr_batch_max_event_size(mr_batch_t *batch, size_t size);

/*
 * Read the next event.  For EVENT and INVALID *ret_slice is the event's
 * bytes in the body, without white space around them; for EVENT *ret_event
 * is set and valid until the next call with the same parser.
 *
 * In an array, an element that is not JSON makes the whole body BROKEN; in
 * NDJSON, a line that is not JSON is INVALID.  A body without an event (all
 * white space, [], only empty lines) is BROKEN.  Once BROKEN or DONE it
 * stays so.  BROKEN comes with MR_ERROR_SYNTAX, or with MR_ERROR_MEMORY,
 * which is not the sender's fault.
 *
 * Messages name a place as a byte of the body (of the line in NDJSON),
 * counted from 1.  A call takes time in proportion to the bytes that it
 * steps over: an element of an array is scanned at 1 to 3 GB/s to find its
 * end, which mr_batch_limit() bounds, and parsed only if it is no larger
 * than MR_EVENT_SIZE_MAX; white space and lines are passed at 10 GB/s.
 */
mr_batch_status_t mr_batch_next(mr_batch_t *batch, mr_parser_t *parser,
    mr_str_t *ret_slice, mr_event_t *ret_event, mr_error_t *err);

#endif /* MILLRACE_BATCH_H */
