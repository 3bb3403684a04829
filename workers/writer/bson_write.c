#include "bson_write.h"

#include <endian.h>
#include <string.h>

#include <millrace/uuid.h>


#define BSON_DOUBLE 0x01
#define BSON_STRING 0x02
#define BSON_DOCUMENT 0x03
#define BSON_ARRAY 0x04
#define BSON_BINARY 0x05
#define BSON_BOOL 0x08
#define BSON_DATE 0x09
#define BSON_NULL 0x0a
#define BSON_INT32 0x10
#define BSON_INT64 0x12

#define BSON_GENERIC 0x00
#define BSON_UUID 0x04


static char *bson_member(mr_buf_t *buf, char type, mr_str_t key, size_t room);
static unsigned char *bson_bytes(
    mr_buf_t *buf, mr_str_t key, size_t len, char subtype);
static char *bson_put_int32(char *p, uint32_t value);
static char *bson_put_int64(char *p, uint64_t value);


int
mr_bson_begin(mr_buf_t *buf, size_t *ret_at)
{
    if (mr_buf_reserve(buf, 4) != 0) {
        return -1;
    }

    *ret_at = buf->len;
    buf->len += 4;

    return 0;
}


int
mr_bson_end(mr_buf_t *buf, size_t at)
{
    if (mr_buf_reserve(buf, 1) != 0) {
        return -1;
    }

    buf->data[buf->len++] = '\0';
    (void) bson_put_int32(buf->data + at, (uint32_t) (buf->len - at));

    return 0;
}


int
mr_bson_begin_member(mr_buf_t *buf, mr_str_t key, int is_array, size_t *ret_at)
{
    char *p;

    p = bson_member(buf, is_array ? BSON_ARRAY : BSON_DOCUMENT, key, 4);
    if (p == NULL) {
        return -1;
    }

    *ret_at = (size_t) (p - buf->data);
    buf->len += 4;

    return 0;
}


int
mr_bson_string(mr_buf_t *buf, mr_str_t key, mr_str_t value)
{
    char *p;

    p = bson_member(buf, BSON_STRING, key, value.len + 5);
    if (p == NULL) {
        return -1;
    }

    p = bson_put_int32(p, (uint32_t) value.len + 1);

    if (value.len != 0) {
        memcpy(p, value.data, value.len);
    }

    p[value.len] = '\0';
    buf->len += value.len + 5;

    return 0;
}


int
mr_bson_int32(mr_buf_t *buf, mr_str_t key, int32_t value)
{
    char *p;

    p = bson_member(buf, BSON_INT32, key, 4);
    if (p == NULL) {
        return -1;
    }

    (void) bson_put_int32(p, (uint32_t) value);
    buf->len += 4;

    return 0;
}


int
mr_bson_int64(mr_buf_t *buf, mr_str_t key, int64_t value)
{
    char *p;

    p = bson_member(buf, BSON_INT64, key, 8);
    if (p == NULL) {
        return -1;
    }

    (void) bson_put_int64(p, (uint64_t) value);
    buf->len += 8;

    return 0;
}


int
mr_bson_double(mr_buf_t *buf, mr_str_t key, double value)
{
    char *p;
    uint64_t bits;

    p = bson_member(buf, BSON_DOUBLE, key, 8);
    if (p == NULL) {
        return -1;
    }

    memcpy(&bits, &value, 8);
    (void) bson_put_int64(p, bits);
    buf->len += 8;

    return 0;
}


int
mr_bson_bool(mr_buf_t *buf, mr_str_t key, int value)
{
    char *p;

    p = bson_member(buf, BSON_BOOL, key, 1);
    if (p == NULL) {
        return -1;
    }

    *p = value ? 1 : 0;
    buf->len += 1;

    return 0;
}


int
mr_bson_null(mr_buf_t *buf, mr_str_t key)
{
    return bson_member(buf, BSON_NULL, key, 0) == NULL ? -1 : 0;
}


int
mr_bson_date(mr_buf_t *buf, mr_str_t key, int64_t ms)
{
    char *p;

    p = bson_member(buf, BSON_DATE, key, 8);
    if (p == NULL) {
        return -1;
    }

    (void) bson_put_int64(p, (uint64_t) ms);
    buf->len += 8;

    return 0;
}


int
mr_bson_binary(
    mr_buf_t *buf, mr_str_t key, size_t len, unsigned char **ret_data)
{
    *ret_data = bson_bytes(buf, key, len, BSON_GENERIC);

    return *ret_data == NULL ? -1 : 0;
}


int
mr_bson_uuid(mr_buf_t *buf, mr_str_t key, const uint8_t *uuid)
{
    unsigned char *p;

    p = bson_bytes(buf, key, MR_UUID_SIZE, BSON_UUID);
    if (p == NULL) {
        return -1;
    }

    memcpy(p, uuid, MR_UUID_SIZE);

    return 0;
}


int
mr_bson_document(mr_buf_t *buf, mr_str_t key, mr_str_t document)
{
    char *p;

    p = bson_member(buf, BSON_DOCUMENT, key, document.len);
    if (p == NULL) {
        return -1;
    }

    memcpy(p, document.data, document.len);
    buf->len += document.len;

    return 0;
}


mr_str_t
mr_bson_index(unsigned index, char space[12])
{
    char *p;

    p = space + 12;

    do {
        *--p = (char) ('0' + index % 10);
        index /= 10;
    } while (index != 0);

    return (mr_str_t){p, (size_t) (space + 12 - p)};
}


/* A binary member, whose bytes are still to be written. */
static unsigned char *
bson_bytes(mr_buf_t *buf, mr_str_t key, size_t len, char subtype)
{
    char *p;

    p = bson_member(buf, BSON_BINARY, key, len + 5);
    if (p == NULL) {
        return NULL;
    }

    p = bson_put_int32(p, (uint32_t) len);
    *p++ = subtype;
    buf->len += len + 5;

    return (unsigned char *) p;
}


/*
 * The type and the key of a member, with `room` bytes reserved behind them,
 * to which the result points.
 */
static char *
bson_member(mr_buf_t *buf, char type, mr_str_t key, size_t room)
{
    char *p;

    if (mr_buf_reserve(buf, key.len + 2 + room) != 0) {
        return NULL;
    }

    p = buf->data + buf->len;
    *p++ = type;

    if (key.len != 0) {
        memcpy(p, key.data, key.len);
        p += key.len;
    }

    *p++ = '\0';
    buf->len += key.len + 2;

    return p;
}


static char *
bson_put_int32(char *p, uint32_t value)
{
    value = htole32(value);
    memcpy(p, &value, 4);

    return p + 4;
}


static char *
bson_put_int64(char *p, uint64_t value)
{
    value = htole64(value);
    memcpy(p, &value, 8);

    return p + 8;
}
