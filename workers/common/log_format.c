#include <stdio.h>
#include <string.h>

#include <millrace/utf8.h>

#include "log_format.h"


/* What is kept for the end of a line: "...", a quote, a brace, a newline. */
#define LOG_TAIL 8
/* Fields of one line at most; the rest of the text is its message. */
#define LOG_FIELDS 8


typedef struct {
    char *data;
    size_t len;
    size_t size;
} log_out_t;


static const char *log_field(
    const char *text, size_t *ret_key_len, const char **ret_end);
static int log_own_key(const char *key, size_t len);
static void log_text(log_out_t *out, const char *text);
static void log_quoted(log_out_t *out, const char *text, const char *end);
static int log_put(log_out_t *out, const char *data, size_t len);
static void log_puts(log_out_t *out, const char *text);


size_t
mr_log_format(
    mr_log_format_t format, char *out, size_t size, const mr_log_entry_t *entry)
{
    int n, fields;
    char date[32], head[160];
    size_t key_len;
    struct tm tm;
    log_out_t line = {out, 0, size};
    const char *text, *value, *end;
    static const char *const heads[] = {
        [MR_LOG_TEXT] = "%s.%03ldZ %s %.64s ",
        [MR_LOG_LOGFMT] = "time=%s.%03ldZ level=%s program=%.64s",
        [MR_LOG_JSON] = "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\","
                        "\"program\":\"%.64s\"",
    };

    gmtime_r(&entry->time.tv_sec, &tm);
    (void) strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);

    n = snprintf(head, sizeof(head), heads[format], date,
        entry->time.tv_nsec / 1000000, entry->level, entry->program);

    if (n > 0) {
        log_puts(&line, head);
    }

    text = entry->text;

    if (format == MR_LOG_TEXT) {
        log_text(&line, text);
        line.data[line.len++] = '\n';
        return line.len;
    }

    for (fields = 0; fields < LOG_FIELDS; fields++) {

        value = log_field(text, &key_len, &end);

        if (value == NULL || line.len + (size_t) (end - text) > size / 2) {
            break;
        }

        log_puts(&line, format == MR_LOG_JSON ? ",\"" : " ");
        (void) log_put(&line, text, key_len);
        log_puts(&line, format == MR_LOG_JSON ? "\":" : "=");

        if (format == MR_LOG_JSON) {
            log_quoted(&line, value, end);

        } else {
            (void) log_put(&line, value, (size_t) (end - value));
        }

        text = *end == ' ' ? end + 1 : end;
    }

    log_puts(&line, format == MR_LOG_JSON ? ",\"message\":" : " msg=");
    log_quoted(&line, text, text + strlen(text));

    if (format == MR_LOG_JSON) {
        line.data[line.len++] = '}';
    }

    line.data[line.len++] = '\n';

    return line.len;
}


/*
 * The value of the key=value pair that `text` begins with, or NULL: a word
 * in lower case, and printable ASCII that needs no quotes.
 */
static const char *
log_field(const char *text, size_t *ret_key_len, const char **ret_end)
{
    size_t len;
    const char *value, *p;

    len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

    if (len == 0 || text[len] != '=' || log_own_key(text, len)) {
        return NULL;
    }

    value = text + len + 1;

    for (p = value; *p != ' ' && *p != '\0'; p++) {
        if (*p < 0x21 || *p > 0x7e || *p == '"' || *p == '=' || *p == '\\') {
            return NULL;
        }
    }

    if (p == value) {
        return NULL;
    }

    *ret_key_len = len;
    *ret_end = p;

    return value;
}


static int
log_own_key(const char *key, size_t len)
{
    size_t i;
    static const char *const keys[] = {
        "time", "level", "program", "message", "msg"};

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strlen(keys[i]) == len && memcmp(key, keys[i], len) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * A message may hold what a client sent: no byte of it may start a new line
 * or drive a terminal.
 */
static void
log_text(log_out_t *out, const char *text)
{
    int n;
    char piece[8];
    const unsigned char *p;

    for (p = (const unsigned char *) text; *p != '\0'; p++) {

        if (*p == '\n') {
            n = snprintf(piece, sizeof(piece), "\\n");

        } else if (*p == '\t') {
            n = snprintf(piece, sizeof(piece), "\\t");

        } else if (*p < 0x20 || *p == 0x7f) {
            n = snprintf(piece, sizeof(piece), "\\x%02x", *p);

        } else {
            piece[0] = (char) *p;
            n = 1;
        }

        if (log_put(out, piece, (size_t) n) != 0) {
            break;
        }
    }
}


/* As a JSON string, which is what logfmt's readers take as well. */
static void
log_quoted(log_out_t *out, const char *text, const char *end)
{
    int rc;
    char piece[8];
    size_t len;
    const char *p;

    log_puts(out, "\"");

    rc = 0;

    for (p = text; p < end && rc == 0; p += len) {

        len = mr_utf8_len(p, (size_t) (end - p));

        if (len == 0) {
            len = 1;
            rc = log_put(out, "\\ufffd", 6);

        } else if (*p == '"' || *p == '\\') {
            piece[0] = '\\';
            piece[1] = *p;
            rc = log_put(out, piece, 2);

        } else if (*p == '\n' || *p == '\t') {
            rc = log_put(out, *p == '\n' ? "\\n" : "\\t", 2);

        } else if (len == 1 && ((unsigned char) *p < 0x20 || *p == 0x7f)) {
            (void) snprintf(piece, sizeof(piece), "\\u%04x", (unsigned) *p);
            rc = log_put(out, piece, 6);

        } else {
            rc = log_put(out, p, len);
        }
    }

    out->data[out->len++] = '"';
}


/* -1 when it does not fit: then the line ends with "...". */
static int
log_put(log_out_t *out, const char *data, size_t len)
{
    if (out->len + len + LOG_TAIL > out->size) {
        memcpy(out->data + out->len, "...", 3);
        out->len += 3;
        return -1;
    }

    memcpy(out->data + out->len, data, len);
    out->len += len;

    return 0;
}


static void
log_puts(log_out_t *out, const char *text)
{
    (void) log_put(out, text, strlen(text));
}
