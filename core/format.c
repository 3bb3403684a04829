#include <string.h>
#include <strings.h>

#include <millrace/batch.h>


/* The media types of bodies, and what each makes of a body. */

static const struct {
    mr_str_t type;
    mr_format_t format;
} mr_formats[] = {{{"application/json", 16}, MR_FORMAT_JSON},
    {{"text/plain", 10}, MR_FORMAT_JSON},
    {{"application/x-ndjson", 20}, MR_FORMAT_NDJSON},
    {{"application/ndjson", 18}, MR_FORMAT_NDJSON},
    {{"application/jsonl", 17}, MR_FORMAT_NDJSON}};

#define MR_FORMATS (sizeof(mr_formats) / sizeof(mr_formats[0]))


static int mr_format_charset(const char *pos, const char *end);
static const char *mr_format_value(
    const char *pos, const char *end, mr_str_t *ret_value);
static mr_str_t mr_format_trim(const char *pos, const char *end);
static int mr_format_same(mr_str_t a, mr_str_t b);


int
mr_format_find(mr_str_t media_type, mr_format_t *ret_format)
{
    size_t i;
    mr_str_t type;
    const char *pos, *end;

    if (media_type.len == 0) {
        return -1;
    }

    end = media_type.data + media_type.len;
    pos = memchr(media_type.data, ';', media_type.len);

    if (pos == NULL) {
        pos = end;
    }

    type = mr_format_trim(media_type.data, pos);

    for (i = 0; i < MR_FORMATS; i++) {
        if (mr_format_same(type, mr_formats[i].type)) {
            if (mr_format_charset(pos, end) != 0) {
                return -1;
            }

            *ret_format = mr_formats[i].format;

            return 0;
        }
    }

    return -1;
}


/* Walk the parameters, each with its ';'; -1 for a charset but UTF-8. */

static int
mr_format_charset(const char *pos, const char *end)
{
    mr_str_t name, value;
    const char *start;

    while (pos < end) {
        start = ++pos;

        while (pos < end && *pos != '=' && *pos != ';') {
            pos++;
        }

        name = mr_format_trim(start, pos);

        if (pos == end || *pos == ';') {
            continue;
        }

        pos = mr_format_value(pos + 1, end, &value);

        if (mr_format_same(name, mr_str("charset"))
            && !mr_format_same(value, mr_str("utf-8")))
        {
            return -1;
        }
    }

    return 0;
}


/* A token or a quoted string; returns the ';' after it, or `end`. */

static const char *
mr_format_value(const char *pos, const char *end, mr_str_t *ret_value)
{
    const char *start;

    while (pos < end && (*pos == ' ' || *pos == '\t')) {
        pos++;
    }

    start = pos;

    if (pos == end || *pos != '"') {
        while (pos < end && *pos != ';') {
            pos++;
        }

        *ret_value = mr_format_trim(start, pos);

        return pos;
    }

    for (pos = ++start; pos < end && *pos != '"'; pos++) {
        if (*pos == '\\' && pos + 1 < end) {
            pos++;
        }
    }

    ret_value->data = start;
    ret_value->len = (size_t) (pos - start);

    while (pos < end && *pos != ';') {
        pos++;
    }

    return pos;
}


static mr_str_t
mr_format_trim(const char *pos, const char *end)
{
    mr_str_t s;

    while (pos < end && (*pos == ' ' || *pos == '\t')) {
        pos++;
    }

    while (pos < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    s.data = pos;
    s.len = (size_t) (end - pos);

    return s;
}


static int
mr_format_same(mr_str_t a, mr_str_t b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}
