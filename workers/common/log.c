#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "log_format.h"
#include "metrics.h"


#define MR_LOG_MESSAGE_SIZE 8192
#define MR_LOG_LINE_SIZE (MR_LOG_MESSAGE_SIZE + 1024)


static int mr_log_choice(
    const char *variable, const char *const *names, size_t n, int fallback);


static const char *const mr_log_names[] = {"debug", "info", "warn", "error"};
static const char *const mr_log_formats[] = {"text", "logfmt", "json"};

static const char *mr_log_program = "millrace";
static mr_log_level_t mr_log_level = MR_LOG_INFO;
static mr_log_format_t mr_log_line_format = MR_LOG_TEXT;
static mr_metric_t *mr_log_lines[MR_LOG_ERROR + 1];


void
mr_log_init(const char *program)
{
    int level;
    char labels[32];

    mr_log_program = program;

    for (level = MR_LOG_DEBUG; level <= MR_LOG_ERROR; level++) {
        (void) snprintf(
            labels, sizeof(labels), "level=\"%s\"", mr_log_names[level]);

        mr_log_lines[level] = mr_metric(MR_METRIC_COUNTER,
            "millrace_log_messages_total", labels, "Lines logged, by level.");
    }

    /* First, so that a complaint about the level has it. */
    mr_log_line_format =
        (mr_log_format_t) mr_log_choice("MILLRACE_LOG_FORMAT", mr_log_formats,
            sizeof(mr_log_formats) / sizeof(mr_log_formats[0]), MR_LOG_TEXT);

    mr_log_level = (mr_log_level_t) mr_log_choice("MILLRACE_LOG", mr_log_names,
        sizeof(mr_log_names) / sizeof(mr_log_names[0]), MR_LOG_INFO);
}


void
mr_log(mr_log_level_t level, const char *fmt, ...)
{
    int n;
    char text[MR_LOG_MESSAGE_SIZE], line[MR_LOG_LINE_SIZE];
    size_t len;
    ssize_t written;
    va_list args;
    mr_log_entry_t entry;

    if (level < mr_log_level) {
        return;
    }

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    mr_metric_add(mr_log_lines[level], 1);

    (void) clock_gettime(CLOCK_REALTIME, &entry.time);
    entry.level = mr_log_names[level];
    entry.program = mr_log_program;
    entry.text = text;

    len = mr_log_format(mr_log_line_format, line, sizeof(line), &entry);

    /*
     * One write a line, so that lines of several threads and processes do
     * not mix.  Where standard error is gone there is nobody left to tell.
     */
    written = write(STDERR_FILENO, line, len);
    (void) written;
}


/* Which of `names` the environment's `variable` holds. */
static int
mr_log_choice(
    const char *variable, const char *const *names, size_t n, int fallback)
{
    size_t i, len;
    char list[64];
    const char *value;

    value = getenv(variable);

    if (value == NULL || *value == '\0') {
        return fallback;
    }

    len = 0;

    for (i = 0; i < n; i++) {

        if (strcmp(value, names[i]) == 0) {
            return (int) i;
        }

        len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s",
            i == 0 ? "" : (i + 1 < n ? ", " : " or "), names[i]);
    }

    mr_log_warn("%s=%.32s is not one of %s; using %s", variable, value, list,
        names[fallback]);

    return fallback;
}
