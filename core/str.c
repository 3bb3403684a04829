#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/str.h>


#define MR_BUF_MIN 64


int
mr_str_cmp(mr_str_t a, mr_str_t b)
{
    int rc;
    size_t n;

    n = (a.len < b.len) ? a.len : b.len;

    if (n > 0) {
        rc = memcmp(a.data, b.data, n);
        if (rc != 0) {
            return rc;
        }
    }

    return (a.len > b.len) - (a.len < b.len);
}


int
mr_str_eq(mr_str_t a, mr_str_t b)
{
    if (a.len != b.len) {
        return 0;
    }

    return a.len == 0 || memcmp(a.data, b.data, a.len) == 0;
}


int
mr_buf_reserve(mr_buf_t *buf, size_t more)
{
    size_t cap;

    if (more <= buf->cap - buf->len) {
        return 0;
    }

    cap = (buf->cap < MR_BUF_MIN / 2) ? MR_BUF_MIN : buf->cap * 2;

    if (cap - buf->len > more) {
        more = cap - buf->len;
    }

    return mr_buf_reserve_exact(buf, more);
}


int
mr_buf_reserve_exact(mr_buf_t *buf, size_t more)
{
    char *data;
    size_t cap;

    if (more <= buf->cap - buf->len) {
        return 0;
    }

    if (more > SIZE_MAX / 2 - buf->len) {
        return -1;
    }

    cap = buf->len + more;
    data = realloc(buf->data, cap);
    if (data == NULL) {
        return -1;
    }

    buf->data = data;
    buf->cap = cap;

    return 0;
}


int
mr_buf_append(mr_buf_t *buf, const void *data, size_t len)
{
    if (len == 0) {
        return 0;
    }

    if (mr_buf_reserve(buf, len) != 0) {
        return -1;
    }

    memcpy(buf->data + buf->len, data, len);
    buf->len += len;

    return 0;
}


int
mr_buf_printf(mr_buf_t *buf, const char *fmt, ...)
{
    int n;
    size_t room;
    va_list args;

    room = buf->cap - buf->len;

    va_start(args, fmt);
    n = vsnprintf(room > 0 ? buf->data + buf->len : NULL, room, fmt, args);
    va_end(args);

    if (n < 0) {
        return -1;
    }

    if ((size_t) n >= room) {

        /* vsnprintf() ends with NUL, which needs room but is not counted. */

        if (mr_buf_reserve(buf, (size_t) n + 1) != 0) {
            return -1;
        }

        va_start(args, fmt);
        n = vsnprintf(buf->data + buf->len, (size_t) n + 1, fmt, args);
        va_end(args);

        if (n < 0) {
            return -1;
        }
    }

    buf->len += (size_t) n;

    return 0;
}


void
mr_buf_reset(mr_buf_t *buf)
{
    buf->len = 0;
}


void
mr_buf_free(mr_buf_t *buf)
{
    free(buf->data);

    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
}
