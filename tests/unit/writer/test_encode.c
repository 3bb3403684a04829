#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bson/bson.h>

#include <writer/encode.h>

#include "check_writer.h"


static mr_parser_t *parser;
static mr_buf_t buf;
static bson_t document;


static void
setup(void)
{
    parser = mr_parser_create();
    buf = (mr_buf_t) MR_BUF_INIT;
}


static void
teardown(void)
{
    mr_parser_destroy(parser);
    mr_buf_free(&buf);
}


/* Encode and let libbson have a look. */
static void
encode(const char *json, int64_t offset)
{
    mr_event_t event;
    bson_error_t error;

    event = test_parse(parser, json);
    mr_buf_reset(&buf);

    ck_assert_int_eq(mr_encode_event(&buf, &event, offset), 0);
    ck_assert(bson_init_static(&document, (const uint8_t *) buf.data, buf.len));
    ck_assert_msg(bson_validate_with_error(
                      &document, BSON_VALIDATE_UTF8_ALLOW_NULL, &error),
        "%s", error.message);
}


#define EVENT(metadata)                                                        \
    "{\"event_id\":\"e\",\"user_id\":\"u\",\"event_type\":\"t\","              \
    "\"timestamp\":1.5,\"metadata\":" metadata "}"


/* User, type and time are not among them: a block says them. */
START_TEST(fields_stand_in_their_order)
{
    bson_iter_t iter;

    encode("{\"metadata\":{\"k\":1},\"timestamp\":1700000000.25,"
           "\"event_type\":\"page view\",\"user_id\":\"J\\u00fcrgen\","
           "\"event_id\":\"id-1\"}",
        77);

    ck_assert(bson_iter_init(&iter, &document));

    ck_assert(bson_iter_next(&iter));
    ck_assert_str_eq(bson_iter_key(&iter), "event_id");
    ck_assert_str_eq(bson_iter_utf8(&iter, NULL), "id-1");

    ck_assert(bson_iter_next(&iter));
    ck_assert_str_eq(bson_iter_key(&iter), "metadata");
    ck_assert(BSON_ITER_HOLDS_DOCUMENT(&iter));

    ck_assert(bson_iter_next(&iter));
    ck_assert_str_eq(bson_iter_key(&iter), "offset");
    ck_assert(BSON_ITER_HOLDS_INT64(&iter));
    ck_assert_int_eq(bson_iter_int64(&iter), 77);

    ck_assert(!bson_iter_next(&iter));
}
END_TEST


/* Only what is had back as it was. */
static const struct {
    const char *id;
    int is_uuid;
} ids[] = {
    {"01234567-89ab-4def-8123-456789abcdef", 1},
    {"01234567-89AB-4def-8123-456789abcdef", 0},
    {"01234567-89ab-4def-8123-456789abcde", 0},
    {"0123456789ab4def8123456789abcdef", 0},
    {"id-1", 0},
};


START_TEST(a_uuid_is_stored_as_one)
{
    char *json;
    uint32_t len;
    bson_iter_t iter;
    const uint8_t *uuid;
    bson_subtype_t subtype;
    static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d,
        0xef, 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

    ck_assert_int_ge(
        asprintf(&json,
            "{\"event_id\":\"%s\",\"user_id\":\"u\",\"event_type\":\"t\","
            "\"timestamp\":1}",
            ids[_i].id),
        0);
    encode(json, 1);
    free(json);

    ck_assert(bson_iter_init_find(&iter, &document, "event_id"));

    if (!ids[_i].is_uuid) {
        ck_assert_str_eq(bson_iter_utf8(&iter, NULL), ids[_i].id);
        return;
    }

    ck_assert(BSON_ITER_HOLDS_BINARY(&iter));
    bson_iter_binary(&iter, &subtype, &len, &uuid);
    ck_assert_int_eq(subtype, BSON_SUBTYPE_UUID);
    ck_assert_uint_eq(len, sizeof(bytes));
    ck_assert_int_eq(memcmp(uuid, bytes, len), 0);
}
END_TEST


START_TEST(metadata_is_always_there)
{
    bson_iter_t iter, child;

    encode("{\"event_id\":\"e\",\"user_id\":\"u\",\"event_type\":\"t\","
           "\"timestamp\":0}",
        0);

    ck_assert(bson_iter_init_find(&iter, &document, "metadata"));
    ck_assert(bson_iter_recurse(&iter, &child));
    ck_assert(!bson_iter_next(&child));
}
END_TEST


START_TEST(numbers_keep_their_value)
{
    size_t i;
    char json[160];
    bson_iter_t iter, child;
    static const struct {
        const char *text;
        bson_type_t type;
        int64_t integer;
        double real;
    } table[] = {
        {"0", BSON_TYPE_INT32, 0, 0},
        {"2147483647", BSON_TYPE_INT32, 2147483647, 0},
        {"-2147483648", BSON_TYPE_INT32, INT64_C(-2147483648), 0},
        {"2147483648", BSON_TYPE_INT64, INT64_C(2147483648), 0},
        {"-2147483649", BSON_TYPE_INT64, INT64_C(-2147483649), 0},
        {"9223372036854775807", BSON_TYPE_INT64, INT64_MAX, 0},
        {"-9223372036854775808", BSON_TYPE_INT64, INT64_MIN, 0},
        {"1.0", BSON_TYPE_DOUBLE, 0, 1.0},
        {"1e300", BSON_TYPE_DOUBLE, 0, 1e300},
        {"0.1", BSON_TYPE_DOUBLE, 0, 0.1},
        {"-0", BSON_TYPE_DOUBLE, 0, -0.0},
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        (void) snprintf(json, sizeof(json), EVENT("{\"n\":%s}"), table[i].text);
        encode(json, 0);

        ck_assert(bson_iter_init_find(&iter, &document, "metadata"));
        ck_assert(bson_iter_recurse(&iter, &child));
        ck_assert(bson_iter_next(&child));
        ck_assert_msg(
            bson_iter_type(&child) == table[i].type, "%s", table[i].text);

        if (table[i].type == BSON_TYPE_DOUBLE) {
            ck_assert(bson_iter_double(&child) == table[i].real);
            ck_assert_int_eq(
                !!signbit(bson_iter_double(&child)), !!signbit(table[i].real));

        } else {
            ck_assert_int_eq(bson_iter_as_int64(&child), table[i].integer);
        }
    }
}
END_TEST


START_TEST(awkward_keys_and_values_pass)
{
    uint32_t len;
    const char *text;
    bson_iter_t iter, child, deep;

    encode(EVENT("{\"\":1,\"a.b\":true,\"$set\":null,"
                 "\"nul\":\"a\\u0000b\",\"list\":[[],{\"x\":[false]},"
                 "\"\\ud83d\\ude00\"]}"),
        0);

    ck_assert(bson_iter_init_find(&iter, &document, "metadata"));
    ck_assert(bson_iter_recurse(&iter, &child));

    ck_assert(bson_iter_next(&child));
    ck_assert_str_eq(bson_iter_key(&child), "");

    ck_assert(bson_iter_next(&child));
    ck_assert_str_eq(bson_iter_key(&child), "a.b");
    ck_assert(bson_iter_bool(&child));

    ck_assert(bson_iter_next(&child));
    ck_assert_str_eq(bson_iter_key(&child), "$set");
    ck_assert(BSON_ITER_HOLDS_NULL(&child));

    ck_assert(bson_iter_next(&child));
    text = bson_iter_utf8(&child, &len);
    ck_assert_uint_eq(len, 3);
    ck_assert(memcmp(text, "a\0b", 4) == 0);

    ck_assert(bson_iter_next(&child));
    ck_assert(BSON_ITER_HOLDS_ARRAY(&child));
    ck_assert(bson_iter_recurse(&child, &deep));

    ck_assert(bson_iter_next(&deep));
    ck_assert_str_eq(bson_iter_key(&deep), "0");
    ck_assert(BSON_ITER_HOLDS_ARRAY(&deep));
    ck_assert(bson_iter_next(&deep));
    ck_assert_str_eq(bson_iter_key(&deep), "1");
    ck_assert(BSON_ITER_HOLDS_DOCUMENT(&deep));
    ck_assert(bson_iter_next(&deep));
    ck_assert_str_eq(bson_iter_utf8(&deep, NULL), "\xf0\x9f\x98\x80");
    ck_assert(!bson_iter_next(&deep));
    ck_assert(!bson_iter_next(&child));
}
END_TEST


START_TEST(the_deepest_nesting_passes)
{
    int i;
    mr_buf_t json = MR_BUF_INIT;

    mr_buf_printf(&json, "{\"event_id\":\"e\",\"user_id\":\"u\","
                         "\"event_type\":\"t\",\"timestamp\":1,"
                         "\"metadata\":");

    for (i = 1; i < MR_METADATA_DEPTH; i++) {
        mr_buf_printf(&json, "{\"k\":");
    }

    mr_buf_printf(&json, "{}");

    for (i = 1; i < MR_METADATA_DEPTH; i++) {
        mr_buf_printf(&json, "}");
    }

    mr_buf_printf(&json, "}");
    ck_assert_int_eq(mr_buf_append(&json, "", 1), 0);

    encode(json.data, 0);
    mr_buf_free(&json);
}
END_TEST


Suite *
suite_encode(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("encode");
    tc = tcase_create("encode");
    tcase_add_checked_fixture(tc, setup, teardown);

    tcase_add_test(tc, fields_stand_in_their_order);
    tcase_add_loop_test(
        tc, a_uuid_is_stored_as_one, 0, sizeof(ids) / sizeof(ids[0]));
    tcase_add_test(tc, metadata_is_always_there);
    tcase_add_test(tc, numbers_keep_their_value);
    tcase_add_test(tc, awkward_keys_and_values_pass);
    tcase_add_test(tc, the_deepest_nesting_passes);

    suite_add_tcase(suite, tc);

    return suite;
}
