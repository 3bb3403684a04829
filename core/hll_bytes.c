/* A HyperLogLog's bytes, as include/millrace/hll.h specifies them. */
#include <endian.h>
#include <string.h>

#include "hll_private.h"
#include "varint.h"


#define HLL_VERSION 1
#define HLL_HEADER 4
#define HLL_EXACT 0
#define HLL_SPARSE 1
#define HLL_DENSE 2
#define HLL_PACKED (MR_HLL_REGISTERS * 6 / 8)


static int hll_walk(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_exact(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_sparse(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_dense(mr_str_t bytes, mr_hll_t *into);
static void hll_write_exact(const mr_hll_t *hll, mr_buf_t *buf);
static void hll_write_sparse(const mr_hll_t *hll, mr_buf_t *buf);
static void hll_pack(const uint8_t *registers, uint8_t *out);
static void hll_unpack(const uint8_t *packed, uint8_t *registers);


int
mr_hll_merge_bytes(mr_hll_t *into, mr_str_t bytes, mr_error_t *err)
{
    int rc;

    if (hll_walk(bytes, NULL) == -1) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "%zu bytes are no HyperLogLog sketch as "
            "include/millrace/hll.h has it",
            bytes.len);
    }

    rc = hll_walk(bytes, into);

    if (rc == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return rc;
}


int
mr_hll_check(mr_str_t bytes)
{
    return hll_walk(bytes, NULL) == -1 ? -1 : 0;
}


/*
 * Add all of it, or only look at it when `into` is NULL.  Returns as
 * mr_hll_add(), and -1 when the bytes are wrong.
 */
static int
hll_walk(mr_str_t bytes, mr_hll_t *into)
{
    int changed, rc;
    uint8_t form;

    if (bytes.len < HLL_HEADER || bytes.data[0] != 'H'
        || bytes.data[1] != HLL_VERSION || bytes.data[2] != MR_HLL_PRECISION)
    {
        return -1;
    }

    form = (uint8_t) bytes.data[3];
    bytes.data += HLL_HEADER;
    bytes.len -= HLL_HEADER;

    if (form == HLL_EXACT) {
        return hll_walk_exact(bytes, into);
    }

    changed = 0;

    if (into != NULL) {
        changed = into->sparse == NULL && into->dense == NULL;

        if (mr_hll_registers(into) != 0) {
            return -1;
        }
    }

    switch (form) {

    case HLL_SPARSE:
        rc = hll_walk_sparse(bytes, into);
        break;

    case HLL_DENSE:
        rc = hll_walk_dense(bytes, into);
        break;

    default:
        rc = -1;
        break;
    }

    return rc == -1 ? -1 : rc | changed;
}


static int
hll_walk_exact(mr_str_t bytes, mr_hll_t *into)
{
    int b, rc, changed;
    uint64_t i, n, hash, before;
    const uint8_t *at;

    if (mr_varint_take(&bytes, &n) != 0 || n > MR_HLL_EXACT_MAX
        || bytes.len != n * 8)
    {
        return -1;
    }

    at = (const uint8_t *) bytes.data;
    changed = 0;
    before = 0;

    for (i = 0; i < n; i++, at += 8) {
        hash = 0;

        for (b = 7; b >= 0; b--) {
            hash = hash << 8 | at[b];
        }

        if (i > 0 && hash <= before) {
            return -1;
        }

        before = hash;

        if (into != NULL) {
            rc = mr_hll_add(into, hash);

            if (rc == -1) {
                return -1;
            }

            changed |= rc;
        }
    }

    return changed;
}


static int
hll_walk_sparse(mr_str_t bytes, mr_hll_t *into)
{
    int rc, changed;
    uint64_t i, n, code, index, rank;

    if (mr_varint_take(&bytes, &n) != 0 || n == 0 || n > MR_HLL_SPARSE_MAX) {
        return -1;
    }

    changed = 0;
    index = UINT64_MAX;

    for (i = 0; i < n; i++) {

        if (mr_varint_take(&bytes, &code) != 0) {
            return -1;
        }

        rank = code & HLL_MASK;

        if (code >> 6 >= MR_HLL_REGISTERS || rank == 0 || rank > HLL_RANK_MAX) {
            return -1;
        }

        index += (code >> 6) + 1;

        if (index >= MR_HLL_REGISTERS) {
            return -1;
        }

        if (into != NULL) {
            rc = mr_hll_add_point(into, (uint32_t) (index << 6 | rank));

            if (rc == -1) {
                return -1;
            }

            changed |= rc;
        }
    }

    return bytes.len == 0 ? changed : -1;
}


static int
hll_walk_dense(mr_str_t bytes, mr_hll_t *into)
{
    size_t i;
    uint8_t most;
    uint8_t registers[MR_HLL_REGISTERS];

    if (bytes.len != HLL_PACKED) {
        return -1;
    }

    hll_unpack((const uint8_t *) bytes.data, registers);

    most = 0;

    for (i = 0; i < MR_HLL_REGISTERS; i++) {
        most = registers[i] > most ? registers[i] : most;
    }

    /* So few of them would be written the other way. */
    if (most > HLL_RANK_MAX || mr_hll_count(registers) <= MR_HLL_SPARSE_MAX) {
        return -1;
    }

    if (into == NULL) {
        return 0;
    }

    return mr_hll_densify(into) == 0 ? mr_hll_merge_dense(into, registers) : -1;
}


int
mr_hll_write(const mr_hll_t *hll, mr_buf_t *buf)
{
    uint8_t header[HLL_HEADER] = {'H', HLL_VERSION, MR_HLL_PRECISION, 0};

    if (mr_buf_reserve(buf, MR_HLL_BYTES_MAX) != 0) {
        return -1;
    }

    if (hll->sparse == NULL && hll->dense == NULL) {
        header[3] = HLL_EXACT;

    } else {
        header[3] = hll->n > MR_HLL_SPARSE_MAX ? HLL_DENSE : HLL_SPARSE;
    }

    memcpy(buf->data + buf->len, header, HLL_HEADER);
    buf->len += HLL_HEADER;

    /* There is room for each of these. */

    switch (header[3]) {

    case HLL_EXACT:
        hll_write_exact(hll, buf);
        break;

    case HLL_SPARSE:
        hll_write_sparse(hll, buf);
        break;

    default:
        hll_pack(hll->dense, (uint8_t *) buf->data + buf->len);
        buf->len += HLL_PACKED;
        break;
    }

    return 0;
}


static void
hll_write_exact(const mr_hll_t *hll, mr_buf_t *buf)
{
    int b;
    uint8_t *at;
    uint32_t i;

    at = (uint8_t *) buf->data + buf->len;
    at += mr_varint_put(at, hll->n);

    for (i = 0; i < hll->n; i++) {
        for (b = 0; b < 64; b += 8) {
            *at++ = (uint8_t) (hll->exact[i] >> b);
        }
    }

    buf->len = (size_t) (at - (uint8_t *) buf->data);
}


static void
hll_write_sparse(const mr_hll_t *hll, mr_buf_t *buf)
{
    uint8_t *at;
    uint32_t i, count, next, point;

    at = (uint8_t *) buf->data + buf->len;
    at += mr_varint_put(at, hll->n);

    next = 0;
    count = hll->dense != NULL ? MR_HLL_REGISTERS : hll->n;

    for (i = 0; i < count; i++) {

        if (hll->dense == NULL) {
            point = hll->sparse[i];

        } else if (hll->dense[i] != 0) {
            point = i << 6 | hll->dense[i];

        } else {
            continue;
        }

        at += mr_varint_put(at, point - (next << 6));
        next = (point >> 6) + 1;
    }

    buf->len = (size_t) (at - (uint8_t *) buf->data);
}


static void
hll_pack(const uint8_t *registers, uint8_t *out)
{
    size_t i;
    uint32_t word;

    for (i = 0; i < MR_HLL_REGISTERS; i += 4) {
        word = registers[i] | (uint32_t) registers[i + 1] << 6
               | (uint32_t) registers[i + 2] << 12
               | (uint32_t) registers[i + 3] << 18;

        *out++ = (uint8_t) word;
        *out++ = (uint8_t) (word >> 8);
        *out++ = (uint8_t) (word >> 16);
    }
}


/*
 * The other way, eight registers at a time: 48 bits are spread to the eight
 * bytes of a word in halves, quarters and eighths.
 */
static void
hll_unpack(const uint8_t *packed, uint8_t *registers)
{
    size_t i;
    uint16_t high;
    uint32_t low;
    uint64_t x;

    for (i = 0; i < MR_HLL_REGISTERS; i += 8, packed += 6) {
        memcpy(&low, packed, 4);
        memcpy(&high, packed + 4, 2);
        x = le32toh(low) | (uint64_t) le16toh(high) << 32;

        x = (x & 0x0000000000ffffff) | (x & 0x0000ffffff000000) << 8;
        x = (x & 0x00000fff00000fff) | (x & 0x00fff00000fff000) << 4;
        x = (x & 0x003f003f003f003f) | (x & 0x0fc00fc00fc00fc0) << 2;

        x = htole64(x);
        memcpy(registers + i, &x, 8);
    }
}
