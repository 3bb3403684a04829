/*
 * The bytes of sketches.  Whatever is accepted must be what is written again;
 * whatever is refused leaves the sketch as it was.  Bytes of both halves of
 * the input merge in either order to the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>


#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_hll(mr_str_t a, mr_str_t b);
static void fuzz_ddsketch(mr_str_t a, mr_str_t b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut;
    mr_str_t a, b;

    if (size < 2) {
        return 0;
    }

    /* The first two bytes say where the second sketch begins. */

    cut = (size_t) data[0] << 8 | data[1];
    data += 2;
    size -= 2;
    cut = cut < size ? cut : size;

    a = (mr_str_t){(const char *) data, cut};
    b = (mr_str_t){(const char *) data + cut, size - cut};

    fuzz_hll(a, b);
    fuzz_ddsketch(a, b);

    return 0;
}


static void
fuzz_hll(mr_str_t a, mr_str_t b)
{
    int first, second;
    mr_buf_t there = MR_BUF_INIT, back = MR_BUF_INIT;
    mr_hll_t x = MR_HLL_INIT, y = MR_HLL_INIT;
    mr_error_t err = MR_ERROR_INIT;

    first = mr_hll_merge_bytes(&x, a, &err);
    fuzz_assert(mr_hll_write(&x, &there) == 0);

    if (first == -1) {
        fuzz_assert(err.code == MR_ERROR_CODING && x.n == 0);

    } else {
        fuzz_assert(there.len == a.len);
        fuzz_assert(memcmp(there.data, a.data, a.len) == 0);
        fuzz_assert(mr_hll_estimate(&x) >= (int64_t) (x.n != 0));
    }

    second = mr_hll_merge_bytes(&x, b, &err);
    (void) mr_hll_merge_bytes(&y, b, &err);
    (void) mr_hll_merge_bytes(&y, a, &err);

    mr_buf_reset(&there);
    fuzz_assert(mr_hll_write(&x, &there) == 0);
    fuzz_assert(mr_hll_write(&y, &back) == 0);
    fuzz_assert(there.len == back.len);
    fuzz_assert(memcmp(there.data, back.data, back.len) == 0);
    fuzz_assert(there.len <= MR_HLL_BYTES_MAX);
    fuzz_assert(second == -1 || mr_hll_merge(&x, &y) == 0);

    mr_hll_free(&x);
    mr_hll_free(&y);
    mr_buf_free(&there);
    mr_buf_free(&back);
}


static void
fuzz_ddsketch(mr_str_t a, mr_str_t b)
{
    int first;
    mr_buf_t there = MR_BUF_INIT, back = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;
    mr_ddsketch_t x = MR_DDSKETCH_INIT, y = MR_DDSKETCH_INIT;

    first = mr_ddsketch_merge_bytes(&x, a, &err);
    fuzz_assert(mr_ddsketch_write(&x, &there) == 0);

    if (first == -1) {
        fuzz_assert(err.code == MR_ERROR_CODING && x.count == 0);

    } else {
        fuzz_assert(there.len == a.len);
        fuzz_assert(memcmp(there.data, a.data, a.len) == 0);
        fuzz_assert(
            x.count == 0
            || mr_ddsketch_quantile(&x, 0) <= mr_ddsketch_quantile(&x, 1));
    }

    (void) mr_ddsketch_merge_bytes(&x, b, &err);
    (void) mr_ddsketch_merge_bytes(&y, b, &err);

    /* Each alone is within 64 bits; together they may be beyond. */

    if (mr_ddsketch_merge_bytes(&y, a, &err) == 0 || first == -1) {
        mr_buf_reset(&there);
        fuzz_assert(mr_ddsketch_write(&x, &there) == 0);
        fuzz_assert(mr_ddsketch_write(&y, &back) == 0);
        fuzz_assert(there.len == back.len);
        fuzz_assert(memcmp(there.data, back.data, back.len) == 0);
    }

    mr_ddsketch_free(&x);
    mr_ddsketch_free(&y);
    mr_buf_free(&there);
    mr_buf_free(&back);
}
