/*
 * The parser's inside: its memory, and the parts of judging an event that
 * have files of their own.  Private to core/.
 */
#ifndef MILLRACE_CORE_PARSER_H
#define MILLRACE_CORE_PARSER_H

#include <stdint.h>

#include <yyjson.h>

#include <millrace/event.h>


/* Bytes of the input that a message may repeat. */
#define MR_EXCERPT 32

/* Room for an excerpt in which every byte is shown as \xNN. */
#define MR_EXCERPT_BUF (MR_EXCERPT * 4 + 8)


/* A key of a large object while repeated ones are looked for. */
typedef struct {
    uint64_t hash;
    yyjson_val *key;
} mr_key_t;


struct mr_parser_s {
    char *pool; /* yyjson's memory: a copy of the text, values */
    size_t pool_size;
    mr_key_t *keys; /* scratch of mr_keys_find_repeated() */
    size_t keys_cap;
    mr_str_t event_id;
};


/*
 * As mr_event_parse().  A syntax error's position is counted from the byte
 * `base` of what `what` names ("body", "line"), so that it means something
 * to the sender of a batch.
 */
int mr_event_parse_in(mr_parser_t *parser, mr_str_t text, size_t base,
    const char *what, mr_event_t *ret_event, mr_error_t *err);

/* What mr_event_admit() says of an event of more than `max` bytes; -1. */
int mr_event_too_large(size_t size, size_t max, mr_error_t *err);

/*
 * Parse a text of at most MR_EVENT_SIZE_MAX bytes as any JSON value; NULL on
 * failure.  A number that neither a 64-bit integer nor a double can hold
 * comes back raw.
 */
yyjson_val *mr_parser_read(mr_parser_t *parser, mr_str_t text, size_t base,
    const char *what, mr_error_t *err);

/* Judge the value of `timestamp`; fails as mr_event_parse(). */
int mr_timestamp_read(yyjson_val *value, int64_t *ret_time, mr_error_t *err);

/* Judge the value of `metadata`; fails as mr_event_parse(). */
int mr_metadata_check(
    mr_parser_t *parser, yyjson_val *metadata, mr_error_t *err);

/*
 * Find a key that stands more than once in an object, in O(n log n).  Sets
 * *ret_key to it, or to NULL if there is none; -1 on out of memory.
 */
int mr_keys_find_repeated(
    mr_parser_t *parser, yyjson_val *object, yyjson_val **ret_key);

/* A JSON type with its article, for messages: "an array", "a number". */
const char *mr_value_type(yyjson_val *value);

static inline mr_str_t
mr_value_str(yyjson_val *value)
{
    mr_str_t s;

    s.data = unsafe_yyjson_get_str(value);
    s.len = unsafe_yyjson_get_len(value);

    return s;
}

#endif /* MILLRACE_CORE_PARSER_H */
