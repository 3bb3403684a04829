#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "check_query.h"
#include "query/cursor.h"


#define DIGEST UINT64_C(0x8899aabbccddeeff)


static mr_position_t
event_position(const char *event_id, const char *user_id)
{
    mr_position_t position;

    position.kind = MR_POSITION_EVENT;
    position.key.time = INT64_C(1700000000123);
    position.key.event_id = test_str(event_id);
    position.key.user_id = test_str(user_id);
    position.key.partition = 7;
    position.key.offset = INT64_C(0x123456789abcdef);
    position.key.epoch = 3;

    return position;
}


static void
write_token(mr_buf_t *buf, const mr_position_t *position, mr_str_t *token)
{
    mr_buf_reset(buf);
    ck_assert_int_eq(mr_cursor_write(buf, DIGEST, position), 0);
    token->data = buf->data;
    token->len = buf->len;
}


START_TEST(an_event_is_read_back)
{
    char event_id[MR_EVENT_ID_MAX + 1], user_id[MR_USER_ID_MAX + 1], *memory;
    size_t i, len;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t position, read;

    /* all lengths, so that base64 ends in each of its three ways */
    for (len = 1; len <= MR_EVENT_ID_MAX; len++) {
        memset(event_id, 'e', len);
        event_id[len] = '\0';
        memset(user_id, '\xff', 2 * len);
        user_id[2 * len] = '\0';

        position = event_position(event_id, user_id);
        write_token(&buf, &position, &token);
        for (i = 0; i < token.len; i++) {
            ck_assert(token.data[i] == '-' || token.data[i] == '_'
                      || isalnum((unsigned char) token.data[i]));
        }

        ck_assert_int_eq(
            mr_cursor_read(token, DIGEST, &read, &memory, &err), 0);
        ck_assert_int_eq(read.kind, MR_POSITION_EVENT);
        ck_assert_int_eq(mr_key_cmp(&read.key, &position.key, MR_ORDER_ASC), 0);
        free(memory);
    }

    mr_buf_free(&buf);
}
END_TEST


START_TEST(a_frontier_is_read_back)
{
    size_t i;
    char *memory;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t position, read;
    static const int64_t times[] = {0, 1, 1700000000123, MR_TIMESTAMP_MAX};

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        memset(&position, 0, sizeof(position));
        position.kind = MR_POSITION_FRONTIER;
        position.key.time = times[i];

        write_token(&buf, &position, &token);
        ck_assert_int_eq(
            mr_cursor_read(token, DIGEST, &read, &memory, &err), 0);
        ck_assert_int_eq(read.kind, MR_POSITION_FRONTIER);
        ck_assert_int_eq(read.key.time, times[i]);
        free(memory);
    }

    mr_buf_free(&buf);
}
END_TEST


START_TEST(every_altered_character_is_noticed)
{
    char text[1024], *memory;
    size_t i;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token, altered;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t position, read;

    position = event_position("event", "user");
    write_token(&buf, &position, &token);
    altered.data = text;

    for (i = 0; i < token.len; i++) {
        memcpy(text, token.data, token.len);
        altered.len = token.len;

        text[i] = text[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(
            mr_cursor_read(altered, DIGEST, &read, &memory, &err), -1);
        ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
        ck_assert_str_eq(err.field, "cursor");

        text[i] = '=';
        ck_assert_int_eq(
            mr_cursor_read(altered, DIGEST, &read, &memory, &err), -1);

        memcpy(text, token.data, token.len);
        altered.len = i;
        ck_assert_int_eq(
            mr_cursor_read(altered, DIGEST, &read, &memory, &err), -1);
    }

    memcpy(text, token.data, token.len);
    text[token.len] = 'A';
    altered.len = token.len + 1;
    ck_assert_int_eq(mr_cursor_read(altered, DIGEST, &read, &memory, &err), -1);

    mr_buf_free(&buf);
}
END_TEST


START_TEST(other_filters_are_noticed)
{
    char *memory;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t position, read;

    position = event_position("event", "user");
    write_token(&buf, &position, &token);

    ck_assert_int_eq(
        mr_cursor_read(token, DIGEST + 1, &read, &memory, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "other filters"));

    mr_buf_free(&buf);
}
END_TEST


START_TEST(garbage_is_refused)
{
    char text[800], *memory;
    size_t len;
    uint32_t state;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t read;

    state = 1;
    token.data = text;

    for (len = 0; len < sizeof(text); len++) {
        text[len] = (char) ('A' + test_random(&state) % 26);
        token.len = len;
        ck_assert_int_eq(
            mr_cursor_read(token, DIGEST, &read, &memory, &err), -1);
    }
}
END_TEST


Suite *
suite_cursor(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("cursor");
    tcase = tcase_create("cursor");
    suite_add_tcase(suite, tcase);

    tcase_add_test(tcase, an_event_is_read_back);
    tcase_add_test(tcase, a_frontier_is_read_back);
    tcase_add_test(tcase, every_altered_character_is_noticed);
    tcase_add_test(tcase, other_filters_are_noticed);
    tcase_add_test(tcase, garbage_is_refused);

    return suite;
}
