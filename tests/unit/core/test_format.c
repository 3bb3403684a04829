#include <millrace/batch.h>

#include "check_core.h"


static const struct {
    const char *type;
    int format; /* -1: refused */
} types[] = {{"application/json", MR_FORMAT_JSON},
    {"APPLICATION/Json", MR_FORMAT_JSON},
    {" application/json ", MR_FORMAT_JSON},
    {"application/json;charset=utf-8", MR_FORMAT_JSON},
    {"application/json; charset=UTF-8", MR_FORMAT_JSON},
    {"application/json ; Charset=\"utf-8\"", MR_FORMAT_JSON},
    {"application/json; charset= \t utf-8", MR_FORMAT_JSON},
    {"application/json; a=b; charset=utf-8; c", MR_FORMAT_JSON},
    {"application/json; a=\"; charset=latin1\"", MR_FORMAT_JSON},
    {"application/json; a=\"\\\"; charset=latin1\"", MR_FORMAT_JSON},
    {"application/json;", MR_FORMAT_JSON},
    {"application/json;;", MR_FORMAT_JSON},
    {"application/json;=;x=", MR_FORMAT_JSON}, {"text/plain", MR_FORMAT_JSON},
    {"text/plain;charset=UTF-8", MR_FORMAT_JSON},
    {"application/x-ndjson", MR_FORMAT_NDJSON},
    {"application/ndjson", MR_FORMAT_NDJSON},
    {"application/jsonl; charset=utf-8", MR_FORMAT_NDJSON},

    {"", -1}, {";", -1}, {"application", -1}, {"application/", -1},
    {"application/jso", -1}, {"application/jsonx", -1},
    {"application/json, text/plain", -1}, {"application/xml", -1},
    {"application/x-www-form-urlencoded", -1},
    {"multipart/form-data; boundary=x", -1}, {"text/html", -1},
    {"application/json; charset=latin1", -1},
    {"application/json; charset=iso-8859-1", -1},
    {"application/json; charset=\"utf-16\"", -1},
    {"application/json; charset=", -1},
    {"application/json; charset=utf-8; charset=latin1", -1},
    {"application/json; a=\"x\"; charset=latin1", -1}};


START_TEST(type_table)
{
    int rc;
    mr_format_t format;

    format = (mr_format_t) 42;
    rc = mr_format_find(mr_check_str(types[_i].type), &format);

    if (types[_i].format < 0) {
        ck_assert_msg(rc == -1, "%s", types[_i].type);
        ck_assert_int_eq(format, 42);
        return;
    }

    ck_assert_msg(rc == 0, "%s", types[_i].type);
    ck_assert_int_eq(format, types[_i].format);
}
END_TEST


START_TEST(type_missing)
{
    mr_str_t none = {NULL, 0};
    mr_format_t format;

    ck_assert_int_eq(mr_format_find(none, &format), -1);
}
END_TEST


Suite *
mr_suite_format(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("format");
    tc = tcase_create("format");
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, type_table, 0, sizeof(types) / sizeof(types[0]));
    tcase_add_test(tc, type_missing);

    return suite;
}
