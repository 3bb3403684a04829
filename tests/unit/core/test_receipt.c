#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/receipt.h>

#include "check_core.h"


#define ROOM MR_RECEIPT_SIZE(MR_RECEIPT_PARTS)


/* Encode into memory of exactly the promised size; the caller frees it. */
static mr_str_t
encoded(uint32_t topic, mr_receipt_part_t *parts, size_t nparts)
{
    char *buf;
    mr_str_t token;

    buf = malloc(MR_RECEIPT_SIZE(nparts));
    ck_assert(buf != NULL);
    ck_assert_int_eq(
        mr_receipt_encode(topic, parts, nparts, buf, &token.len), 0);
    ck_assert_uint_le(token.len, MR_RECEIPT_SIZE(nparts));
    token.data = buf;

    return token;
}


static void
check_both_ways(uint32_t topic, const mr_receipt_part_t *parts, size_t nparts)
{
    size_t i, j;
    mr_str_t token;
    mr_receipt_t receipt;
    mr_receipt_part_t given[MR_RECEIPT_PARTS];
    mr_error_t err = MR_ERROR_INIT;

    memcpy(given, parts, nparts * sizeof(mr_receipt_part_t));
    token = encoded(topic, given, nparts);

    ck_assert_msg(
        mr_receipt_decode(token, &receipt, &err) == 0, "%s", err.message);
    ck_assert_uint_eq(receipt.topic, topic);
    ck_assert_uint_eq(receipt.nparts, nparts);

    for (i = 0; i < nparts; i++) {

        if (i > 0) {
            ck_assert_int_lt(
                receipt.parts[i - 1].partition, receipt.parts[i].partition);
        }

        for (j = 0; parts[j].partition != receipt.parts[i].partition; j++) {
            ck_assert_uint_lt(j, nparts - 1);
        }

        ck_assert_int_eq(receipt.parts[i].offset, parts[j].offset);
    }

    free((char *) token.data);
}


static const struct {
    size_t nparts;
    mr_receipt_part_t parts[4];
} lists[] = {{1, {{0, 0}}}, {1, {{7, 127}}}, {1, {{128, 128}}},
    {2, {{3, 16383}, {1, 16384}}}, {1, {{INT32_MAX, INT64_MAX}}},
    {3, {{INT32_MAX, 1}, {0, INT64_MAX}, {1, 0}}},
    {4, {{4, 1}, {3, 2}, {2, 3}, {1, 4}}}};


START_TEST(test_both_ways)
{
    check_both_ways(0, lists[_i].parts, lists[_i].nparts);
    check_both_ways(UINT32_MAX, lists[_i].parts, lists[_i].nparts);
}
END_TEST


START_TEST(test_as_many_as_there_can_be)
{
    size_t i;
    mr_receipt_part_t parts[MR_RECEIPT_PARTS];

    for (i = 0; i < MR_RECEIPT_PARTS; i++) {
        parts[i].partition = INT32_MAX - (int32_t) i * 30000000;
        parts[i].offset = INT64_MAX - (int64_t) i;
    }

    check_both_ways(1, parts, MR_RECEIPT_PARTS);
}
END_TEST


/* The promise to those who put it into a header. */
START_TEST(test_eight_partitions_are_short)
{
    size_t i;
    mr_str_t token;
    mr_receipt_part_t parts[8];

    for (i = 0; i < 8; i++) {
        parts[i].partition = (int32_t) i;
        parts[i].offset = INT64_C(34000000000) + (int64_t) i;
    }

    token = encoded(mr_receipt_topic(mr_str("events")), parts, 8);
    ck_assert_uint_le(token.len, 100);
    free((char *) token.data);
}
END_TEST


/* Tokens outlive the program that wrote them. */
START_TEST(test_the_spelling_stays)
{
    mr_str_t token;
    mr_receipt_part_t parts[] = {{5, 300}, {0, 1}};

    token = encoded(mr_receipt_topic(mr_str("events")), parts, 2);
    ck_assert_msg(mr_str_eq(token, mr_str("AWa9VzEAAQSsAqlteL4")), "%.*s",
        (int) token.len, token.data);
    free((char *) token.data);
}
END_TEST


START_TEST(test_what_cannot_be_encoded)
{
    size_t i, len;
    char buf[ROOM];
    mr_receipt_part_t many[MR_RECEIPT_PARTS + 1];
    mr_receipt_part_t bad[][2] = {{{1, 1}, {1, 2}}, {{-1, 1}, {1, 2}},
        {{1, -1}, {2, 2}}, {{1, 1}, {2, -1001}}};

    len = 77;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(mr_receipt_encode(1, bad[i], 2, buf, &len), -1);
    }

    for (i = 0; i <= MR_RECEIPT_PARTS; i++) {
        many[i].partition = (int32_t) i;
        many[i].offset = 1;
    }

    ck_assert_int_eq(mr_receipt_encode(1, many, 0, buf, &len), -1);
    ck_assert_int_eq(
        mr_receipt_encode(1, many, MR_RECEIPT_PARTS + 1, buf, &len), -1);
    ck_assert_uint_eq(len, 77);
}
END_TEST


/* Whatever is done to one character, it is another token or none. */
START_TEST(test_an_altered_token_is_refused)
{
    int ch;
    size_t i, len;
    char *copy;
    mr_str_t token, other;
    mr_receipt_t receipt;
    mr_error_t err = MR_ERROR_INIT;
    mr_receipt_part_t parts[] = {{0, 5}, {1, 1000000}, {6, 70}};

    token = encoded(3, parts, 3);
    copy = malloc(token.len + 1);
    ck_assert(copy != NULL);
    memcpy(copy, token.data, token.len);
    other.data = copy;

    for (i = 0; i < token.len; i++) {
        for (ch = 0; ch < 256; ch++) {
            copy[i] = (char) ch;
            other.len = token.len;

            if (copy[i] != token.data[i]) {
                ck_assert_int_eq(mr_receipt_decode(other, &receipt, &err), -1);
                ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
                ck_assert_uint_gt(strlen(err.message), 20);
            }
        }

        copy[i] = token.data[i];
    }

    for (len = 0; len < token.len; len++) {
        other.len = len;
        ck_assert_int_eq(mr_receipt_decode(other, &receipt, &err), -1);
    }

    copy[token.len] = 'A';
    other.len = token.len + 1;
    ck_assert_int_eq(mr_receipt_decode(other, &receipt, &err), -1);

    free(copy);
    free((char *) token.data);
}
END_TEST


/*
 * Well-formed base64 with a good checksum and what no program of ours puts
 * before it: another version; the number 0 in two bytes; a partition, an
 * offset, that has no end; a partition beyond 31 bits; no pair at all.
 */
static const char *const forged[] = {"AgEBAQEABcM3f6I", "AQEBAQGAAAVhKTfu",
    "AQEBAQEAhYCJJVFb", "AQEBAQEABYGlExwt", "AQEBAQEA____________ARe6IRw",
    "AQEBAQH_____DwW723Tv", "AQEBAQH_____BwUABeC2HnU", "AQEBAQEFLsSQ1g",
    "AQEBAQGr3Smd"};


START_TEST(test_a_forged_token_is_refused)
{
    mr_receipt_t receipt;
    mr_error_t err = MR_ERROR_INIT;

    receipt.nparts = 77;

    ck_assert_int_eq(
        mr_receipt_decode(mr_check_str(forged[_i]), &receipt, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    ck_assert_uint_eq(receipt.nparts, 77);
    ck_assert_int_eq(strstr(err.message, "version 2") != NULL, _i == 0);
}
END_TEST


START_TEST(test_topics_differ)
{
    ck_assert_uint_eq(
        mr_receipt_topic(mr_str("events")), mr_receipt_topic(mr_str("events")));
    ck_assert_uint_ne(mr_receipt_topic(mr_str("events")),
        mr_receipt_topic(mr_str("events2")));
}
END_TEST


Suite *
mr_suite_receipt(void)
{
    TCase *tc;
    Suite *suite;

    tc = tcase_create("receipt");
    tcase_add_loop_test(
        tc, test_both_ways, 0, sizeof(lists) / sizeof(lists[0]));
    tcase_add_test(tc, test_as_many_as_there_can_be);
    tcase_add_test(tc, test_eight_partitions_are_short);
    tcase_add_test(tc, test_the_spelling_stays);
    tcase_add_test(tc, test_what_cannot_be_encoded);
    tcase_add_test(tc, test_an_altered_token_is_refused);
    tcase_add_loop_test(tc, test_a_forged_token_is_refused, 0,
        sizeof(forged) / sizeof(forged[0]));
    tcase_add_test(tc, test_topics_differ);

    suite = suite_create("receipt");
    suite_add_tcase(suite, tc);

    return suite;
}
