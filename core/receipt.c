#include <string.h>

#include <millrace/hash.h>
#include <millrace/receipt.h>


#define MR_RECEIPT_VERSION 1
#define MR_RECEIPT_HEAD 5 /* bytes before the pairs */
#define MR_RECEIPT_HASH 4 /* and after them */

/* What the longest token decodes to. */
#define MR_RECEIPT_RAW (MR_RECEIPT_SIZE(MR_RECEIPT_PARTS) / 4 * 3)


static void mr_receipt_sort(mr_receipt_part_t *parts, size_t nparts);
static uint8_t *mr_receipt_put(uint8_t *p, uint32_t value);
static uint32_t mr_receipt_get(const uint8_t *p);
static uint8_t *mr_receipt_put_varint(uint8_t *p, uint64_t value);
static int mr_receipt_get_varint(
    const uint8_t **pos, const uint8_t *end, uint64_t max, uint64_t *ret_value);
static uint32_t mr_receipt_checksum(const uint8_t *data, size_t len);
static size_t mr_receipt_base64(const uint8_t *data, size_t len, char *buf);
static int mr_receipt_unbase64(mr_str_t token, uint8_t *buf, size_t *ret_len);
static int mr_receipt_digit(char ch);


static const char mr_receipt_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


uint32_t
mr_receipt_topic(mr_str_t name)
{
    return (uint32_t) (mr_hash(name).lo & 0xffffffff);
}


int
mr_receipt_encode(uint32_t topic, mr_receipt_part_t *parts, size_t nparts,
    char *buf, size_t *ret_len)
{
    size_t i;
    int64_t last;
    uint8_t raw[MR_RECEIPT_RAW], *p;

    if (nparts == 0 || nparts > MR_RECEIPT_PARTS) {
        return -1;
    }

    mr_receipt_sort(parts, nparts);

    raw[0] = MR_RECEIPT_VERSION;
    p = mr_receipt_put(&raw[1], topic);
    last = -1;

    for (i = 0; i < nparts; i++) {

        /* a negative partition is the first one, or repeats */

        if (parts[i].partition <= last || parts[i].offset < 0) {
            return -1;
        }

        p = mr_receipt_put_varint(
            p, (uint64_t) (parts[i].partition - last - 1));
        p = mr_receipt_put_varint(p, (uint64_t) parts[i].offset);
        last = parts[i].partition;
    }

    p = mr_receipt_put(p, mr_receipt_checksum(raw, (size_t) (p - raw)));

    *ret_len = mr_receipt_base64(raw, (size_t) (p - raw), buf);

    return 0;
}


int
mr_receipt_decode(mr_str_t token, mr_receipt_t *ret_receipt, mr_error_t *err)
{
    size_t len;
    int64_t partition;
    uint8_t raw[MR_RECEIPT_RAW];
    uint64_t step, offset;
    mr_receipt_t receipt;
    const uint8_t *p, *end;

    if (mr_receipt_unbase64(token, raw, &len) != 0
        || len < MR_RECEIPT_HEAD + 2 + MR_RECEIPT_HASH)
    {
        goto bad;
    }

    end = raw + len - MR_RECEIPT_HASH;

    if (mr_receipt_get(end) != mr_receipt_checksum(raw, (size_t) (end - raw))) {
        goto bad;
    }

    if (raw[0] != MR_RECEIPT_VERSION) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "this receipt is of version %u, which is not known here",
            (unsigned) raw[0]);
    }

    memset(&receipt, 0, sizeof(mr_receipt_t));
    receipt.topic = mr_receipt_get(&raw[1]);

    partition = -1;

    for (p = raw + MR_RECEIPT_HEAD; p < end; receipt.nparts++) {

        if (receipt.nparts == MR_RECEIPT_PARTS
            || mr_receipt_get_varint(&p, end, INT32_MAX, &step) != 0
            || mr_receipt_get_varint(&p, end, INT64_MAX, &offset) != 0)
        {
            goto bad;
        }

        partition += (int64_t) step + 1;

        if (partition > INT32_MAX) {
            goto bad;
        }

        receipt.parts[receipt.nparts].partition = (int32_t) partition;
        receipt.parts[receipt.nparts].offset = (int64_t) offset;
    }

    *ret_receipt = receipt;

    return 0;

bad:

    return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
        "this is no receipt; send the value of a Millrace-Receipt header as "
        "it came");
}


/* By insertion: they are few, and mostly in order. */
static void
mr_receipt_sort(mr_receipt_part_t *parts, size_t nparts)
{
    size_t i, j;
    mr_receipt_part_t part;

    for (i = 1; i < nparts; i++) {
        part = parts[i];

        for (j = i; j > 0 && parts[j - 1].partition > part.partition; j--) {
            parts[j] = parts[j - 1];
        }

        parts[j] = part;
    }
}


static uint8_t *
mr_receipt_put(uint8_t *p, uint32_t value)
{
    int i;

    for (i = 0; i < 4; i++) {
        *p++ = (uint8_t) (value & 0xff);
        value >>= 8;
    }

    return p;
}


static uint32_t
mr_receipt_get(const uint8_t *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


static uint8_t *
mr_receipt_put_varint(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t) (value & 0x7f) | 0x80;
        value >>= 7;
    }

    *p++ = (uint8_t) value;

    return p;
}


/* Only the shortest form of a number is one: a token has one spelling. */
static int
mr_receipt_get_varint(
    const uint8_t **pos, const uint8_t *end, uint64_t max, uint64_t *ret_value)
{
    unsigned shift;
    uint64_t value, bits;
    const uint8_t *p;

    value = 0;

    for (p = *pos, shift = 0; p < end && shift < 63; p++, shift += 7) {
        bits = *p & 0x7f;
        value |= bits << shift;

        if (*p & 0x80) {
            continue;
        }

        if (value > max || (bits == 0 && shift > 0)) {
            return -1;
        }

        *ret_value = value;
        *pos = p + 1;

        return 0;
    }

    return -1;
}


static uint32_t
mr_receipt_checksum(const uint8_t *data, size_t len)
{
    return mr_receipt_topic((mr_str_t){(const char *) data, len});
}


static size_t
mr_receipt_base64(const uint8_t *data, size_t len, char *buf)
{
    char *p;
    size_t i;
    unsigned bits, have;

    p = buf;
    bits = 0;
    have = 0;

    for (i = 0; i < len; i++) {
        bits = (bits << 8 | data[i]) & 0xffff;
        have += 8;

        while (have >= 6) {
            have -= 6;
            *p++ = mr_receipt_digits[bits >> have & 0x3f];
        }
    }

    if (have > 0) {
        *p++ = mr_receipt_digits[bits << (6 - have) & 0x3f];
    }

    return (size_t) (p - buf);
}


static int
mr_receipt_unbase64(mr_str_t token, uint8_t *buf, size_t *ret_len)
{
    int digit;
    size_t i, len;
    unsigned bits, have;

    if (token.len > MR_RECEIPT_SIZE(MR_RECEIPT_PARTS) || token.len % 4 == 1) {
        return -1;
    }

    len = 0;
    bits = 0;
    have = 0;

    for (i = 0; i < token.len; i++) {
        digit = mr_receipt_digit(token.data[i]);

        if (digit < 0) {
            return -1;
        }

        bits = (bits << 6 | (unsigned) digit) & 0xffff;
        have += 6;

        if (have >= 8) {
            have -= 8;
            buf[len++] = (uint8_t) (bits >> have & 0xff);
        }
    }

    /* what is left of the last digit must be 0: a token has one spelling */

    if ((bits & ((1U << have) - 1)) != 0) {
        return -1;
    }

    *ret_len = len;

    return 0;
}


static int
mr_receipt_digit(char ch)
{
    const char *p;

    if (ch == '\0') {
        return -1;
    }

    p = strchr(mr_receipt_digits, ch);

    return (p != NULL) ? (int) (p - mr_receipt_digits) : -1;
}
