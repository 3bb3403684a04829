/* Times.  Everywhere: int64_t milliseconds since 1970-01-01T00:00:00Z. */
#ifndef MILLRACE_TIME_H
#define MILLRACE_TIME_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


/* The wall clock (CLOCK_REALTIME). */
int64_t mr_time_now(void);

/* A clock for deadlines that never steps (CLOCK_MONOTONIC), in ms. */
int64_t mr_time_monotonic(void);

/*
 * Parse a time of a query string, already percent-decoded: UNIX seconds
 * ("1700000000", "1700000000.25") or RFC 3339 ("2026-11-23T06:00:00Z",
 * "2026-11-23T06:00:00.5+01:00"; a space before the offset reads as '+').
 * Rounded to the millisecond.  Fails with MR_ERROR_ARGUMENT.
 */
int mr_time_parse(mr_str_t text, int64_t *ret_time, mr_error_t *err);

/* Floor `t` to a multiple of `width` since the epoch; t may be negative. */
int64_t mr_time_floor(int64_t t, int64_t width);

#endif /* MILLRACE_TIME_H */
