/* The outcome of a run, for people and for programs. */
#ifndef MR_LOAD_REPORT_H
#define MR_LOAD_REPORT_H

#include <stdio.h>

#include "run.h"


/* A thread that used more of a core than this was itself the limit. */
#define MR_REPORT_BUSY 0.9


typedef struct {
    const mr_run_t *run;
    mr_result_t sum;  /* of all threads */
    double seconds;   /* measured */
    double busiest;   /* share of a core, of the busiest thread */
    uint64_t backlog; /* requests that were due and never begun; in
                         sum.latency with their wait until the last answer */
} mr_report_t;


/* `ret_report` is large: not for the stack. */
void mr_report_make(
    mr_run_t *run, const mr_result_t *results, mr_report_t *ret_report);

void mr_report_table(const mr_report_t *report, FILE *out);

/* One JSON object on one line. */
void mr_report_json(const mr_report_t *report, FILE *out);

/* What makes the figures doubtful, on standard error; how many that were. */
unsigned mr_report_warn(const mr_report_t *report);

#endif /* MR_LOAD_REPORT_H */
