#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/run.h"
#include "audit.h"


#define AUDIT_PROGRAM "millrace-audit"
#define AUDIT_MINUTES 60
#define AUDIT_HOURS_MAX 876000 /* a century */

/* Exit statuses besides 0 */
#define AUDIT_UNBALANCED 1
#define AUDIT_FAILED 2


typedef struct {
    const char *from;
    const char *to;
    const char *acknowledged;
    int json;
    int metrics;
    int settle;
    const char *future;
    int64_t timeout; /* ms */
} audit_arguments_t;


static int audit_run(const audit_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);
static int audit_future(mr_audit_t *audit, const char *hours, mr_error_t *err);
static int audit_acknowledged(
    mr_audit_t *audit, const char *name, mr_error_t *err);
static int audit_period(const audit_arguments_t *arguments, int64_t now,
    int64_t *ret_from, int64_t *ret_to, mr_error_t *err);


int
main(int argc, char **argv)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    audit_arguments_t arguments = {.timeout = 60 * 1000};

    const mr_command_option_t own[] = {
        {.name = "from",
            .value = "TIME",
            .text = &arguments.from,
            .help = "UNIX seconds or RFC 3339; default: an hour before --to"},
        {.name = "to",
            .value = "TIME",
            .text = &arguments.to,
            .help = "the same; default: now"},
        {.name = "acknowledged",
            .value = "FILE",
            .text = &arguments.acknowledged,
            .help = "what nginx says that Kafka has acknowledged; - is\n"
                    "standard input"},
        {.name = "settle",
            .flag = &arguments.settle,
            .help = "wait until all that Kafka holds now is stored"},
        {.name = "json",
            .flag = &arguments.json,
            .help = "the report as one JSON object"},
        {.name = "metrics",
            .flag = &arguments.metrics,
            .help = "the report as Prometheus text"},
        {.name = "max-future",
            .value = "HOURS",
            .text = &arguments.future,
            .help = "nginx's millrace_max_future, if it is more than 24h"},
        {.name = "timeout",
            .value = "SECONDS",
            .ms = &arguments.timeout,
            .help = "how long to wait for Kafka and MongoDB (default 60)"},
        {.name = NULL}};

    const mr_command_line_t line = {.program = AUDIT_PROGRAM,
        .summary = "Proves, minute by minute, that every record in Kafka is "
                   "stored and counted\nonce.  Status 0: balanced, 1: not "
                   "balanced, 2: no verdict.\n",
        .options = own,
        .bad_config = AUDIT_FAILED};

    mr_log_init(AUDIT_PROGRAM);

    rc = mr_command_line(&line, argc, argv, &options);

    if (rc != -1) {
        return rc;
    }

    if (arguments.json && arguments.metrics) {
        rc = mr_error_set(&err, MR_ERROR_ARGUMENT, NULL,
            "only one of --json and --metrics at a time");

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

    rc = audit_future(&audit, arguments->future, err);

    if (rc == 0) {
        rc = audit_acknowledged(&audit, arguments->acknowledged, err);
    }

    if (rc == 0) {
        rc = mr_audit_gather(&audit, arguments->settle,
            mr_time_monotonic() + arguments->timeout, err);
    }

    if (rc == 0) {
        mr_audit_judge(&audit);

        if (arguments->json) {
            rc = mr_audit_print_json(&audit, err);

        } else if (arguments->metrics) {
            mr_audit_print_metrics(&audit);

        } else {
            mr_audit_print(&audit);
        }
    }

    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        rc = mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "the report could not be written");
    }

    if (rc == 0 && audit.n_findings != 0) {
        rc = AUDIT_UNBALANCED;

    } else if (rc == 0 && mr_audit_blind(&audit)) {
        rc = mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "nothing of the period can be compared any more: what it takes "
            "has been removed by age");
    }

    mr_audit_free(&audit);

    return rc;
}


static int
audit_future(mr_audit_t *audit, const char *hours, mr_error_t *err)
{
    long n;
    char *end;

    if (hours == NULL) {
        return 0;
    }

    n = strtol(hours, &end, 10);

    if (end == hours || *end != '\0' || n < 0 || n > AUDIT_HOURS_MAX) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "--max-future is a whole number of hours, from 0 to %d",
            AUDIT_HOURS_MAX);
    }

    audit->future = n * 60 * MR_AUDIT_MINUTE;

    return 0;
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

    if (from > now) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "the period lies in the future: --from must not be after now");
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
