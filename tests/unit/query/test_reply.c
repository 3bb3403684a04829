#include <string.h>

#include "check_query.h"
#include "query/reply.h"
#include "query/route.h"


static const char *
text_of(mr_reply_t *reply)
{
    ck_assert_int_eq(mr_buf_append(&reply->body, "", 1), 0);

    return reply->body.data;
}


static const char *
header_of(const mr_reply_t *reply, const char *name)
{
    size_t i;

    for (i = 0; i < reply->n_headers; i++) {
        if (strcmp(reply->headers[i].name, name) == 0) {
            return reply->headers[i].value;
        }
    }

    return NULL;
}


START_TEST(a_problem)
{
    mr_reply_t reply;

    memset(&reply, 0, sizeof(reply));
    ck_assert_int_eq(mr_reply_header(&reply, "ETag", "x"), 0);

    mr_reply_problem(&reply, 400, "limit", "no %s", "\"quotes\"");
    mr_reply_extend(&reply, "more", "yes");

    ck_assert_uint_eq(reply.status, 400);
    ck_assert_str_eq(reply.type, "application/problem+json");
    ck_assert_ptr_null(header_of(&reply, "ETag"));
    ck_assert_ptr_null(header_of(&reply, "Retry-After"));
    ck_assert_str_eq(text_of(&reply),
        "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
        "\"detail\":\"no \\\"quotes\\\"\",\"parameter\":\"limit\","
        "\"more\":\"yes\"}\n");

    mr_reply_free(&reply);
}
END_TEST


typedef struct {
    mr_code_t code;
    unsigned status;
    int shown; /* whether the message may be */
} error_t;


static const error_t errors[] = {
    {MR_ERROR_ARGUMENT, 400, 1},
    {MR_ERROR_TIMEOUT, 503, 1},
    {MR_ERROR_MONGODB, 503, 0},
    {MR_ERROR_MEMORY, 503, 0},
    {MR_ERROR_EVENT, 500, 1},
};


START_TEST(errors_as_problems)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_reply_t reply;

    memset(&reply, 0, sizeof(reply));
    (void) mr_error_set(&err, errors[_i].code, NULL, "host-7:27017");

    mr_reply_error(&reply, &err);

    ck_assert_uint_eq(reply.status, errors[_i].status);
    ck_assert_int_eq(
        header_of(&reply, "Retry-After") != NULL, errors[_i].status == 503);
    ck_assert_int_eq(
        strstr(text_of(&reply), "host-7") != NULL, errors[_i].shown);

    mr_reply_free(&reply);
}
END_TEST


typedef struct {
    const char *method;
    const char *path;
    unsigned status; /* 0: has a route */
    const char *allow;
} route_test_t;


static const route_test_t routes[] = {
    {"GET", "/events", 0, NULL},
    {"HEAD", "/stats", 0, NULL},
    {"GET", "/healthz", 0, NULL},
    {"GET", "/readyz", 0, NULL},
    {"GET", "/readyz/query", 0, NULL},
    {"POST", "/events", 405, "GET, HEAD, POST, OPTIONS"},
    {"OPTIONS", "/events", 204, "GET, HEAD, POST, OPTIONS"},
    {"OPTIONS", "/stats", 405, "GET, HEAD"},
    {"get", "/stats", 405, "GET, HEAD"},
    {"GET", "/stat", 404, NULL},
    {"GET", "/stats/", 404, NULL},
    {"GET", "", 404, NULL},
    {"DELETE", "/", 404, NULL},
};


START_TEST(routing)
{
    mr_reply_t reply;
    mr_request_t request;
    const char *allow;
    const mr_route_t *route;
    const route_test_t *test;

    test = &routes[_i];
    memset(&reply, 0, sizeof(reply));
    memset(&request, 0, sizeof(request));
    request.method = test->method;
    request.path = test_str(test->path);

    route = mr_route_find(&request, &reply);
    ck_assert_uint_eq(reply.status, test->status);
    ck_assert_int_eq(route != NULL, test->status == 0);

    if (route != NULL) {
        ck_assert_str_eq(route->path, test->path);
    }

    allow = header_of(&reply, "Allow");

    if (test->allow == NULL) {
        ck_assert_ptr_null(allow);

    } else {
        ck_assert_ptr_nonnull(allow);
        ck_assert_str_eq(allow, test->allow);
    }

    mr_reply_free(&reply);
}
END_TEST


Suite *
suite_reply(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("reply");
    tcase = tcase_create("reply");
    suite_add_tcase(suite, tcase);

    tcase_add_test(tcase, a_problem);
    tcase_add_loop_test(tcase, errors_as_problems, 0,
        (int) (sizeof(errors) / sizeof(errors[0])));
    tcase_add_loop_test(
        tcase, routing, 0, (int) (sizeof(routes) / sizeof(routes[0])));

    return suite;
}
