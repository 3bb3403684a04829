#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <millrace/time.h>

#include "check_core.h"


static const struct {
    const char *text;
    int64_t time;
} times[] = {{"0", 0}, {"-0", 0}, {"1700000000", INT64_C(1700000000000)},
    {"1700000000.25", INT64_C(1700000000250)},
    {"1700000000.0004999999", INT64_C(1700000000000)},
    {"1700000000.0005", INT64_C(1700000000001)},
    {"1700000000.9995", INT64_C(1700000001000)},
    {"1700000000.99949", INT64_C(1700000000999)}, {"-1.5", -1500},
    {"-1.0005", -1001}, {"00001", 1000},
    {"99999999999.999", INT64_C(99999999999999)},

    {"1970-01-01T00:00:00Z", 0}, {"1969-12-31T23:59:59.999Z", -1},
    {"2026-11-23T06:00:00Z", INT64_C(1795413600000)},
    {"2026-11-23t06:00:00z", INT64_C(1795413600000)},
    {"2026-11-23 06:00:00Z", INT64_C(1795413600000)},
    {"2026-11-23T06:00:00.5+01:00", INT64_C(1795410000500)},
    {"2026-11-23T06:00:00.5 01:00", INT64_C(1795410000500)},
    {"2026-11-23T06:00:00-08:30", INT64_C(1795444200000)},
    {"2026-11-23T06:00:00.0004Z", INT64_C(1795413600000)},
    {"2026-11-23T06:00:00.0005Z", INT64_C(1795413600001)},
    {"2026-11-23T06:00:00.999999999999999Z", INT64_C(1795413601000)},
    {"2024-02-29T12:00:00Z", INT64_C(1709208000000)},
    {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
    {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
    {"2016-12-31T23:59:60.7Z", INT64_C(1483228800000)},
    {"2017-01-01T00:59:60+01:00", INT64_C(1483228800000)},
    {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
    {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)}};


START_TEST(parse_table)
{
    int rc;
    int64_t t;
    mr_error_t err = MR_ERROR_INIT;

    t = INT64_MIN;
    rc = mr_time_parse(mr_check_str(times[_i].text), &t, &err);

    ck_assert_msg(rc == 0, "%s: %s", times[_i].text, err.message);
    ck_assert_msg(t == times[_i].time, "%s: %" PRId64 ", not %" PRId64,
        times[_i].text, t, times[_i].time);
}
END_TEST


static const char *const bad_times[] = {"", " ", "x", "-", ".", "1.", ".5",
    "1e9", "+1", " 1", "1 ", "0x10", "1700000000.", "1700000000.2.5",
    "1700000000,25", "--1", "NaN", "1700000000000", "100000000000",
    "99999999999.9995", "99999999999999999999999999999999", "-1700000000000",
    "2026-11-23", "2026-11-23T06:00Z", "2026-11-23T06:00:00",
    "2026-11-23T06:00:00+01", "2026-11-23T06:00:00+0100",
    "2026-11-23T06:00:00+24:00", "2026-11-23T06:00:00+01:60",
    "2026-11-23T06:00:00.Z", "2026-11-23T06:00:00Zx", "2026-11-23T06:00:00Z ",
    "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
    "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
    "2026-11-23T24:00:00Z", "2026-11-23T06:60:00Z", "2026-11-23T06:00:61Z",
    "2026-11-23T06:00:60Z", "26-11-23T06:00:00Z", "2026-1-23T06:00:00Z",
    "2026-11-23_06:00:00Z", "-026-11-23T06:00:00Z", "2026-11-23T06:00:00\xff"};


START_TEST(parse_refuses)
{
    int64_t t;
    mr_error_t err = MR_ERROR_INIT;

    t = 42;

    ck_assert_msg(mr_time_parse(mr_check_str(bad_times[_i]), &t, &err) == -1,
        "\"%s\" was read as %" PRId64, bad_times[_i], t);
    ck_assert_int_eq(t, 42);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "1700000000"));
}
END_TEST


START_TEST(parse_refuses_nul)
{
    int64_t t;

    ck_assert_int_eq(mr_time_parse(mr_str("1\0"), &t, NULL), -1);
    ck_assert_int_eq(
        mr_time_parse(mr_str("2026-11-23T06:00:00Z\0"), &t, NULL), -1);
}
END_TEST


/* Every 7th day of 800 years against libc's own calendar. */

START_TEST(parse_agrees_with_libc)
{
    char text[64];
    struct tm tm;
    time_t seconds;
    int64_t t;

    for (seconds = -12622780800; seconds < 12622780800; seconds += 604861) {
        ck_assert_ptr_nonnull(gmtime_r(&seconds, &tm));
        ck_assert_uint_gt(
            strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm), 0);
        ck_assert_int_eq(mr_time_parse(mr_check_str(text), &t, NULL), 0);
        ck_assert_msg(t == (int64_t) seconds * 1000, "%s", text);
    }
}
END_TEST


static const struct {
    int64_t t;
    int64_t width;
    int64_t expect;
} floors[] = {{0, 1000, 0}, {1, 1000, 0}, {999, 1000, 0}, {1000, 1000, 1000},
    {-1, 1000, -1000}, {-1000, 1000, -1000}, {-1001, 1000, -2000},
    {59999, 60000, 0}, {7, 1, 7}, {-7, 1, -7}};


START_TEST(floor_table)
{
    ck_assert_int_eq(
        mr_time_floor(floors[_i].t, floors[_i].width), floors[_i].expect);
}
END_TEST


START_TEST(clocks)
{
    int64_t now, a, b;

    now = mr_time_now();
    ck_assert_int_le(now / 1000 - 1, (int64_t) time(NULL));
    ck_assert_int_ge(now / 1000 + 1, (int64_t) time(NULL));

    a = mr_time_monotonic();
    b = mr_time_monotonic();
    ck_assert_int_ge(b, a);
    ck_assert_int_lt(b - a, 10000);
}
END_TEST


Suite *
mr_suite_time(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("time");
    tc = tcase_create("time");
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, parse_table, 0, sizeof(times) / sizeof(times[0]));
    tcase_add_loop_test(
        tc, parse_refuses, 0, sizeof(bad_times) / sizeof(bad_times[0]));
    tcase_add_test(tc, parse_refuses_nul);
    tcase_add_test(tc, parse_agrees_with_libc);
    tcase_add_loop_test(tc, floor_table, 0, sizeof(floors) / sizeof(floors[0]));
    tcase_add_test(tc, clocks);

    return suite;
}
