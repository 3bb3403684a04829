/* The unit tests of the query daemon. */

#include <stdlib.h>
#include <string.h>

#include "check_query.h"


static const mr_param_spec_t test_specs[] = {
    {"user_id", 0},
    {"event_type", 1},
    {"event_id", 0},
    {"from", 0},
    {"to", 0},
    {"order", 0},
    {"limit", 0},
    {"cursor", 0},
    {NULL, 0},
};


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_params());
    srunner_add_suite(runner, suite_cursor());
    srunner_add_suite(runner, suite_plan());
    srunner_add_suite(runner, suite_page());
    srunner_add_suite(runner, suite_render());
    srunner_add_suite(runner, suite_stats());
    srunner_add_suite(runner, suite_reply());
    srunner_add_suite(runner, suite_stream());
    srunner_add_suite(runner, suite_accept());
    srunner_add_suite(runner, suite_crew());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


mr_str_t
test_str(const char *text)
{
    mr_str_t str;

    str.data = text;
    str.len = strlen(text);

    return str;
}


void
test_plan(const char *query, mr_params_t *params, mr_plan_t *plan)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_msg(
        mr_params_parse(test_str(query), test_specs, params, &err) == 0,
        "%s: %s", query, err.message);
    ck_assert_msg(mr_plan_create(params, MR_LIMIT_LINES, plan, &err) == 0,
        "%s: %s", query, err.message);
}


/* Knuth's linear congruential generator, its upper half. */
uint32_t
test_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;

    return *state >> 8;
}
