#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"


#define MR_LOG_TEXT_SIZE 8192
#define MR_LOG_LINE_SIZE (MR_LOG_TEXT_SIZE + 1024)


static size_t mr_log_prefix(char *line, size_t size, mr_log_level_t level);
static size_t mr_log_escape(char *out, size_t size, const char *text);


static const char *mr_log_names[] = {"debug", "info", "warn", "error"};

static const char *mr_log_program = "millrace";
static mr_log_level_t mr_log_level = MR_LOG_INFO;


void
mr_log_init(const char *program)
{
    size_t i;
    const char *name;

    mr_log_program = program;
    name = getenv("MILLRACE_LOG");

    if (name == NULL || *name == '\0') {
        return;
    }

    for (i = 0; i < sizeof(mr_log_names) / sizeof(mr_log_names[0]); i++) {
        if (strcmp(name, mr_log_names[i]) == 0) {
            mr_log_level = (mr_log_level_t) i;
            return;
        }
    }

    mr_log_warn("MILLRACE_LOG=%.32s is no level: debug, info, warn or error; "
                "logging at info",
        name);
}


void
mr_log(mr_log_level_t level, const char *fmt, ...)
{
    int n;
    char text[MR_LOG_TEXT_SIZE], line[MR_LOG_LINE_SIZE];
    size_t len;
    ssize_t written;
    va_list args;

    if (level < mr_log_level) {
        return;
    }

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    len = mr_log_prefix(line, sizeof(line), level);
    len += mr_log_escape(line + len, sizeof(line) - len - 1, text);
    line[len++] = '\n';

    /*
     * One write a line, so that lines of several threads and processes do
     * not mix.  Where standard error is gone there is nobody left to tell.
     */
    written = write(STDERR_FILENO, line, len);
    (void) written;
}


static size_t
mr_log_prefix(char *line, size_t size, mr_log_level_t level)
{
    int n;
    char date[32];
    struct tm tm;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);

    n = snprintf(line, size, "%s.%03ldZ %s %.64s ", date, now.tv_nsec / 1000000,
        mr_log_names[level], mr_log_program);

    return n < 0 ? 0 : (size_t) n;
}


/*
 * A message may hold what a client sent: no byte of it may start a new line
 * or drive a terminal.  Returns the length; a text that does not fit ends
 * with "...".
 */
static size_t
mr_log_escape(char *out, size_t size, const char *text)
{
    size_t len, n;
    char piece[8];
    const unsigned char *p;

    len = 0;

    for (p = (const unsigned char *) text; *p != '\0'; p++) {

        if (*p == '\n') {
            n = (size_t) snprintf(piece, sizeof(piece), "\\n");

        } else if (*p == '\t') {
            n = (size_t) snprintf(piece, sizeof(piece), "\\t");

        } else if (*p < 0x20 || *p == 0x7f) {
            n = (size_t) snprintf(piece, sizeof(piece), "\\x%02x", *p);

        } else {
            piece[0] = (char) *p;
            n = 1;
        }

        if (len + n + 3 > size) {
            memcpy(out + len, "...", 3);
            return len + 3;
        }

        memcpy(out + len, piece, n);
        len += n;
    }

    return len;
}
