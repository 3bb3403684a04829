#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>
#include <millrace/utf8.h>

#include "params.h"


/* Bytes of the input that an error message repeats. */
#define MR_PARAM_SHOWN 32


static size_t mr_params_count(mr_str_t query);
static int mr_params_one(mr_params_t *params, const mr_param_spec_t *specs,
    mr_str_t piece, char **out, mr_error_t *err);
static int mr_param_decode(mr_str_t text, char **out, mr_str_t *ret_text);
static int mr_param_hex(char c);
static int mr_param_known(
    const mr_param_spec_t *specs, mr_str_t name, mr_error_t *err);
static int mr_param_cmp(const void *a, const void *b);
static int mr_param_is(const char *name, mr_str_t text);


int
mr_params_parse(mr_str_t query, const mr_param_spec_t *specs,
    mr_params_t *ret_params, mr_error_t *err)
{
    char *out;
    size_t len;
    mr_str_t piece;
    const char *pos, *end, *amp;
    mr_params_t params;

    params.n = 0;
    params.list = calloc(mr_params_count(query), sizeof(mr_param_t));
    params.memory = malloc(query.len + 1);

    if (params.list == NULL || params.memory == NULL) {
        mr_params_free(&params);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    out = params.memory;
    pos = query.data;
    len = query.len;

    while (len > 0) {
        end = pos + len;
        amp = memchr(pos, '&', len);

        piece.data = pos;
        piece.len = (size_t) ((amp != NULL ? amp : end) - pos);

        if (piece.len > 0
            && mr_params_one(&params, specs, piece, &out, err) == -1) {
            mr_params_free(&params);
            return -1;
        }

        pos = amp != NULL ? amp + 1 : end;
        len = (size_t) (end - pos);
    }

    *ret_params = params;

    return 0;
}


void
mr_params_free(mr_params_t *params)
{
    free(params->list);
    free(params->memory);
    params->list = NULL;
    params->memory = NULL;
    params->n = 0;
}


mr_str_t
mr_params_get(const mr_params_t *params, const char *name)
{
    size_t i;
    mr_str_t none;

    for (i = 0; i < params->n; i++) {
        if (strcmp(params->list[i].name, name) == 0) {
            return params->list[i].value;
        }
    }

    none.data = NULL;
    none.len = 0;

    return none;
}


int
mr_params_set(const mr_params_t *params, const char *name, mr_str_t **ret_list,
    size_t *ret_n, mr_error_t *err)
{
    size_t i, n, unique;
    mr_str_t *list;

    n = 0;

    for (i = 0; i < params->n; i++) {
        n += strcmp(params->list[i].name, name) == 0;
    }

    if (n == 0) {
        *ret_list = NULL;
        *ret_n = 0;
        return 0;
    }

    list = calloc(n, sizeof(mr_str_t));

    if (list == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    n = 0;

    for (i = 0; i < params->n; i++) {
        if (strcmp(params->list[i].name, name) == 0) {
            list[n++] = params->list[i].value;
        }
    }

    qsort(list, n, sizeof(mr_str_t), mr_param_cmp);

    unique = 1;

    for (i = 1; i < n; i++) {
        if (!mr_str_eq(list[i], list[unique - 1])) {
            list[unique++] = list[i];
        }
    }

    *ret_list = list;
    *ret_n = unique;

    return 0;
}


int
mr_param_integer(const char *name, mr_str_t text, int64_t min, int64_t max,
    int64_t *ret_value, mr_error_t *err)
{
    size_t i;
    int64_t value;

    value = 0;

    for (i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > max) {
            break;
        }

        value = value * 10 + (text.data[i] - '0');
    }

    if (text.len == 0 || text.len > 18 || i < text.len || value < min
        || value > max)
    {
        return mr_error_set(err, MR_ERROR_ARGUMENT, name,
            "%s must be a whole number from %lld to %lld", name,
            (long long) min, (long long) max);
    }

    *ret_value = value;

    return 0;
}


int
mr_param_time(
    const char *name, mr_str_t text, int64_t *ret_time, mr_error_t *err)
{
    mr_error_t inner = MR_ERROR_INIT;

    if (mr_time_parse(text, ret_time, &inner) == -1) {
        return mr_error_set(
            err, inner.code, name, "%s: %.200s", name, inner.message);
    }

    return 0;
}


int
mr_param_string(const char *name, mr_str_t text, size_t max, mr_error_t *err)
{
    size_t i;
    unsigned char c;

    if (text.len < 1 || text.len > max) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, name,
            "%s must be 1 to %zu bytes long, not %zu", name, max, text.len);
    }

    for (i = 0; i < text.len; i++) {
        c = (unsigned char) text.data[i];

        /* U+0080 to U+009F are control characters, too. */
        if (c < 0x20 || c == 0x7f
            || (c == 0xc2 && i + 1 < text.len
                && (unsigned char) text.data[i + 1] < 0xa0))
        {
            return mr_error_set(err, MR_ERROR_ARGUMENT, name,
                "%s must not hold control characters: no event has one there",
                name);
        }
    }

    return 0;
}


int
mr_param_encode(mr_buf_t *buf, mr_str_t text)
{
    size_t i;
    char coded[3];
    unsigned char c;
    static const char hex[] = "0123456789ABCDEF";

    for (i = 0; i < text.len; i++) {
        c = (unsigned char) text.data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'
            || c == '~')
        {
            if (mr_buf_append(buf, &text.data[i], 1) == -1) {
                return -1;
            }

            continue;
        }

        coded[0] = '%';
        coded[1] = hex[c >> 4];
        coded[2] = hex[c & 15];

        if (mr_buf_append(buf, coded, 3) == -1) {
            return -1;
        }
    }

    return 0;
}


static size_t
mr_params_count(mr_str_t query)
{
    size_t i, n;

    n = 1;

    for (i = 0; i < query.len; i++) {
        n += query.data[i] == '&';
    }

    return n;
}


static int
mr_params_one(mr_params_t *params, const mr_param_spec_t *specs, mr_str_t piece,
    char **out, mr_error_t *err)
{
    int index;
    size_t i;
    mr_str_t name, value;
    const char *equals;

    equals = memchr(piece.data, '=', piece.len);

    name.data = piece.data;
    name.len = equals != NULL ? (size_t) (equals - piece.data) : piece.len;

    value.data = equals != NULL ? equals + 1 : piece.data + piece.len;
    value.len = (size_t) (piece.data + piece.len - value.data);

    if (mr_param_decode(name, out, &name) == -1) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "a parameter's name is not percent-encoded UTF-8");
    }

    index = mr_param_known(specs, name, err);

    if (index == -1) {
        return -1;
    }

    specs += index;

    if (mr_param_decode(value, out, &value) == -1) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, specs->name,
            "%s is not percent-encoded UTF-8: every '%%' needs two "
            "hexadecimal digits",
            specs->name);
    }

    for (i = 0; i < params->n && !specs->repeatable; i++) {
        if (params->list[i].name == specs->name) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, specs->name,
                "%s is given more than once; it may be given once",
                specs->name);
        }
    }

    params->list[params->n].name = specs->name;
    params->list[params->n].value = value;
    params->n++;

    return 0;
}


/* Decoding never grows, so *out has room: it began with the query's size. */
static int
mr_param_decode(mr_str_t text, char **out, mr_str_t *ret_text)
{
    int high, low;
    char *start, *to;
    size_t i;
    mr_str_t decoded;

    start = to = *out;

    for (i = 0; i < text.len; i++) {

        if (text.data[i] == '+') {
            *to++ = ' ';
            continue;
        }

        if (text.data[i] != '%') {
            *to++ = text.data[i];
            continue;
        }

        if (text.len - i < 3) {
            return -1;
        }

        high = mr_param_hex(text.data[i + 1]);
        low = mr_param_hex(text.data[i + 2]);

        if (high == -1 || low == -1) {
            return -1;
        }

        *to++ = (char) (high * 16 + low);
        i += 2;
    }

    decoded.data = start;
    decoded.len = (size_t) (to - start);

    if (!mr_utf8_valid(decoded.data, decoded.len)) {
        return -1;
    }

    *out = to;
    *ret_text = decoded;

    return 0;
}


static int
mr_param_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }

    return -1;
}


static int
mr_param_known(const mr_param_spec_t *specs, mr_str_t name, mr_error_t *err)
{
    int i;
    char shown[MR_PARAM_SHOWN * 4 + 8], list[128];
    size_t len;

    len = 0;
    list[0] = '\0';

    for (i = 0; specs[i].name != NULL; i++) {
        if (mr_param_is(specs[i].name, name)) {
            return i;
        }

        if (len + strlen(specs[i].name) + 3 < sizeof(list)) {
            memcpy(list + len, i > 0 ? ", " : "", i > 0 ? 2 : 0);
            len += i > 0 ? 2 : 0;
            memcpy(list + len, specs[i].name, strlen(specs[i].name) + 1);
            len += strlen(specs[i].name);
        }
    }

    return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
        "unknown parameter \"%s\"; known are %s",
        mr_error_excerpt(
            shown, sizeof(shown), name.data, name.len, MR_PARAM_SHOWN),
        list);
}


static int
mr_param_cmp(const void *a, const void *b)
{
    return mr_str_cmp(*(const mr_str_t *) a, *(const mr_str_t *) b);
}


static int
mr_param_is(const char *name, mr_str_t text)
{
    return strlen(name) == text.len && memcmp(name, text.data, text.len) == 0;
}
