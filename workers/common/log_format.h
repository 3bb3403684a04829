/*
 * One line of the log, as text, logfmt or JSON.  No memory is allocated, so
 * that it can say that memory has run out.  Private to log*.c.
 */
#ifndef MILLRACE_LOG_FORMAT_H
#define MILLRACE_LOG_FORMAT_H

#include <stddef.h>
#include <time.h>


typedef enum { MR_LOG_TEXT, MR_LOG_LOGFMT, MR_LOG_JSON } mr_log_format_t;


typedef struct {
    struct timespec time; /* since the epoch */
    const char *level;
    const char *program;
    const char *text; /* any bytes; may begin with key=value pairs */
} mr_log_entry_t;


/*
 * Write `entry` into `out`, with a newline and without a NUL; returns the
 * length.  `size` must be 1024 at least.  A text that does not fit ends with
 * "...".  Any thread.
 *
 *   text    2026-11-23T06:00:00.123Z info millrace-writer partition=3 stored
 *   logfmt  time=2026-11-23T06:00:00.123Z level=info program=millrace-writer
 *           partition=3 msg="stored"
 *   json    {"time":"2026-11-23T06:00:00.123Z","level":"info",
 *            "program":"millrace-writer","partition":"3","message":"stored"}
 *
 * In the last two, key=value pairs that the text begins with become fields
 * of their own, but for keys that the line itself has; each is one line.
 */
size_t mr_log_format(mr_log_format_t format, char *out, size_t size,
    const mr_log_entry_t *entry);

#endif /* MILLRACE_LOG_FORMAT_H */
