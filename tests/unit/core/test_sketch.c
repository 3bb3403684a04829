#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>

#include "check_core.h"


#define WINDOWS 200


/* splitmix64 (Steele, Lea and Flood, 2014): the same on every run. */
static uint64_t
sketch_random(uint64_t *state)
{
    uint64_t z;

    z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);

    return z ^ (z >> 31);
}


/* Check's macros are too slow for so many. */
static void
hll_add_number(mr_hll_t *hll, uint64_t number)
{
    mr_str_t value;

    value.data = (const char *) &number;
    value.len = sizeof(number);

    if (mr_hll_add(hll, mr_hll_hash(value)) == -1) {
        ck_abort_msg("out of memory");
    }
}


static void
dd_add_number(mr_ddsketch_t *sketch, double number)
{
    if (mr_ddsketch_add(sketch, mr_ddsketch_key(number), 1) != 0) {
        ck_abort_msg("out of memory");
    }
}


static mr_str_t
hll_bytes(const mr_hll_t *hll, mr_buf_t *buf)
{
    mr_buf_reset(buf);
    ck_assert_int_eq(mr_hll_write(hll, buf), 0);

    return (mr_str_t){buf->data, buf->len};
}


static mr_str_t
dd_bytes(const mr_ddsketch_t *sketch, mr_buf_t *buf)
{
    mr_buf_reset(buf);
    ck_assert_int_eq(mr_ddsketch_write(sketch, buf), 0);

    return (mr_str_t){buf->data, buf->len};
}


/* Published values of XXH3-64: subscribers may use other libraries. */
static const struct {
    const char *value;
    uint64_t hash;
} points[] = {{"", UINT64_C(0x2d06800538d394c2)},
    {"a", UINT64_C(0xe6c632b61e964e1f)}, {"abc", UINT64_C(0x78af5f94892f3950)}};


START_TEST(hll_hash_of_a_value)
{
    ck_assert_uint_eq(
        mr_hll_hash(mr_check_str(points[_i].value)), points[_i].hash);
}
END_TEST


/* What a window may hold: from a handful to a million. */
static const uint32_t sizes[] = {
    1, 2, 24, 256, 257, 1000, 5000, 20000, 50000, 100000, 1000000};


START_TEST(hll_is_as_exact_as_it_says)
{
    double error;
    uint64_t user;
    uint32_t i, w, windows, beyond;
    mr_hll_t hll = MR_HLL_INIT;

    windows = sizes[_i] <= 100000 ? WINDOWS : 20;
    windows = sizes[_i] <= 20000 ? WINDOWS * 2 : windows;
    beyond = 0;

    for (w = 0; w < windows; w++) {

        for (i = 0; i < sizes[_i]; i++) {
            user = (uint64_t) w * 10000000 + i;
            hll_add_number(&hll, user);

            if (i % 7 == 0) {
                hll_add_number(&hll, user);
            }
        }

        error = fabs((double) mr_hll_estimate(&hll) - sizes[_i]) / sizes[_i];
        ck_assert_msg(error <= 0.04, "%u estimated as %lld", sizes[_i],
            (long long) mr_hll_estimate(&hll));
        beyond += error > 0.02;

        mr_hll_free(&hll);
    }

    ck_assert_msg(beyond * 20 <= windows, "%u of %u beyond 2 %% for %u", beyond,
        windows, sizes[_i]);
}
END_TEST


START_TEST(hll_of_nothing_is_zero)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_hll_t hll = MR_HLL_INIT, other = MR_HLL_INIT;
    mr_error_t err;

    ck_assert_int_eq(mr_hll_estimate(&hll), 0);
    ck_assert_uint_eq(hll_bytes(&hll, &buf).len, 5);
    ck_assert_int_eq(
        mr_hll_merge_bytes(&other, hll_bytes(&hll, &buf), &err), 0);
    ck_assert_uint_eq(other.n, 0);

    mr_buf_free(&buf);
}
END_TEST


/* In any order, in any grouping, through bytes or not: the same bytes. */
START_TEST(hll_merges_in_any_order)
{
    int part;
    uint32_t i;
    uint64_t seed, user;
    mr_buf_t buf = MR_BUF_INIT, want = MR_BUF_INIT;
    mr_hll_t whole = MR_HLL_INIT, parts[5], there = MR_HLL_INIT,
             back = MR_HLL_INIT, pair = MR_HLL_INIT;
    mr_error_t err;

    memset(parts, 0, sizeof(parts));
    seed = (uint64_t) _i;

    for (i = 0; i < sizes[_i] && i < 100000; i++) {
        user = sketch_random(&seed) % 50000;
        part = (int) (sketch_random(&seed) % 5);
        hll_add_number(&whole, user);
        hll_add_number(&parts[part], user);
    }

    for (i = 0; i < 5; i++) {
        ck_assert_int_ge(mr_hll_merge(&there, &parts[i]), 0);
        ck_assert_int_eq(mr_hll_merge(&there, &parts[i]), 0);
        ck_assert_int_ge(
            mr_hll_merge_bytes(&back, hll_bytes(&parts[4 - i], &buf), &err), 0);
    }

    ck_assert_int_ge(mr_hll_merge(&pair, &parts[3]), 0);
    ck_assert_int_ge(mr_hll_merge(&pair, &parts[1]), 0);
    ck_assert_int_ge(mr_hll_merge(&parts[0], &parts[4]), 0);
    ck_assert_int_ge(mr_hll_merge(&parts[0], &parts[2]), 0);
    ck_assert_int_ge(mr_hll_merge(&parts[0], &pair), 0);

    (void) hll_bytes(&whole, &want);
    ck_assert_int_eq(mr_hll_estimate(&whole), mr_hll_estimate(&back));

    ck_assert(
        mr_str_eq((mr_str_t){want.data, want.len}, hll_bytes(&there, &buf)));
    ck_assert(
        mr_str_eq((mr_str_t){want.data, want.len}, hll_bytes(&back, &buf)));
    ck_assert(
        mr_str_eq((mr_str_t){want.data, want.len}, hll_bytes(&parts[0], &buf)));
    ck_assert_uint_le(want.len, MR_HLL_BYTES_MAX);

    for (i = 0; i < 5; i++) {
        mr_hll_free(&parts[i]);
    }

    mr_hll_free(&whole);
    mr_hll_free(&there);
    mr_hll_free(&back);
    mr_hll_free(&pair);
    mr_buf_free(&buf);
    mr_buf_free(&want);
}
END_TEST


#define BYTES(literal)                                                         \
    {                                                                          \
        (literal), sizeof(literal) - 1                                         \
    }

/* Index 3, register 5; then index 4, register 51. */
#define HLL_GOOD "H\1\16\1\2\305\1\63"

static const mr_str_t hll_bad[] = {BYTES(""), BYTES("H"), BYTES("H\1\16"),
    BYTES("H\1\16\0"), BYTES("G\1\16\0\0"), BYTES("H\2\16\0\0"),
    BYTES("H\1\15\0\0"), BYTES("H\1\16\3\0"),
    BYTES("H\1\16\0\0\0"),             /* more bytes than were said */
    BYTES("H\1\16\0\1\1\1\1\1\1\1\1"), /* fewer */
    BYTES("H\1\16\0\200\0"),           /* a longer spelling of 0 */
    BYTES("H\1\16\0\2\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"), /* twice */
    BYTES("H\1\16\0\2\0\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0"), /* back */
    BYTES("H\1\16\1\0"), /* none of them is the other form */
    BYTES("H\1\16\1\1"), BYTES("H\1\16\1\1\305\1\1"),
    BYTES("H\1\16\1\1\100"),          /* a register that is zero */
    BYTES("H\1\16\1\1\64"),           /* 52 */
    BYTES("H\1\16\1\1\201\200\100"),  /* index 2^14 */
    BYTES("H\1\16\1\2\301\377\77\1"), /* 2^14 - 1, then one more */
    BYTES("H\1\16\1\201\40\1"),       /* 4097 of them */
    BYTES("H\1\16\1\1\377\377\377\377\377\377\377\377\377\1"),
    BYTES("H\1\16\2"), BYTES("H\1\16\2\1\1\1")};


START_TEST(hll_refuses_bad_bytes)
{
    mr_hll_t hll = MR_HLL_INIT;
    mr_buf_t before = MR_BUF_INIT, after = MR_BUF_INIT;
    mr_error_t err;

    hll_add_number(&hll, 1);
    (void) hll_bytes(&hll, &before);

    ck_assert_int_eq(mr_hll_merge_bytes(&hll, hll_bad[_i], &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_CODING);
    ck_assert(strstr(err.message, "HyperLogLog") != NULL);
    ck_assert(mr_str_eq(
        (mr_str_t){before.data, before.len}, hll_bytes(&hll, &after)));

    mr_hll_free(&hll);
    mr_buf_free(&before);
    mr_buf_free(&after);
}
END_TEST


START_TEST(hll_reads_known_bytes)
{
    size_t i;
    mr_buf_t buf = MR_BUF_INIT;
    mr_hll_t hll = MR_HLL_INIT;
    mr_str_t good = BYTES(HLL_GOOD);
    mr_error_t err;

    ck_assert_int_eq(mr_hll_merge_bytes(&hll, good, &err), 1);
    ck_assert_int_eq(mr_hll_merge_bytes(&hll, good, &err), 0);
    ck_assert_uint_eq(hll.n, 2);
    ck_assert_uint_eq(hll.sparse[0], 3 << 6 | 5);
    ck_assert_uint_eq(hll.sparse[1], 4 << 6 | 51);
    ck_assert(mr_str_eq(hll_bytes(&hll, &buf), good));

    /* Dense, but with so few registers that it is to be sparse. */

    mr_buf_reset(&buf);
    ck_assert_int_eq(mr_buf_append(&buf, "H\1\16\2", 4), 0);

    for (i = 0; i < MR_HLL_BYTES_MAX - 4; i++) {
        ck_assert_int_eq(mr_buf_append(&buf, i < 3 * 1024 ? "\101" : "", 1), 0);
    }

    ck_assert_int_eq(
        mr_hll_merge_bytes(&hll, (mr_str_t){buf.data, buf.len}, &err), -1);

    /* The next group of four: 4100 registers. */

    memset(buf.data + 4 + 3 * 1024, 0x41, 3);
    ck_assert_int_eq(
        mr_hll_merge_bytes(&hll, (mr_str_t){buf.data, buf.len}, &err), 1);

    /* A register of 52. */

    buf.data[4] = 0x34;
    ck_assert_int_eq(
        mr_hll_merge_bytes(&hll, (mr_str_t){buf.data, buf.len}, &err), -1);

    mr_hll_free(&hll);
    mr_buf_free(&buf);
}
END_TEST


static const struct {
    double value;
    double back; /* to within 0.5 % */
} numbers[] = {{0, 0}, {-0.0, 0}, {1, 1}, {-1, -1}, {19.99, 19.99},
    {1e15, 1e15}, {-1e15, -1e15}, {1e-15, 1e-15}, {-1e-15, -1e-15}, {9e-16, 0},
    {-9e-16, 0}, {5e-324, 0}, {3e15, 1e15}, {-INFINITY, -1e15}, {0.005, 0.005},
    {123456789.25, 123456789.25}};


START_TEST(dd_reads_a_number_back)
{
    int32_t key;
    double back;

    key = mr_ddsketch_key(numbers[_i].value);
    back = mr_ddsketch_value(key);

    ck_assert_int_le(abs(key), MR_DDSKETCH_KEY_MAX);
    ck_assert_msg(fabs(back - numbers[_i].back)
                      <= fabs(numbers[_i].back) * MR_DDSKETCH_ALPHA * 1.0001,
        "%g read back as %.17g", numbers[_i].value, back);
}
END_TEST


START_TEST(dd_keys_are_in_order)
{
    int32_t key, before;
    double value;

    before = mr_ddsketch_key(-1e15);
    ck_assert_int_eq(before, -MR_DDSKETCH_KEY_MAX);
    ck_assert_int_eq(mr_ddsketch_key(1e15), MR_DDSKETCH_KEY_MAX);
    ck_assert_int_eq(mr_ddsketch_key(NAN), 0);

    value = -1e15;

    while (value < -1e-15) {
        key = mr_ddsketch_key(value);
        ck_assert_int_ge(key, before);
        ck_assert_int_eq(mr_ddsketch_key(-value), -key);
        ck_assert_double_lt(fabs(mr_ddsketch_value(key) - value),
            -value * MR_DDSKETCH_ALPHA * 1.0001);
        before = key;
        value /= 1.02;
    }

    ck_assert_int_lt(before, 0);
}
END_TEST


static int
double_cmp(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));

    return (x > y) - (x < y);
}


/* 0: prices; 1: about zero; 2: fifteen decades; 3: few distinct ones */
static double
dd_draw(int kind, uint64_t *seed)
{
    double u;

    u = (double) (sketch_random(seed) >> 11) / 9007199254740992.0;

    switch (kind) {

    case 0:
        return round(500 * u * u * 100) / 100 + 0.01;

    case 1:
        return round((u - 0.5) * 2000);

    case 2:
        return exp((u * 2 - 1) * log(1e14)) * (u < 0.3 ? -1 : 1);

    default:
        return (double) (1 + sketch_random(seed) % 3);
    }
}


START_TEST(dd_quantiles)
{
    enum { COUNT = 20000 };

    size_t i;
    double want, got, *list;
    uint64_t seed;
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT;
    static const double quantiles[] = {0, 0.01, 0.5, 0.95, 0.99, 1};

    seed = 7;
    list = calloc(COUNT, sizeof(double));
    ck_assert(list != NULL);

    for (i = 0; i < COUNT; i++) {
        list[i] = dd_draw(_i, &seed);
        dd_add_number(&sketch, list[i]);
    }

    qsort(list, COUNT, sizeof(double), double_cmp);

    for (i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        want = list[(size_t) (quantiles[i] * (COUNT - 1))];
        got = mr_ddsketch_quantile(&sketch, quantiles[i]);
        ck_assert_msg(fabs(got - want) <= fabs(want) * 0.00501,
            "quantile %g is %g, should be %g", quantiles[i], got, want);
    }

    free(list);
    mr_ddsketch_free(&sketch);
}
END_TEST


START_TEST(dd_merges_in_any_order)
{
    int i, part;
    double number;
    uint64_t seed;
    mr_buf_t buf = MR_BUF_INIT, want = MR_BUF_INIT;
    mr_error_t err;
    mr_ddsketch_t whole = MR_DDSKETCH_INIT, parts[5], there = MR_DDSKETCH_INIT,
                  back = MR_DDSKETCH_INIT;

    memset(parts, 0, sizeof(parts));
    seed = 11;

    for (i = 0; i < 10000; i++) {
        number = dd_draw(_i, &seed);
        part = (int) (sketch_random(&seed) % 5);
        dd_add_number(&whole, number);
        dd_add_number(&parts[part], number);
    }

    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(mr_ddsketch_merge(&there, &parts[i]), 0);
        ck_assert_int_eq(
            mr_ddsketch_merge_bytes(&back, dd_bytes(&parts[4 - i], &buf), &err),
            0);
    }

    (void) dd_bytes(&whole, &want);
    ck_assert_int_eq(there.count, 10000);
    ck_assert(
        mr_str_eq((mr_str_t){want.data, want.len}, dd_bytes(&there, &buf)));
    ck_assert(
        mr_str_eq((mr_str_t){want.data, want.len}, dd_bytes(&back, &buf)));

    for (i = 0; i < 5; i++) {
        mr_ddsketch_free(&parts[i]);
    }

    mr_ddsketch_free(&whole);
    mr_ddsketch_free(&there);
    mr_ddsketch_free(&back);
    mr_buf_free(&buf);
    mr_buf_free(&want);
}
END_TEST


/* Twice key 0 and, from 6909 to 6911 places behind, once a greater one. */
#define DD_GOOD "D\1\5\2\375\65\2\374\65\1"

static const mr_str_t dd_bad[] = {BYTES(""), BYTES("D\1\5"), BYTES("H\1\5\0"),
    BYTES("D\2\5\0"), BYTES("D\1\4\0"), BYTES("D\1\5\0\0"), BYTES("D\1\5\1"),
    BYTES("D\1\5\1\0"), BYTES("D\1\5\1\0\0"), /* a count of zero */
    BYTES("D\1\5\200\0"),                     /* a longer spelling */
    BYTES("D\1\5\1\373\153\1"),               /* a key too great */
    BYTES("D\1\5\2\375\65\2\375\65\1"),       /* the second one */
    BYTES("D\1\5\1\0\377\377\377\377\377\377\377\377\377\1"),
    BYTES("D\1\5\2\0\377\377\377\377\377\377\377\377\177\0\1"),
    BYTES("D\1\5\377\377\377\377\377\377\377\377\377\1")};


START_TEST(dd_refuses_bad_bytes)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_error_t err;
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT;

    ck_assert_int_eq(mr_ddsketch_add(&sketch, 5, 3), 0);
    ck_assert_int_eq(mr_ddsketch_merge_bytes(&sketch, dd_bad[_i], &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_CODING);
    ck_assert(strstr(err.message, "DDSketch") != NULL);
    ck_assert_int_eq(sketch.count, 3);
    ck_assert_uint_eq(sketch.n, 1);

    mr_ddsketch_free(&sketch);
    mr_buf_free(&buf);
}
END_TEST


START_TEST(dd_reads_known_bytes)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t good = BYTES(DD_GOOD);
    mr_error_t err;
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT, full = MR_DDSKETCH_INIT;

    ck_assert_int_eq(mr_ddsketch_merge_bytes(&sketch, good, &err), 0);
    ck_assert_uint_eq(sketch.n, 2);
    ck_assert_int_eq(sketch.buckets[0].key, 0);
    ck_assert_int_eq(sketch.buckets[0].count, 2);
    ck_assert_int_eq(sketch.buckets[1].key, MR_DDSKETCH_KEY_MAX);
    ck_assert(mr_str_eq(dd_bytes(&sketch, &buf), good));

    /* No more than 2^63 - 1 in all, whichever way they come. */

    ck_assert_int_eq(mr_ddsketch_add(&full, 1, INT64_MAX - 2), 0);
    ck_assert_int_eq(mr_ddsketch_add(&full, 2, 3), -1);
    ck_assert_int_eq(mr_ddsketch_merge(&full, &sketch), -1);
    ck_assert_int_eq(mr_ddsketch_merge_bytes(&full, good, &err), -1);
    ck_assert_int_eq(full.count, INT64_MAX - 2);
    ck_assert_int_eq(mr_ddsketch_add(&full, 2, 2), 0);
    ck_assert_double_eq(mr_ddsketch_quantile(&full, 1), mr_ddsketch_value(2));
    ck_assert_double_eq(mr_ddsketch_quantile(&full, 0.5), mr_ddsketch_value(1));
    mr_ddsketch_free(&sketch);
    mr_ddsketch_free(&full);
    mr_buf_free(&buf);
}
END_TEST


START_TEST(dd_of_nothing)
{
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT;

    ck_assert(isnan(mr_ddsketch_quantile(&sketch, 0.5)));
    ck_assert_uint_eq(mr_ddsketch_memory(&sketch), 0);
}
END_TEST


#define ROWS(table) (sizeof(table) / sizeof((table)[0]))


Suite *
mr_suite_sketch(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("sketches");
    tc = tcase_create("HyperLogLog");
    tcase_set_timeout(tc, 120);
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, hll_hash_of_a_value, 0, ROWS(points));
    tcase_add_loop_test(tc, hll_is_as_exact_as_it_says, 0, ROWS(sizes));
    tcase_add_test(tc, hll_of_nothing_is_zero);
    tcase_add_loop_test(tc, hll_merges_in_any_order, 0, ROWS(sizes));
    tcase_add_loop_test(tc, hll_refuses_bad_bytes, 0, ROWS(hll_bad));
    tcase_add_test(tc, hll_reads_known_bytes);

    tc = tcase_create("DDSketch");
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, dd_reads_a_number_back, 0, ROWS(numbers));
    tcase_add_test(tc, dd_keys_are_in_order);
    tcase_add_loop_test(tc, dd_quantiles, 0, 4);
    tcase_add_loop_test(tc, dd_merges_in_any_order, 0, 4);
    tcase_add_loop_test(tc, dd_refuses_bad_bytes, 0, ROWS(dd_bad));
    tcase_add_test(tc, dd_reads_known_bytes);
    tcase_add_test(tc, dd_of_nothing);

    return suite;
}
