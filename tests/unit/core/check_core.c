#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check_core.h"


mr_str_t
mr_check_str(const char *text)
{
    mr_str_t s;

    s.data = text;
    s.len = strlen(text);

    return s;
}


int
mr_check_parse(
    mr_parser_t *parser, mr_str_t text, mr_event_t *ret_event, mr_error_t *err)
{
    int rc;
    char *copy;
    mr_str_t exact;

    copy = malloc(text.len);
    ck_assert(copy != NULL || text.len == 0);

    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }

    exact.data = copy;
    exact.len = text.len;

    rc = mr_event_parse(parser, exact, ret_event, err);

    ck_assert_msg(text.len == 0 || memcmp(copy, text.data, text.len) == 0,
        "the text was written to");

    /* What was parsed must not depend on the text being there. */

    free(copy);

    return rc;
}


char *
mr_check_with_metadata(const char *metadata)
{
    char *text;

    ck_assert_int_gt(asprintf(&text,
                         "{\"event_id\":\"e\",\"user_id\":\"u\","
                         "\"event_type\":\"t\",\"timestamp\":1,"
                         "\"metadata\":%s}",
                         metadata),
        0);

    return text;
}


double
mr_check_cpu(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(mr_suite_error());

    srunner_add_suite(runner, mr_suite_str());
    srunner_add_suite(runner, mr_suite_uuid());
    srunner_add_suite(runner, mr_suite_time());
    srunner_add_suite(runner, mr_suite_json());
    srunner_add_suite(runner, mr_suite_event());
    srunner_add_suite(runner, mr_suite_metadata());
    srunner_add_suite(runner, mr_suite_value());
    srunner_add_suite(runner, mr_suite_scan());
    srunner_add_suite(runner, mr_suite_batch());
    srunner_add_suite(runner, mr_suite_format());
    srunner_add_suite(runner, mr_suite_coding());
    srunner_add_suite(runner, mr_suite_inflate());
    srunner_add_suite(runner, mr_suite_receipt());
    srunner_add_suite(runner, mr_suite_sketch());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
