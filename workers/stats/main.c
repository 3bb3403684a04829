/*
 * millrace-stats: merges the writers' partials into windows, closes them and
 * publishes them to Kafka.
 */

#include <stdlib.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/run.h"

#include "member.h"


static int stats_run(const mr_options_t *options, mr_error_t *err);


int
main(int argc, char **argv)
{
    int status;
    mr_error_t err;
    mr_options_t options;
    mr_command_line_t line = {
        .program = "millrace-stats", .check = mr_publisher_check};

    mr_log_init(line.program);

    status = mr_command_line(&line, argc, argv, &options);
    if (status != -1) {
        return status;
    }

    status = EXIT_SUCCESS;

    if (stats_run(&options, &err) != 0) {
        mr_log_error("%s", err.message);
        status = EXIT_FAILURE;
    }

    mr_options_free(&options);

    return status;
}


static int
stats_run(const mr_options_t *options, mr_error_t *err)
{
    mr_member_t member;

    if (mr_run_init(err) != 0
        || mr_metrics_start(options->stats.metrics, err) != 0) {
        return -1;
    }

    if (mr_member_open(options, &member, err) != 0) {
        mr_metrics_stop();
        return -1;
    }

    mr_log_info("started");

    mr_member_run(&member);
    mr_member_close(&member);
    mr_metrics_stop();

    mr_log_info("stopped");

    return 0;
}
