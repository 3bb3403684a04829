#include <stdlib.h>

#include <writer/span.h>

#include "check_writer.h"


#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define MOST 70000


/* The narrowest first. */
static const int64_t width_of[MR_SPANS] = {
    10 * SECOND, 5 * MINUTE, 10 * MINUTE, DAY, 30 * DAY, INT64_MAX};
static const int class_of[MR_SPANS] = {0, 5, 1, 2, 3, MR_SPAN_ANY};

static int64_t times[MOST];
static uint32_t scratch[MOST];
static uint32_t groups[MOST];


static int
cmp(const void *one, const void *two)
{
    const int64_t *a = one, *b = two;

    return *a < *b ? -1 : *a > *b;
}


/* Cut `n` times and check what must hold of any cut. */
static uint32_t
cut(size_t n)
{
    size_t i, enough, *count;
    int64_t *low, *high;
    uint32_t g, k, leftover;

    qsort(times, n, sizeof(int64_t), cmp);
    k = mr_span_cut(times, n, scratch, groups);

    count = calloc(k, sizeof(size_t));
    low = calloc(k, sizeof(int64_t));
    high = calloc(k, sizeof(int64_t));

    for (i = 0; i < n; i++) {
        g = groups[i];
        ck_assert_uint_lt(g, k);

        if (count[g]++ == 0) {
            low[g] = times[i];
        }

        high[g] = times[i];
    }

    enough = n / 8 < 2 ? 2 : n / 8 > 256 ? 256 : n / 8;
    leftover = 0;

    for (g = 0; g < k; g++) {
        ck_assert_uint_gt(count[g], 0);
        leftover += count[g] < enough;
    }

    /* Only late events, or all that is left over, may be less than enough. */
    ck_assert(leftover <= n / 32 || leftover <= 1);
    ck_assert_uint_le(k - leftover, n / 256 + 8);

    free(count);
    free(low);
    free(high);

    return k;
}


/* How many of the `n` events lie in a group of the class. */
static size_t
in_class(size_t n, int class)
{
    size_t i, k, found;

    found = 0;

    for (i = 0; i < n; i++) {
        int64_t low, high;

        low = times[i];
        high = times[i];

        /* the events of a group need not be neighbours */
        for (k = 0; k < n; k++) {
            if (groups[k] == groups[i]) {
                low = times[k] < low ? times[k] : low;
                high = times[k] > high ? times[k] : high;
            }
        }

        found += mr_span_class(high - low) == class;
    }

    return found;
}


START_TEST(classes_have_their_widths)
{
    size_t i;

    for (i = 0; i < MR_SPANS - 1; i++) {
        ck_assert_int_eq(mr_span_class(width_of[i]), class_of[i]);
        ck_assert_int_eq(mr_span_class(width_of[i] + 1), class_of[i + 1]);
    }

    ck_assert_int_eq(mr_span_class(0), 0);
    ck_assert_int_eq(mr_span_class(INT64_MAX), MR_SPAN_ANY);
}
END_TEST


START_TEST(a_lone_event_is_one_group)
{
    times[0] = 5;
    ck_assert_uint_eq(cut(1), 1);
    ck_assert_uint_eq(mr_span_cut(times, 0, scratch, groups), 0);
}
END_TEST


START_TEST(events_of_one_moment_stay_together)
{
    size_t i;

    for (i = 0; i < 3000; i++) {
        times[i] = 1000000 + (int64_t) test_below(10 * SECOND + 1);
    }

    ck_assert_uint_eq(cut(3000), 1);
}
END_TEST


/* The case that the classes are there for. */
START_TEST(late_events_do_not_widen_the_rest)
{
    size_t i, n;
    static const size_t sizes[] = {50, 100, 1000, 4000};

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {

        test_seed(i);

        for (n = 0; n < sizes[i]; n++) {
            times[n] = 100 * DAY + (int64_t) test_below(5 * SECOND);

            if (n % 100 == 7) {
                times[n] -= (int64_t) test_below(HOUR);
            }
        }

        (void) cut(n);
        ck_assert_uint_ge(in_class(n, 0), n - n / 100 - 1);
    }
}
END_TEST


/* Else a moment would lie within a block of each flush of the next hour. */
START_TEST(late_events_lie_in_no_wide_block)
{
    size_t i, n, width;

    test_seed((uint64_t) _i);

    for (n = 0; n < 1250; n++) {
        times[n] = 100 * DAY + (int64_t) test_below(200);

        if (n % 100 == 7) {
            times[n] -= 10 * SECOND + (int64_t) test_below(HOUR);
        }
    }

    ck_assert_uint_ge(cut(n), 7);
    ck_assert_uint_eq(in_class(n, 0), n);

    /* Scattered ones are too many for that. */
    for (i = 0; i < 1250; i++) {
        width = i % 8 == 0 ? (size_t) (100 * DAY) : 200;
        times[i] = 100 * DAY + (int64_t) test_below(width);
    }

    ck_assert_uint_le(cut(1250), 1250 / 256 + 9);
}
END_TEST


START_TEST(a_day_of_backlog_falls_into_narrow_groups)
{
    uint32_t g, k;
    size_t i, narrow;
    static int64_t low[MOST], high[MOST];
    static size_t count[MOST];

    test_seed(4);

    for (i = 0; i < 65536; i++) {
        times[i] = (int64_t) test_below(DAY);
    }

    /* 455 events in ten minutes: enough for a group each */
    k = cut(65536);
    ck_assert_uint_gt(k, 100);

    for (i = 65536; i-- > 0; /* void */) {
        g = groups[i];
        low[g] = times[i];

        if (count[g]++ == 0) {
            high[g] = times[i];
        }
    }

    narrow = 0;

    for (g = 0; g < k; g++) {
        narrow += high[g] - low[g] <= 10 * MINUTE ? count[g] : 0;
    }

    ck_assert_uint_ge(narrow, 65536 - 256);
}
END_TEST


START_TEST(ten_minutes_with_enough_are_two_groups)
{
    size_t i;

    for (i = 0; i < 4096; i++) {
        times[i] = 100 * DAY + (int64_t) i * (10 * MINUTE) / 4096;
    }

    ck_assert_uint_eq(cut(4096), 2);
    ck_assert_uint_eq(groups[0], groups[2048]);
    ck_assert_uint_ne(groups[0], groups[2049]);
}
END_TEST


START_TEST(scattered_events_do_not_become_many_blocks)
{
    size_t i;

    test_seed(5);

    for (i = 0; i < 40; i++) {
        times[i] = (int64_t) test_below(3000 * DAY);
    }

    ck_assert_uint_le(cut(40), 9);
}
END_TEST


START_TEST(any_flush_obeys_the_bounds)
{
    size_t i, n;

    test_seed((uint64_t) _i);
    n = 1 + (size_t) test_below(3000);

    for (i = 0; i < n; i++) {
        times[i] = (int64_t) test_below(
            (uint64_t) width_of[test_below(MR_SPANS - 1)] * 2);
    }

    (void) cut(n);
}
END_TEST


Suite *
suite_span(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("span");
    tc = tcase_create("span");
    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, classes_have_their_widths);
    tcase_add_test(tc, a_lone_event_is_one_group);
    tcase_add_test(tc, events_of_one_moment_stay_together);
    tcase_add_test(tc, late_events_do_not_widen_the_rest);
    tcase_add_loop_test(tc, late_events_lie_in_no_wide_block, 0, 20);
    tcase_add_test(tc, a_day_of_backlog_falls_into_narrow_groups);
    tcase_add_test(tc, ten_minutes_with_enough_are_two_groups);
    tcase_add_test(tc, scattered_events_do_not_become_many_blocks);
    tcase_add_loop_test(tc, any_flush_obeys_the_bounds, 0, 50);

    suite_add_tcase(suite, tc);

    return suite;
}
