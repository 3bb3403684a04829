#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <writer/partials.h>

#include "check_writer.h"


#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
#define MOST 2000


typedef struct {
    uint32_t type;
    int64_t time;
    int64_t received;
    double value;
    int has_value;
} made_t;

static const mr_str_t names[] = {{"view", 4}, {"click", 5}, {"x", 1}};

static mr_options_t options;
static mr_partials_t partials;
static made_t made[MOST];
static size_t n;
static uint8_t other[3]; /* of the names */


static void
setup(void)
{
    test_options(&options, 2);
    mr_partials_init(&partials, &options);
    memset(other, 0, sizeof(other));
    n = 0;
}


static void
teardown(void)
{
    mr_partials_free(&partials);
    test_options_free(&options);
}


static void
add(uint32_t type, int64_t time, int64_t received, const double *value)
{
    mr_cell_t *cell;

    cell = mr_partials_add(&partials, type, time, received);
    ck_assert_ptr_nonnull(cell);

    if (value != NULL) {
        mr_measure_add(&cell->measures[1], *value);
    }

    made[n].type = type;
    made[n].time = time;
    made[n].received = received;
    made[n].has_value = value != NULL;
    made[n].value = value != NULL ? *value : 0;
    n++;
}


/* What event `k` is counted as, beside "". */
static mr_str_t
name_of(size_t k)
{
    return other[made[k].type] ? mr_str(MR_EVENT_TYPE_OTHER)
                               : names[made[k].type];
}


/* Compare each row with a count over all events, and nothing is missing. */
static void
check_rows(void)
{
    size_t i, k, rows, expected;
    int64_t width, keep, total;
    mr_partial_t row;
    mr_measure_stats_t stats;

    ck_assert_int_eq(mr_partials_roll_up(&partials, other), 0);
    rows = mr_partials_rows(&partials);
    ck_assert_uint_le(rows, mr_partials_rows_max(&partials));

    expected = 0;
    total = 0;

    for (i = 0; i < rows; i++) {
        mr_partials_row(&partials, i, names, &row);

        width = (int64_t) mr_width_seconds(row.width) * 1000;
        keep = mr_width_keep(row.width, &options);

        ck_assert_int_eq(row.start % width, 0);
        ck_assert_int_eq(row.expire, keep == 0 ? 0 : row.start + width + keep);

        expected = 0;
        memset(&stats, 0, sizeof(mr_measure_stats_t));

        for (k = 0; k < n; k++) {
            if (made[k].time >= row.start && made[k].time < row.start + width
                && (row.type.len == 0 || mr_str_eq(row.type, name_of(k)))
                && (keep == 0 || made[k].received < row.expire))
            {
                expected++;

                if (made[k].has_value) {
                    mr_measure_add(&stats, made[k].value);
                }
            }
        }

        ck_assert_uint_gt(expected, 0);
        ck_assert_int_eq(row.count, (int64_t) expected);
        ck_assert_int_eq(row.measures[0].count, 0);
        ck_assert_int_eq(row.measures[1].count, stats.count);
        ck_assert(row.measures[1].sum == stats.sum);

        if (stats.count != 0) {
            ck_assert(row.measures[1].min == stats.min);
            ck_assert(row.measures[1].max == stats.max);
        }

        if (row.width == MR_WIDTH_DAY && row.type.len == 0) {
            total += row.count;
        }

        /* the same window is there once */
        for (k = 0; k < i; k++) {
            mr_partial_t twin;

            mr_partials_row(&partials, k, names, &twin);
            ck_assert(twin.width != row.width || twin.start != row.start
                      || !mr_str_eq(twin.type, row.type));
        }
    }

    ck_assert_int_eq(total, (int64_t) n);
}


START_TEST(an_event_makes_eight_rows)
{
    double value;

    value = 2.5;
    add(0, INT64_C(1700000123456), INT64_C(1700000123999), &value);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 8);
}
END_TEST


START_TEST(past_windows_are_not_made)
{
    /* the second's window ends at 1 s and is kept an hour */
    add(0, 0, 1000 + HOUR - 1, NULL);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 8);

    mr_partials_reset(&partials);
    n = 0;
    add(0, 0, 1000 + HOUR, NULL);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);

    mr_partials_reset(&partials);
    n = 0;
    add(0, 0, 60000 + 35 * DAY, NULL);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 4);
}
END_TEST


START_TEST(future_events_have_all_windows)
{
    add(1, 10 * DAY, 0, NULL);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 8);
}
END_TEST


START_TEST(retention_off_keeps_everything)
{
    options.stats.keep_second = 0;
    options.stats.keep_minute = 0;
    mr_partials_free(&partials);
    mr_partials_init(&partials, &options);

    add(0, 0, 10000 * DAY, NULL);
    check_rows();
    ck_assert_uint_eq(mr_partials_rows(&partials), 8);
}
END_TEST


/* Quarters add up exactly in any order. */
START_TEST(any_mixture_is_summed)
{
    double value;
    int64_t now, time;
    static const uint64_t spread[] = {3000, 600000, 7200000, 4000000000};

    test_seed((uint64_t) _i);
    now = INT64_C(1700000000000);

    other[test_below(3)] = 1;

    while (n < MOST / 4) {
        time = now - (int64_t) test_below(spread[test_below(4)])
               + (int64_t) test_below(2000);
        value = (double) test_below(1000) / 4 - 100;
        add((uint32_t) test_below(3), time < 0 ? 0 : time, now + (int64_t) n,
            test_below(2) ? &value : NULL);
    }

    check_rows();
}
END_TEST


START_TEST(other_types_are_counted_together)
{
    int64_t now;

    now = INT64_C(1700000000000);
    add(0, now, now, NULL);
    add(1, now, now, NULL);
    add(2, now + 5000, now, NULL);
    add(2, now + 60000, now, NULL);

    /* Too late for the windows of seconds and minutes, not for the others. */
    add(1, now - 40 * DAY, now, NULL);

    ck_assert_int_eq(mr_partials_roll_up(&partials, NULL), 0);
    ck_assert_int_eq(partials.other, 0);

    /* Decided anew, as when a transaction is repeated. */
    other[1] = 1;
    other[2] = 1;
    check_rows();
    ck_assert_int_eq(partials.other, 4);
    ck_assert_int_eq(partials.other_first, now - 40 * DAY);
    ck_assert_int_eq(partials.other_last, now + 60000);

    memset(other, 0, sizeof(other));
    check_rows();
    ck_assert_int_eq(partials.other, 0);

    other[0] = 1;
    check_rows();
    ck_assert_int_eq(partials.other, 1);
    ck_assert_int_eq(partials.other_first, now);
    ck_assert_int_eq(partials.other_last, now);
}
END_TEST


/* What is in no window is not counted under any name. */
START_TEST(what_is_past_is_nobodys)
{
    options.stats.keep_second = 1;
    mr_partials_free(&partials);
    mr_partials_init(&partials, &options);
    partials.keep[MR_WIDTH_MINUTE] = 1;
    partials.keep[MR_WIDTH_HOUR] = 1;
    partials.keep[MR_WIDTH_DAY] = 1;

    add(0, 9 * DAY + HOUR, 10 * DAY, NULL);
    add(0, 0, 10 * DAY, NULL);
    other[0] = 1;
    ck_assert_int_eq(mr_partials_roll_up(&partials, other), 0);
    ck_assert_int_eq(partials.other, 1);
    ck_assert_int_eq(partials.other_first, 9 * DAY + HOUR);
}
END_TEST


Suite *
suite_partials(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("partials");
    tc = tcase_create("partials");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, an_event_makes_eight_rows);
    tcase_add_test(tc, past_windows_are_not_made);
    tcase_add_test(tc, future_events_have_all_windows);
    tcase_add_test(tc, retention_off_keeps_everything);
    tcase_add_loop_test(tc, any_mixture_is_summed, 0, TEST_CASES(10));
    tcase_add_test(tc, other_types_are_counted_together);
    tcase_add_test(tc, what_is_past_is_nobodys);

    suite_add_tcase(suite, tc);

    return suite;
}
