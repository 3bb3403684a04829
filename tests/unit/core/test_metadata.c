#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../fuzz/rewrite.h"
#include "check_core.h"


static mr_parser_t *parser;


static void
setup(void)
{
    parser = mr_parser_create();
    ck_assert_ptr_nonnull(parser);
}


static void
teardown(void)
{
    mr_parser_destroy(parser);
    parser = NULL;
}


/* Parse an event with this metadata and write the metadata as JSON. */

static int
rewrite(const char *metadata, mr_buf_t *buf, mr_error_t *err)
{
    char *text;
    mr_event_t event;

    text = mr_check_with_metadata(metadata);

    if (mr_check_parse(parser, mr_check_str(text), &event, err) != 0) {
        free(text);
        return -1;
    }

    free(text);

    ck_assert_int_eq(mr_rewrite_object(buf, event.metadata), 0);
    ck_assert_int_eq(mr_buf_append(buf, "", 1), 0);

    return 0;
}


static const struct {
    const char *metadata;
    const char *expect; /* NULL: comes back as it is */
} good[] = {{"{}", NULL}, {" { } ", "{}"}, {"{\"\":1}", NULL},
    {"{\"a.b\":1,\"$set\":{\"$inc\":2},\".\":3,\"$\":4}", NULL},
    {"{\"_id\":1,\"__proto__\":2,\"a\":3,\"A\":4}", NULL},
    {"{\"\\u00e9\":1,\"e\\u0301\":2}", "{\"\xc3\xa9\":1,\"e\xcc\x81\":2}"},
    {"{\"a\":1,\"a\\n\":2,\"\\\"\":3}", "{\"a\":1,\"a\\n\":2,\"\\\"\":3}"},
    {"{\"k\":\"\\u0000\"}", NULL}, {"{\"k\":\"a\\u0000b\\u0001\"}", NULL},
    {"{\"k\":\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"}",
        "{\"k\":\"\xf0\x9f\x98\x80 \xf0\x9f\x98\x80\"}"},
    {"{\"k\":\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"}",
        "{\"k\":\"/\\b\\f\\n\\r\\t\\\\\\\"\"}"},
    {"{\"k\":\"\\ufffe\\uffff\"}", "{\"k\":\"\xef\xbf\xbe\xef\xbf\xbf\"}"},

    {"{\"n\":0}", NULL}, {"{\"n\":-0}", "{\"n\":-0.0}"}, {"{\"n\":-0.0}", NULL},
    {"{\"n\":-0e5}", "{\"n\":-0.0}"}, {"{\"n\":0.0}", NULL},
    {"{\"n\":[1,-1,2147483647,2147483648,-2147483649]}", NULL},
    {"{\"n\":9223372036854775807}", NULL},
    {"{\"n\":-9223372036854775808}", NULL}, {"{\"n\":1.0}", NULL},
    {"{\"n\":1e0}", "{\"n\":1.0}"},
    {"{\"n\":9223372036854775807.0}", "{\"n\":9223372036854776000.0}"},
    {"{\"n\":9223372036854775808.0}", "{\"n\":9223372036854776000.0}"},
    {"{\"n\":18446744073709551616e0}", "{\"n\":18446744073709552000.0}"},
    {"{\"n\":123456789012345678901234567890.5}",
        "{\"n\":1.2345678901234568e29}"},
    {"{\"n\":1e-400}", "{\"n\":0.0}"}, {"{\"n\":-1e-400}", "{\"n\":-0.0}"},
    {"{\"n\":5e-324}", NULL}, {"{\"n\":1.7976931348623157e308}", NULL},
    {"{\"n\":0.1}", NULL},

    {"{\"a\":[],\"b\":{},\"c\":[[],[{}]],\"d\":[null,true,false]}", NULL},
    {"{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}", NULL},
    {"{\"a\":[0,1,2,3,4,5,6,7,8,9,10,11]}", NULL}};


START_TEST(good_comes_back)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_msg(rewrite(good[_i].metadata, &buf, &err) == 0, "%s: %s",
        good[_i].metadata, err.message);
    ck_assert_str_eq(buf.data,
        good[_i].expect != NULL ? good[_i].expect : good[_i].metadata);

    mr_buf_free(&buf);
}
END_TEST


static const struct {
    const char *metadata;
    const char *message;
} bad[] = {{"{\"a\":1,\"a\":1}", "the key \"a\" stands more than once"},
    {"{\"a\":1,\"\\u0061\":2}", "the key \"a\" stands more than once"},
    {"{\"\":1,\"\":2}", "the key \"\" stands more than once"},
    {"{\"\\u00e9\":1,\"\xc3\xa9\":2}", "more than once"},
    {"{\"x\":[{\"y\":{\"b\":1,\"c\":1,\"b\":2}}]}",
        "the key \"b\" stands more than once"},
    {"{\"a\\n\":1,\"a\\u000a\":1}", "the key \"a\\x0a\" stands"},

    {"{\"\\u0000\":1}", "the key \"\\x00\" holds a NUL"},
    {"{\"x\":{\"a\\u0000b\":1}}", "the key \"a\\x00b\" holds a NUL"},

    {"{\"n\":9223372036854775808}",
        "the integer 9223372036854775808 at the key \"n\" does not fit"},
    {"{\"n\":-9223372036854775809}",
        "the integer -9223372036854775809 at the key \"n\" does not fit"},
    {"{\"n\":18446744073709551615}", "does not fit"},
    {"{\"n\":18446744073709551616}", "does not fit"},
    {"{\"n\":-18446744073709551615}", "does not fit"},
    {"{\"n\":[1,[-18446744073709551616]]}", "does not fit"},
    {"{\"n\":123456789012345678901234567890123456789012345}",
        "the integer 12345678901234567890123456789012... at"},
    {"{\"n\":1e400}", "the number 1e400 at the key \"n\" is too large"},
    {"{\"n\":-1E+309}", "is too large"},
    {"{\"n\":1e99999999999999999999}", "is too large"},
    {"{\"n\":[0.1e400]}", "the number 0.1e400 is too large"},
    {"{\"n\":1.7976931348623159e308}", "is too large"}};


START_TEST(bad_is_refused)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_msg(rewrite(bad[_i].metadata, &buf, &err) == -1, "accepted: %s",
        bad[_i].metadata);
    ck_assert_int_eq(err.code, MR_ERROR_EVENT);
    ck_assert_str_eq(err.field, "metadata");
    ck_assert_msg(strstr(err.message, bad[_i].message) != NULL, "%s: %s",
        bad[_i].metadata, err.message);
}
END_TEST


/* Objects and arrays in turns; `levels` counts the metadata object. */

START_TEST(depth_limit)
{
    int i, levels;
    mr_buf_t text = MR_BUF_INIT, buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    for (levels = 31; levels <= 200; levels += (levels < 34 ? 1 : 83)) {
        mr_buf_reset(&text);
        mr_buf_reset(&buf);

        for (i = 1; i <= levels; i++) {
            ck_assert_int_eq(
                mr_buf_printf(&text, "%s",
                    i == levels ? "{" : (i % 2 == 1 ? "{\"k\":" : "[")),
                0);

            if (i == levels && i % 2 == 0) {
                text.data[text.len - 1] = '[';
            }
        }

        for (i = levels; i >= 1; i--) {
            ck_assert_int_eq(
                mr_buf_append(&text, i % 2 == 1 ? "}" : "]", 1), 0);
        }

        ck_assert_int_eq(mr_buf_append(&text, "", 1), 0);

        if (levels <= MR_METADATA_DEPTH) {
            ck_assert_msg(
                rewrite(text.data, &buf, &err) == 0, "%s", err.message);
            ck_assert_str_eq(buf.data, text.data);
            continue;
        }

        ck_assert_int_eq(rewrite(text.data, &buf, &err), -1);
        ck_assert_str_eq(err.field, "metadata");
        ck_assert_ptr_nonnull(strstr(err.message, "more than 32 deep"));
    }

    mr_buf_free(&text);
    mr_buf_free(&buf);
}
END_TEST


/*
 * Objects of every size around the change from comparing pairwise to
 * sorting: without a repeated key, and with one at each place.
 */

START_TEST(repeated_key_anywhere)
{
    int n, first, second, i;
    mr_buf_t text = MR_BUF_INIT, buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    for (n = 2; n <= 40; n++) {
        for (first = -1; first < n - 1; first++) {
            second = first + 1 + (n * 7 + first) % (n - 1 - first);

            mr_buf_reset(&text);
            mr_buf_reset(&buf);
            ck_assert_int_eq(mr_buf_append(&text, "{", 1), 0);

            for (i = 0; i < n; i++) {
                ck_assert_int_eq(
                    mr_buf_printf(&text, "%s\"key%d\":[%d]", i > 0 ? "," : "",
                        first >= 0 && i == second ? first : i, i),
                    0);
            }

            ck_assert_int_eq(mr_buf_append(&text, "}", 2), 0);

            if (first < 0) {
                ck_assert_int_eq(rewrite(text.data, &buf, &err), 0);
                ck_assert_str_eq(buf.data, text.data);
                continue;
            }

            ck_assert_msg(
                rewrite(text.data, &buf, &err) == -1, "%s", text.data);
            ck_assert_ptr_nonnull(strstr(err.message, "more than once"));
        }
    }

    mr_buf_free(&text);
    mr_buf_free(&buf);
}
END_TEST


/*
 * Eight thousand keys in 64 KiB, and all that fit into the largest event:
 * pairwise it would take 400 ms and a minute.
 */

START_TEST(many_keys_are_fast)
{
    int i, n, repeated;
    char *text;
    double start, spent;
    mr_buf_t metadata = MR_BUF_INIT;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    static const int counts[] = {8000, 100000};
    static const double most[] = {50, 1000};

    for (n = 0; n < 2; n++) {
        for (repeated = 0; repeated < 2; repeated++) {
            mr_buf_reset(&metadata);

            for (i = 0; i < counts[n]; i++) {
                ck_assert_int_eq(mr_buf_printf(&metadata, "%s\"%x\":1",
                                     i > 0 ? "," : "{", i),
                    0);
            }

            ck_assert_int_eq(
                mr_buf_printf(&metadata, "%s}", repeated ? ",\"0\":1" : ""), 0);
            ck_assert_int_eq(mr_buf_append(&metadata, "", 1), 0);

            text = mr_check_with_metadata(metadata.data);
            start = mr_check_cpu();

            ck_assert_int_eq(
                mr_event_parse(parser, mr_check_str(text), &event, &err),
                repeated ? -1 : 0);

            spent = mr_check_cpu() - start;
            ck_assert_msg(
                spent < most[n], "%d keys took %.1f ms", counts[n], spent);

            free(text);
        }
    }

    mr_buf_free(&metadata);
}
END_TEST


/* Long keys that differ in the last byte alone. */

START_TEST(keys_with_a_long_prefix)
{
    int i;
    char key[1001];
    mr_buf_t text = MR_BUF_INIT, buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    memset(key, 'k', 1000);
    key[1000] = '\0';

    for (i = 0; i < 500; i++) {
        ck_assert_int_eq(
            mr_buf_printf(&text, "%s\"%s%d\":1", i > 0 ? "," : "{", key, i), 0);
    }

    ck_assert_int_eq(mr_buf_append(&text, "}", 2), 0);
    ck_assert_int_eq(rewrite(text.data, &buf, &err), 0);
    ck_assert_str_eq(buf.data, text.data);

    text.len -= 2;
    ck_assert_int_eq(mr_buf_printf(&text, ",\"%s77\":1}", key), 0);
    ck_assert_int_eq(mr_buf_append(&text, "", 1), 0);
    ck_assert_int_eq(rewrite(text.data, &buf, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "kkkk...\" stands"));

    mr_buf_free(&text);
    mr_buf_free(&buf);
}
END_TEST


/* The densest texts there are: their values must fit into the memory. */

START_TEST(dense_texts_fit)
{
    size_t k;
    char *text;
    mr_buf_t metadata = MR_BUF_INIT;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    static const char *const pieces[] = {"1,", "[],", "{},", "\"\","};

    for (k = 0; k < 4; k++) {
        mr_buf_reset(&metadata);
        ck_assert_int_eq(mr_buf_printf(&metadata, "{\"a\":["), 0);

        while (metadata.len < MR_EVENT_SIZE_MAX - 100) {
            ck_assert_int_eq(
                mr_buf_append(&metadata, pieces[k], strlen(pieces[k])), 0);
        }

        ck_assert_int_eq(mr_buf_append(&metadata, "1]}", 4), 0);
        text = mr_check_with_metadata(metadata.data);

        ck_assert_msg(
            mr_check_parse(parser, mr_check_str(text), &event, &err) == 0,
            "%s: %s", pieces[k], err.message);

        free(text);
    }

    mr_buf_free(&metadata);
}
END_TEST


Suite *
mr_suite_metadata(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("metadata");
    tc = tcase_create("metadata");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);

    tcase_add_loop_test(tc, good_comes_back, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tc, bad_is_refused, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, depth_limit);
    tcase_add_test(tc, repeated_key_anywhere);
    tcase_add_test(tc, many_keys_are_fast);
    tcase_add_test(tc, keys_with_a_long_prefix);
    tcase_add_test(tc, dense_texts_fit);

    return suite;
}
