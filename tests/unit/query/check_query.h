/* The suites of the query daemon's pure parts. */
#ifndef CHECK_QUERY_H
#define CHECK_QUERY_H

#include <check.h>
#include <stdint.h>

#include <millrace/str.h>

#include "query/params.h"
#include "query/plan.h"


Suite *suite_params(void);
Suite *suite_cursor(void);
Suite *suite_plan(void);
Suite *suite_page(void);
Suite *suite_render(void);
Suite *suite_stats(void);
Suite *suite_reply(void);
Suite *suite_stream(void);
Suite *suite_accept(void);
Suite *suite_crew(void);


/* A view of a C string. */
mr_str_t test_str(const char *text);

/* The plan of a query string of GET /events; the test ends if it is bad. */
void test_plan(const char *query, mr_params_t *params, mr_plan_t *plan);

/* Numbers that look random and are the same in each run. */
uint32_t test_random(uint32_t *state);

#endif /* CHECK_QUERY_H */
