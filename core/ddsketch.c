#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/ddsketch.h>

#include "varint.h"


#define DDSKETCH_VERSION 1
#define DDSKETCH_ALPHA_MILLI 5
#define DDSKETCH_HEADER 3

#define DDSKETCH_INDEX_MAX 3454 /* 1e15 <= g^3454, 1e-15 > g^-3455 */
#define DDSKETCH_BIAS (DDSKETCH_INDEX_MAX + 1)
#define DDSKETCH_LEAST 1e-15


static double ddsketch_log_gamma(void);
static uint32_t ddsketch_find(const mr_ddsketch_t *sketch, int32_t key);
static int ddsketch_reserve(mr_ddsketch_t *sketch, uint32_t n);
static int ddsketch_parse(mr_str_t bytes, mr_ddsketch_t *into);


int32_t
mr_ddsketch_key(double value)
{
    int32_t index;
    double size;

    size = fabs(value);

    if (!(size >= DDSKETCH_LEAST)) {
        return 0;
    }

    if (size > MR_DDSKETCH_LIMIT) {
        size = MR_DDSKETCH_LIMIT;
    }

    index = (int32_t) ceil(log(size) / ddsketch_log_gamma());

    if (index > DDSKETCH_INDEX_MAX) {
        index = DDSKETCH_INDEX_MAX;

    } else if (index < -DDSKETCH_INDEX_MAX) {
        index = -DDSKETCH_INDEX_MAX;
    }

    return value > 0 ? index + DDSKETCH_BIAS : -(index + DDSKETCH_BIAS);
}


double
mr_ddsketch_value(int32_t key)
{
    double size;

    if (key == 0) {
        return 0;
    }

    /* 2 / (g + 1) is 1 - a */
    size = (1 - MR_DDSKETCH_ALPHA)
           * exp(ddsketch_log_gamma() * (abs(key) - DDSKETCH_BIAS));

    return key > 0 ? size : -size;
}


static double
ddsketch_log_gamma(void)
{
    return log1p(2 * MR_DDSKETCH_ALPHA / (1 - MR_DDSKETCH_ALPHA));
}


void
mr_ddsketch_free(mr_ddsketch_t *sketch)
{
    free(sketch->buckets);
    memset(sketch, 0, sizeof(mr_ddsketch_t));
}


int
mr_ddsketch_add(mr_ddsketch_t *sketch, int32_t key, int64_t count)
{
    uint32_t at;

    if (count > INT64_MAX - sketch->count) {
        return -1;
    }

    at = ddsketch_find(sketch, key);

    if (at == sketch->n || sketch->buckets[at].key != key) {

        if (ddsketch_reserve(sketch, sketch->n + 1) != 0) {
            return -1;
        }

        memmove(&sketch->buckets[at + 1], &sketch->buckets[at],
            (sketch->n - at) * sizeof(mr_bucket_t));

        sketch->buckets[at].key = key;
        sketch->buckets[at].count = 0;
        sketch->n++;
    }

    sketch->buckets[at].count += count;
    sketch->count += count;

    return 0;
}


/* Where the key is, or where it belongs. */
static uint32_t
ddsketch_find(const mr_ddsketch_t *sketch, int32_t key)
{
    uint32_t low, high, middle;

    low = 0;
    high = sketch->n;

    while (low < high) {
        middle = (low + high) / 2;

        if (sketch->buckets[middle].key < key) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


static int
ddsketch_reserve(mr_ddsketch_t *sketch, uint32_t n)
{
    uint32_t cap;
    mr_bucket_t *grown;

    if (n <= sketch->cap) {
        return 0;
    }

    cap = sketch->cap != 0 ? 2 * sketch->cap : 8;

    if (cap < n) {
        cap = n;
    }

    grown = realloc(sketch->buckets, cap * sizeof(mr_bucket_t));
    if (grown == NULL) {
        return -1;
    }

    sketch->buckets = grown;
    sketch->cap = cap;

    return 0;
}


/* From the back, into the room that both together need at most. */
int
mr_ddsketch_merge(mr_ddsketch_t *into, const mr_ddsketch_t *from)
{
    uint32_t i, j, k, shared;
    mr_bucket_t *to;

    if (from->count > INT64_MAX - into->count
        || ddsketch_reserve(into, into->n + from->n) != 0)
    {
        return -1;
    }

    to = into->buckets;
    shared = 0;

    for (i = 0, j = 0; i < into->n && j < from->n;) {

        if (to[i].key == from->buckets[j].key) {
            shared++;
            i++;
            j++;

        } else if (to[i].key < from->buckets[j].key) {
            i++;

        } else {
            j++;
        }
    }

    i = into->n;
    j = from->n;
    k = i + j - shared;
    into->n = k;

    while (j > 0) {

        if (i > 0 && to[i - 1].key > from->buckets[j - 1].key) {
            to[--k] = to[--i];

        } else if (i > 0 && to[i - 1].key == from->buckets[j - 1].key) {
            to[--k] = to[--i];
            to[k].count += from->buckets[--j].count;

        } else {
            to[--k] = from->buckets[--j];
        }
    }

    into->count += from->count;

    return 0;
}


int
mr_ddsketch_merge_bytes(mr_ddsketch_t *into, mr_str_t bytes, mr_error_t *err)
{
    int rc;
    mr_ddsketch_t parsed = MR_DDSKETCH_INIT;

    rc = ddsketch_parse(bytes, &parsed);

    if (rc == 1) {
        rc = mr_error_set(err, MR_ERROR_CODING, NULL,
            "%zu bytes are no DDSketch as include/millrace/ddsketch.h has it",
            bytes.len);

    } else if (rc == 0 && parsed.count > INT64_MAX - into->count) {
        rc = mr_error_set(err, MR_ERROR_CODING, NULL,
            "two sketches count more than 2^63 - 1 numbers together");

    } else if (rc == -1 || mr_ddsketch_merge(into, &parsed) != 0) {
        rc = mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    mr_ddsketch_free(&parsed);

    return rc;
}


/* Into an empty sketch.  1: the bytes are wrong; -1: out of memory. */
static int
ddsketch_parse(mr_str_t bytes, mr_ddsketch_t *into)
{
    uint64_t i, n, gap, count, key;

    if (bytes.len < DDSKETCH_HEADER || bytes.data[0] != 'D'
        || bytes.data[1] != DDSKETCH_VERSION
        || bytes.data[2] != DDSKETCH_ALPHA_MILLI)
    {
        return 1;
    }

    bytes.data += DDSKETCH_HEADER;
    bytes.len -= DDSKETCH_HEADER;

    /* Two bytes a bucket at least: memory is bounded by what is there. */
    if (mr_varint_take(&bytes, &n) != 0 || n > bytes.len / 2
        || n > 2 * MR_DDSKETCH_KEY_MAX + 1)
    {
        return 1;
    }

    if (n > 0
        && (ddsketch_reserve(into, (uint32_t) n) != 0 || into->buckets == NULL))
    {
        return -1;
    }

    key = UINT64_MAX;

    for (i = 0; i < n; i++) {

        if (mr_varint_take(&bytes, &gap) != 0
            || mr_varint_take(&bytes, &count) != 0
            || gap > 2 * MR_DDSKETCH_KEY_MAX || count == 0
            || count > (uint64_t) (INT64_MAX - into->count))
        {
            return 1;
        }

        key += gap + 1;

        if (key > 2 * MR_DDSKETCH_KEY_MAX) {
            return 1;
        }

        into->buckets[i].key = (int32_t) key - MR_DDSKETCH_KEY_MAX;
        into->buckets[i].count = (int64_t) count;
        into->n = (uint32_t) i + 1;
        into->count += (int64_t) count;
    }

    return bytes.len == 0 ? 0 : 1;
}


int
mr_ddsketch_write(const mr_ddsketch_t *sketch, mr_buf_t *buf)
{
    uint8_t *at;
    uint32_t i;
    int32_t before;
    static const uint8_t header[DDSKETCH_HEADER] = {
        'D', DDSKETCH_VERSION, DDSKETCH_ALPHA_MILLI};

    if (mr_buf_reserve(buf, DDSKETCH_HEADER + MR_VARINT_MAX
                                + (size_t) sketch->n * 2 * MR_VARINT_MAX)
        != 0)
    {
        return -1;
    }

    at = (uint8_t *) buf->data + buf->len;
    memcpy(at, header, DDSKETCH_HEADER);
    at += DDSKETCH_HEADER;
    at += mr_varint_put(at, sketch->n);

    before = -MR_DDSKETCH_KEY_MAX - 1;

    for (i = 0; i < sketch->n; i++) {
        at +=
            mr_varint_put(at, (uint64_t) (sketch->buckets[i].key - before - 1));
        at += mr_varint_put(at, (uint64_t) sketch->buckets[i].count);
        before = sketch->buckets[i].key;
    }

    buf->len = (size_t) (at - (uint8_t *) buf->data);

    return 0;
}


double
mr_ddsketch_quantile(const mr_ddsketch_t *sketch, double q)
{
    double last;
    uint32_t i;
    int64_t rank, seen;

    if (sketch->count == 0) {
        return NAN;
    }

    last = (double) (sketch->count - 1);

    /* `last` may have been rounded up, even to 2^63. */
    rank = q * last >= last ? sketch->count - 1 : (int64_t) (q * last);
    seen = 0;

    for (i = 0; i + 1 < sketch->n; i++) {
        seen += sketch->buckets[i].count;

        if (seen > rank) {
            break;
        }
    }

    return mr_ddsketch_value(sketch->buckets[i].key);
}


size_t
mr_ddsketch_memory(const mr_ddsketch_t *sketch)
{
    return sketch->cap * sizeof(mr_bucket_t);
}
