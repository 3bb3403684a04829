#include "check_query.h"
#include "query/accept.h"


typedef struct {
    const char *accept;
    int lines;
} row_t;


static const row_t rows[] = {
    {NULL, 0},
    {"", 0},
    {"*/*", 0},
    {"application/json", 0},
    {"application/x-ndjson", 1},
    {"APPLICATION/X-NDJSON", 1},
    {"application/ndjson", 1},
    {"application/jsonl", 1},
    {"application/x-ndjson2", 0},
    {"text/x-ndjson", 0},

    /* The greater quality, wherever it stands. */
    {"application/x-ndjson;q=0.5, application/json", 0},
    {"application/json;q=0.5, application/x-ndjson;q=0.6", 1},
    {"application/x-ndjson;q=0.6, application/json;q=0.601", 0},
    {"application/x-ndjson;q=0.001, application/json;q=0", 1},
    {"application/x-ndjson;q=0", 0},
    {"application/x-ndjson;q=0, application/json;q=0", 0},
    {"application/x-ndjson ; charset=utf-8 ; Q=0.9,application/json;q=0.8", 1},

    /* Equal: the one that is named more exactly. */
    {"application/json, application/x-ndjson", 0},
    {"application/x-ndjson, application/json", 0},
    {"application/x-ndjson, */*", 1},
    {"*/*, application/x-ndjson", 1},
    {"application/*, application/x-ndjson", 1},
    {"application/*", 0},
    {"application/json, */*", 0},

    /* The most exact range decides, not the best one. */
    {"*/*, application/json;q=0.1", 1},
    {"application/*;q=0.2, application/json;q=0.1, */*;q=0", 1},
    {"*/*;q=0.9, application/x-ndjson;q=0.1", 0},

    /* What cannot be read is not there. */
    {"application/x-ndjson;q=2", 0},
    {"application/x-ndjson;q=1.001", 0},
    {"application/x-ndjson;q=0.0001", 0},
    {"application/x-ndjson;q=", 0},
    {"application/x-ndjson;q=x", 0},
    {"application/x-ndjson/x", 0},
    {"application/", 0},
    {"/x-ndjson", 0},
    {"x-ndjson", 0},
    {"*/x-ndjson", 0},
    {"text/html;a=\"b, application/x-ndjson\"", 0},
    {"text/html;a=\"b\\\", application/x-ndjson", 0},
    {"text/html;a=\"b\\\"\", application/x-ndjson", 1},
    {",,, application/x-ndjson ,", 1},
    {"application/x-ndjson;;q=0.5,application/json;q=0.4", 1},
    {";,=,\"", 0},
};

#define ROWS ((int) (sizeof(rows) / sizeof(rows[0])))


START_TEST(the_form_of_an_answer)
{
    ck_assert_msg(mr_accept_lines(rows[_i].accept) == rows[_i].lines, "%s",
        rows[_i].accept);
}
END_TEST


Suite *
suite_accept(void)
{
    Suite *suite = suite_create("accept");
    TCase *tc = tcase_create("accept");

    tcase_add_loop_test(tc, the_form_of_an_answer, 0, ROWS);
    suite_add_tcase(suite, tc);

    return suite;
}
