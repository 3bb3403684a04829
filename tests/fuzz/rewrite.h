/*
 * Writing an event as JSON from what the core says of it, and comparing two
 * JSON values by yyjson alone: together the proof that nothing is lost.
 * Shared by the fuzz targets and the unit tests.
 */
#ifndef MILLRACE_TESTS_REWRITE_H
#define MILLRACE_TESTS_REWRITE_H

#include <stdint.h>
#include <string.h>

#include <yyjson.h>

#include <millrace/json.h>
#include <millrace/value.h>


#define MR_REWRITE_DEPTH 40


/* One level of the value that is being written. */

typedef struct {
    mr_buf_t *buf;
    int depth;
    int failed;
    struct {
        int is_array;
        int64_t n;
    } levels[MR_REWRITE_DEPTH];
} mr_rewrite_t;


static inline int
mr_rewrite_key(mr_rewrite_t *rewrite, mr_str_t key)
{
    int rc, is_array;
    char digits[24];
    mr_buf_t index = MR_BUF_INIT;
    int64_t n;

    is_array = rewrite->levels[rewrite->depth].is_array;
    n = rewrite->levels[rewrite->depth].n++;

    rc = (n > 0) ? mr_buf_append(rewrite->buf, ",", 1) : 0;

    if (!is_array) {
        rc |= mr_json_string(rewrite->buf, key);
        return rc | mr_buf_append(rewrite->buf, ":", 1);
    }

    /* In an array the key must be the index. */

    rc |= mr_json_integer(&index, n);

    if (rc == 0
        && (index.len > sizeof(digits) || index.len != key.len
            || memcmp(index.data, key.data, key.len) != 0))
    {
        rewrite->failed = 1;
    }

    mr_buf_free(&index);

    return rc;
}


static inline int
mr_rewrite_begin(void *ctx, mr_str_t key, int is_array)
{
    int rc;
    mr_rewrite_t *rewrite = ctx;

    rc = mr_rewrite_key(rewrite, key);

    if (rewrite->depth + 1 == MR_REWRITE_DEPTH) {
        rewrite->failed = 1;
        return -1;
    }

    rewrite->depth++;
    rewrite->levels[rewrite->depth].is_array = is_array;
    rewrite->levels[rewrite->depth].n = 0;

    return rc | mr_buf_append(rewrite->buf, is_array ? "[" : "{", 1);
}


static inline int
mr_rewrite_end(void *ctx)
{
    mr_rewrite_t *rewrite = ctx;
    int is_array;

    is_array = rewrite->levels[rewrite->depth--].is_array;

    return mr_buf_append(rewrite->buf, is_array ? "]" : "}", 1);
}


static inline int
mr_rewrite_string(void *ctx, mr_str_t key, mr_str_t value)
{
    mr_rewrite_t *rewrite = ctx;

    return mr_rewrite_key(rewrite, key) | mr_json_string(rewrite->buf, value);
}


static inline int
mr_rewrite_integer(void *ctx, mr_str_t key, int64_t value)
{
    mr_rewrite_t *rewrite = ctx;

    return mr_rewrite_key(rewrite, key) | mr_json_integer(rewrite->buf, value);
}


static inline int
mr_rewrite_real(void *ctx, mr_str_t key, double value)
{
    mr_rewrite_t *rewrite = ctx;

    return mr_rewrite_key(rewrite, key) | mr_json_real(rewrite->buf, value);
}


static inline int
mr_rewrite_boolean(void *ctx, mr_str_t key, int value)
{
    mr_rewrite_t *rewrite = ctx;

    return mr_rewrite_key(rewrite, key)
           | mr_buf_printf(rewrite->buf, "%s", value ? "true" : "false");
}


static inline int
mr_rewrite_null(void *ctx, mr_str_t key)
{
    mr_rewrite_t *rewrite = ctx;

    return mr_rewrite_key(rewrite, key)
           | mr_buf_append(rewrite->buf, "null", 4);
}


static const mr_value_visitor_t mr_rewrite_visitor = {mr_rewrite_begin,
    mr_rewrite_end, mr_rewrite_string, mr_rewrite_integer, mr_rewrite_real,
    mr_rewrite_boolean, mr_rewrite_null};


/* Append the members of an object, in braces; 0 on success. */

static inline int
mr_rewrite_object(mr_buf_t *buf, const mr_value_t *object)
{
    mr_rewrite_t rewrite;

    memset(&rewrite, 0, sizeof(rewrite));
    rewrite.buf = buf;

    if (mr_buf_append(buf, "{", 1) != 0
        || mr_value_walk(object, &mr_rewrite_visitor, &rewrite) != 0)
    {
        return -1;
    }

    return rewrite.failed | mr_buf_append(buf, "}", 1);
}


/* Append the event; 0 on success. */

static inline int
mr_rewrite_event(mr_buf_t *buf, const mr_event_t *event)
{
    int rc;

    rc = mr_buf_printf(buf, "{\"event_id\":");
    rc |= mr_json_string(buf, event->event_id);
    rc |= mr_buf_printf(buf, ",\"user_id\":");
    rc |= mr_json_string(buf, event->user_id);
    rc |= mr_buf_printf(buf, ",\"event_type\":");
    rc |= mr_json_string(buf, event->event_type);
    rc |= mr_buf_printf(buf, ",\"timestamp\":");
    rc |= mr_json_time(buf, event->timestamp);

    if (event->metadata != NULL) {
        rc |= mr_buf_printf(buf, ",\"metadata\":");
        rc |= mr_rewrite_object(buf, event->metadata);
    }

    return rc | mr_buf_append(buf, "}", 1);
}


static inline double
mr_rewrite_number(yyjson_val *value)
{
    return (yyjson_is_sint(value) && yyjson_get_sint(value) == 0)
               ? -0.0
               : unsafe_yyjson_get_num(value);
}


static inline uint64_t
mr_rewrite_bits(double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof(number));

    return bits;
}


/* Whether two values are the same, their members in the same order. */

static inline int
mr_rewrite_same(yyjson_val *a, yyjson_val *b)
{
    double x, y;
    size_t i, n;
    yyjson_val *p, *q;

    if (yyjson_get_type(a) != yyjson_get_type(b)) {
        return 0;
    }

    switch (yyjson_get_type(a)) {

    case YYJSON_TYPE_NULL:
        return 1;

    case YYJSON_TYPE_BOOL:
        return yyjson_get_bool(a) == yyjson_get_bool(b);

    case YYJSON_TYPE_STR:
        return yyjson_get_len(a) == yyjson_get_len(b)
               && memcmp(
                      yyjson_get_str(a), yyjson_get_str(b), yyjson_get_len(a))
                      == 0;

    case YYJSON_TYPE_NUM:
        x = mr_rewrite_number(a);
        y = mr_rewrite_number(b);

        if (yyjson_is_real(a) != yyjson_is_real(b)) {

            /* -0 alone changes from an integer to a real. */

            return x == 0 && y == 0 && mr_rewrite_bits(x) == mr_rewrite_bits(y);
        }

        return yyjson_is_real(a) ? mr_rewrite_bits(x) == mr_rewrite_bits(y)
                                 : yyjson_get_uint(a) == yyjson_get_uint(b);

    default:
        break;
    }

    /* A key of an object is a string value of its own. */

    n = yyjson_get_len(a) * (yyjson_is_obj(a) ? 2 : 1);

    if (yyjson_get_len(a) != yyjson_get_len(b)) {
        return 0;
    }

    p = unsafe_yyjson_get_first(a);
    q = unsafe_yyjson_get_first(b);

    for (i = 0; i < n; i++) {
        if (!mr_rewrite_same(p, q)) {
            return 0;
        }

        p = unsafe_yyjson_get_next(p);
        q = unsafe_yyjson_get_next(q);
    }

    return 1;
}

#endif /* MILLRACE_TESTS_REWRITE_H */
