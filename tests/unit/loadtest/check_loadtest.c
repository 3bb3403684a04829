/* The unit tests of the load generator and of the audit. */

#include <stdlib.h>

#include "check_loadtest.h"


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_response());
    srunner_add_suite(runner, suite_histogram());
    srunner_add_suite(runner, suite_workload());
    srunner_add_suite(runner, suite_audit());
    srunner_add_suite(runner, suite_client());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
