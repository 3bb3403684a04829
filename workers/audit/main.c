#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/check.h"
#include "../common/log.h"
#include "../common/run.h"
#include "../common/version.h"
#include "audit.h"


#define AUDIT_PROGRAM "millrace-audit"
#define AUDIT_MINUTES 60
#define AUDIT_TIMEOUT 60       /* s */
#define AUDIT_TIMEOUT_MAX 3600 /* s */

/* Exit statuses besides 0 */
#define AUDIT_UNBALANCED 1
#define AUDIT_FAILED 2


typedef enum { AUDIT_TEXT, AUDIT_JSON, AUDIT_METRICS } audit_form_t;

typedef struct {
    const char *config;
    const char *from;
    const char *to;
    const char *acknowledged;
    audit_form_t form;
    int settle;
    int test;
    int64_t timeout; /* ms */
} audit_arguments_t;


static int audit_arguments(
    int argc, char **argv, audit_arguments_t *ret_arguments);
static int audit_timeout(const char *text, int64_t *ret_timeout);
static int audit_acknowledged(
    mr_audit_t *audit, const char *name, mr_error_t *err);
static int audit_period(const audit_arguments_t *arguments, int64_t now,
    int64_t *ret_from, int64_t *ret_to, mr_error_t *err);
static int audit_run(const audit_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);
static void audit_usage(FILE *out);


static const struct option audit_long[] = {
    {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
    {"from", required_argument, NULL, 'f'},
    {"to", required_argument, NULL, 'u'}, {"json", no_argument, NULL, 'j'},
    {"acknowledged", required_argument, NULL, 'a'},
    {"metrics", no_argument, NULL, 'm'}, {"settle", no_argument, NULL, 's'},
    {"timeout", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};


int
main(int argc, char **argv)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    audit_arguments_t arguments;

    rc = audit_arguments(argc, argv, &arguments);

    if (rc != -1) {
        return rc;
    }

    mr_log_init(AUDIT_PROGRAM);

    if (mr_options_load(arguments.config, &options, &err) == -1) {
        (void) fprintf(stderr, AUDIT_PROGRAM ": %s\n", err.message);
        return AUDIT_FAILED;
    }

    if (mr_kafka_check(&options, &err) == -1
        || mr_mongo_check(&options, &err) == -1)
    {
        rc = -1;

    } else if (arguments.test) {
        printf(AUDIT_PROGRAM ": %s: the configuration is good\n",
            arguments.config == NULL ? "no file" : arguments.config);
        rc = 0;

    } else {
        rc = audit_run(&arguments, &options, &err);
    }

    mr_options_free(&options);

    if (rc == -1) {
        (void) fprintf(stderr, AUDIT_PROGRAM ": %s\n", err.message);
        return AUDIT_FAILED;
    }

    return rc;
}


/* The exit status, or -1 when there is no verdict. */
static int
audit_run(const audit_arguments_t *arguments, const mr_options_t *options,
    mr_error_t *err)
{
    int rc;
    int64_t now, from = 0, to = 0;
    mr_audit_t audit;

    now = mr_time_now();

    if (audit_period(arguments, now, &from, &to, err) != 0
        || mr_run_init(err) == -1
        || mr_audit_init(&audit, options, from, to, now, err) != 0)
    {
        return -1;
    }

    rc = audit_acknowledged(&audit, arguments->acknowledged, err);

    if (rc == 0) {
        rc = mr_audit_gather(&audit, arguments->settle,
            mr_time_monotonic() + arguments->timeout, err);
    }

    if (rc == 0) {
        mr_audit_judge(&audit);

        switch (arguments->form) {

        case AUDIT_JSON:
            rc = mr_audit_print_json(&audit, err);
            break;

        case AUDIT_METRICS:
            mr_audit_print_metrics(&audit);
            break;

        case AUDIT_TEXT:
            mr_audit_print(&audit);
            break;
        }
    }

    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        rc = mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "the report could not be written");
    }

    if (rc == 0 && audit.n_findings != 0) {
        rc = AUDIT_UNBALANCED;
    }

    mr_audit_free(&audit);

    return rc;
}


static int
audit_acknowledged(mr_audit_t *audit, const char *name, mr_error_t *err)
{
    int rc;
    FILE *in;

    if (name == NULL) {
        return 0;
    }

    if (strcmp(name, "-") == 0) {
        return mr_audit_acknowledged(audit, stdin, "standard input", err);
    }

    in = fopen(name, "re");
    if (in == NULL) {
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "%s: %s", name, strerror(errno));
    }

    rc = mr_audit_acknowledged(audit, in, name, err);
    (void) fclose(in);

    return rc;
}


/* Widened to whole minutes. */
static int
audit_period(const audit_arguments_t *arguments, int64_t now, int64_t *ret_from,
    int64_t *ret_to, mr_error_t *err)
{
    int64_t from, to;
    mr_error_t why;

    to = now;

    if (arguments->to != NULL
        && mr_time_parse(
               (mr_str_t){arguments->to, strlen(arguments->to)}, &to, &why)
               != 0)
    {
        return mr_error_set(err, why.code, NULL, "--to: %s", why.message);
    }

    to = mr_time_floor(to + MR_AUDIT_MINUTE - 1, MR_AUDIT_MINUTE);
    from = to - AUDIT_MINUTES * MR_AUDIT_MINUTE;

    if (arguments->from != NULL
        && mr_time_parse((mr_str_t){arguments->from, strlen(arguments->from)},
               &from, &why)
               != 0)
    {
        return mr_error_set(err, why.code, NULL, "--from: %s", why.message);
    }

    from = mr_time_floor(from, MR_AUDIT_MINUTE);

    if (from < 0) {
        from = 0;
    }

    if (from >= to) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "the period is empty: --from must be before --to");
    }

    if ((to - from) / MR_AUDIT_MINUTE > MR_AUDIT_MINUTES_MAX) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "the period has %lld minutes; at most %d (a week) can be audited "
            "at once",
            (long long) ((to - from) / MR_AUDIT_MINUTE), MR_AUDIT_MINUTES_MAX);
    }

    *ret_from = from;
    *ret_to = to;

    return 0;
}


/* The exit status, or -1 to go on. */
static int
audit_arguments(int argc, char **argv, audit_arguments_t *ret_arguments)
{
    int c;
    audit_arguments_t arguments = {.timeout = AUDIT_TIMEOUT * 1000};

    while ((c = getopt_long(argc, argv, "c:thV", audit_long, NULL)) != -1) {
        switch (c) {

        case 'c':
            arguments.config = optarg;
            break;

        case 't':
            arguments.test = 1;
            break;

        case 'f':
            arguments.from = optarg;
            break;

        case 'u':
            arguments.to = optarg;
            break;

        case 'j':
            arguments.form = AUDIT_JSON;
            break;

        case 'm':
            arguments.form = AUDIT_METRICS;
            break;

        case 'a':
            arguments.acknowledged = optarg;
            break;

        case 's':
            arguments.settle = 1;
            break;

        case 'T':
            if (audit_timeout(optarg, &arguments.timeout) == -1) {
                (void) fprintf(stderr,
                    AUDIT_PROGRAM ": --timeout is a whole number of seconds, "
                                  "1 to %d\n",
                    AUDIT_TIMEOUT_MAX);
                return AUDIT_FAILED;
            }
            break;

        case 'h':
            audit_usage(stdout);
            return 0;

        case 'V':
            printf(AUDIT_PROGRAM " %s\n", MR_VERSION);
            return 0;

        default:
            audit_usage(stderr);
            return AUDIT_FAILED;
        }
    }

    if (optind < argc) {
        (void) fprintf(stderr, AUDIT_PROGRAM ": unexpected argument \"%s\"\n",
            argv[optind]);
        audit_usage(stderr);
        return AUDIT_FAILED;
    }

    *ret_arguments = arguments;

    return -1;
}


static int
audit_timeout(const char *text, int64_t *ret_timeout)
{
    char *end;
    long seconds;

    seconds = strtol(text, &end, 10);

    if (end == text || *end != '\0' || seconds < 1
        || seconds > AUDIT_TIMEOUT_MAX) {
        return -1;
    }

    *ret_timeout = (int64_t) seconds * 1000;

    return 0;
}


static void
audit_usage(FILE *out)
{
    (void) fprintf(out,
        "usage: " AUDIT_PROGRAM " [-c FILE] [--from TIME] [--to TIME]\n"
        "                      [--acknowledged FILE] [--settle] [--json | "
        "--metrics]\n"
        "                      [--timeout SECONDS] [-t] [-h] [-V]\n"
        "Proves, minute by minute, that every record in Kafka is stored and "
        "counted\nonce.  Status 0: balanced, 1: not balanced, 2: no verdict.\n"
        "  -c, --config FILE    configuration; without it every key has its "
        "default\n"
        "  --from, --to TIME    UNIX seconds or RFC 3339; default: the last "
        "hour\n"
        "  --acknowledged FILE  what nginx says that Kafka has acknowledged; - "
        "is\n                       standard input\n"
        "  --settle             wait until all that Kafka holds now is "
        "stored\n"
        "  --json, --metrics    the report as JSON, or as Prometheus text\n"
        "  --timeout SECONDS    how long to wait for Kafka and MongoDB "
        "(default %d)\n"
        "  -t, --test           check the configuration and exit\n"
        "  -h, --help           print this and exit\n"
        "  -V, --version        print the version and exit\n",
        AUDIT_TIMEOUT);
}
