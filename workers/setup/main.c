#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <millrace/time.h>

#include "../common/check.h"
#include "../common/log.h"
#include "../common/run.h"
#include "../common/version.h"
#include "setup.h"
#include "store.h"


#define MR_PROGRAM "millrace-setup"
#define MR_TIMEOUT 60       /* s */
#define MR_TIMEOUT_MAX 3600 /* s */


typedef struct {
    const char *config;
    int test;
    int initiate;
    int add_partitions;
    int64_t timeout; /* ms */
} mr_arguments_t;


static int mr_setup_arguments(
    int argc, char **argv, mr_arguments_t *ret_arguments);
static int mr_setup_timeout(const char *text, int64_t *ret_timeout);
static int mr_setup_run(const mr_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);
static void mr_setup_usage(FILE *out);


static const struct option mr_setup_long[] = {
    {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
    {"initiate", no_argument, NULL, 'i'},
    {"add-partitions", no_argument, NULL, 'p'},
    {"timeout", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};


int
main(int argc, char **argv)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    mr_arguments_t arguments;

    rc = mr_setup_arguments(argc, argv, &arguments);

    if (rc != -1) {
        return rc;
    }

    mr_log_init(MR_PROGRAM);

    if (mr_options_load(arguments.config, &options, &err) == -1) {
        (void) fprintf(stderr, MR_PROGRAM ": %s\n", err.message);
        return 1;
    }

    if (mr_kafka_check(&options, &err) == -1
        || mr_mongo_check(&options, &err) == -1)
    {
        rc = -1;

    } else if (arguments.test) {
        printf(MR_PROGRAM ": %s: the configuration is good\n",
            arguments.config == NULL ? "no file" : arguments.config);
        rc = 0;

    } else {
        rc = mr_setup_run(&arguments, &options, &err);
    }

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
mr_setup_run(const mr_arguments_t *arguments, const mr_options_t *options,
    mr_error_t *err)
{
    mr_setup_t setup;

    if (mr_run_init(err) == -1) {
        return -1;
    }

    setup.options = options;
    setup.deadline = mr_time_monotonic() + arguments->timeout;
    setup.initiate = arguments->initiate;
    setup.add_partitions = arguments->add_partitions;

    if (setup.initiate && mr_store_initiate(&setup, err) == -1) {
        return -1;
    }

    /*
     * MongoDB first: it knows whether this database fits the configuration,
     * before anything is changed in Kafka.
     */
    if (mr_store_setup(&setup, err) == -1 || mr_setup_topics(&setup, err) == -1)
    {
        return -1;
    }

    mr_setup_say("ready");

    return 0;
}


/* The exit status, or -1 to go on. */
static int
mr_setup_arguments(int argc, char **argv, mr_arguments_t *ret_arguments)
{
    int c;
    mr_arguments_t arguments = {NULL, 0, 0, 0, MR_TIMEOUT * 1000};

    while ((c = getopt_long(argc, argv, "c:thV", mr_setup_long, NULL)) != -1) {
        switch (c) {

        case 'c':
            arguments.config = optarg;
            break;

        case 't':
            arguments.test = 1;
            break;

        case 'i':
            arguments.initiate = 1;
            break;

        case 'p':
            arguments.add_partitions = 1;
            break;

        case 'T':
            if (mr_setup_timeout(optarg, &arguments.timeout) == -1) {
                (void) fprintf(stderr,
                    MR_PROGRAM ": --timeout is a whole number of seconds, 1 "
                               "to %d\n",
                    MR_TIMEOUT_MAX);
                return 2;
            }
            break;

        case 'h':
            mr_setup_usage(stdout);
            return 0;

        case 'V':
            printf(MR_PROGRAM " %s\n", MR_VERSION);
            return 0;

        default:
            mr_setup_usage(stderr);
            return 2;
        }
    }

    if (optind < argc) {
        (void) fprintf(
            stderr, MR_PROGRAM ": unexpected argument \"%s\"\n", argv[optind]);
        mr_setup_usage(stderr);
        return 2;
    }

    *ret_arguments = arguments;

    return -1;
}


static int
mr_setup_timeout(const char *text, int64_t *ret_timeout)
{
    char *end;
    long seconds;

    seconds = strtol(text, &end, 10);

    if (end == text || *end != '\0' || seconds < 1 || seconds > MR_TIMEOUT_MAX)
    {
        return -1;
    }

    *ret_timeout = (int64_t) seconds * 1000;

    return 0;
}


static void
mr_setup_usage(FILE *out)
{
    (void) fprintf(out,
        "usage: " MR_PROGRAM " [-c FILE] [--initiate] [--add-partitions]\n"
        "                      [--timeout SECONDS] [-t] [-h] [-V]\n"
        "Creates or mends the topics, collections and indexes; safe to "
        "repeat.\n"
        "  -c, --config FILE    configuration; without it every key has its "
        "default\n"
        "  --initiate           make the one mongod of the URI a replica "
        "set if it\n"
        "                       is none yet\n"
        "  --add-partitions     allow adding partitions to the events "
        "topic:\n"
        "                       events repeated across that moment are "
        "stored twice\n"
        "  --timeout SECONDS    how long to wait for Kafka and MongoDB "
        "(default %d)\n"
        "  -t, --test           check the configuration and exit\n"
        "  -h, --help           print this and exit\n"
        "  -V, --version        print the version and exit\n",
        MR_TIMEOUT);
}
