#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>
#include <millrace/limits.h>

#include "cursor.h"


#define MR_CURSOR_VERSION 1
#define MR_CURSOR_HEAD 18  /* version, kind, digest, time */
#define MR_CURSOR_EVENT 23 /* the fixed part of an event's key */
#define MR_CURSOR_CHECKSUM 8
#define MR_CURSOR_MAX                                                          \
    (MR_CURSOR_HEAD + MR_CURSOR_EVENT + MR_EVENT_ID_MAX + MR_USER_ID_MAX       \
        + MR_CURSOR_CHECKSUM)

#define MR_CURSOR_PARAM "cursor"


static uint8_t *mr_cursor_put(uint8_t *p, uint64_t value, unsigned bytes);
static uint64_t mr_cursor_get(const uint8_t *p, unsigned bytes);
static int mr_cursor_encode(mr_buf_t *buf, const uint8_t *data, size_t len);
static int mr_cursor_decode(mr_str_t text, uint8_t *data, size_t *ret_len);
static int mr_cursor_digit(char c);
static int mr_cursor_key(const uint8_t *p, size_t len, mr_key_t *key);
static int mr_cursor_bad(mr_error_t *err);


static const char mr_cursor_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


int
mr_cursor_write(mr_buf_t *buf, uint64_t digest, const mr_position_t *position)
{
    uint8_t data[MR_CURSOR_MAX], *p;
    mr_str_t body;
    const mr_key_t *key;

    key = &position->key;

    p = mr_cursor_put(data, MR_CURSOR_VERSION, 1);
    p = mr_cursor_put(p, (uint64_t) position->kind, 1);
    p = mr_cursor_put(p, digest, 8);
    p = mr_cursor_put(p, (uint64_t) key->time, 8);

    if (position->kind == MR_POSITION_EVENT) {

        if (key->event_id.len > MR_EVENT_ID_MAX
            || key->user_id.len > MR_USER_ID_MAX) {
            return -1;
        }

        p = mr_cursor_put(p, (uint32_t) key->partition, 4);
        p = mr_cursor_put(p, (uint64_t) key->offset, 8);
        p = mr_cursor_put(p, (uint64_t) key->epoch, 8);
        p = mr_cursor_put(p, key->event_id.len, 1);
        memcpy(p, key->event_id.data, key->event_id.len);
        p += key->event_id.len;
        p = mr_cursor_put(p, key->user_id.len, 2);
        memcpy(p, key->user_id.data, key->user_id.len);
        p += key->user_id.len;
    }

    body.data = (const char *) data;
    body.len = (size_t) (p - data);

    p = mr_cursor_put(p, mr_hash(body).lo, MR_CURSOR_CHECKSUM);

    return mr_cursor_encode(buf, data, (size_t) (p - data));
}


int
mr_cursor_read(mr_str_t text, uint64_t digest, mr_position_t *ret_position,
    char **ret_memory, mr_error_t *err)
{
    char *memory;
    size_t len;
    uint8_t data[MR_CURSOR_MAX];
    uint64_t time;
    mr_str_t body;
    mr_position_t position;

    if (mr_cursor_decode(text, data, &len) == -1
        || len < MR_CURSOR_HEAD + MR_CURSOR_CHECKSUM)
    {
        return mr_cursor_bad(err);
    }

    len -= MR_CURSOR_CHECKSUM;
    body.data = (const char *) data;
    body.len = len;

    if (mr_cursor_get(data + len, MR_CURSOR_CHECKSUM) != mr_hash(body).lo
        || data[0] != MR_CURSOR_VERSION)
    {
        return mr_cursor_bad(err);
    }

    time = mr_cursor_get(data + 10, 8);

    if (time > (uint64_t) MR_TIMESTAMP_MAX) {
        return mr_cursor_bad(err);
    }

    if (mr_cursor_get(data + 2, 8) != digest) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, MR_CURSOR_PARAM,
            "cursor belongs to other filters or another order; repeat the "
            "first request's parameters with it (limit may change), or "
            "leave it out");
    }

    memset(&position, 0, sizeof(position));
    position.key.time = (int64_t) time;

    memory = malloc(MR_CURSOR_MAX);

    if (memory == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    memcpy(memory, data, len);

    if (data[1] == MR_POSITION_FRONTIER && len == MR_CURSOR_HEAD) {
        position.kind = MR_POSITION_FRONTIER;

    } else if (data[1] == MR_POSITION_EVENT
               && mr_cursor_key((uint8_t *) memory + MR_CURSOR_HEAD,
                      len - MR_CURSOR_HEAD, &position.key)
                      == 0)
    {
        position.kind = MR_POSITION_EVENT;

    } else {
        free(memory);
        return mr_cursor_bad(err);
    }

    *ret_position = position;
    *ret_memory = memory;

    return 0;
}


static int
mr_cursor_key(const uint8_t *p, size_t len, mr_key_t *key)
{
    size_t event_id, user_id;

    if (len < MR_CURSOR_EVENT) {
        return -1;
    }

    event_id = p[20];

    if (event_id > MR_EVENT_ID_MAX || len < MR_CURSOR_EVENT + event_id) {
        return -1;
    }

    user_id = (size_t) mr_cursor_get(p + 21 + event_id, 2);

    if (len != MR_CURSOR_EVENT + event_id + user_id) {
        return -1;
    }

    key->partition = (int32_t) mr_cursor_get(p, 4);
    key->offset = (int64_t) mr_cursor_get(p + 4, 8);
    key->epoch = (int64_t) mr_cursor_get(p + 12, 8);
    key->event_id.data = (const char *) p + 21;
    key->event_id.len = event_id;
    key->user_id.data = (const char *) p + 23 + event_id;
    key->user_id.len = user_id;

    return 0;
}


static int
mr_cursor_bad(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_ARGUMENT, MR_CURSOR_PARAM,
        "cursor is none that was given out here, or was altered; pass "
        "next_cursor back as it was, or leave it out");
}


static uint8_t *
mr_cursor_put(uint8_t *p, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        *p++ = (uint8_t) (value & 0xff);
        value >>= 8;
    }

    return p;
}


static uint64_t
mr_cursor_get(const uint8_t *p, unsigned bytes)
{
    uint64_t value;

    value = 0;

    while (bytes-- > 0) {
        value = value << 8 | p[bytes];
    }

    return value;
}


static int
mr_cursor_encode(mr_buf_t *buf, const uint8_t *data, size_t len)
{
    char out[(MR_CURSOR_MAX * 8 + 5) / 6];
    size_t i, n;
    uint32_t bits;
    unsigned held;

    n = 0;
    bits = 0;
    held = 0;

    for (i = 0; i < len; i++) {
        bits = (bits & 0xff) << 8 | data[i];
        held += 8;

        while (held >= 6) {
            held -= 6;
            out[n++] = mr_cursor_digits[bits >> held & 63];
        }
    }

    if (held > 0) {
        out[n++] = mr_cursor_digits[bits << (6 - held) & 63];
    }

    return mr_buf_append(buf, out, n);
}


/* The only accepted spelling of some bytes is the one that encode gives. */
static int
mr_cursor_decode(mr_str_t text, uint8_t *data, size_t *ret_len)
{
    int digit;
    size_t i, n;
    uint32_t bits;
    unsigned held;

    if (text.len > (MR_CURSOR_MAX * 8 + 5) / 6) {
        return -1;
    }

    n = 0;
    bits = 0;
    held = 0;

    for (i = 0; i < text.len; i++) {
        digit = mr_cursor_digit(text.data[i]);

        if (digit == -1) {
            return -1;
        }

        bits = (bits & 0xff) << 6 | (uint32_t) digit;
        held += 6;

        if (held >= 8) {
            held -= 8;
            data[n++] = (uint8_t) (bits >> held & 0xff);
        }
    }

    if (held >= 6 || (bits & ((1u << held) - 1)) != 0) {
        return -1;
    }

    *ret_len = n;

    return 0;
}


static int
mr_cursor_digit(char c)
{
    const char *p;

    p = c != '\0' ? strchr(mr_cursor_digits, c) : NULL;

    return p != NULL ? (int) (p - mr_cursor_digits) : -1;
}
