/*
 * Finding where a JSON value ends, without judging it: strings and brackets
 * are all that is looked at.  Every function reads each byte at most once
 * more than a constant number of times, whatever the bytes are, and never
 * beyond `end`.  Pure functions, any thread.
 */
#ifndef MILLRACE_CORE_SCAN_H
#define MILLRACE_CORE_SCAN_H

#include <millrace/batch.h>


/* The first byte that is not JSON's white space, or `end`. */
const char *mr_scan_space(const char *pos, const char *end);

/*
 * The first byte after the value that begins at `pos` (pos < end), or NULL
 * if a string, array or object is not closed before `end`.  Where the text
 * is JSON it is the value's end; where it is not, some byte after `pos` or
 * `pos` itself.
 */
const char *mr_scan_value(const char *pos, const char *end);


/* The same in steps; a batch keeps the state between them. */
typedef mr_batch_scan_t mr_scan_t;

void mr_scan_begin(mr_scan_t *scan, const char *pos);

/*
 * Go on for about `budget` bytes: 0 if the value goes on after them, or 1
 * after setting *ret_end to what mr_scan_value() would return.  `end` is the
 * same in all calls.
 */
int mr_scan_step(
    mr_scan_t *scan, const char *end, size_t budget, const char **ret_end);

#endif /* MILLRACE_CORE_SCAN_H */
