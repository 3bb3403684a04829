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


/* What the events of [start, start + width) add up to that came in time. */
static int64_t
sum_of(mr_str_t type, int64_t start, mr_width_t width, mr_measure_stats_t *sum)
{
    size_t k;
    int64_t end, keep, count;

    end = start + (int64_t) mr_width_seconds(width) * 1000;
    keep = mr_width_keep(width, &options);
    count = 0;
    memset(sum, 0, sizeof(mr_measure_stats_t));

    for (k = 0; k < n; k++) {
        if (made[k].time >= start && made[k].time < end
            && (type.len == 0 || mr_str_eq(type, name_of(k)))
            && (keep == 0 || made[k].received < end + keep))
        {
            count++;

            if (made[k].has_value) {
                mr_measure_add(sum, made[k].value);
            }
        }
    }

    return count;
}


static void
check_stats(mr_str_t type, int64_t start, mr_width_t width, int64_t count,
    const mr_measure_stats_t *measures)
{
    mr_measure_stats_t sum;

    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(count, sum_of(type, start, width, &sum));
    ck_assert_int_eq(measures[0].count, 0);
    ck_assert_int_eq(measures[1].count, sum.count);
    ck_assert(measures[1].sum == sum.sum);

    if (sum.count != 0) {
        ck_assert(measures[1].min == sum.min);
        ck_assert(measures[1].max == sum.max);
    }
}


/* A minute has each of its seconds once, and all that are still kept. */
static size_t
check_seconds(const mr_partial_t *row)
{
    int number;
    size_t found;
    int64_t end, keep;
    uint32_t at;
    uint64_t seen;
    mr_second_t second;
    mr_measure_stats_t sum;

    at = row->seconds;
    seen = 0;
    found = 0;

    while (mr_partials_second(&partials, &at, &second)) {
        ck_assert_int_ge(second.number, 0);
        ck_assert_int_lt(second.number, 60);
        ck_assert_uint_eq(seen >> second.number & 1, 0);
        seen |= UINT64_C(1) << second.number;
        found++;

        check_stats(row->type, row->start + second.number * 1000,
            MR_WIDTH_SECOND, second.count, second.measures);
    }

    for (number = 0; row->width == MR_WIDTH_MINUTE && number < 60; number++) {
        ck_assert((seen >> number & 1) != 0
                  || sum_of(row->type, row->start + number * 1000,
                         MR_WIDTH_SECOND, &sum)
                         == 0);
    }

    ck_assert(row->width == MR_WIDTH_MINUTE || found == 0);

    end = row->start + 60000;
    keep = mr_width_keep(MR_WIDTH_SECOND, &options);
    ck_assert_int_eq(row->forget, found != 0 && keep != 0 ? end + keep : 0);

    return found;
}


/*
 * Compare each row with a count over all events, and nothing is missing.
 * Returns the number of seconds inside.
 */
static size_t
check_rows(void)
{
    size_t i, k, rows, seconds;
    int64_t width, keep, total;
    mr_partial_t row;

    ck_assert_int_eq(mr_partials_roll_up(&partials, other), 0);
    rows = mr_partials_rows(&partials);
    ck_assert_uint_le(rows, mr_partials_rows_max(&partials));

    seconds = 0;
    total = 0;

    for (i = 0; i < rows; i++) {
        mr_partials_row(&partials, i, names, &row);

        width = (int64_t) mr_width_seconds(row.width) * 1000;
        keep = mr_width_keep(row.width, &options);

        ck_assert_int_eq(row.start % width, 0);
        ck_assert_int_eq(row.expire, keep == 0 ? 0 : row.start + width + keep);

        check_stats(row.type, row.start, row.width, row.count, row.measures);
        seconds += check_seconds(&row);

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

    return seconds;
}


START_TEST(an_event_makes_six_rows)
{
    double value;

    value = 2.5;
    add(0, INT64_C(1700000123456), INT64_C(1700000123999), &value);
    ck_assert_uint_eq(check_rows(), 2);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);
}
END_TEST


START_TEST(past_windows_are_not_made)
{
    /* the second's window ends at 1 s and is kept an hour */
    add(0, 0, 1000 + HOUR - 1, NULL);
    ck_assert_uint_eq(check_rows(), 2);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);

    mr_partials_reset(&partials);
    n = 0;
    add(0, 0, 1000 + HOUR, NULL);
    ck_assert_uint_eq(check_rows(), 0);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);

    /* one of its minute may still be kept */
    mr_partials_reset(&partials);
    n = 0;
    add(0, 0, 1000 + HOUR, NULL);
    add(0, 1000, 1000 + HOUR, NULL);
    ck_assert_uint_eq(check_rows(), 2);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);

    mr_partials_reset(&partials);
    n = 0;
    add(0, 0, 60000 + 35 * DAY, NULL);
    ck_assert_uint_eq(check_rows(), 0);
    ck_assert_uint_eq(mr_partials_rows(&partials), 4);
}
END_TEST


START_TEST(future_events_have_all_windows)
{
    add(1, 10 * DAY, 0, NULL);
    ck_assert_uint_eq(check_rows(), 2);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);
}
END_TEST


START_TEST(retention_off_keeps_everything)
{
    options.stats.keep_second = 0;
    options.stats.keep_minute = 0;
    mr_partials_free(&partials);
    mr_partials_init(&partials, &options);

    add(0, 0, 10000 * DAY, NULL);
    ck_assert_uint_eq(check_rows(), 2);
    ck_assert_uint_eq(mr_partials_rows(&partials), 6);
}
END_TEST


/* The minute is the document, however many of its seconds come. */
START_TEST(seconds_share_the_row_of_their_minute)
{
    int i;
    int64_t minute;

    minute = INT64_C(1700000040000);

    for (i = 0; i < 180; i++) {
        add((uint32_t) i % 2, minute + i * 500, minute + 90000, NULL);
    }

    /* 90 seconds in two minutes: each of both types, and over all */
    ck_assert_uint_eq(check_rows(), 90 * 3);
    ck_assert_uint_eq(mr_partials_rows(&partials), 2 * 3 + 3 + 3);
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

    tcase_add_test(tc, an_event_makes_six_rows);
    tcase_add_test(tc, past_windows_are_not_made);
    tcase_add_test(tc, future_events_have_all_windows);
    tcase_add_test(tc, retention_off_keeps_everything);
    tcase_add_test(tc, seconds_share_the_row_of_their_minute);
    tcase_add_loop_test(tc, any_mixture_is_summed, 0, TEST_CASES(10));
    tcase_add_test(tc, other_types_are_counted_together);
    tcase_add_test(tc, what_is_past_is_nobodys);

    suite_add_tcase(suite, tc);

    return suite;
}
