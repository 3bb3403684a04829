#include <stdlib.h>
#include <string.h>

#include "check_query.h"


static const mr_param_spec_t specs[] = {
    {"name", 0},
    {"many", 1},
    {NULL, 0},
};


typedef struct {
    const char *query;
    const char *value; /* of name; NULL: not given */
    size_t len;
} good_t;


static const good_t good[] = {
    {"", NULL, 0},
    {"&&", NULL, 0},
    {"name=a", "a", 1},
    {"name=", "", 0},
    {"name", "", 0},
    {"many=1&name=a", "a", 1},
    {"name=a=b", "a=b", 3},
    {"name=a+b", "a b", 3},
    {"name=a%2Bb", "a+b", 3},
    {"name=%26%3d%25", "&=%", 3},
    {"n%61me=x", "x", 1},
    {"name=a%00b", "a\0b", 3},
    {"name=%c3%bc\xc3\xbc", "\xc3\xbc\xc3\xbc", 4},
    {"name=%f4%8f%bf%bf", "\xf4\x8f\xbf\xbf", 4},
    {"name=%ed%9f%bf%ee%80%80", "\xed\x9f\xbf\xee\x80\x80", 6},
};


typedef struct {
    const char *query;
    const char *field; /* that the error names, or NULL */
    const char *part;  /* of its message */
} bad_t;


static const bad_t bad[] = {
    {"other=1", NULL, "unknown parameter \"other\"; known are name, many"},
    {"Name=1", NULL, "unknown"},
    {"=1", NULL, "unknown"},
    {"nam%65x", NULL, "unknown"},
    {"\x01=1", NULL, "\\x01"},
    {"name=1&name=1", "name", "more than once"},
    {"name=1&na%6de=2", "name", "more than once"},
    {"name=%", "name", "two"},
    {"name=%4", "name", "two"},
    {"name=%4g", "name", "two"},
    {"name=%-1", "name", "two"},
    {"%zz=1", NULL, "percent-encoded"},
    {"name=%80", "name", "UTF-8"},
    {"name=%c0%80", "name", "UTF-8"},
    {"name=%e0%9f%bf", "name", "UTF-8"},
    {"name=%ed%a0%80", "name", "UTF-8"},
    {"name=%f0%8f%bf%bf", "name", "UTF-8"},
    {"name=%f4%90%80%80", "name", "UTF-8"},
    {"name=%f5%80%80%80", "name", "UTF-8"},
    {"name=%c3", "name", "UTF-8"},
    {"name=%e2%82", "name", "UTF-8"},
    {"name=%e2%82x", "name", "UTF-8"},
};


START_TEST(good_queries)
{
    mr_str_t value;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    const good_t *test;

    test = &good[_i];

    ck_assert_int_eq(
        mr_params_parse(test_str(test->query), specs, &params, &err), 0);

    value = mr_params_get(&params, "name");

    if (test->value == NULL) {
        ck_assert_ptr_null(value.data);

    } else {
        ck_assert_uint_eq(value.len, test->len);
        ck_assert_mem_eq(value.data, test->value, test->len);
    }

    mr_params_free(&params);
}
END_TEST


START_TEST(bad_queries)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    const bad_t *test;

    test = &bad[_i];

    ck_assert_int_eq(
        mr_params_parse(test_str(test->query), specs, &params, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, test->part));

    if (test->field == NULL) {
        ck_assert_ptr_null(err.field);

    } else {
        ck_assert_str_eq(err.field, test->field);
    }
}
END_TEST


START_TEST(a_set_is_sorted_and_unique)
{
    size_t n;
    mr_str_t *list;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;

    ck_assert_int_eq(
        mr_params_parse(test_str("many=b&many=%c3%a9&name=x&many=a&many=b"
                                 "&many=ab&many="),
            specs, &params, &err),
        0);
    ck_assert_int_eq(mr_params_set(&params, "many", &list, &n, &err), 0);

    ck_assert_uint_eq(n, 5);
    ck_assert(mr_str_eq(list[0], mr_str("")));
    ck_assert(mr_str_eq(list[1], mr_str("a")));
    ck_assert(mr_str_eq(list[2], mr_str("ab")));
    ck_assert(mr_str_eq(list[3], mr_str("b")));
    ck_assert(mr_str_eq(list[4], mr_str("\xc3\xa9")));

    free(list);
    ck_assert_int_eq(mr_params_set(&params, "other", &list, &n, &err), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(list);

    mr_params_free(&params);
}
END_TEST


START_TEST(numbers)
{
    size_t i;
    int64_t value;
    mr_error_t err = MR_ERROR_INIT;
    static const char *const refused[] = {"", "-1", "+1", "0", "1001", "1.0",
        "1e2", " 1", "1 ", "0x1", "99999999999999999999",
        "1000000000000000000"};

    value = 77;

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        ck_assert_int_eq(
            mr_param_integer("n", test_str(refused[i]), 1, 1000, &value, &err),
            -1);
        ck_assert_int_eq(value, 77);
        ck_assert_str_eq(err.field, "n");
    }

    ck_assert_int_eq(
        mr_param_integer("n", mr_str("1000"), 1, 1000, &value, &err), 0);
    ck_assert_int_eq(value, 1000);
    ck_assert_int_eq(
        mr_param_integer("n", mr_str("0007"), 1, 1000, &value, &err), 0);
    ck_assert_int_eq(value, 7);
}
END_TEST


START_TEST(encoding_is_undone_by_parsing)
{
    int c;
    char text[256];
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t query, value;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;

    for (c = 0; c < 128; c++) {
        text[c] = (char) c;
    }

    memcpy(text + 128, "\xc3\xbc\xe2\x82\xac", 5);
    value.data = text;
    value.len = 133;

    ck_assert_int_eq(mr_buf_append(&buf, "name=", 5), 0);
    ck_assert_int_eq(mr_param_encode(&buf, value), 0);

    query.data = buf.data;
    query.len = buf.len;
    ck_assert_int_eq(mr_params_parse(query, specs, &params, &err), 0);
    ck_assert(mr_str_eq(mr_params_get(&params, "name"), value));
    ck_assert_uint_eq(params.n, 1);

    mr_params_free(&params);
    mr_buf_free(&buf);
}
END_TEST


Suite *
suite_params(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("params");
    tcase = tcase_create("params");
    suite_add_tcase(suite, tcase);

    tcase_add_loop_test(
        tcase, good_queries, 0, (int) (sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(
        tcase, bad_queries, 0, (int) (sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tcase, a_set_is_sorted_and_unique);
    tcase_add_test(tcase, numbers);
    tcase_add_test(tcase, encoding_is_undone_by_parsing);

    return suite;
}
