/*
 * One event: the single definition of a valid one, used by the module and
 * by the writer, so that nothing that got a 202 can become a dead letter.
 *
 * Validity has two steps.  The FORMAT (mr_event_parse) is a pure function of
 * the bytes: no clock, no configurable limit; it accepts exactly what
 * MongoDB can store and give back equal.  The POLICY (mr_event_admit) has
 * the configurable limits and the clock; only the module applies it.
 */
#ifndef MILLRACE_EVENT_H
#define MILLRACE_EVENT_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/limits.h>
#include <millrace/str.h>


/*
 * Reusable memory for parsing, one a thread: grown to the largest event
 * seen, so that a parsed event costs no allocation.  At most about
 * 13 * MR_EVENT_SIZE_MAX bytes, and 5 * MR_EVENT_SIZE_MAX more once an
 * event with very many keys was seen.
 */
typedef struct mr_parser_s mr_parser_t;

/* A JSON value inside a parsed event; see value.h. */
typedef struct mr_value_s mr_value_t;


/*
 * A parsed event.  All views point into the parser's memory and are valid
 * until its next parse; strings are unescaped UTF-8.
 */
typedef struct {
    mr_str_t event_id;
    mr_str_t user_id;
    mr_str_t event_type;
    int64_t timestamp;          /* ms since the epoch, rounded */
    const mr_value_t *metadata; /* NULL: not sent, the same as {} */
    const mr_value_t *root;     /* the whole event */
} mr_event_t;


/* The configurable limits of the module. */
typedef struct {
    size_t max_event_size; /* bytes of one event's JSON */
    int64_t max_future;    /* ms that a timestamp may lie ahead of now */
} mr_policy_t;


/* NULL on out of memory.  Destroying NULL is allowed. */
mr_parser_t *mr_parser_create(void);
void mr_parser_destroy(mr_parser_t *parser);


/*
 * Parse `text`, one JSON value with optional white space around it, and
 * judge its format.  `text` is read only, not kept and needs no padding.
 *
 * Fails with MR_ERROR_SYNTAX (not JSON, not UTF-8), MR_ERROR_EVENT (JSON
 * that is no valid event; err->field names the field where there is one) or
 * MR_ERROR_MEMORY.
 */
int mr_event_parse(
    mr_parser_t *parser, mr_str_t text, mr_event_t *ret_event, mr_error_t *err);


/*
 * The event_id of the text parsed last, also when the event was refused,
 * for use in an error report; an empty string if it had none that is valid.
 * Valid until the parser's next parse.
 */
mr_str_t mr_parser_event_id(const mr_parser_t *parser);


/*
 * Judge a parsed event's policy, which holds MR_EVENT_TYPE_OTHER back too;
 * `size` is the bytes of its JSON, `now` in ms since the epoch.  Fails with
 * MR_ERROR_POLICY.
 */
int mr_event_admit(const mr_event_t *event, size_t size,
    const mr_policy_t *policy, int64_t now, mr_error_t *err);

#endif /* MILLRACE_EVENT_H */
