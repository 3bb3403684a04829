#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <millrace/error.h>
#include <millrace/utf8.h>


#undef mr_error_set /* the function itself */


static size_t mr_error_cut(const char *text, size_t len);


int
mr_error_set(
    mr_error_t *err, mr_code_t code, const char *field, const char *fmt, ...)
{
    int n;
    va_list args;

    if (err == NULL) {
        return -1;
    }

    err->code = code;
    err->field = field;

    va_start(args, fmt);
    n = vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);

    if (n < 0) {
        err->message[0] = '\0';

    } else if ((size_t) n >= sizeof(err->message)) {
        err->message[mr_error_cut(err->message, sizeof(err->message) - 1)] =
            '\0';
    }

    return -1;
}


/* The length of `text` without a character that was cut in its middle. */

static size_t
mr_error_cut(const char *text, size_t len)
{
    size_t start;

    start = len;

    while (start > 0 && len - start < 3
           && ((unsigned char) text[start - 1] & 0xc0) == 0x80)
    {
        start--;
    }

    if (start == 0 || (unsigned char) text[start - 1] < 0xc0) {
        return len;
    }

    return mr_utf8_len(text + start - 1, len - start + 1) ? len : start - 1;
}


char *
mr_error_excerpt(
    char *buf, size_t size, const char *data, size_t len, size_t max)
{
    char piece[8];
    size_t i, n, out, step, keep;

    static const char hex[] = "0123456789abcdef";

    if (size == 0) {
        return buf;
    }

    out = 0;
    keep = 0;
    i = 0;

    while (i < len) {
        n = mr_utf8_len(data + i, len - i);

        if (n == 0 || mr_utf8_control(data + i, n)) {
            piece[0] = '\\';
            piece[1] = 'x';
            piece[2] = hex[(unsigned char) data[i] >> 4];
            piece[3] = hex[(unsigned char) data[i] & 0xf];
            n = 4;
            step = 1;

        } else {
            memcpy(piece, data + i, n);
            step = n;
        }

        if (i + step > max || out + n + 1 > size) {
            break;
        }

        memcpy(buf + out, piece, n);
        out += n;
        i += step;

        if (out + sizeof("...") <= size) {
            keep = out;
        }
    }

    if (i < len && size >= sizeof("...")) {
        memcpy(buf + keep, "...", 3);
        out = keep + 3;
    }

    buf[out] = '\0';

    return buf;
}
