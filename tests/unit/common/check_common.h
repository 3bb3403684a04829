/* What the suites of workers/common share. */
#ifndef MILLRACE_CHECK_COMMON_H
#define MILLRACE_CHECK_COMMON_H

#include <check.h>

#include <common/options.h>


Suite *mr_suite_options(void);
Suite *mr_suite_command_line(void);
Suite *mr_suite_options_errors(void);
Suite *mr_suite_log(void);
Suite *mr_suite_metrics(void);
Suite *mr_suite_run(void);
Suite *mr_suite_listen(void);
Suite *mr_suite_clients(void);
Suite *mr_suite_times(void);


/*
 * A new file with these bytes; its name is valid until the next call.  Each
 * test is a process of its own, which removes the file at its end.
 */
const char *mr_check_file(const char *data, size_t len);

/* Load a configuration of these lines. */
int mr_check_load(const char *text, mr_options_t *ret_options, mr_error_t *err);

/* What `write` says on the file descriptor `fd`; the caller frees it. */
char *mr_check_capture(int fd, void (*write)(void *ctx), void *ctx);

/* A free port of the loopback interface, as "127.0.0.1:port". */
const char *mr_check_address(void);

#endif /* MILLRACE_CHECK_COMMON_H */
