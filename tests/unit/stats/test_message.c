#include <math.h>
#include <string.h>

#include <stats/message.h>

#include "check_stats.h"


typedef struct {
    mr_width_t width;
    const char *event_type;
    int64_t start;
    const char *text;
} key_case_t;


static const key_case_t key_cases[] = {
    {MR_WIDTH_SECOND, "click", 1700000041000, "click|1s|1700000041"},
    {MR_WIDTH_MINUTE, "page_view", 1700000040000, "page_view|1m|1700000040"},
    {MR_WIDTH_HOUR, "a|b", 1699999200000, "a|b|1h|1699999200"},
    {MR_WIDTH_MINUTE, "\xf0\x9f\x8e\x89", 0, "\xf0\x9f\x8e\x89|1m|0"},
};


static mr_arena_t arena;
static mr_buf_t buf;


static void
setup(void)
{
    memset(&arena, 0, sizeof(arena));
    memset(&buf, 0, sizeof(buf));
}


static void
teardown(void)
{
    mr_arena_free(&arena);
    mr_buf_free(&buf);
}


static mr_merged_t
window(const char *event_type)
{
    mr_merged_t w;

    memset(&w, 0, sizeof(w));
    w.key = test_key(MR_WIDTH_MINUTE, event_type, 1700000040000);
    w.scalars.count = 3;
    w.revision = 2;

    return w;
}


static void
value_is(const mr_merged_t *w, const char *text)
{
    mr_buf_reset(&buf);
    ck_assert_int_eq(mr_message_value(&buf, w), 0);
    ck_assert_int_eq(mr_buf_append(&buf, "", 1), 0);
    ck_assert_str_eq(buf.data, text);
}


START_TEST(keys_name_type_width_and_start)
{
    mr_window_key_t key;
    const key_case_t *c;

    c = &key_cases[_i];
    key = test_key(c->width, c->event_type, c->start);

    ck_assert_int_eq(mr_message_key(&buf, &key), 0);
    ck_assert_uint_eq(buf.len, strlen(c->text));
    ck_assert_mem_eq(buf.data, c->text, buf.len);
}
END_TEST


START_TEST(a_window_without_measures)
{
    mr_merged_t w;

    w = window("page_view");

    value_is(&w,
        "{\"schema\":1,\"event_type\":\"page_view\",\"width\":\"1m\","
        "\"start\":1700000040,\"end\":1700000100,\"count\":3,\"rate\":0.05,"
        "\"measures\":{},\"revision\":2,\"final\":false}");
}
END_TEST


START_TEST(measures_stand_in_the_order_of_their_names)
{
    mr_merged_t w;

    w = window("page_view");
    w.final = true;
    test_measure(
        &arena, &w.scalars, "value", (mr_measure_stats_t){2, 3.5, 1, 2.5});
    test_measure(
        &arena, &w.scalars, "price", (mr_measure_stats_t){1, 0.1, 0.1, 0.1});

    value_is(&w,
        "{\"schema\":1,\"event_type\":\"page_view\",\"width\":\"1m\","
        "\"start\":1700000040,\"end\":1700000100,\"count\":3,\"rate\":0.05,"
        "\"measures\":{\"price\":{\"count\":1,\"sum\":0.1,\"average\":0.1,"
        "\"min\":0.1,\"max\":0.1},\"value\":{\"count\":2,\"sum\":3.5,"
        "\"average\":1.75,\"min\":1.0,\"max\":2.5}},"
        "\"revision\":2,\"final\":true}");
}
END_TEST


START_TEST(sketches_are_in_base64)
{
    mr_merged_t w;

    w = window("page_view");
    w.scalars.users = mr_str("\0\1\2\373\377");
    w.scalars.unique_users = 2;
    test_measure(
        &arena, &w.scalars, "value", (mr_measure_stats_t){2, 3.5, 1, 2.5});
    test_measure(&arena, &w.scalars, "price", (mr_measure_stats_t){1, 1, 1, 1});
    w.scalars.measures[1].sketch = mr_str("abcd");
    w.scalars.measures[1].p50 = 1;
    w.scalars.measures[1].p95 = 2.5;
    w.scalars.measures[1].p99 = 2.5;

    value_is(&w,
        "{\"schema\":1,\"event_type\":\"page_view\",\"width\":\"1m\","
        "\"start\":1700000040,\"end\":1700000100,\"count\":3,\"rate\":0.05,"
        "\"unique_users\":2,"
        "\"measures\":{\"price\":{\"count\":1,\"sum\":1.0,\"average\":1.0,"
        "\"min\":1.0,\"max\":1.0},\"value\":{\"count\":2,\"sum\":3.5,"
        "\"average\":1.75,\"min\":1.0,\"max\":2.5,\"p50\":1.0,\"p95\":2.5,"
        "\"p99\":2.5}},\"sketches\":{\"users\":\"AAEC+/8=\","
        "\"measures\":{\"value\":\"YWJjZA==\"}},"
        "\"revision\":2,\"final\":false}");
}
END_TEST


START_TEST(awkward_types_are_escaped)
{
    mr_merged_t w;

    w = window("a\"b\\c/d");
    w.scalars.count = 600;

    value_is(&w,
        "{\"schema\":1,\"event_type\":\"a\\\"b\\\\c/d\",\"width\":\"1m\","
        "\"start\":1700000040,\"end\":1700000100,\"count\":600,\"rate\":10.0,"
        "\"measures\":{},\"revision\":2,\"final\":false}");
}
END_TEST


START_TEST(what_json_cannot_say_is_null)
{
    mr_merged_t w;

    w = window("a");
    test_measure(&arena, &w.scalars, "value",
        (mr_measure_stats_t){0, INFINITY, -1e300, 1e300});

    value_is(&w,
        "{\"schema\":1,\"event_type\":\"a\",\"width\":\"1m\","
        "\"start\":1700000040,\"end\":1700000100,\"count\":3,\"rate\":0.05,"
        "\"measures\":{\"value\":{\"count\":0,\"sum\":null,\"average\":null,"
        "\"min\":-1e300,\"max\":1e300}},\"revision\":2,\"final\":false}");
}
END_TEST


START_TEST(the_text_depends_on_the_window_alone)
{
    mr_merged_t w;
    mr_buf_t again = MR_BUF_INIT;

    w = window("a");
    test_measure(&arena, &w.scalars, "value",
        (mr_measure_stats_t){3, 1.0 / 3, 0.1 + 0.2, 1e-7});

    ck_assert_int_eq(mr_message_value(&buf, &w), 0);

    /* what is kept for the daemon's own use is not in it */
    w.dirty = true;
    w.published = 1;
    w.closes = 12345;
    w.expire = 67890;

    ck_assert_int_eq(mr_message_value(&again, &w), 0);
    ck_assert_uint_eq(again.len, buf.len);
    ck_assert_mem_eq(again.data, buf.data, buf.len);

    mr_buf_free(&again);
}
END_TEST


Suite *
suite_message(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("message");
    tc = tcase_create("message");
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, keys_name_type_width_and_start, 0,
        sizeof(key_cases) / sizeof(key_cases[0]));
    tcase_add_test(tc, a_window_without_measures);
    tcase_add_test(tc, sketches_are_in_base64);
    tcase_add_test(tc, measures_stand_in_the_order_of_their_names);
    tcase_add_test(tc, awkward_types_are_escaped);
    tcase_add_test(tc, what_json_cannot_say_is_null);
    tcase_add_test(tc, the_text_depends_on_the_window_alone);

    return suite;
}
