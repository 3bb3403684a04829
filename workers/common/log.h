/*
 * Logging to standard error, one line a message:
 *
 *   2026-11-23T06:00:00.123Z info millrace-writer partition=3 next=100 text
 *
 * or the same as logfmt or JSON (log_format.h), where MILLRACE_LOG_FORMAT
 * asks for it.  Control characters in a message are escaped.  Counted in
 * millrace_log_messages_total.  Any thread.
 */
#ifndef MILLRACE_LOG_H
#define MILLRACE_LOG_H


typedef enum {
    MR_LOG_DEBUG,
    MR_LOG_INFO,
    MR_LOG_WARN,
    MR_LOG_ERROR
} mr_log_level_t;


/*
 * `program` must be a static string.  MILLRACE_LOG is the level (debug, info,
 * warn, error), MILLRACE_LOG_FORMAT one of text, logfmt, json.  Before any
 * thread is started.
 */
void mr_log_init(const char *program);

void mr_log(mr_log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define mr_log_debug(...) mr_log(MR_LOG_DEBUG, __VA_ARGS__)
#define mr_log_info(...) mr_log(MR_LOG_INFO, __VA_ARGS__)
#define mr_log_warn(...) mr_log(MR_LOG_WARN, __VA_ARGS__)
#define mr_log_error(...) mr_log(MR_LOG_ERROR, __VA_ARGS__)

#endif /* MILLRACE_LOG_H */
