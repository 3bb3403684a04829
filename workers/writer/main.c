#include <stdio.h>

#include "../common/command_line.h"
#include "../common/log.h"
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
    const char *gap = NULL, *epoch = NULL;

    const mr_command_option_t own[] = {
        {.name = "accept-gap",
            .value = "PARTITION",
            .text = &gap,
            .help = "tell a partition that has stopped at a gap to go on"},
        {.name = "new-epoch",
            .value = "PARTITION",
            .text = &epoch,
            .help = "tell a partition that has stopped at another log to\n"
                    "begin with it"},
        {.name = NULL}};

    const mr_command_line_t line = {
        .program = PROGRAM, .options = own, .check = mr_writer_check};

    mr_log_init(PROGRAM);

    rc = mr_command_line(&line, argc, argv, &options);
    if (rc != -1) {
        return rc;
    }

    if (mr_operator_order(gap, epoch, &order, &err) != 0) {
        (void) fprintf(stderr, "%s: %s\n", PROGRAM, err.message);
        mr_options_free(&options);
        return 2;
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
