#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include <millrace/hll.h>

#include "varint.h"


#define HLL_REST (64 - MR_HLL_PRECISION) /* bits that ranks are made of */
#define HLL_RANK_MAX (HLL_REST + 1)
#define HLL_MASK 63u

/* Memory goes over to a byte a register earlier than the bytes do. */
#define HLL_MEMORY_SPARSE 1024

#define HLL_VERSION 1
#define HLL_HEADER 4
#define HLL_EXACT 0
#define HLL_SPARSE 1
#define HLL_DENSE 2
#define HLL_PACKED (MR_HLL_REGISTERS * 6 / 8)
#define HLL_PART 128 /* registers that a byte can count */


static uint32_t hll_point(uint64_t hash);
static int hll_add_exact(mr_hll_t *hll, uint64_t hash);
static int hll_add_point(mr_hll_t *hll, uint32_t point);
static int hll_add_sparse(mr_hll_t *hll, uint32_t point);
static void *hll_grow(void *list, mr_hll_t *hll, size_t size);
static int hll_registers(mr_hll_t *hll);
static int hll_densify(mr_hll_t *hll);
static int hll_merge_dense(mr_hll_t *into, const uint8_t *from);
static uint32_t hll_count(const uint8_t *registers);
static int hll_walk(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_exact(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_sparse(mr_str_t bytes, mr_hll_t *into);
static int hll_walk_dense(mr_str_t bytes, mr_hll_t *into);
static void hll_write_exact(const mr_hll_t *hll, mr_buf_t *buf);
static void hll_write_sparse(const mr_hll_t *hll, mr_buf_t *buf);
static void hll_pack(const uint8_t *registers, uint8_t *out);
static void hll_unpack(const uint8_t *packed, uint8_t *registers);
static double hll_sigma(double x);
static double hll_tau(double x);


uint64_t
mr_hll_hash(mr_str_t value)
{
    return XXH3_64bits(value.len > 0 ? value.data : "", value.len);
}


/* index << 6 | register */
static uint32_t
hll_point(uint64_t hash)
{
    uint64_t rest;
    uint32_t rank;

    rest = hash << MR_HLL_PRECISION;
    rank = rest != 0 ? (uint32_t) __builtin_clzll(rest) + 1 : HLL_RANK_MAX;

    return (uint32_t) (hash >> HLL_REST) << 6 | rank;
}


void
mr_hll_free(mr_hll_t *hll)
{
    free(hll->exact);
    free(hll->sparse);
    free(hll->dense);
    memset(hll, 0, sizeof(mr_hll_t));
}


int
mr_hll_add(mr_hll_t *hll, uint64_t hash)
{
    if (hll->sparse == NULL && hll->dense == NULL) {
        return hll_add_exact(hll, hash);
    }

    return hll_add_point(hll, hll_point(hash));
}


static int
hll_add_exact(mr_hll_t *hll, uint64_t hash)
{
    uint32_t low, high, middle;
    uint64_t *grown;

    low = 0;
    high = hll->n;

    while (low < high) {
        middle = (low + high) / 2;

        if (hll->exact[middle] < hash) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (low < hll->n && hll->exact[low] == hash) {
        return 0;
    }

    if (hll->n == MR_HLL_EXACT_MAX) {

        if (hll_registers(hll) != 0
            || hll_add_point(hll, hll_point(hash)) == -1) {
            return -1;
        }

        return 1;
    }

    grown = hll_grow(hll->exact, hll, sizeof(uint64_t));
    if (grown == NULL) {
        return -1;
    }

    hll->exact = grown;
    memmove(&grown[low + 1], &grown[low], (hll->n - low) * sizeof(uint64_t));
    grown[low] = hash;
    hll->n++;

    return 1;
}


static int
hll_add_point(mr_hll_t *hll, uint32_t point)
{
    uint8_t *at, rank;

    if (hll->dense == NULL) {
        return hll_add_sparse(hll, point);
    }

    at = &hll->dense[point >> 6];
    rank = (uint8_t) (point & HLL_MASK);

    if (*at >= rank) {
        return 0;
    }

    hll->n += *at == 0;
    *at = rank;

    return 1;
}


static int
hll_add_sparse(mr_hll_t *hll, uint32_t point)
{
    uint32_t low, high, middle, *grown;

    low = 0;
    high = hll->n;

    while (low < high) {
        middle = (low + high) / 2;

        if (hll->sparse[middle] >> 6 < point >> 6) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (low < hll->n && hll->sparse[low] >> 6 == point >> 6) {

        if (hll->sparse[low] >= point) {
            return 0;
        }

        hll->sparse[low] = point;
        return 1;
    }

    if (hll->n == HLL_MEMORY_SPARSE) {

        if (hll_densify(hll) != 0) {
            return -1;
        }

        return hll_add_point(hll, point);
    }

    grown = hll_grow(hll->sparse, hll, sizeof(uint32_t));
    if (grown == NULL) {
        return -1;
    }

    hll->sparse = grown;
    memmove(&grown[low + 1], &grown[low], (hll->n - low) * sizeof(uint32_t));
    grown[low] = point;
    hll->n++;

    return 1;
}


/* Room for one more; NULL on out of memory. */
static void *
hll_grow(void *list, mr_hll_t *hll, size_t size)
{
    uint32_t cap;

    if (hll->n < hll->cap) {
        return list;
    }

    cap = hll->cap != 0 ? 2 * hll->cap : 8;
    list = realloc(list, cap * size);

    if (list != NULL) {
        hll->cap = cap;
    }

    return list;
}


/* Go over from hashes to registers. */
static int
hll_registers(mr_hll_t *hll)
{
    uint32_t i;
    mr_hll_t next = MR_HLL_INIT;

    if (hll->sparse != NULL || hll->dense != NULL) {
        return 0;
    }

    next.cap = MR_HLL_EXACT_MAX;
    next.sparse = malloc(next.cap * sizeof(uint32_t));

    if (next.sparse == NULL) {
        return -1;
    }

    /* There is room: none of these fails. */
    for (i = 0; i < hll->n; i++) {
        (void) hll_add_sparse(&next, hll_point(hll->exact[i]));
    }

    free(hll->exact);
    *hll = next;

    return 0;
}


static int
hll_densify(mr_hll_t *hll)
{
    uint8_t *dense;
    uint32_t i;

    if (hll->dense != NULL) {
        return 0;
    }

    dense = calloc(MR_HLL_REGISTERS, 1);
    if (dense == NULL) {
        return -1;
    }

    for (i = 0; i < hll->n; i++) {
        dense[hll->sparse[i] >> 6] = (uint8_t) (hll->sparse[i] & HLL_MASK);
    }

    free(hll->sparse);
    hll->sparse = NULL;
    hll->cap = 0;
    hll->dense = dense;

    return 0;
}


int
mr_hll_merge(mr_hll_t *into, const mr_hll_t *from)
{
    int rc, changed;
    uint32_t i;

    if (from->dense != NULL) {

        if (hll_registers(into) != 0 || hll_densify(into) != 0) {
            return -1;
        }

        return hll_merge_dense(into, from->dense);
    }

    changed = 0;

    if (from->sparse != NULL) {

        /* That alone makes it another sketch. */
        changed = into->sparse == NULL && into->dense == NULL;

        if (hll_registers(into) != 0) {
            return -1;
        }
    }

    for (i = 0; i < from->n; i++) {

        if (from->exact != NULL) {
            rc = mr_hll_add(into, from->exact[i]);

        } else {
            rc = hll_add_point(into, from->sparse[i]);
        }

        if (rc == -1) {
            return -1;
        }

        changed |= rc;
    }

    return changed;
}


/* A loop that compilers vectorise. */
static int
hll_merge_dense(mr_hll_t *into, const uint8_t *from)
{
    size_t i;
    uint8_t changed, larger, *to;

    to = into->dense;
    changed = 0;

    /* Nothing but bytes, so that many are done at a time. */
    for (i = 0; i < MR_HLL_REGISTERS; i++) {
        larger = from[i] > to[i] ? from[i] : to[i];
        changed |= larger ^ to[i];
        to[i] = larger;
    }

    into->n = hll_count(to);

    return changed != 0;
}


/* How many of all registers are not zero. */
static uint32_t
hll_count(const uint8_t *registers)
{
    uint8_t part;
    size_t i, j;
    uint32_t n;

    n = 0;

    for (i = 0; i < MR_HLL_REGISTERS; i += HLL_PART) {
        part = 0;

        for (j = 0; j < HLL_PART; j++) {
            part = (uint8_t) (part + (registers[i + j] != 0));
        }

        n += part;
    }

    return n;
}


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

        if (hll_registers(into) != 0) {
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
            rc = hll_add_point(into, (uint32_t) (index << 6 | rank));

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
    if (most > HLL_RANK_MAX || hll_count(registers) <= MR_HLL_SPARSE_MAX) {
        return -1;
    }

    if (into == NULL) {
        return 0;
    }

    return hll_densify(into) == 0 ? hll_merge_dense(into, registers) : -1;
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


int64_t
mr_hll_estimate(const mr_hll_t *hll)
{
    int rank;
    double z, m;
    uint32_t i, counts[HLL_RANK_MAX + 1], more[3][HLL_RANK_MAX + 1];

    if (hll->sparse == NULL && hll->dense == NULL) {
        return hll->n;
    }

    memset(counts, 0, sizeof(counts));

    if (hll->dense != NULL) {
        memset(more, 0, sizeof(more));

        /* Neighbours are often equal: they need not wait for each other. */
        for (i = 0; i < MR_HLL_REGISTERS; i += 4) {
            counts[hll->dense[i]]++;
            more[0][hll->dense[i + 1]]++;
            more[1][hll->dense[i + 2]]++;
            more[2][hll->dense[i + 3]]++;
        }

        for (i = 0; i <= HLL_RANK_MAX; i++) {
            counts[i] += more[0][i] + more[1][i] + more[2][i];
        }

    } else {
        for (i = 0; i < hll->n; i++) {
            counts[hll->sparse[i] & HLL_MASK]++;
        }

        counts[0] = MR_HLL_REGISTERS - hll->n;
    }

    m = MR_HLL_REGISTERS;
    z = m * hll_tau(1 - counts[HLL_RANK_MAX] / m);

    for (rank = HLL_REST; rank >= 1; rank--) {
        z = 0.5 * (z + counts[rank]);
    }

    z += m * hll_sigma(counts[0] / m);

    return (int64_t) (m * m / (2 * M_LN2 * z) + 0.5);
}


/* Ertl 2017, equation (13): what registers that are zero contribute. */
static double
hll_sigma(double x)
{
    double y, z, before;

    if (x >= 1) {
        return INFINITY;
    }

    y = 1;
    z = x;

    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);

    return z;
}


/* Ertl 2017, equation (18): the same of those that are full. */
static double
hll_tau(double x)
{
    double y, z, before;

    if (x <= 0 || x >= 1) {
        return 0;
    }

    y = 1;
    z = 1 - x;

    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z < before);

    return z / 3;
}


size_t
mr_hll_memory(const mr_hll_t *hll)
{
    if (hll->dense != NULL) {
        return MR_HLL_REGISTERS;
    }

    return hll->cap
           * (hll->sparse != NULL ? sizeof(uint32_t) : sizeof(uint64_t));
}
