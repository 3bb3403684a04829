#include <stdlib.h>
#include <string.h>

#include <millrace/utf8.h>

#include "check_core.h"


START_TEST(set_fills_all)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(
        mr_error_set(&err, MR_ERROR_EVENT, "user_id", "%s %d", "n", 7), -1);
    ck_assert_int_eq(err.code, MR_ERROR_EVENT);
    ck_assert_str_eq(err.field, "user_id");
    ck_assert_str_eq(err.message, "n 7");

    ck_assert_int_eq(mr_error_set(NULL, MR_ERROR_EVENT, NULL, "x"), -1);
}
END_TEST


/* Every length around the cut, with characters of 1 to 4 bytes there. */

START_TEST(set_cuts_at_character)
{
    char text[MR_ERROR_MESSAGE_SIZE * 2];
    size_t fill, i, k, len, n;
    mr_error_t err;

    static const char *const characters[] = {
        "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    for (k = 0; k < 4; k++) {
        n = k + 1;

        for (fill = MR_ERROR_MESSAGE_SIZE - 8; fill < MR_ERROR_MESSAGE_SIZE;
             fill++) {
            memset(text, 'a', fill);

            for (i = 0; i < 8; i++) {
                memcpy(text + fill + i * n, characters[k], n);
            }

            text[fill + 8 * n] = '\0';

            mr_error_set(&err, MR_ERROR_EVENT, NULL, "%s", text);
            len = strlen(err.message);

            ck_assert_uint_lt(len, MR_ERROR_MESSAGE_SIZE);
            ck_assert_uint_ge(len + n, MR_ERROR_MESSAGE_SIZE < fill + 8 * n
                                           ? MR_ERROR_MESSAGE_SIZE
                                           : fill + 8 * n);
            ck_assert_mem_eq(err.message, text, len);
            ck_assert_msg(len <= fill || (len - fill) % n == 0,
                "cut inside a character: fill %zu, bytes %zu", fill, n);
        }
    }
}
END_TEST


static const struct {
    const char *data;
    size_t len;
    size_t size;
    size_t max;
    const char *expect;
} excerpts[] = {{"", 0, 32, 10, ""}, {"plain", 5, 32, 10, "plain"},
    {"plain", 5, 32, 5, "plain"}, {"plain", 5, 32, 4, "plai..."},
    {"plain", 5, 32, 0, "..."}, {"plain", 5, 6, 10, "plain"},
    {"plain", 5, 5, 10, "p..."}, {"plain", 5, 4, 10, "..."},
    {"plain", 5, 3, 10, "pl"}, {"plain", 5, 1, 10, ""},
    {"a\0b\n\x7f", 5, 64, 10, "a\\x00b\\x0a\\x7f"},
    {"\xc2\x85", 2, 64, 10, "\\xc2\\x85"}, /* C1 control */
    {"\xc2\xa0", 2, 64, 10, "\xc2\xa0"},   /* not one */
    {"\xe2\x82\xac", 3, 64, 10, "\xe2\x82\xac"},
    {"\xe2\x82\xac", 3, 64, 2, "..."},              /* not cut in it */
    {"\xe2\x82", 2, 64, 10, "\\xe2\\x82"},          /* incomplete */
    {"\xed\xa0\x80", 3, 64, 10, "\\xed\\xa0\\x80"}, /* surrogate */
    {"\xc0\x80", 2, 64, 10, "\\xc0\\x80"},          /* overlong */
    {"\xff!", 2, 64, 10, "\\xff!"},
    {"\xf0\x9f\x98\x80", 4, 64, 4, "\xf0\x9f\x98\x80"},
    {"\xf0\x9f\x98\x80x", 5, 64, 4, "\xf0\x9f\x98\x80..."}};


START_TEST(excerpt_table)
{
    char *buf, *copy;
    size_t size, len;

    size = excerpts[_i].size;
    len = excerpts[_i].len;

    buf = malloc(size);
    copy = malloc(len > 0 ? len : 1);
    ck_assert(buf != NULL && copy != NULL);
    memcpy(copy, excerpts[_i].data, len);

    ck_assert_ptr_eq(
        mr_error_excerpt(buf, size, copy, len, excerpts[_i].max), buf);
    ck_assert_str_eq(buf, excerpts[_i].expect);

    free(copy);
    free(buf);
}
END_TEST


START_TEST(excerpt_without_room)
{
    char buf[1] = {'x'};

    ck_assert_ptr_eq(mr_error_excerpt(buf, 0, "abc", 3, 3), buf);
    ck_assert_int_eq(buf[0], 'x');
}
END_TEST


static const struct {
    const char *data;
    size_t len;
    size_t expect;
} utf8[] = {{"a", 1, 1}, {"\0", 1, 1}, {"\x7f", 1, 1}, {"\x80", 1, 0},
    {"\xbf", 1, 0}, {"\xc0\x80", 2, 0}, {"\xc1\xbf", 2, 0}, {"\xc2\x80", 2, 2},
    {"\xc2", 1, 0}, {"\xdf\xbf", 2, 2}, {"\xdf\xc0", 2, 0},
    {"\xe0\x9f\xbf", 3, 0}, {"\xe0\xa0\x80", 3, 3}, {"\xed\x9f\xbf", 3, 3},
    {"\xed\xa0\x80", 3, 0}, {"\xed\xbf\xbf", 3, 0}, {"\xee\x80\x80", 3, 3},
    {"\xef\xbf\xbf", 3, 3}, {"\xef\xbf\x7f", 3, 0}, {"\xef\xbf", 2, 0},
    {"\xf0\x8f\xbf\xbf", 4, 0}, {"\xf0\x90\x80\x80", 4, 4},
    {"\xf4\x8f\xbf\xbf", 4, 4}, {"\xf4\x90\x80\x80", 4, 0},
    {"\xf5\x80\x80\x80", 4, 0}, {"\xf0\x90\x80", 3, 0}, {"", 0, 0}};


START_TEST(utf8_table)
{
    ck_assert_uint_eq(
        mr_utf8_len(utf8[_i].data, utf8[_i].len), utf8[_i].expect);
    ck_assert_int_eq(mr_utf8_valid(utf8[_i].data, utf8[_i].len),
        utf8[_i].expect == utf8[_i].len);
}
END_TEST


/* Each control character at each offset: the search goes by words. */

START_TEST(utf8_finds_every_control)
{
    char text[40];
    size_t at, n;
    unsigned c;

    for (c = 0; c < 0xa0; c++) {
        for (at = 0; at + 1 < sizeof(text); at++) {
            memset(text, 'a', sizeof(text));

            if (c < 0x80) {
                n = 1;
                text[at] = (char) c;

            } else {
                n = 2;
                text[at] = (char) 0xc2;
                text[at + 1] = (char) c;
            }

            ck_assert_int_eq(
                mr_utf8_control(text + at, n), c < 0x20 || c >= 0x7f);
            ck_assert_uint_eq(mr_utf8_find_control(text, sizeof(text)),
                (c < 0x20 || c >= 0x7f) ? at : sizeof(text));
        }
    }
}
END_TEST


START_TEST(utf8_passes_what_is_no_control)
{
    mr_str_t s;

    s = mr_str("\xc2\xa0\xc3\x80 \xe2\x82\xac \xf0\x9f\x98\x80 ~ \xdf\xbf "
               "\xe0\xa0\x80 \xc2\xad plain text that goes on");

    ck_assert_uint_eq(mr_utf8_find_control(s.data, s.len), s.len);
    ck_assert_uint_eq(mr_utf8_find_control("", 0), 0);
}
END_TEST


Suite *
mr_suite_error(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("error");
    tc = tcase_create("error");
    suite_add_tcase(suite, tc);

    tcase_add_test(tc, set_fills_all);
    tcase_add_test(tc, set_cuts_at_character);
    tcase_add_loop_test(
        tc, excerpt_table, 0, sizeof(excerpts) / sizeof(excerpts[0]));
    tcase_add_test(tc, excerpt_without_room);
    tcase_add_loop_test(tc, utf8_table, 0, sizeof(utf8) / sizeof(utf8[0]));
    tcase_add_test(tc, utf8_finds_every_control);
    tcase_add_test(tc, utf8_passes_what_is_no_control);

    return suite;
}
