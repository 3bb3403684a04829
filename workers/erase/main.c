/* millrace-erase: removes one user's events from what is stored. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/check.h"
#include "../common/log.h"
#include "../common/run.h"
#include "../common/version.h"
#include "store.h"


#define ERASE_PROGRAM "millrace-erase"


typedef struct {
    const char *config;
    const char *user;
    int count_only;
} erase_arguments_t;


static int erase_arguments(
    int argc, char **argv, erase_arguments_t *ret_arguments);
static int erase_run(const erase_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);
static void erase_usage(FILE *out);


static const struct option erase_long[] = {
    {"config", required_argument, NULL, 'c'},
    {"user", required_argument, NULL, 'u'}, {"count", no_argument, NULL, 'n'},
    {"test", no_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};


int
main(int argc, char **argv)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    erase_arguments_t arguments;

    rc = erase_arguments(argc, argv, &arguments);

    if (rc != -1) {
        return rc;
    }

    mr_log_init(ERASE_PROGRAM);

    if (mr_options_load(arguments.config, &options, &err) == -1) {
        (void) fprintf(stderr, ERASE_PROGRAM ": %s\n", err.message);
        return 1;
    }

    rc = mr_mongo_check(&options, &err);

    if (rc == 0 && arguments.user == NULL) {
        printf(ERASE_PROGRAM ": %s: the configuration is good\n",
            arguments.config == NULL ? "no file" : arguments.config);

    } else if (rc == 0) {
        rc = erase_run(&arguments, &options, &err);
    }

    mr_options_free(&options);

    if (rc == -1) {
        (void) fprintf(stderr, ERASE_PROGRAM ": %s\n", err.message);
        return 1;
    }

    return 0;
}


static int
erase_run(const erase_arguments_t *arguments, const mr_options_t *options,
    mr_error_t *err)
{
    int rc;
    mr_erased_t erased;

    if (mr_run_init(err) == -1) {
        return -1;
    }

    erased.events = 0;
    erased.blocks = 0;

    rc = mr_store_erase(options,
        (mr_str_t){arguments->user, strlen(arguments->user)},
        arguments->count_only, &erased, err);

    printf("%s %lld events in %lld blocks\n",
        arguments->count_only ? "found" : "erased", (long long) erased.events,
        (long long) erased.blocks);

    return rc;
}


/* The exit status, or -1 to go on. */
static int
erase_arguments(int argc, char **argv, erase_arguments_t *ret_arguments)
{
    int c, test;
    erase_arguments_t arguments = {NULL, NULL, 0};

    test = 0;

    while ((c = getopt_long(argc, argv, "c:u:nthV", erase_long, NULL)) != -1) {
        switch (c) {

        case 'c':
            arguments.config = optarg;
            break;

        case 'u':
            arguments.user = optarg;
            break;

        case 'n':
            arguments.count_only = 1;
            break;

        case 't':
            test = 1;
            break;

        case 'h':
            erase_usage(stdout);
            return 0;

        case 'V':
            printf(ERASE_PROGRAM " %s\n", MR_VERSION);
            return 0;

        default:
            erase_usage(stderr);
            return 2;
        }
    }

    if (optind < argc) {
        (void) fprintf(stderr, ERASE_PROGRAM ": unexpected argument \"%s\"\n",
            argv[optind]);
        erase_usage(stderr);
        return 2;
    }

    if (test) {
        arguments.user = NULL;

    } else if (arguments.user == NULL || *arguments.user == '\0'
               || strlen(arguments.user) > MR_USER_ID_MAX)
    {
        (void) fprintf(stderr,
            ERASE_PROGRAM ": --user is a user_id of 1 to %d bytes\n",
            MR_USER_ID_MAX);
        return 2;
    }

    *ret_arguments = arguments;

    return -1;
}


static void
erase_usage(FILE *out)
{
    (void) fprintf(out,
        "usage: " ERASE_PROGRAM " --user USER_ID [--count] [-c FILE] [-t]"
        " [-h] [-V]\n"
        "Removes a user's events from MongoDB; what GET /stats answers stays.\n"
        "  -u, --user USER_ID  whose events\n"
        "  -n, --count         only count them\n"
        "  -c, --config FILE   configuration; without it every key has its "
        "default\n"
        "  -t, --test          check the configuration and exit\n"
        "  -h, --help          print this and exit\n"
        "  -V, --version       print the version and exit\n");
}
