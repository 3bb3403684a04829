/*
 * Logging to standard error, one line a message:
 *
 *   2026-11-23T06:00:00.123Z info millrace-writer partition=3 next=100 text
 *
 * Control characters in a message are escaped.  Any thread.
 */
#ifndef MILLRACE_LOG_H
#define MILLRACE_LOG_H


typedef enum {
    MR_LOG_DEBUG,
    MR_LOG_INFO,
    MR_LOG_WARN,
    MR_LOG_ERROR
} mr_log_level_t;


/* `program` must be a static string.  MILLRACE_LOG sets the level. */
void mr_log_init(const char *program);

void mr_log(mr_log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define mr_log_debug(...) mr_log(MR_LOG_DEBUG, __VA_ARGS__)
#define mr_log_info(...) mr_log(MR_LOG_INFO, __VA_ARGS__)
#define mr_log_warn(...) mr_log(MR_LOG_WARN, __VA_ARGS__)
#define mr_log_error(...) mr_log(MR_LOG_ERROR, __VA_ARGS__)

#endif /* MILLRACE_LOG_H */
