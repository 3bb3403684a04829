#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include <millrace/hll.h>

#include "hll_private.h"


/* Memory goes over to a byte a register earlier than the bytes do. */
#define HLL_MEMORY_SPARSE 1024

#define HLL_PART 128 /* registers that a byte can count */


static uint32_t hll_point(uint64_t hash);
static int hll_add_exact(mr_hll_t *hll, uint64_t hash);
static int hll_add_sparse(mr_hll_t *hll, uint32_t point);
static void *hll_grow(void *list, mr_hll_t *hll, size_t size);
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

    return mr_hll_add_point(hll, hll_point(hash));
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

        if (mr_hll_registers(hll) != 0
            || mr_hll_add_point(hll, hll_point(hash)) == -1) {
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


int
mr_hll_add_point(mr_hll_t *hll, uint32_t point)
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

        if (mr_hll_densify(hll) != 0) {
            return -1;
        }

        return mr_hll_add_point(hll, point);
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


int
mr_hll_registers(mr_hll_t *hll)
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


int
mr_hll_densify(mr_hll_t *hll)
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

        if (mr_hll_registers(into) != 0 || mr_hll_densify(into) != 0) {
            return -1;
        }

        return mr_hll_merge_dense(into, from->dense);
    }

    changed = 0;

    if (from->sparse != NULL) {

        /* That alone makes it another sketch. */
        changed = into->sparse == NULL && into->dense == NULL;

        if (mr_hll_registers(into) != 0) {
            return -1;
        }
    }

    for (i = 0; i < from->n; i++) {

        if (from->exact != NULL) {
            rc = mr_hll_add(into, from->exact[i]);

        } else {
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): or exact */
            rc = mr_hll_add_point(into, from->sparse[i]);
        }

        if (rc == -1) {
            return -1;
        }

        changed |= rc;
    }

    return changed;
}


/* A loop that compilers vectorise. */
int
mr_hll_merge_dense(mr_hll_t *into, const uint8_t *from)
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

    into->n = mr_hll_count(to);

    return changed != 0;
}


uint32_t
mr_hll_count(const uint8_t *registers)
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
