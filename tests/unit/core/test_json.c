#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/json.h>

#include "check_core.h"


static void json_check(mr_buf_t *buf, const char *expect);


static const struct {
    mr_str_t value;
    const char *expect;
} strings[] = {{{NULL, 0}, "\"\""}, {{"plain", 5}, "\"plain\""},
    {{"a\"b\\c/d", 7}, "\"a\\\"b\\\\c/d\""},
    {{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
    {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
    {{"\xf0\x9f\x98\x80", 4}, "\"\xf0\x9f\x98\x80\""},
    {{"\xe2\x80\xa8", 3}, "\"\xe2\x80\xa8\""}};


START_TEST(string_table)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_json_string(&buf, strings[_i].value), 0);
    json_check(&buf, strings[_i].expect);
    mr_buf_free(&buf);
}
END_TEST


static const struct {
    int64_t value;
    const char *expect;
} integers[] = {{0, "0"}, {-1, "-1"}, {42, "42"}, {1000000, "1000000"},
    {INT64_MAX, "9223372036854775807"}, {INT64_MIN, "-9223372036854775808"}};


START_TEST(integer_table)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_json_integer(&buf, integers[_i].value), 0);
    json_check(&buf, integers[_i].expect);
    mr_buf_free(&buf);
}
END_TEST


static const struct {
    double value;
    const char *expect;
} reals[] = {{0.0, "0.0"}, {-0.0, "-0.0"}, {1.0, "1.0"}, {-1.5, "-1.5"},
    {0.1, "0.1"}, {0.30000000000000004, "0.30000000000000004"},
    {1e300, "1e300"}, {9007199254740993.0, "9007199254740992.0"},
    {9223372036854775808.0, "9223372036854776000.0"}, {5e-324, "5e-324"},
    {DBL_MAX, "1.7976931348623157e308"}, {DBL_MIN, "2.2250738585072014e-308"}};


START_TEST(real_table)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_json_real(&buf, reals[_i].value), 0);
    json_check(&buf, reals[_i].expect);
    mr_buf_free(&buf);
}
END_TEST


/* Random bit patterns: the same double again, and never an integer. */

START_TEST(real_round_trip)
{
    int i;
    char *end;
    double value, again;
    uint64_t bits;
    mr_buf_t buf = MR_BUF_INIT;

    bits = UINT64_C(0x9e3779b97f4a7c15);

    for (i = 0; i < 200000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;

        memcpy(&value, &bits, sizeof(value));

        if (!isfinite(value)) {
            continue;
        }

        mr_buf_reset(&buf);
        ck_assert_int_eq(mr_json_real(&buf, value), 0);
        ck_assert_int_eq(mr_buf_append(&buf, "", 1), 0);
        ck_assert_uint_le(buf.len, 26);
        ck_assert_ptr_nonnull(strpbrk(buf.data, ".e"));

        again = strtod(buf.data, &end);
        ck_assert_int_eq(*end, '\0');
        ck_assert_mem_eq(&again, &value, sizeof(value));
    }

    mr_buf_free(&buf);
}
END_TEST


START_TEST(real_refuses_what_json_has_not)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_json_real(&buf, NAN), -1);
    ck_assert_int_eq(mr_json_real(&buf, INFINITY), -1);
    ck_assert_int_eq(mr_json_real(&buf, -INFINITY), -1);
    ck_assert_uint_eq(buf.len, 0);
    mr_buf_free(&buf);
}
END_TEST


static const struct {
    int64_t value;
    const char *expect;
} times[] = {{0, "0"}, {1, "0.001"}, {10, "0.01"}, {100, "0.1"}, {120, "0.12"},
    {-1, "-0.001"}, {-250, "-0.25"}, {-1000, "-1"},
    {INT64_C(1700000000000), "1700000000"},
    {INT64_C(1700000000250), "1700000000.25"},
    {INT64_C(1700000000999), "1700000000.999"},
    {INT64_C(99999999999999), "99999999999.999"},
    {INT64_MAX, "9223372036854775.807"}, {INT64_MIN, "-9223372036854775.808"}};


START_TEST(time_table)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_json_time(&buf, times[_i].value), 0);
    json_check(&buf, times[_i].expect);
    mr_buf_free(&buf);
}
END_TEST


static void
json_check(mr_buf_t *buf, const char *expect)
{
    ck_assert_msg(
        buf->len == strlen(expect) && memcmp(buf->data, expect, buf->len) == 0,
        "%.*s, not %s", (int) buf->len, buf->data, expect);
}


Suite *
mr_suite_json(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("json");
    tc = tcase_create("json");
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(
        tc, string_table, 0, sizeof(strings) / sizeof(strings[0]));
    tcase_add_loop_test(
        tc, integer_table, 0, sizeof(integers) / sizeof(integers[0]));
    tcase_add_loop_test(tc, real_table, 0, sizeof(reals) / sizeof(reals[0]));
    tcase_add_test(tc, real_round_trip);
    tcase_add_test(tc, real_refuses_what_json_has_not);
    tcase_add_loop_test(tc, time_table, 0, sizeof(times) / sizeof(times[0]));

    return suite;
}
