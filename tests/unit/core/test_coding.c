#include <string.h>

#include <millrace/inflate.h>

#include "check_core.h"


static const struct {
    const char *field;
    int coding; /* -1: none */
    const char *message;
} fields[] = {{"", MR_CODING_IDENTITY, NULL},
    {"identity", MR_CODING_IDENTITY, NULL}, {"gzip", MR_CODING_GZIP, NULL},
    {"GZip", MR_CODING_GZIP, NULL}, {"x-gzip", MR_CODING_GZIP, NULL},
    {"X-GZIP", MR_CODING_GZIP, NULL}, {"deflate", MR_CODING_DEFLATE, NULL},
    {"Deflate", MR_CODING_DEFLATE, NULL}, {"zstd", MR_CODING_ZSTD, NULL},
    {" \tzstd \t", MR_CODING_ZSTD, NULL},
    {"gzip, identity", MR_CODING_GZIP, NULL},
    {"identity,gzip", MR_CODING_GZIP, NULL},
    {"identity , Identity", MR_CODING_IDENTITY, NULL},
    {",, zstd ,", MR_CODING_ZSTD, NULL}, {",", MR_CODING_IDENTITY, NULL},
    {"gzip, gzip", -1, "more than once"}, {"gzip,zstd", -1, "more than once"},
    {"deflate, identity, x-gzip", -1, "more than once"},
    {"br", -1, "\"br\" is not supported; use one of gzip, deflate, zstd"},
    {"compress", -1, "\"compress\""}, {"gzip, br", -1, "\"br\""},
    {"gzi", -1, "\"gzi\""}, {"gzipp", -1, "\"gzipp\""},
    {"gzip identity", -1, "\"gzip identity\""}, {"gzip;q=1", -1, "q=1"},
    {"\"gzip\"", -1, "not supported"}, {"\x01\xff", -1, "\\x01\\xff"}};


START_TEST(coding_table)
{
    int rc;
    mr_coding_t coding;
    mr_error_t err = MR_ERROR_INIT;

    coding = (mr_coding_t) 99;
    rc = mr_coding_find(mr_check_str(fields[_i].field), &coding, &err);

    if (fields[_i].coding >= 0) {
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq((int) coding, fields[_i].coding);
        return;
    }

    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq((int) coding, 99);
    ck_assert_int_eq(err.code, MR_ERROR_CODING);
    ck_assert_ptr_nonnull(strstr(err.message, fields[_i].message));
}
END_TEST


Suite *
mr_suite_coding(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("coding");
    tcase = tcase_create("coding");

    tcase_add_loop_test(
        tcase, coding_table, 0, (int) (sizeof(fields) / sizeof(fields[0])));

    suite_add_tcase(suite, tcase);

    return suite;
}
