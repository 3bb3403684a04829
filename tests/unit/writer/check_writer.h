/* The suites of this program, one a file, and what they share. */
#ifndef MILLRACE_CHECK_WRITER_H
#define MILLRACE_CHECK_WRITER_H

#include <check.h>
#include <stdint.h>

#include <millrace/event.h>
#include <millrace/str.h>

#include <common/options.h>


/*
 * How many cases of a property are tried.  Sanitizers make each of them ten
 * times as long and need but a few to see what they look for.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_CASES(n) ((n) / 5)
#else
#define TEST_CASES(n) (n)
#endif


Suite *suite_span(void);
Suite *suite_block(void);
Suite *suite_dedup(void);
Suite *suite_encode(void);
Suite *suite_partials(void);
Suite *suite_ledger(void);
Suite *suite_partition(void);
Suite *suite_operator(void);
Suite *suite_sketches(void);
Suite *suite_registry(void);


/*
 * Numbers that look random and are the same in each run (splitmix64);
 * test_below() gives 0 to n - 1.
 */
void test_seed(uint64_t seed);
uint64_t test_random(void);
uint64_t test_below(uint64_t n);

/* The defaults, with `n` measures m0 = /metadata/m0 and so on. */
void test_options(mr_options_t *options, size_t n_measures);
void test_options_free(mr_options_t *options);

/* Parse what must be a valid event; the views live in the parser. */
mr_event_t test_parse(mr_parser_t *parser, const char *json);

#endif /* MILLRACE_CHECK_WRITER_H */
