/* What the suites of the core share. */
#ifndef MILLRACE_CHECK_CORE_H
#define MILLRACE_CHECK_CORE_H

#include <check.h>

#include <millrace/event.h>


Suite *mr_suite_batch(void);
Suite *mr_suite_coding(void);
Suite *mr_suite_error(void);
Suite *mr_suite_event(void);
Suite *mr_suite_format(void);
Suite *mr_suite_inflate(void);
Suite *mr_suite_json(void);
Suite *mr_suite_metadata(void);
Suite *mr_suite_receipt(void);
Suite *mr_suite_scan(void);
Suite *mr_suite_sketch(void);
Suite *mr_suite_str(void);
Suite *mr_suite_time(void);
Suite *mr_suite_uuid(void);
Suite *mr_suite_value(void);


/* A view of a C string. */
mr_str_t mr_check_str(const char *text);

/*
 * Parse a text that is put into memory of exactly its size first, so that a
 * sanitizer sees every byte read beyond it.
 */
int mr_check_parse(
    mr_parser_t *parser, mr_str_t text, mr_event_t *ret_event, mr_error_t *err);

/* An event with this metadata; the caller frees it. */
char *mr_check_with_metadata(const char *metadata);

/* Milliseconds of CPU time, to tell n log n from n squared. */
double mr_check_cpu(void);

#endif /* MILLRACE_CHECK_CORE_H */
