/* The unit tests of the writer's pure parts. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_writer.h"


static uint64_t state;


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_span());
    srunner_add_suite(runner, suite_block());
    srunner_add_suite(runner, suite_dedup());
    srunner_add_suite(runner, suite_encode());
    srunner_add_suite(runner, suite_partials());
    srunner_add_suite(runner, suite_ledger());
    srunner_add_suite(runner, suite_partition());
    srunner_add_suite(runner, suite_operator());
    srunner_add_suite(runner, suite_sketches());
    srunner_add_suite(runner, suite_registry());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


void
test_seed(uint64_t seed)
{
    state = seed;
}


uint64_t
test_random(void)
{
    uint64_t z;

    state += UINT64_C(0x9e3779b97f4a7c15);
    z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);

    return z ^ (z >> 31);
}


uint64_t
test_below(uint64_t n)
{
    return test_random() % n;
}


void
test_options(mr_options_t *options, size_t n_measures)
{
    char name[24], text[40];
    size_t i;
    mr_error_t err;
    mr_measure_t *measure;

    memset(options, 0, sizeof(mr_options_t));

    options->stats.keep_second = INT64_C(3600) * 1000;
    options->stats.keep_minute = INT64_C(35) * 86400 * 1000;
    options->measures.n = n_measures;

    for (i = 0; i < n_measures; i++) {
        measure = &options->measures.list[i];

        (void) snprintf(name, sizeof(name), "m%zu", i);
        (void) snprintf(text, sizeof(text), "/metadata/m%zu", i);

        measure->name = strdup(name);
        measure->text = strdup(text);

        ck_assert_int_eq(mr_pointer_compile((mr_str_t){text, strlen(text)},
                             &measure->pointer, &err),
            0);
    }
}


void
test_options_free(mr_options_t *options)
{
    size_t i;

    for (i = 0; i < options->measures.n; i++) {
        free(options->measures.list[i].name);
        free(options->measures.list[i].text);
        mr_pointer_destroy(options->measures.list[i].pointer);
    }
}


mr_event_t
test_parse(mr_parser_t *parser, const char *json)
{
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_msg(
        mr_event_parse(parser, (mr_str_t){json, strlen(json)}, &event, &err)
            == 0,
        "%s: %s", json, err.message);

    return event;
}
