#include <stdlib.h>
#include <string.h>

#include <millrace/value.h>

#include "parser.h"


/* Beyond it a double no longer tells neighbouring integers apart for long. */
#define MR_NUMBER_MAX 1e15

#define MR_POINTER_EXCERPT 48


typedef struct {
    mr_str_t name;
    size_t index; /* in an array; SIZE_MAX: the name is no index */
} mr_pointer_token_t;


/* The tokens are followed by the bytes of their names. */

struct mr_pointer_s {
    size_t n;
    mr_pointer_token_t tokens[];
};


static int mr_value_walk_object(
    yyjson_val *object, const mr_value_visitor_t *visitor, void *ctx);
static int mr_value_walk_array(
    yyjson_val *array, const mr_value_visitor_t *visitor, void *ctx);
static int mr_value_visit(mr_str_t key, yyjson_val *value,
    const mr_value_visitor_t *visitor, void *ctx);
static int mr_value_visit_number(mr_str_t key, yyjson_val *value,
    const mr_value_visitor_t *visitor, void *ctx);
static mr_str_t mr_value_index(char *end, size_t index);
static char *mr_pointer_unescape(
    const char **ret_pos, const char *end, char *out);
static size_t mr_pointer_index(mr_str_t name);
static int mr_pointer_error(mr_str_t text, const char *what, mr_error_t *err);
static yyjson_val *mr_value_member(
    yyjson_val *value, const mr_pointer_token_t *token);


/*
 * mr_value_t is yyjson's value under another name.  Values are never
 * written to; yyjson's accessors merely do not say const.
 */

static yyjson_val *
mr_value_of(const mr_value_t *value)
{
    return (yyjson_val *) (uintptr_t) value;
}


const char *
mr_value_type(yyjson_val *value)
{
    switch (unsafe_yyjson_get_type(value)) {

    case YYJSON_TYPE_NULL:
        return "null";

    case YYJSON_TYPE_BOOL:
        return "a boolean";

    case YYJSON_TYPE_STR:
        return "a string";

    case YYJSON_TYPE_ARR:
        return "an array";

    case YYJSON_TYPE_OBJ:
        return "an object";

    default:
        return "a number";
    }
}


int
mr_value_walk(
    const mr_value_t *value, const mr_value_visitor_t *visitor, void *ctx)
{
    yyjson_val *val;

    val = mr_value_of(value);

    if (unsafe_yyjson_is_obj(val)) {
        return mr_value_walk_object(val, visitor, ctx);
    }

    if (unsafe_yyjson_is_arr(val)) {
        return mr_value_walk_array(val, visitor, ctx);
    }

    return 0;
}


static int
mr_value_walk_object(
    yyjson_val *object, const mr_value_visitor_t *visitor, void *ctx)
{
    int rc;
    size_t i, n;
    yyjson_val *key;

    n = unsafe_yyjson_get_len(object);
    key = unsafe_yyjson_get_first(object);

    for (i = 0; i < n; i++) {
        rc = mr_value_visit(mr_value_str(key), key + 1, visitor, ctx);
        if (rc != 0) {
            return rc;
        }

        key = unsafe_yyjson_get_next(key + 1);
    }

    return 0;
}


static int
mr_value_walk_array(
    yyjson_val *array, const mr_value_visitor_t *visitor, void *ctx)
{
    int rc;
    char digits[24];
    size_t i, n;
    yyjson_val *value;

    n = unsafe_yyjson_get_len(array);
    value = unsafe_yyjson_get_first(array);

    for (i = 0; i < n; i++) {
        rc = mr_value_visit(
            mr_value_index(digits + sizeof(digits), i), value, visitor, ctx);
        if (rc != 0) {
            return rc;
        }

        value = unsafe_yyjson_get_next(value);
    }

    return 0;
}


static int
mr_value_visit(mr_str_t key, yyjson_val *value,
    const mr_value_visitor_t *visitor, void *ctx)
{
    int rc;

    switch (unsafe_yyjson_get_type(value)) {

    case YYJSON_TYPE_STR:
        return visitor->string(ctx, key, mr_value_str(value));

    case YYJSON_TYPE_NUM:
        return mr_value_visit_number(key, value, visitor, ctx);

    case YYJSON_TYPE_BOOL:
        return visitor->boolean(ctx, key, unsafe_yyjson_is_true(value));

    case YYJSON_TYPE_OBJ:
        rc = visitor->begin(ctx, key, 0);
        if (rc == 0) {
            rc = mr_value_walk_object(value, visitor, ctx);
        }

        return (rc != 0) ? rc : visitor->end(ctx);

    case YYJSON_TYPE_ARR:
        rc = visitor->begin(ctx, key, 1);
        if (rc == 0) {
            rc = mr_value_walk_array(value, visitor, ctx);
        }

        return (rc != 0) ? rc : visitor->end(ctx);

    default:
        return visitor->null(ctx, key);
    }
}


static int
mr_value_visit_number(mr_str_t key, yyjson_val *value,
    const mr_value_visitor_t *visitor, void *ctx)
{
    int64_t integer;

    switch (unsafe_yyjson_get_subtype(value)) {

    case YYJSON_SUBTYPE_REAL:
        return visitor->real(ctx, key, unsafe_yyjson_get_real(value));

    case YYJSON_SUBTYPE_SINT:
        integer = unsafe_yyjson_get_sint(value);

        /* Only the literal -0 is a zero with a sign, and no integer is. */

        if (integer == 0) {
            return visitor->real(ctx, key, -0.0);
        }

        return visitor->integer(ctx, key, integer);

    default:
        return visitor->integer(
            ctx, key, (int64_t) unsafe_yyjson_get_uint(value));
    }
}


static mr_str_t
mr_value_index(char *end, size_t index)
{
    char *p;
    mr_str_t s;

    p = end;

    do {
        *--p = (char) ('0' + index % 10);
        index /= 10;
    } while (index > 0);

    s.data = p;
    s.len = (size_t) (end - p);

    return s;
}


int
mr_pointer_compile(mr_str_t text, mr_pointer_t **ret_pointer, mr_error_t *err)
{
    char *out, *name;
    size_t i, n;
    const char *pos, *end;
    mr_pointer_t *pointer;
    mr_pointer_token_t *token;

    if (text.len == 0) {
        return mr_pointer_error(text,
            "is empty and so means the whole event, which is no number", err);
    }

    if (text.data[0] != '/') {
        return mr_pointer_error(text, "does not begin with '/'", err);
    }

    n = 0;

    for (i = 0; i < text.len; i++) {
        n += (text.data[i] == '/');
    }

    pointer = malloc(
        sizeof(mr_pointer_t) + n * sizeof(mr_pointer_token_t) + text.len);
    if (pointer == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    pointer->n = n;
    pos = text.data;
    end = text.data + text.len;
    out = (char *) (pointer->tokens + n);

    for (token = pointer->tokens; pos < end; token++) {
        name = out;
        pos++;

        out = mr_pointer_unescape(&pos, end, out);
        if (out == NULL) {
            free(pointer);
            return mr_pointer_error(
                text, "has a '~' that is neither ~0 nor ~1", err);
        }

        token->name.data = name;
        token->name.len = (size_t) (out - name);
        token->index = mr_pointer_index(token->name);
    }

    *ret_pointer = pointer;

    return 0;
}


/*
 * Copy up to the next '/' or the end, to where *ret_pos is moved.  Returns
 * the end of the copy, or NULL for an escape that there is not.
 */

static char *
mr_pointer_unescape(const char **ret_pos, const char *end, char *out)
{
    const char *p;

    for (p = *ret_pos; p < end && *p != '/'; p++) {
        if (*p != '~') {
            *out++ = *p;
            continue;
        }

        if (++p == end || (*p != '0' && *p != '1')) {
            return NULL;
        }

        *out++ = (*p == '0') ? '~' : '/';
    }

    *ret_pos = p;

    return out;
}


/* RFC 6901: decimal, without leading zeros. */

static size_t
mr_pointer_index(mr_str_t name)
{
    size_t i, index;

    if (name.len == 0 || name.len > 9 || (name.data[0] == '0' && name.len > 1))
    {
        return SIZE_MAX;
    }

    index = 0;

    for (i = 0; i < name.len; i++) {
        if (name.data[i] < '0' || name.data[i] > '9') {
            return SIZE_MAX;
        }

        index = index * 10 + (size_t) (name.data[i] - '0');
    }

    return index;
}


static int
mr_pointer_error(mr_str_t text, const char *what, mr_error_t *err)
{
    char excerpt[MR_POINTER_EXCERPT * 2];

    return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
        "the JSON Pointer \"%s\" %s; give one such as /metadata/value",
        mr_error_excerpt(
            excerpt, sizeof(excerpt), text.data, text.len, MR_POINTER_EXCERPT),
        what);
}


void
mr_pointer_destroy(mr_pointer_t *pointer)
{
    free(pointer);
}


mr_number_t
mr_event_number(
    const mr_event_t *event, const mr_pointer_t *pointer, double *ret_number)
{
    size_t i;
    double number;
    yyjson_val *value;

    value = mr_value_of(event->root);

    for (i = 0; i < pointer->n; i++) {
        value = mr_value_member(value, &pointer->tokens[i]);
        if (value == NULL) {
            return MR_NUMBER_ABSENT;
        }
    }

    if (unsafe_yyjson_is_null(value)) {
        return MR_NUMBER_ABSENT;
    }

    if (!unsafe_yyjson_is_num(value)) {
        return MR_NUMBER_IGNORED;
    }

    number = unsafe_yyjson_get_num(value);

    if (number < -MR_NUMBER_MAX || number > MR_NUMBER_MAX) {
        return MR_NUMBER_IGNORED;
    }

    *ret_number = number;

    return MR_NUMBER_FOUND;
}


static yyjson_val *
mr_value_member(yyjson_val *value, const mr_pointer_token_t *token)
{
    size_t i, n;
    yyjson_val *child;

    switch (unsafe_yyjson_get_type(value)) {

    case YYJSON_TYPE_OBJ:
        n = unsafe_yyjson_get_len(value);
        child = unsafe_yyjson_get_first(value);

        for (i = 0; i < n; i++) {
            if (mr_str_eq(mr_value_str(child), token->name)) {
                return child + 1;
            }

            child = unsafe_yyjson_get_next(child + 1);
        }

        return NULL;

    case YYJSON_TYPE_ARR:

        if (token->index >= unsafe_yyjson_get_len(value)) {
            return NULL;
        }

        child = unsafe_yyjson_get_first(value);

        for (i = 0; i < token->index; i++) {
            child = unsafe_yyjson_get_next(child);
        }

        return child;

    default:
        return NULL;
    }
}
