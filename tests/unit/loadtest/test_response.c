#include <string.h>

#include <generator/response.h>

#include "check_loadtest.h"


#define BAD (-1)   /* no HTTP answer */
#define OPEN (-2)  /* it ends with the connection */
#define SHORT (-3) /* not complete, and the end does not complete it */


typedef struct {
    const char *text;
    int status; /* or one of the above */
    const char *body;
    int close;
    int retry_after;
    size_t more; /* bytes after the answer */
} row_t;


static const row_t rows[] = {
    {"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", 204, "", 0, -1, 0},
    {"HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{\"accepted\":1}", 202,
        "{\"accepted\":1}", 0, -1, 0},
    {"HTTP/1.1 202 \r\ncontent-LENGTH:0\r\n\r\n", 202, "", 0, -1, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1", 200, "ab", 0, -1,
        8},
    {"HTTP/1.1 503 Away\r\nRetry-After: 5\r\nConnection: close\r\n"
     "Content-Length: 1\r\n\r\nx",
        503, "x", 1, 5, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\nA;x=\"1\"\r\n0123456789\r\n0\r\n\r\n",
        200, "abc0123456789", 0, -1, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\nab\r\n0\r\nTrailer: yes\r\n\r\nmore",
        200, "ab", 0, -1, 4},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n"
     "\r\n1\r\na\r\n0\r\n\r\n",
        200, "a", 0, -1, 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, "", 0,
        -1, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "a", 1, -1, 0},
    {"HTTP/1.1 200 OK\r\n\r\nto the end", OPEN, "to the end", 1, -1, 0},

    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", SHORT, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", SHORT, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", SHORT,
        NULL, 0, 0, 0},

    {"HTTP/2 200 OK\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"SSH-2.0-OpenSSH\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 2x0 OK\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 099 OK\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 101 Switching\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nno field\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BAD, NULL, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", BAD, NULL, 0,
        0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", BAD, NULL, 0,
        0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "11111111111111111\r\n",
        BAD, NULL, 0, 0, 0}};


/* Feed `text` in pieces of `step` bytes; what comes of it is the row's. */
static void
feed(const row_t *row, size_t step)
{
    size_t at, len, n;
    int64_t taken;
    static mr_response_t response;

    mr_response_init(&response);

    len = strlen(row->text);

    for (at = 0; at < len && response.state != MR_RESPONSE_DONE;
         at += (size_t) taken)
    {
        n = len - at < step ? len - at : step;
        taken = mr_response_feed(&response, row->text + at, n);

        if (taken < 0) {
            ck_assert_msg(row->status == BAD, "refused: %s", row->text);
            return;
        }

        ck_assert_msg((size_t) taken == n || response.state == MR_RESPONSE_DONE,
            "%s", row->text);
    }

    ck_assert_msg(row->status != BAD, "taken: %s", row->text);

    if (row->status == SHORT) {
        ck_assert_int_ne(response.state, MR_RESPONSE_DONE);
        ck_assert_int_eq(mr_response_end(&response), -1);
        return;
    }

    if (row->status == OPEN) {
        ck_assert_int_ne(response.state, MR_RESPONSE_DONE);
        ck_assert_int_eq(mr_response_end(&response), 0);

    } else {
        ck_assert_uint_eq(response.status, (unsigned) row->status);
    }

    ck_assert_int_eq(response.state, MR_RESPONSE_DONE);
    ck_assert_uint_eq(response.body_len, strlen(row->body));
    ck_assert_mem_eq(response.body, row->body, response.body_len);
    ck_assert_int_eq(response.close, row->close);
    ck_assert_int_eq(response.retry_after, row->retry_after);
    ck_assert_uint_eq(len - at, row->more);
    ck_assert_uint_eq(response.received, at);
}


START_TEST(test_pieces)
{
    size_t step;

    for (step = 1; step < 120; step++) {
        feed(&rows[_i], step);
    }
}
END_TEST


START_TEST(test_long_body)
{
    size_t i;
    static mr_response_t response;
    static const char head[] =
        "HTTP/1.1 400 Bad\r\nContent-Length: 5000\r\n\r\n";

    mr_response_init(&response);
    ck_assert_int_eq(mr_response_feed(&response, head, strlen(head)),
        (int64_t) strlen(head));

    for (i = 0; i < 5000; i++) {
        ck_assert_int_ne(response.state, MR_RESPONSE_DONE);
        ck_assert_int_eq(mr_response_feed(&response, "z", 1), 1);
    }

    ck_assert_int_eq(response.state, MR_RESPONSE_DONE);
    ck_assert_uint_eq(response.body_len, MR_RESPONSE_BODY_KEPT);
}
END_TEST


START_TEST(test_endless_head)
{
    int64_t taken;
    size_t i;
    static mr_response_t response;

    mr_response_init(&response);
    taken = mr_response_feed(&response, "HTTP/1.1 200 OK\r\n", 17);

    for (i = 0; i < MR_RESPONSE_HEAD_MAX && taken >= 0; i++) {
        taken = mr_response_feed(&response, "a", 1);
    }

    ck_assert_int_eq(taken, -1);
}
END_TEST


START_TEST(test_number)
{
    size_t i;
    static mr_response_t response;
    static const struct {
        const char *body;
        int64_t number;
    } cases[] = {{"{\"accepted\":100}\n", 100}, {"{\"accepted\": 7}", 7},
        {"{\"a\":1,\"accepted\":0}", 0}, {"{\"accepted\":\"1\"}", -1},
        {"{\"accepted\":-1}", -1}, {"{\"accepte\":1}", -1},
        {"accepted\":1", -1}, {"", -1}, {"{\"accepted\":", -1}};

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mr_response_init(&response);
        response.body_len = strlen(cases[i].body);
        memcpy(response.body, cases[i].body, response.body_len);

        ck_assert_msg(
            mr_response_number(&response, "accepted") == cases[i].number, "%s",
            cases[i].body);
    }
}
END_TEST


Suite *
suite_response(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("response");

    tc = tcase_create("response");
    tcase_add_loop_test(
        tc, test_pieces, 0, (int) (sizeof(rows) / sizeof(rows[0])));
    tcase_add_test(tc, test_long_body);
    tcase_add_test(tc, test_endless_head);
    tcase_add_test(tc, test_number);
    suite_add_tcase(suite, tc);

    return suite;
}
