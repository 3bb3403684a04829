#include <stdio.h>

#include "../common/log.h"
#include "../common/options.h"
#include "../common/run.h"
#include "operator.h"
#include "writer.h"


#define PROGRAM "millrace-writer"


int
main(int argc, char **argv)
{
    int rc;
    mr_order_t order;
    mr_error_t err;
    mr_options_t options;

    mr_log_init(PROGRAM);

    if (mr_operator_parse(&argc, argv, &order, &err) != 0) {
        (void) fprintf(stderr, "%s: %s\n", PROGRAM, err.message);
        return 2;
    }

    rc = mr_options_command_line(argc, argv, PROGRAM, &options);
    if (rc != -1) {
        return rc;
    }

    if (order.what != MR_RESUME_NONE) {
        rc = mr_operator_give(&options, &order, &err);

        if (rc != 0) {
            (void) fprintf(stderr, "%s: %s\n", PROGRAM, err.message);
        }

        mr_options_free(&options);
        return rc == 0 ? 0 : 1;
    }

    rc = mr_run_init(&err);

    if (rc == 0) {
        mr_log_info("topic=%s group=%s database=%s started",
            options.kafka.topic, options.writer.group,
            options.mongodb.database);

        rc = mr_writer_run(&options, &err);
    }

    if (rc != 0) {
        mr_log_error("%s", err.message);

    } else {
        mr_log_info("stopped");
    }

    mr_options_free(&options);

    return rc == 0 ? 0 : 1;
}
