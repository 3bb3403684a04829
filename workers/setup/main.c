#include <stdarg.h>
#include <stdio.h>

#include <millrace/time.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/run.h"
#include "setup.h"
#include "store.h"


#define MR_PROGRAM "millrace-setup"


static int mr_setup_run(mr_setup_t *setup, mr_error_t *err);


int
main(int argc, char **argv)
{
    int rc;
    int64_t timeout = 60 * 1000; /* ms */
    mr_error_t err = MR_ERROR_INIT;
    mr_setup_t setup = {.initiate = 0};
    mr_options_t options;

    const mr_command_option_t own[] = {
        {.name = "initiate",
            .flag = &setup.initiate,
            .help = "make the one mongod of the URI a replica set if it\n"
                    "is none yet"},
        {.name = "add-partitions",
            .flag = &setup.add_partitions,
            .help = "allow adding partitions to the events topic: events\n"
                    "repeated across that moment are stored twice"},
        {.name = "lower-retention",
            .flag = &setup.lower_retention,
            .help = "allow shortening how long a topic keeps its records:\n"
                    "Kafka deletes at once what is older"},
        {.name = "timeout",
            .value = "SECONDS",
            .ms = &timeout,
            .help = "how long to wait for Kafka and MongoDB (default 60)"},
        {.name = NULL}};

    const mr_command_line_t line = {.program = MR_PROGRAM,
        .summary = "Creates or mends the topics, collections and indexes; safe "
                   "to repeat.\n",
        .options = own};

    mr_log_init(MR_PROGRAM);

    rc = mr_command_line(&line, argc, argv, &options);

    if (rc != -1) {
        return rc;
    }

    setup.options = &options;
    setup.deadline = mr_time_monotonic() + timeout;

    rc = mr_setup_run(&setup, &err);

    mr_options_free(&options);

    if (rc == -1) {
        (void) fprintf(stderr, MR_PROGRAM ": %s\n", err.message);
        return 1;
    }

    return 0;
}


void
mr_setup_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    putchar('\n');
    (void) fflush(stdout);
}


static int
mr_setup_run(mr_setup_t *setup, mr_error_t *err)
{
    int rc;
    mr_mongo_t *mongo;

    if (mr_run_init(err) == -1) {
        return -1;
    }

    if (setup->initiate && mr_store_initiate(setup, err) == -1) {
        return -1;
    }

    if (mr_store_open(setup, &mongo, err) == -1) {
        return -1;
    }

    /*
     * MongoDB first: it knows whether this database fits the configuration,
     * before anything is changed in Kafka.
     */
    rc = mr_store_setup(setup, mongo, err);

    if (rc == 0) {
        rc = mr_setup_topics(setup, err);
    }

    if (rc == 0) {
        rc = mr_store_retention(setup, mongo, err);
    }

    if (rc == 0) {
        mr_setup_say("ready");
    }

    mr_mongo_close(mongo);

    return rc;
}
