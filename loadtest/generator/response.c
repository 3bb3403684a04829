#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "response.h"


static size_t mr_response_head(
    mr_response_t *response, const char *data, size_t len, int *ret_bad);
static int mr_response_parse(
    mr_response_t *response, const char *head, size_t len);
static int mr_response_field(
    mr_response_t *response, const char *line, const char *end);
static size_t mr_response_body(
    mr_response_t *response, const char *data, size_t len);
static int mr_response_chunk_size(mr_response_t *response, char c);
static void mr_response_trailer(mr_response_t *response, char c);
static int mr_response_is(const char *text, const char *end, const char *word);


void
mr_response_init(mr_response_t *response)
{
    /* not the buffers: this is called for every request */
    memset(response, 0, offsetof(mr_response_t, body));
    response->retry_after = -1;
}


int64_t
mr_response_feed(mr_response_t *response, const char *data, size_t len)
{
    int bad;
    size_t at;

    bad = 0;
    at = 0;

    while (at < len && response->state != MR_RESPONSE_DONE) {

        switch (response->state) {

        case MR_RESPONSE_HEAD:
            at += mr_response_head(response, data + at, len - at, &bad);
            break;

        case MR_RESPONSE_CHUNK_SIZE:
            bad = mr_response_chunk_size(response, data[at++]);
            break;

        case MR_RESPONSE_CHUNK_END:
            if (data[at++] == '\n') {
                response->state = MR_RESPONSE_CHUNK_SIZE;
            }
            break;

        case MR_RESPONSE_TRAILER:
            mr_response_trailer(response, data[at++]);
            break;

        default:
            at += mr_response_body(response, data + at, len - at);
        }

        if (bad) {
            return -1;
        }
    }

    response->received += at;

    return (int64_t) at;
}


int
mr_response_end(mr_response_t *response)
{
    if (response->state != MR_RESPONSE_UNTIL_CLOSE) {
        return -1;
    }

    response->state = MR_RESPONSE_DONE;

    return 0;
}


int64_t
mr_response_number(const mr_response_t *response, const char *name)
{
    char *end;
    long long number;
    size_t len;
    const char *p;
    char text[MR_RESPONSE_BODY_KEPT + 1];

    memcpy(text, response->body, response->body_len);
    text[response->body_len] = '\0';

    len = strlen(name);

    for (p = text; (p = strchr(p, '"')) != NULL; p++) {

        if (strncmp(p + 1, name, len) != 0
            || strncmp(p + 1 + len, "\":", 2) != 0) {
            continue;
        }

        errno = 0;
        number = strtoll(p + len + 3, &end, 10);

        return (end == p + len + 3 || errno || number < 0) ? -1 : number;
    }

    return -1;
}


/* Consumes up to the head's end; a head in one piece is not copied. */
static size_t
mr_response_head(
    mr_response_t *response, const char *data, size_t len, int *ret_bad)
{
    size_t n, before, from;
    const char *end;

    if (response->head_len == 0) {
        end = memmem(data, len, "\r\n\r\n", 4);

        if (end) {
            n = (size_t) (end - data) + 4;
            *ret_bad = mr_response_parse(response, data, n);
            return n;
        }
    }

    before = response->head_len;
    n = sizeof(response->head) - before;
    n = len < n ? len : n;

    memcpy(response->head + before, data, n);
    response->head_len += n;

    /* the end's four bytes may have begun before */

    from = before < 3 ? 0 : before - 3;
    end =
        memmem(response->head + from, response->head_len - from, "\r\n\r\n", 4);

    if (end == NULL) {
        *ret_bad = response->head_len == sizeof(response->head) ? -1 : 0;
        return n;
    }

    n = (size_t) (end - response->head) + 4;
    response->head_len = 0;
    *ret_bad = mr_response_parse(response, response->head, n);

    return n - before;
}


static int
mr_response_parse(mr_response_t *response, const char *head, size_t len)
{
    unsigned i;
    const char *line, *end, *last;

    if (len < sizeof("HTTP/1.1 200") - 1 || memcmp(head, "HTTP/1.", 7) != 0) {
        return -1;
    }

    response->status = 0;

    for (i = 9; i < 12; i++) {
        if (head[i] < '0' || head[i] > '9') {
            return -1;
        }
        response->status = response->status * 10 + (unsigned) (head[i] - '0');
    }

    if (response->status < 100) {
        return -1;
    }

    if (response->status < 200) {
        return response->status == 101 ? -1 : 0;
    }

    response->close = (head[7] == '0');
    response->state = MR_RESPONSE_UNTIL_CLOSE;

    last = head + len - 2;
    line = memchr(head, '\n', len);

    for (line++; line < last; line = end + 1) {
        end = memchr(line, '\n', (size_t) (last - line));

        if (mr_response_field(response, line, end) != 0) {
            return -1;
        }
    }

    if (response->status == 204 || response->status == 304) {
        response->state = MR_RESPONSE_DONE;
    }

    if (response->state == MR_RESPONSE_LENGTH && response->left == 0) {
        response->state = MR_RESPONSE_DONE;
    }

    if (response->state == MR_RESPONSE_UNTIL_CLOSE) {
        response->close = 1;
    }

    return 0;
}


static int
mr_response_field(mr_response_t *response, const char *line, const char *end)
{
    char *stop;
    size_t name;
    long long number;
    const char *value;

    value = memchr(line, ':', (size_t) (end - line));
    if (value == NULL) {
        return -1;
    }

    name = (size_t) (value - line);
    value++;

    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }

    if (name == 14 && strncasecmp(line, "Content-Length", name) == 0) {
        errno = 0;
        number = strtoll(value, &stop, 10);

        if (stop == value || errno || number < 0) {
            return -1;
        }

        if (response->state != MR_RESPONSE_CHUNK_SIZE) {
            response->state = MR_RESPONSE_LENGTH;
            response->left = (uint64_t) number;
        }

    } else if (name == 17 && strncasecmp(line, "Transfer-Encoding", name) == 0)
    {
        if (!mr_response_is(value, end, "chunked")) {
            return -1;
        }

        response->state = MR_RESPONSE_CHUNK_SIZE;
        response->left = 0;
        response->digits = 0;

    } else if (name == 10 && strncasecmp(line, "Connection", name) == 0) {
        if (mr_response_is(value, end, "close")) {
            response->close = 1;
        }

    } else if (name == 11 && strncasecmp(line, "Retry-After", name) == 0) {
        number = strtoll(value, &stop, 10);

        if (stop != value && number >= 0 && number < 86400) {
            response->retry_after = (int) number;
        }
    }

    return 0;
}


static size_t
mr_response_body(mr_response_t *response, const char *data, size_t len)
{
    size_t room;

    if (response->state != MR_RESPONSE_UNTIL_CLOSE && len > response->left) {
        len = (size_t) response->left;
    }

    room = sizeof(response->body) - response->body_len;
    room = len < room ? len : room;

    memcpy(response->body + response->body_len, data, room);
    response->body_len += room;

    if (response->state == MR_RESPONSE_UNTIL_CLOSE) {
        return len;
    }

    response->left -= len;

    if (response->left == 0) {
        response->state = response->state == MR_RESPONSE_CHUNK
                              ? MR_RESPONSE_CHUNK_END
                              : MR_RESPONSE_DONE;
    }

    return len;
}


/* RFC 9112, 7.1: hex digits, an extension that is ignored, the line's end. */
static int
mr_response_chunk_size(mr_response_t *response, char c)
{
    const char *digit;
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";

    if (c == '\n') {

        if (response->digits == 0) {
            return -1;
        }

        response->digits = 0;
        response->line = 0;
        response->state =
            response->left ? MR_RESPONSE_CHUNK : MR_RESPONSE_TRAILER;

        return 0;
    }

    /* from the first other character on, all is extension */

    digit = c ? strchr(digits, c) : NULL;

    if (digit == NULL || response->line) {
        response->line = 1;
        return response->digits ? 0 : -1;
    }

    if (++response->digits > 15) {
        return -1;
    }

    response->left = response->left * 16 + (uint64_t) ((digit - digits) & 15);

    return 0;
}


/* Fields after the last chunk, until an empty line. */
static void
mr_response_trailer(mr_response_t *response, char c)
{
    if (c == '\n') {
        if (response->line == 0) {
            response->state = MR_RESPONSE_DONE;
        }

        response->line = 0;

    } else if (c != '\r') {
        response->line++;
    }
}


static int
mr_response_is(const char *text, const char *end, const char *word)
{
    size_t len;

    len = strlen(word);

    return (size_t) (end - text) >= len && strncasecmp(text, word, len) == 0
           && (text + len == end || text[len] == '\r' || text[len] == ' ');
}
