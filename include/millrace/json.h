/* Writing JSON text.  Each appends to `buf` and returns 0, or -1 on memory. */
#ifndef MILLRACE_JSON_H
#define MILLRACE_JSON_H

#include <stdint.h>

#include <millrace/str.h>


/* Quoted and escaped; `value` must be valid UTF-8 and may hold NUL. */
int mr_json_string(mr_buf_t *buf, mr_str_t value);

int mr_json_integer(mr_buf_t *buf, int64_t value);

/*
 * The shortest text that reads back as the same double, always with a
 * fraction or an exponent (1.0, 1e300, -0.0).  `value` must be finite.
 */
int mr_json_real(mr_buf_t *buf, double value);

/* ms since the epoch as UNIX seconds: 1700000000, 1700000000.25 */
int mr_json_time(mr_buf_t *buf, int64_t time);

#endif /* MILLRACE_JSON_H */
