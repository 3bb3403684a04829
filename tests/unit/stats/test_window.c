#include <string.h>

#include <common/window.h>

#include "check_stats.h"


typedef struct {
    mr_width_t width;
    int64_t t;
    int64_t start;
} start_case_t;


static const start_case_t start_cases[] = {
    {MR_WIDTH_SECOND, 0, 0},
    {MR_WIDTH_SECOND, 999, 0},
    {MR_WIDTH_SECOND, 1000, 1000},
    {MR_WIDTH_MINUTE, 59999, 0},
    {MR_WIDTH_MINUTE, 60000, 60000},
    {MR_WIDTH_HOUR, 1700000000123, 1699999200000},
    {MR_WIDTH_DAY, 1700000000123, 1699920000000},
    {MR_WIDTH_DAY, 86399999, 0},
    {MR_WIDTH_DAY, 99999999999999, 99999964800000},
};


START_TEST(start_is_aligned_to_the_epoch)
{
    const start_case_t *c;

    c = &start_cases[_i];

    ck_assert_int_eq(mr_window_start(c->width, c->t), c->start);
}
END_TEST


START_TEST(widths_are_found_by_their_seconds)
{
    mr_width_t width, found;

    for (width = MR_WIDTH_SECOND; width < MR_WIDTHS; width++) {
        found = MR_WIDTHS;

        ck_assert_int_eq(mr_width_find(mr_width_seconds(width), &found), 0);
        ck_assert_int_eq(found, width);
    }

    found = MR_WIDTH_HOUR;

    ck_assert_int_eq(mr_width_find(2, &found), -1);
    ck_assert_int_eq(mr_width_find(0, &found), -1);
    ck_assert_int_eq(mr_width_find(-60, &found), -1);
    ck_assert_int_eq(mr_width_find(INT64_C(4294967356), &found), -1);
    ck_assert_int_eq(found, MR_WIDTH_HOUR);
}
END_TEST


START_TEST(widths_have_names)
{
    ck_assert_str_eq(mr_width_name(MR_WIDTH_SECOND), "1s");
    ck_assert_str_eq(mr_width_name(MR_WIDTH_MINUTE), "1m");
    ck_assert_str_eq(mr_width_name(MR_WIDTH_HOUR), "1h");
    ck_assert_str_eq(mr_width_name(MR_WIDTH_DAY), "1d");
}
END_TEST


START_TEST(keep_comes_from_the_options)
{
    mr_options_t options;

    memset(&options, 0, sizeof(options));
    options.stats.keep_second = 3600000;
    options.stats.keep_minute = 86400000;

    ck_assert_int_eq(mr_width_keep(MR_WIDTH_SECOND, &options), 3600000);
    ck_assert_int_eq(mr_width_keep(MR_WIDTH_MINUTE, &options), 86400000);
    ck_assert_int_eq(mr_width_keep(MR_WIDTH_HOUR, &options), 0);
    ck_assert_int_eq(mr_width_keep(MR_WIDTH_DAY, &options), 0);
}
END_TEST


START_TEST(measure_keeps_its_extremes)
{
    mr_measure_stats_t m;

    memset(&m, 0, sizeof(m));

    mr_measure_add(&m, -5.5);
    ck_assert_int_eq(m.count, 1);
    ck_assert(m.sum == -5.5 && m.min == -5.5 && m.max == -5.5);

    mr_measure_add(&m, -7.0);
    mr_measure_add(&m, -1.25);
    ck_assert_int_eq(m.count, 3);
    ck_assert(m.sum == -13.75 && m.min == -7.0 && m.max == -1.25);
}
END_TEST


START_TEST(merging_equals_adding)
{
    int i;
    mr_measure_stats_t parts[3], all, merged;

    memset(parts, 0, sizeof(parts));
    memset(&all, 0, sizeof(all));
    memset(&merged, 0, sizeof(merged));

    for (i = 0; i < 100; i++) {
        mr_measure_add(&parts[i % 2 ? 0 : 2], 0.25 * (i - 60));
        mr_measure_add(&all, 0.25 * (i - 60));
    }

    for (i = 0; i < 3; i++) {
        mr_measure_merge(&merged, &parts[i]);
    }

    ck_assert_int_eq(merged.count, all.count);
    ck_assert(merged.sum == all.sum);
    ck_assert(merged.min == all.min);
    ck_assert(merged.max == all.max);
}
END_TEST


START_TEST(an_empty_measure_changes_nothing)
{
    mr_measure_stats_t empty, m;

    /* its min and max are meaningless and must not leak into the other */
    memset(&empty, 0, sizeof(empty));
    empty.min = -1e9;
    empty.max = 1e9;
    empty.sum = 77;

    memset(&m, 0, sizeof(m));
    mr_measure_add(&m, 3);
    mr_measure_merge(&m, &empty);

    ck_assert_int_eq(m.count, 1);
    ck_assert(m.sum == 3 && m.min == 3 && m.max == 3);

    mr_measure_merge(&empty, &m);

    ck_assert_int_eq(empty.count, 1);
    ck_assert(empty.sum == 3 && empty.min == 3 && empty.max == 3);
}
END_TEST


START_TEST(windows_merge_every_configured_measure)
{
    mr_window_stats_t a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    a.count = 10;
    b.count = 5;
    mr_measure_add(&a.measures[0], 1);
    mr_measure_add(&b.measures[0], 2);
    mr_measure_add(&b.measures[1], 9);
    mr_measure_add(&b.measures[2], 4);

    mr_window_merge(&a, &b, 2);

    ck_assert_int_eq(a.count, 15);
    ck_assert_int_eq(a.measures[0].count, 2);
    ck_assert(a.measures[0].sum == 3);
    ck_assert_int_eq(a.measures[1].count, 1);
    ck_assert(a.measures[1].max == 9);
    ck_assert_int_eq(a.measures[2].count, 0);
}
END_TEST


Suite *
suite_window(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("window");
    tc = tcase_create("window");
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, start_is_aligned_to_the_epoch, 0,
        sizeof(start_cases) / sizeof(start_cases[0]));
    tcase_add_test(tc, widths_are_found_by_their_seconds);
    tcase_add_test(tc, widths_have_names);
    tcase_add_test(tc, keep_comes_from_the_options);
    tcase_add_test(tc, measure_keeps_its_extremes);
    tcase_add_test(tc, merging_equals_adding);
    tcase_add_test(tc, an_empty_measure_changes_nothing);
    tcase_add_test(tc, windows_merge_every_configured_measure);

    return suite;
}
