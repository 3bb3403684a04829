/*
 * The life of a daemon: SIGTERM and SIGINT ask it to stop, SIGPIPE is
 * ignored.  A second signal does not hurry it.
 */
#ifndef MILLRACE_RUN_H
#define MILLRACE_RUN_H

#include <stdint.h>

#include <millrace/error.h>


/* Once, in the main thread, before any other thread is started. */
int mr_run_init(mr_error_t *err);

/* Non-zero once the process has been asked to stop.  Any thread. */
int mr_run_stopping(void);

/* Ask this process itself to stop, as if by SIGTERM.  Any thread. */
void mr_run_stop(void);

/*
 * Sleep for `ms`, or less if asked to stop meanwhile.  Returns non-zero when
 * stopping.  Any thread.
 */
int mr_run_sleep(int64_t ms);

/*
 * Back-off for something retried for ever: base, doubling to at most 5 s,
 * with jitter.  `attempt` counts from 0.  Sleeps as mr_run_sleep().
 */
int mr_run_backoff(unsigned attempt, int64_t base_ms);

#endif /* MILLRACE_RUN_H */
