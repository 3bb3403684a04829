#include <getopt.h>
#include <stdio.h>

#include "check.h"
#include "options.h"
#include "version.h"


static void mr_command_line_usage(FILE *out, const char *program);


static const struct option mr_command_line_long[] = {
    {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
    {"document", no_argument, NULL, 'D'}, {NULL, 0, NULL, 0}};


int
mr_options_command_line(
    int argc, char **argv, const char *program, mr_options_t *ret_options)
{
    int c, test;
    mr_error_t err;
    const char *path;
    mr_options_t options;

    path = NULL;
    test = 0;

    while ((c = getopt_long(argc, argv, "c:thV", mr_command_line_long, NULL))
           != -1) {
        switch (c) {

        case 'c':
            path = optarg;
            break;

        case 't':
            test = 1;
            break;

        case 'h':
            mr_command_line_usage(stdout, program);
            return 0;

        case 'V':
            printf("%s %s\n", program, MR_VERSION);
            return 0;

        case 'D':
            mr_options_document();
            return 0;

        default:
            mr_command_line_usage(stderr, program);
            return 2;
        }
    }

    if (optind < argc) {
        (void) fprintf(
            stderr, "%s: unexpected argument \"%s\"\n", program, argv[optind]);
        mr_command_line_usage(stderr, program);
        return 2;
    }

    if (mr_options_load(path, &options, &err) == -1) {
        (void) fprintf(stderr, "%s: %s\n", program, err.message);
        return 1;
    }

    if (mr_kafka_check(&options, &err) == -1
        || mr_mongo_check(&options, &err) == -1)
    {
        (void) fprintf(stderr, "%s: %s\n", program, err.message);
        mr_options_free(&options);
        return 1;
    }

    if (test) {
        printf("%s: %s: the configuration is good\n", program,
            path == NULL ? "no file" : path);
        mr_options_free(&options);
        return 0;
    }

    *ret_options = options;

    return -1;
}


static void
mr_command_line_usage(FILE *out, const char *program)
{
    (void) fprintf(out,
        "usage: %s [-c FILE] [-t] [-h] [-V]\n"
        "  -c, --config FILE  configuration; without it every key has its "
        "default\n"
        "  -t, --test         check the configuration and exit\n"
        "  -h, --help         print this and exit\n"
        "  -V, --version      print the version and exit\n"
        "      --document     print all configuration keys as Markdown and "
        "exit\n"
        "MILLRACE_<SECTION>_<KEY> in the environment overrides a key;\n"
        "MILLRACE_LOG is debug, info, warn or error;\n"
        "MILLRACE_LOG_FORMAT is text, logfmt or json.\n",
        program);
}
