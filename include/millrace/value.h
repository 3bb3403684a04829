/*
 * Reading JSON values of a parsed event without knowing the JSON library:
 * a walk that calls an observer, and look-ups by JSON Pointer (RFC 6901).
 */
#ifndef MILLRACE_VALUE_H
#define MILLRACE_VALUE_H

#include <stdint.h>

#include <millrace/event.h>


/*
 * The observer of a walk.  `key` is the member's name (it may be empty, hold
 * dots or begin with '$', but never holds NUL); in an array it is the
 * member's index in decimal, as BSON wants it.  Strings may hold NUL.  A
 * callback that returns non-zero ends the walk.
 */
typedef struct {
    int (*begin)(void *ctx, mr_str_t key, int is_array);
    int (*end)(void *ctx);
    int (*string)(void *ctx, mr_str_t key, mr_str_t value);
    int (*integer)(void *ctx, mr_str_t key, int64_t value);
    int (*real)(void *ctx, mr_str_t key, double value);
    int (*boolean)(void *ctx, mr_str_t key, int value);
    int (*null)(void *ctx, mr_str_t key);
} mr_value_visitor_t;

/*
 * Walk the members of the object or array `value` in order, without a
 * begin() and end() for `value` itself.  Returns 0, or the first non-zero
 * value that a callback returned.  Recursion is bounded by
 * MR_METADATA_DEPTH.
 */
int mr_value_walk(
    const mr_value_t *value, const mr_value_visitor_t *visitor, void *ctx);


/* A compiled JSON Pointer; immutable, so any number of threads may use it. */
typedef struct mr_pointer_s mr_pointer_t;

/* `text` such as "/metadata/value".  Fails with MR_ERROR_ARGUMENT. */
int mr_pointer_compile(
    mr_str_t text, mr_pointer_t **ret_pointer, mr_error_t *err);
void mr_pointer_destroy(mr_pointer_t *pointer);


typedef enum {
    MR_NUMBER_ABSENT, /* nothing there, or null */
    MR_NUMBER_FOUND,
    MR_NUMBER_IGNORED /* not a number, or beyond +-1e15 */
} mr_number_t;

/* Look a number up in the event; *ret_number is set only for FOUND. */
mr_number_t mr_event_number(
    const mr_event_t *event, const mr_pointer_t *pointer, double *ret_number);

#endif /* MILLRACE_VALUE_H */
