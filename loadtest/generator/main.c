/*
 * millrace-load: sends the measured workload and measures the answers.
 *
 * Exit status: 0; 1 if it could not work, or, with --retry, if a request got
 * no answer at all; 2 for a wrong command line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "print.h"
#include "report.h"
#include "run.h"
#include "sentlog.h"


static int mr_load_run(const mr_load_options_t *options);
static int mr_load_start(mr_run_t *run, const mr_load_options_t *options);
static void mr_load_signal(int number);
static int mr_load_tell(mr_run_t *run, const mr_result_t *results);
static int mr_load_json(const mr_report_t *report, const char *path);


/* For the signal handler, which can be given nothing. */
static mr_run_t *mr_load_running;


int
main(int argc, char **argv)
{
    int rc;
    mr_load_options_t options;

    rc = mr_load_options(argc, argv, &options);

    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }

    switch (options.mode) {

    case MR_LOAD_DESCRIBE:
        rc = mr_print_description(&options);
        break;

    case MR_LOAD_EMIT:
        rc = mr_print_events(&options);
        break;

    case MR_LOAD_EXPAND:
        rc = mr_print_log(options.log);
        break;

    default:
        rc = mr_load_run(&options);
    }

    return rc == 0 ? 0 : 1;
}


static int
mr_load_run(const mr_load_options_t *options)
{
    int rc;
    mr_run_t run;
    mr_result_t *results;
    struct sigaction action;

    memset(&run, 0, sizeof(run));

    results = calloc(options->threads, sizeof(mr_result_t));

    if (results == NULL || mr_load_start(&run, options) != 0) {
        free(results);
        mr_run_release(&run);
        mr_workload_destroy(run.workload);
        return -1;
    }

    mr_load_running = &run;

    memset(&action, 0, sizeof(action));
    action.sa_handler = mr_load_signal;
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);

    rc = mr_run_threads(&run, results);

    if (rc == 0) {
        rc = mr_load_tell(&run, results);
    }

    if (run.log_fd != -1) {
        (void) close(run.log_fd);
    }

    free(results);
    mr_run_release(&run);
    mr_workload_destroy(run.workload);

    return rc;
}


static int
mr_load_start(mr_run_t *run, const mr_load_options_t *options)
{
    run->options = options;
    run->log_fd = -1;
    run->batches = UINT64_MAX;

    if (mr_run_prepare(run) != 0) {
        return -1;
    }

    run->workload = mr_workload_create(&options->workload);

    if (run->workload == NULL) {
        perror("millrace-load");
        return -1;
    }

    if (options->log) {
        run->log_fd = mr_sentlog_create(options->log, &options->workload);

        if (run->log_fd == -1) {
            perror(options->log);
            return -1;
        }
    }

    if (options->events) {
        run->batches = (options->events + options->batch - 1) / options->batch;
    }

    run->start = mr_run_clock();
    run->measure = run->start + (int64_t) (options->warmup * 1e9);
    run->end = options->duration > 0
                   ? run->measure + (int64_t) (options->duration * 1e9)
                   : INT64_MAX;

    return 0;
}


/* No more is sent; what is under way is waited for. */
static void
mr_load_signal(int number)
{
    (void) number;

    atomic_store(&mr_load_running->stop, 1);
}


static int
mr_load_tell(mr_run_t *run, const mr_result_t *results)
{
    int rc;
    mr_report_t *report;

    report = malloc(sizeof(mr_report_t));

    if (report == NULL) {
        perror("millrace-load");
        return -1;
    }

    mr_report_make(run, results, report);

    rc = report->sum.failed || report->sum.log_errno ? -1 : 0;

    if (!run->options->quiet) {
        mr_report_table(report, stdout);
    }

    (void) mr_report_warn(report);

    if (run->options->json && mr_load_json(report, run->options->json) != 0) {
        rc = -1;
    }

    if (run->options->retry && report->sum.all.requests[0]) {
        rc = -1;
    }

    free(report);

    return rc;
}


static int
mr_load_json(const mr_report_t *report, const char *path)
{
    FILE *out;

    if (strcmp(path, "-") == 0) {
        mr_report_json(report, stdout);
        return fflush(stdout) == 0 ? 0 : -1;
    }

    out = fopen(path, "we");

    if (out == NULL) {
        perror(path);
        return -1;
    }

    mr_report_json(report, out);

    if (fclose(out) != 0) {
        perror(path);
        return -1;
    }

    return 0;
}
