#include <string.h>

#include <bson/bson.h>
#include <millrace/limits.h>

#include <common/mongo_columns.h>

#include "check_common.h"


#define MOST 300


static const struct {
    int64_t extent;
    uint32_t width;
} widths[] = {
    {0, 0},
    {1, 1},
    {255, 1},
    {256, 2},
    {65535, 2},
    {65536, 3},
    {300000, 3},
    {INT64_C(1) << 32, 5},
    {MR_TIMESTAMP_MAX, MR_TIMES_WIDTH},
};


/* What is written is read, from a block as well. */
START_TEST(round_trip)
{
    static const uint32_t counts[] = {1, 2, 7, MOST};
    int64_t tmin, after[MOST];
    bson_t block;
    size_t c;
    uint8_t data[MOST * MR_TIMES_WIDTH];
    uint32_t i, n, width;
    mr_times_t times;

    width = mr_times_width(widths[_i].extent);
    ck_assert_uint_eq(width, widths[_i].width);
    tmin = MR_TIMESTAMP_MAX - widths[_i].extent;

    for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        n = counts[c];
        memset(data, 0xa5, sizeof(data));

        for (i = 0; i < n; i++) {
            after[i] = i % 2 == 0 ? widths[_i].extent - i / 2
                                  : (int64_t) i * 7919 % 256;
            after[i] =
                after[i] < 0 || after[i] > widths[_i].extent ? 0 : after[i];
            mr_times_put(data, n, width, i, after[i]);
        }

        bson_init(&block);
        BSON_APPEND_DATE_TIME(&block, "tmin", tmin);
        BSON_APPEND_BINARY(
            &block, "since", BSON_SUBTYPE_BINARY, data, n * width);
        ck_assert_int_eq(mr_mongo_times(&block, n, &times), 0);

        for (i = 0; i < n; i++) {
            ck_assert_int_eq(mr_times_get(&times, i), tmin + after[i]);
        }

        if (width > 0) {
            ck_assert_int_eq(mr_mongo_times(&block, n + 1, &times),
                n * width % (n + 1) == 0 ? 0 : -1);
            ck_assert_uint_eq(data[n * width - 1],
                (uint64_t) after[n - 1] >> 8 * (width - 1));
        }

        bson_destroy(&block);
    }
}
END_TEST


START_TEST(of_earlier_versions)
{
    size_t i;
    bson_t block;
    mr_times_t times;
    static const uint8_t data[] = {0x15, 0xcd, 0x5b, 0x07, 0, 0, 0, 0, 0xff,
        0x3f, 0x7a, 0x10, 0xf3, 0x5a, 0, 0};

    bson_init(&block);
    BSON_APPEND_BINARY(
        &block, "times", BSON_SUBTYPE_BINARY, data, sizeof(data));

    ck_assert_int_eq(mr_mongo_times(&block, 2, &times), 0);
    ck_assert_int_eq(mr_times_get(&times, 0), 123456789);
    ck_assert_int_eq(mr_times_get(&times, 1), MR_TIMESTAMP_MAX);

    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(
            mr_mongo_times(&block, (uint32_t) i, &times), i == 2 ? 0 : -1);
    }

    bson_destroy(&block);
}
END_TEST


START_TEST(no_column)
{
    bson_t *block;
    mr_times_t times;
    static const uint8_t data[7 * 2] = {0};
    static const uint8_t negative[8] = {0, 0, 0, 0, 0, 0, 0, 0x80};

    ck_assert_int_eq(mr_times_open_since(data, 2, 2, -1, &times), -1);
    ck_assert_int_eq(
        mr_times_open_since(data, 2, 2, MR_TIMESTAMP_MAX + 1, &times), -1);
    ck_assert_int_eq(
        mr_times_open_since(data, 2, 2, MR_TIMESTAMP_MAX, &times), 0);

    /* wider than any time */
    ck_assert_int_eq(mr_times_open_since(data, 14, 2, 0, &times), -1);
    ck_assert_int_eq(mr_times_open_since(data, 12, 2, 0, &times), 0);
    ck_assert_int_eq(mr_times_open_since(data, 11, 2, 0, &times), -1);
    ck_assert_int_eq(mr_times_open_since(data, 0, 2, 5, &times), 0);
    ck_assert_int_eq(mr_times_get(&times, 1), 5);
    ck_assert_int_eq(mr_times_open_since(data, 0, 0, 0, &times), -1);
    ck_assert_int_eq(mr_times_open_plain(data, 0, 0, &times), -1);
    ck_assert_int_eq(mr_times_open_plain(data, 7, 1, &times), -1);
    ck_assert_int_eq(mr_times_open_plain(data, 8, 1, &times), 0);
    ck_assert_int_eq(mr_times_open_plain(negative, 8, 1, &times), -1);

    block = bson_new();
    ck_assert_int_eq(mr_mongo_times(block, 2, &times), -1);
    BSON_APPEND_BINARY(block, "since", BSON_SUBTYPE_BINARY, data, 4);
    ck_assert_int_eq(mr_mongo_times(block, 2, &times), -1);
    BSON_APPEND_INT64(block, "tmin", 5);
    ck_assert_int_eq(mr_mongo_times(block, 2, &times), -1);
    bson_destroy(block);

    block = BCON_NEW("tmin", BCON_DATE_TIME(5), "since", BCON_INT32(1));
    ck_assert_int_eq(mr_mongo_times(block, 2, &times), -1);
    bson_destroy(block);

    block = BCON_NEW("tmin", BCON_DATE_TIME(5), "times", BCON_INT32(1));
    ck_assert_int_eq(mr_mongo_times(block, 2, &times), -1);
    bson_destroy(block);
}
END_TEST


Suite *
mr_suite_times(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("times");
    tcase = tcase_create("times");
    tcase_add_loop_test(
        tcase, round_trip, 0, sizeof(widths) / sizeof(widths[0]));
    tcase_add_test(tcase, of_earlier_versions);
    tcase_add_test(tcase, no_column);
    suite_add_tcase(suite, tcase);

    return suite;
}
