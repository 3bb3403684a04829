#include <stdlib.h>

#include <generator/histogram.h>
#include <generator/rng.h>

#include "check_loadtest.h"


#define MANY 200000


static mr_histogram_t histogram, other;
static uint64_t values[MANY];


static void
clear(void)
{
    histogram = (mr_histogram_t){0};
    other = (mr_histogram_t){0};
}


static int
compare(const void *one, const void *two)
{
    const uint64_t *a = one, *b = two;

    return *a < *b ? -1 : *a > *b;
}


/* Exact below 128, at most 0.8 % above the truth beyond. */
static void
close_to(uint64_t got, uint64_t truth)
{
    ck_assert_uint_ge(got, truth);
    ck_assert_uint_le(got, truth + truth / 128);
}


START_TEST(test_single_values)
{
    uint64_t value;

    for (value = 1; value < UINT64_C(3600000000); value += value / 50 + 1) {
        clear();
        mr_histogram_add(&histogram, value);
        mr_histogram_add(&histogram, value * 2);

        close_to(mr_histogram_quantile(&histogram, 0.5), value);
        ck_assert_uint_eq(mr_histogram_quantile(&histogram, 1), value * 2);
        ck_assert_uint_eq(histogram.min, value);
    }
}
END_TEST


START_TEST(test_quantiles)
{
    size_t i, q;
    mr_rng_t rng;
    static const double quantiles[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1};

    clear();
    rng = mr_rng_at(7, 0);

    for (i = 0; i < MANY; i++) {
        /* over six powers of ten */
        values[i] = mr_rng_next(&rng) >> (44 + mr_rng_below(&rng, 20));
        mr_histogram_add(i % 3 ? &histogram : &other, values[i]);
    }

    mr_histogram_merge(&histogram, &other);
    qsort(values, MANY, sizeof(uint64_t), compare);

    ck_assert_uint_eq(histogram.count, MANY);
    ck_assert_uint_eq(histogram.min, values[0]);
    ck_assert_uint_eq(histogram.max, values[MANY - 1]);

    for (q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
        i = (size_t) (quantiles[q] * MANY + 0.5) - 1;
        close_to(mr_histogram_quantile(&histogram, quantiles[q]), values[i]);
    }
}
END_TEST


START_TEST(test_empty)
{
    clear();
    mr_histogram_merge(&histogram, &other);

    ck_assert_uint_eq(histogram.count, 0);
    ck_assert_uint_eq(mr_histogram_quantile(&histogram, 0.99), 0);
}
END_TEST


START_TEST(test_beyond)
{
    clear();
    mr_histogram_add(&histogram, UINT64_MAX);
    mr_histogram_add(&histogram, 0);

    ck_assert_uint_eq(mr_histogram_quantile(&histogram, 0.5), 0);
    ck_assert_uint_gt(
        mr_histogram_quantile(&histogram, 1), UINT64_C(3600000000));
}
END_TEST


Suite *
suite_histogram(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("histogram");

    tc = tcase_create("histogram");
    tcase_add_test(tc, test_single_values);
    tcase_add_test(tc, test_quantiles);
    tcase_add_test(tc, test_empty);
    tcase_add_test(tc, test_beyond);
    suite_add_tcase(suite, tc);

    return suite;
}
