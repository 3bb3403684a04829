/* The unit tests of the windows and of the statistics daemon. */

#include <stdlib.h>

#include "check_stats.h"


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_window());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
