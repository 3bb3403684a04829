#include <string.h>

#include <millrace/uuid.h>

#include "check_core.h"


static const struct {
    const char *text;
    int is_uuid;
} texts[] = {
    {"65199088-5ca6-4cb6-a52a-d6283a7d18d8", 1},
    {"00000000-0000-0000-0000-000000000000", 1},
    {"ffffffff-ffff-ffff-ffff-ffffffffffff", 1},
    {"65199088-5CA6-4cb6-a52a-d6283a7d18d8", 0},
    {"65199088-5ca6-4cb6-a52a-d6283a7d18d", 0},
    {"65199088-5ca6-4cb6-a52a-d6283a7d18d80", 0},
    {"65199088-5ca6-4cb6-a52ad-6283a7d18d8", 0},
    {"651990885ca64cb6a52ad6283a7d18d80000", 0},
    {"6519908g-5ca6-4cb6-a52a-d6283a7d18d8", 0},
    {"6519908:-5ca6-4cb6-a52a-d6283a7d18d8", 0},
    {"`5199088-5ca6-4cb6-a52a-d6283a7d18d8", 0},
    {"/5199088-5ca6-4cb6-a52a-d6283a7d18d8", 0},
    {"-6519908-5ca6-4cb6-a52a-d6283a7d18d8", 0},
    {"{5199088-5ca6-4cb6-a52a-d6283a7d18d}", 0},
    {"", 0},
};


START_TEST(only_what_is_had_back_is_a_uuid)
{
    char text[MR_UUID_TEXT];
    uint8_t uuid[MR_UUID_SIZE];
    mr_str_t given;

    given = mr_check_str(texts[_i].text);

    ck_assert_int_eq(mr_uuid_parse(given, uuid), texts[_i].is_uuid ? 0 : -1);

    if (texts[_i].is_uuid) {
        mr_uuid_format(uuid, text);
        ck_assert_int_eq(memcmp(text, given.data, sizeof(text)), 0);
    }
}
END_TEST


START_TEST(bytes_are_in_the_order_of_the_text)
{
    uint8_t uuid[MR_UUID_SIZE];
    static const uint8_t bytes[MR_UUID_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44,
        0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

    ck_assert_int_eq(
        mr_uuid_parse(
            mr_check_str("00112233-4455-6677-8899-aabbccddeeff"), uuid),
        0);
    ck_assert_int_eq(memcmp(uuid, bytes, sizeof(bytes)), 0);
}
END_TEST


Suite *
mr_suite_uuid(void)
{
    TCase *tcase;
    Suite *suite;

    suite = suite_create("uuid");
    tcase = tcase_create("uuid");

    tcase_add_loop_test(tcase, only_what_is_had_back_is_a_uuid, 0,
        sizeof(texts) / sizeof(texts[0]));
    tcase_add_test(tcase, bytes_are_in_the_order_of_the_text);

    suite_add_tcase(suite, tcase);

    return suite;
}
