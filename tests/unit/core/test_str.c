#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>

#include "check_core.h"


static const struct {
    mr_str_t a;
    mr_str_t b;
    int sign;
} orders[] = {{{NULL, 0}, {NULL, 0}, 0}, {{NULL, 0}, {"a", 1}, -1},
    {{"a", 1}, {"a", 1}, 0}, {{"a", 1}, {"ab", 2}, -1},
    {{"b", 1}, {"ab", 2}, 1}, {{"a\0b", 3}, {"a\0c", 3}, -1},
    {{"a\0", 2}, {"a", 1}, 1},
    {{"\xff", 1}, {"a", 1}, 1}, /* bytes are unsigned */
    {{"\xf0\x90\x80\x80", 4}, {"\xef\xbf\xbf", 3}, 1}};


START_TEST(str_order)
{
    int forth, back;

    forth = mr_str_cmp(orders[_i].a, orders[_i].b);
    back = mr_str_cmp(orders[_i].b, orders[_i].a);

    ck_assert_int_eq((forth > 0) - (forth < 0), orders[_i].sign);
    ck_assert_int_eq((back > 0) - (back < 0), -orders[_i].sign);
    ck_assert_int_eq(
        mr_str_eq(orders[_i].a, orders[_i].b), orders[_i].sign == 0);
}
END_TEST


START_TEST(str_literal)
{
    mr_str_t s;

    s = mr_str("a\0b");
    ck_assert_uint_eq(s.len, 3);
}
END_TEST


START_TEST(buf_grows)
{
    char expect[5000];
    size_t i, len;
    mr_buf_t buf = MR_BUF_INIT;

    for (len = 0, i = 1; len + i <= sizeof(expect); len += i, i++) {
        memset(expect + len, (int) ('a' + i % 26), i);
        ck_assert_int_eq(mr_buf_append(&buf, expect + len, i), 0);
        ck_assert_uint_eq(buf.len, len + i);
        ck_assert_uint_le(buf.len, buf.cap);
        ck_assert_mem_eq(buf.data, expect, buf.len);
    }

    mr_buf_reset(&buf);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_ptr_nonnull(buf.data);

    mr_buf_free(&buf);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.cap, 0);
}
END_TEST


START_TEST(buf_appends_nothing)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_buf_append(&buf, NULL, 0), 0);
    ck_assert_ptr_null(buf.data);
    mr_buf_free(&buf);
}
END_TEST


START_TEST(buf_reserves)
{
    char *data;
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_buf_reserve(&buf, 1000), 0);
    ck_assert_uint_ge(buf.cap, 1000);
    ck_assert_uint_eq(buf.len, 0);

    data = buf.data;
    memset(data, 'x', 1000);
    buf.len = 999;

    ck_assert_int_eq(mr_buf_reserve(&buf, 1), 0);
    ck_assert_ptr_eq(buf.data, data);

    mr_buf_free(&buf);
}
END_TEST


START_TEST(buf_refuses_the_impossible)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_buf_append(&buf, "abc", 3), 0);
    ck_assert_int_eq(mr_buf_reserve(&buf, SIZE_MAX), -1);
    ck_assert_int_eq(mr_buf_reserve(&buf, SIZE_MAX - 3), -1);
    ck_assert_int_eq(mr_buf_reserve(&buf, SIZE_MAX / 2), -1);
    ck_assert_uint_eq(buf.len, 3);
    ck_assert_mem_eq(buf.data, "abc", 3);
    mr_buf_free(&buf);
}
END_TEST


/* Texts that fit, that just fit, and that just do not. */

START_TEST(buf_prints)
{
    char text[300], expect[700];
    size_t len;
    mr_buf_t buf = MR_BUF_INIT;

    for (len = 0; len < sizeof(text); len++) {
        memset(text, 'x', len);
        text[len] = '\0';

        mr_buf_free(&buf);
        ck_assert_int_eq(mr_buf_printf(&buf, "%s", text), 0);
        ck_assert_uint_eq(buf.len, len);

        ck_assert_int_eq(mr_buf_printf(&buf, "<%s:%d>", text, 42), 0);
        ck_assert_int_gt(
            snprintf(expect, sizeof(expect), "%s<%s:%d>", text, text, 42), 0);
        ck_assert_uint_eq(buf.len, strlen(expect));
        ck_assert_mem_eq(buf.data, expect, buf.len);
    }

    mr_buf_free(&buf);
}
END_TEST


/*
 * Known answers: what is stored must still be found after an upgrade.  The
 * first three are XXH3-128 as xxhash 0.8.1 computes it with seed 0.
 */

static const struct {
    mr_str_t data;
    uint64_t hi;
    uint64_t lo;
} hashes[] = {
    {{NULL, 0}, UINT64_C(0x99aa06d3014798d8), UINT64_C(0x6001c324468d497f)},
    {{"a", 1}, UINT64_C(0xa96faf705af16834), UINT64_C(0xe6c632b61e964e1f)},
    {{"abc", 3}, UINT64_C(0x06b05ab6733a6185), UINT64_C(0x78af5f94892f3950)}};


START_TEST(hash_known)
{
    mr_hash_t hash;

    hash = mr_hash(hashes[_i].data);

    ck_assert_uint_eq(hash.lo, hashes[_i].lo);
    ck_assert_uint_eq(hash.hi, hashes[_i].hi);
}
END_TEST


START_TEST(hash_identity_is_the_pair)
{
    mr_hash_t hash, pair;

    pair = mr_hash(mr_str("user\0event"));
    hash = mr_hash_identity(mr_str("user"), mr_str("event"));

    ck_assert_uint_eq(hash.lo, pair.lo);
    ck_assert_uint_eq(hash.hi, pair.hi);

    hash = mr_hash_identity(mr_str("usere"), mr_str("vent"));
    ck_assert(hash.lo != pair.lo && hash.hi != pair.hi);

    hash = mr_hash_identity(mr_str(""), mr_str(""));
    pair = mr_hash(mr_str("\0"));
    ck_assert_uint_eq(hash.lo, pair.lo);
}
END_TEST


/* At the limits of an event, and beyond, where it goes another way. */

START_TEST(hash_identity_of_any_length)
{
    char text[2000];
    size_t user, event, i, j;
    mr_str_t a, b, both;
    mr_hash_t hash, pair;

    static const size_t users[] = {1, 255, 256, 257, 900};
    static const size_t events[] = {1, 127, 128, 129, 1000};

    for (i = 0; i < 5; i++) {
        for (j = 0; j < 5; j++) {
            user = users[i];
            event = events[j];

            memset(text, 'u', user);
            text[user] = '\0';
            memset(text + user + 1, 'e', event);

            a.data = text;
            a.len = user;
            b.data = text + user + 1;
            b.len = event;
            both.data = text;
            both.len = user + 1 + event;

            hash = mr_hash_identity(a, b);
            pair = mr_hash(both);

            ck_assert_uint_eq(hash.lo, pair.lo);
            ck_assert_uint_eq(hash.hi, pair.hi);
        }
    }
}
END_TEST


Suite *
mr_suite_str(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("str and hash");
    tc = tcase_create("str and hash");
    suite_add_tcase(suite, tc);

    tcase_add_loop_test(tc, str_order, 0, sizeof(orders) / sizeof(orders[0]));
    tcase_add_test(tc, str_literal);
    tcase_add_test(tc, buf_grows);
    tcase_add_test(tc, buf_appends_nothing);
    tcase_add_test(tc, buf_reserves);
    tcase_add_test(tc, buf_refuses_the_impossible);
    tcase_add_test(tc, buf_prints);
    tcase_add_loop_test(tc, hash_known, 0, sizeof(hashes) / sizeof(hashes[0]));
    tcase_add_test(tc, hash_identity_is_the_pair);
    tcase_add_test(tc, hash_identity_of_any_length);

    return suite;
}
