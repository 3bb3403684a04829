#ifndef CHECK_LOADTEST_H
#define CHECK_LOADTEST_H

#include <check.h>


Suite *suite_response(void);
Suite *suite_histogram(void);
Suite *suite_workload(void);
Suite *suite_audit(void);
Suite *suite_client(void);

#endif /* CHECK_LOADTEST_H */
