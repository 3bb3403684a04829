#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "parser.h"


/* Up to so many keys are compared pairwise, which needs no hashing. */
#define MR_METADATA_PAIRWISE 16


static int mr_metadata_object(
    mr_parser_t *parser, yyjson_val *object, int depth, mr_error_t *err);
static int mr_metadata_array(
    mr_parser_t *parser, yyjson_val *array, int depth, mr_error_t *err);
static int mr_metadata_value(mr_parser_t *parser, yyjson_val *key,
    yyjson_val *value, int depth, mr_error_t *err);
static int mr_metadata_number(
    yyjson_val *key, yyjson_val *value, mr_error_t *err);
static int mr_metadata_repeated(yyjson_val *key, mr_error_t *err);
static int mr_metadata_nul(yyjson_val *key, mr_error_t *err);
static void mr_metadata_place(yyjson_val *key, char *buf, size_t size);


int
mr_metadata_check(mr_parser_t *parser, yyjson_val *metadata, mr_error_t *err)
{
    if (!unsafe_yyjson_is_obj(metadata)) {
        return mr_error_set(err, MR_ERROR_EVENT, "metadata",
            "metadata is %s; it must be an object, or be left out",
            mr_value_type(metadata));
    }

    return mr_metadata_object(parser, metadata, 1, err);
}


static int
mr_metadata_object(
    mr_parser_t *parser, yyjson_val *object, int depth, mr_error_t *err)
{
    int small;
    size_t i, j, n, len;
    yyjson_val *key, *value, *repeated, *keys[MR_METADATA_PAIRWISE];

    n = unsafe_yyjson_get_len(object);
    small = (n <= MR_METADATA_PAIRWISE);
    key = unsafe_yyjson_get_first(object);

    for (i = 0; i < n; i++) {
        value = key + 1;
        len = unsafe_yyjson_get_len(key);

        /* NUL can only have come from an escape. */

        if (unsafe_yyjson_get_subtype(key) != YYJSON_SUBTYPE_NOESC
            && memchr(unsafe_yyjson_get_str(key), '\0', len) != NULL)
        {
            return mr_metadata_nul(key, err);
        }

        if (small) {
            for (j = 0; j < i; j++) {
                if (unsafe_yyjson_get_len(keys[j]) == len
                    && memcmp(unsafe_yyjson_get_str(keys[j]),
                           unsafe_yyjson_get_str(key), len)
                           == 0)
                {
                    return mr_metadata_repeated(key, err);
                }
            }

            keys[i] = key;
        }

        if (!unsafe_yyjson_is_str(value)
            && mr_metadata_value(parser, key, value, depth, err) != 0)
        {
            return -1;
        }

        key = unsafe_yyjson_get_next(value);
    }

    if (small) {
        return 0;
    }

    if (mr_keys_find_repeated(parser, object, &repeated) != 0) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return (repeated == NULL) ? 0 : mr_metadata_repeated(repeated, err);
}


static int
mr_metadata_array(
    mr_parser_t *parser, yyjson_val *array, int depth, mr_error_t *err)
{
    size_t i, n;
    yyjson_val *value;

    n = unsafe_yyjson_get_len(array);
    value = unsafe_yyjson_get_first(array);

    for (i = 0; i < n; i++) {
        if (mr_metadata_value(parser, NULL, value, depth, err) != 0) {
            return -1;
        }

        value = unsafe_yyjson_get_next(value);
    }

    return 0;
}


/* `key` is NULL in an array; `depth` is that of the container around it. */

static int
mr_metadata_value(mr_parser_t *parser, yyjson_val *key, yyjson_val *value,
    int depth, mr_error_t *err)
{
    char place[MR_EXCERPT_BUF + 16];

    switch (unsafe_yyjson_get_type(value)) {

    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM:
        return mr_metadata_number(key, value, err);

    case YYJSON_TYPE_OBJ:
    case YYJSON_TYPE_ARR:

        if (depth == MR_METADATA_DEPTH) {
            mr_metadata_place(key, place, sizeof(place));

            return mr_error_set(err, MR_ERROR_EVENT, "metadata",
                "metadata is nested more than %d deep%s; flatten it",
                MR_METADATA_DEPTH, place);
        }

        if (unsafe_yyjson_is_obj(value)) {
            return mr_metadata_object(parser, value, depth + 1, err);
        }

        return mr_metadata_array(parser, value, depth + 1, err);

    default:
        return 0;
    }
}


static int
mr_metadata_number(yyjson_val *key, yyjson_val *value, mr_error_t *err)
{
    char place[MR_EXCERPT_BUF + 16], number[MR_EXCERPT_BUF];
    mr_str_t raw;

    if (unsafe_yyjson_is_raw(value)) {
        raw = mr_value_str(value);
        mr_error_excerpt(number, sizeof(number), raw.data, raw.len, MR_EXCERPT);
        mr_metadata_place(key, place, sizeof(place));

        if (memchr(raw.data, '.', raw.len) != NULL
            || memchr(raw.data, 'e', raw.len) != NULL
            || memchr(raw.data, 'E', raw.len) != NULL)
        {
            return mr_error_set(err, MR_ERROR_EVENT, "metadata",
                "metadata: the number %s%s is too large for a 64-bit "
                "floating point number; send it as a string",
                number, place);
        }

        return mr_error_set(err, MR_ERROR_EVENT, "metadata",
            "metadata: the integer %s%s does not fit into 64 bits; send it "
            "as a string",
            number, place);
    }

    if (unsafe_yyjson_get_subtype(value) == YYJSON_SUBTYPE_UINT
        && unsafe_yyjson_get_uint(value) > INT64_MAX)
    {
        mr_metadata_place(key, place, sizeof(place));

        return mr_error_set(err, MR_ERROR_EVENT, "metadata",
            "metadata: the integer %llu%s does not fit into 64 bits with a "
            "sign; send it as a string",
            (unsigned long long) unsafe_yyjson_get_uint(value), place);
    }

    return 0;
}


static int
mr_metadata_repeated(yyjson_val *key, mr_error_t *err)
{
    char excerpt[MR_EXCERPT_BUF];

    return mr_error_set(err, MR_ERROR_EVENT, "metadata",
        "metadata: the key \"%s\" stands more than once in an object; every "
        "key must be unique",
        mr_error_excerpt(excerpt, sizeof(excerpt), unsafe_yyjson_get_str(key),
            unsafe_yyjson_get_len(key), MR_EXCERPT));
}


static int
mr_metadata_nul(yyjson_val *key, mr_error_t *err)
{
    char excerpt[MR_EXCERPT_BUF];

    return mr_error_set(err, MR_ERROR_EVENT, "metadata",
        "metadata: the key \"%s\" holds a NUL character; rename it",
        mr_error_excerpt(excerpt, sizeof(excerpt), unsafe_yyjson_get_str(key),
            unsafe_yyjson_get_len(key), MR_EXCERPT));
}


static void
mr_metadata_place(yyjson_val *key, char *buf, size_t size)
{
    char excerpt[MR_EXCERPT_BUF];

    if (key == NULL) {
        buf[0] = '\0';
        return;
    }

    (void) snprintf(buf, size, " at the key \"%s\"",
        mr_error_excerpt(excerpt, sizeof(excerpt), unsafe_yyjson_get_str(key),
            unsafe_yyjson_get_len(key), MR_EXCERPT));
}
