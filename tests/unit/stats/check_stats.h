/* The suites of this program, one a file. */
#ifndef MILLRACE_CHECK_STATS_H
#define MILLRACE_CHECK_STATS_H

#include <check.h>


Suite *suite_window(void);

#endif /* MILLRACE_CHECK_STATS_H */
