#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <yyjson.h>

#include <millrace/json.h>


/* Digits of 2^64, a sign and one to spare. */
#define MR_JSON_DIGITS 24

/* What yyjson's pool needs to write one number. */
#define MR_JSON_POOL 512


/* Bytes that a byte of a string takes: 6 stands for \u00XX. */

static const unsigned char mr_json_sizes[256] = {6, 6, 6, 6, 6, 6, 6, 6, 2, 2,
    2, 6, 2, 2, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 1, 1, 2,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};


static char *mr_json_escape(char *p, unsigned char c);
static char *mr_json_digits(char *end, uint64_t value);


int
mr_json_string(mr_buf_t *buf, mr_str_t value)
{
    char *p;
    size_t i, size, start;
    unsigned char c;

    size = 2;

    for (i = 0; i < value.len; i++) {
        size += mr_json_sizes[(unsigned char) value.data[i]];
    }

    if (mr_buf_reserve(buf, size) != 0) {
        return -1;
    }

    p = buf->data + buf->len;
    *p++ = '"';
    i = 0;

    /* Nothing to escape, as in nearly every string. */
    if (size == value.len + 2) {

        if (value.len > 0) {
            memcpy(p, value.data, value.len);
        }

        p += value.len;
        i = value.len;
    }

    while (i < value.len) {
        start = i;

        while (i < value.len
               && mr_json_sizes[(unsigned char) value.data[i]] == 1) {
            i++;
        }

        if (i > start) {
            memcpy(p, value.data + start, i - start);
            p += i - start;
        }

        if (i < value.len) {
            c = (unsigned char) value.data[i++];
            p = mr_json_escape(p, c);
        }
    }

    *p++ = '"';
    buf->len += size;

    return 0;
}


static char *
mr_json_escape(char *p, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    *p++ = '\\';

    switch (c) {

    case '\b':
        *p++ = 'b';
        break;

    case '\t':
        *p++ = 't';
        break;

    case '\n':
        *p++ = 'n';
        break;

    case '\f':
        *p++ = 'f';
        break;

    case '\r':
        *p++ = 'r';
        break;

    case '"':
    case '\\':
        *p++ = (char) c;
        break;

    default:
        *p++ = 'u';
        *p++ = '0';
        *p++ = '0';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 0xf];
    }

    return p;
}


int
mr_json_integer(mr_buf_t *buf, int64_t value)
{
    char digits[MR_JSON_DIGITS], *end, *p;

    end = digits + sizeof(digits);

    if (value < 0) {
        p = mr_json_digits(end, 0 - (uint64_t) value);
        *--p = '-';

    } else {
        p = mr_json_digits(end, (uint64_t) value);
    }

    return mr_buf_append(buf, p, (size_t) (end - p));
}


static char *
mr_json_digits(char *end, uint64_t value)
{
    do {
        *--end = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);

    return end;
}


int
mr_json_real(mr_buf_t *buf, double value)
{
    char pool[MR_JSON_POOL], *text;
    size_t len;
    yyjson_alc alc;
    yyjson_val number;

    if (!isfinite(value)) {
        return -1;
    }

    memset(&number, 0, sizeof(number));
    number.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL;
    number.uni.f64 = value;

    if (!yyjson_alc_pool_init(&alc, pool, sizeof(pool))) {
        return -1;
    }

    text = yyjson_val_write_opts(&number, 0, &alc, &len, NULL);
    if (text == NULL) {
        return -1;
    }

    return mr_buf_append(buf, text, len);
}


int
mr_json_time(mr_buf_t *buf, int64_t time)
{
    char digits[MR_JSON_DIGITS + 4], *end, *p;
    uint64_t ms, fraction;

    ms = (time < 0) ? 0 - (uint64_t) time : (uint64_t) time;
    fraction = ms % 1000;
    end = digits + sizeof(digits);

    if (fraction > 0) {
        end[-3] = (char) ('0' + fraction / 100);
        end[-2] = (char) ('0' + fraction / 10 % 10);
        end[-1] = (char) ('0' + fraction % 10);
        end[-4] = '.';
        p = end - 4;

        while (end[-1] == '0') {
            end--;
        }

    } else {
        p = end;
    }

    p = mr_json_digits(p, ms / 1000);

    if (time < 0) {
        *--p = '-';
    }

    return mr_buf_append(buf, p, (size_t) (end - p));
}
