#include <pthread.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <common/log.h>
#include <common/log_format.h>

#include "check_common.h"


#define MR_THREADS 8
#define MR_LINES 200


static void mr_say(void *ctx);
static void mr_say_all(void *ctx);
static void mr_say_init(void *ctx);
static void mr_say_threads(void *ctx);
static void *mr_thread(void *ctx);


START_TEST(format)
{
    char *output;
    regex_t regex;

    mr_log_init("millrace-check");
    output = mr_check_capture(STDERR_FILENO, mr_say, (void *) "a=1 text");

    ck_assert_int_eq(
        regcomp(&regex,
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]"
            "{3}Z info millrace-check a=1 text\n$",
            REG_EXTENDED | REG_NOSUB),
        0);
    ck_assert_msg(regexec(&regex, output, 0, NULL, 0) == 0, "\"%s\"", output);

    regfree(&regex);
    free(output);
}
END_TEST


static const struct {
    const char *text;
    const char *shown;
} escapes[] = {
    {"plain", " plain\n"},
    {"", " \n"},
    {"one\ntwo", " one\\ntwo\n"},
    {"a\tb\rc", " a\\tb\\x0dc\n"},
    {"\x1b[31mred\x7f", " \\x1b[31mred\\x7f\n"},
    {"gr\xc3\xbc\xc3\x9f", " gr\xc3\xbc\xc3\x9f\n"},
    {"100 %s %n", " 100 %s %n\n"},
};


START_TEST(escape)
{
    char *output;
    size_t len, want;

    output = mr_check_capture(STDERR_FILENO, mr_say, (void *) escapes[_i].text);

    len = strlen(output);
    want = strlen(escapes[_i].shown);

    ck_assert_uint_gt(len, want);
    ck_assert_str_eq(output + len - want, escapes[_i].shown);
    ck_assert_ptr_eq(strchr(output, '\n'), output + len - 1);

    free(output);
}
END_TEST


START_TEST(long_text)
{
    char *output, *text;
    size_t len;

    text = malloc(100001);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', 100000);
    text[100000] = '\0';

    output = mr_check_capture(STDERR_FILENO, mr_say, text);
    len = strlen(output);

    ck_assert_uint_lt(len, 10000);
    ck_assert_str_eq(output + len - 4, "...\n");
    ck_assert_ptr_eq(strchr(output, '\n'), output + len - 1);

    free(text);
    free(output);
}
END_TEST


static const struct {
    mr_log_format_t format;
    const char *text;
    const char *line;
} formats[] = {
    {MR_LOG_TEXT, "a=1 b",
        "2026-11-23T06:00:00.123Z warn millrace-check a=1 b\n"},
    {MR_LOG_LOGFMT, "partition=3 next=100 stored \"all\"",
        "time=2026-11-23T06:00:00.123Z level=warn program=millrace-check "
        "partition=3 next=100 msg=\"stored \\\"all\\\"\"\n"},
    {MR_LOG_LOGFMT, "plain\n\x1b",
        "time=2026-11-23T06:00:00.123Z level=warn "
        "program=millrace-check msg=\"plain\\n\\u001b\"\n"},
    {MR_LOG_LOGFMT, "",
        "time=2026-11-23T06:00:00.123Z level=warn "
        "program=millrace-check msg=\"\"\n"},
    {MR_LOG_JSON, "partition=3 stored",
        "{\"time\":\"2026-11-23T06:00:00.123Z\",\"level\":\"warn\","
        "\"program\":\"millrace-check\",\"partition\":\"3\","
        "\"message\":\"stored\"}\n"},
    /* What is not plainly a pair is text. */
    {MR_LOG_JSON, "a= b=\"c\"",
        "{\"time\":\"2026-11-23T06:00:00.123Z\",\"level\":\"warn\","
        "\"program\":\"millrace-check\","
        "\"message\":\"a= b=\\\"c\\\"\"}\n"},
    /* The line's own keys are not there twice. */
    {MR_LOG_JSON, "a=1 level=error x",
        "{\"time\":\"2026-11-23T06:00:00.123Z\",\"level\":\"warn\","
        "\"program\":\"millrace-check\",\"a\":\"1\","
        "\"message\":\"level=error x\"}\n"},
    {MR_LOG_JSON, "a=1",
        "{\"time\":\"2026-11-23T06:00:00.123Z\",\"level\":\"warn\","
        "\"program\":\"millrace-check\",\"a\":\"1\",\"message\":\"\"}\n"},
    /* Valid UTF-8 always. */
    {MR_LOG_JSON, "\xc3\xbc\xff\xc3 \\",
        "{\"time\":\"2026-11-23T06:00:00.123Z\",\"level\":\"warn\","
        "\"program\":\"millrace-check\","
        "\"message\":\"\xc3\xbc\\ufffd\\ufffd \\\\\"}\n"},
};


START_TEST(formats_of_a_line)
{
    char out[1025];
    size_t len;
    mr_log_entry_t entry = {
        {1795413600, 123456789}, "warn", "millrace-check", NULL};

    entry.text = formats[_i].text;
    len = mr_log_format(formats[_i].format, out, sizeof(out) - 1, &entry);
    out[len] = '\0';

    ck_assert_str_eq(out, formats[_i].line);
}
END_TEST


/* A text of any length ends a line as it should, within the buffer. */
START_TEST(formats_long)
{
    int kind;
    size_t i, j, len;
    char out[1024], text[4001];
    mr_log_entry_t entry = {{1795413600, 0}, "warn", "millrace-check", text};
    static const char *const texts[] = {"a", "a=", "a=1 ", "\n", "\xff", "\""};
    static const char *const ends[] = {"...\n", "...\"\n", "...\"}\n"};

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        for (j = 0; j < sizeof(text) - 1; j++) {
            text[j] = texts[i][j % strlen(texts[i])];
        }

        text[j] = '\0';

        for (kind = MR_LOG_TEXT; kind <= MR_LOG_JSON; kind++) {
            memset(out, 'x', sizeof(out));
            len =
                mr_log_format((mr_log_format_t) kind, out, sizeof(out), &entry);
            ck_assert_uint_le(len, sizeof(out));
            ck_assert_uint_gt(len, 900);
            ck_assert_ptr_eq(memchr(out, '\n', len), out + len - 1);
            ck_assert_mem_eq(
                out + len - strlen(ends[kind]), ends[kind], strlen(ends[kind]));
        }
    }
}
END_TEST


START_TEST(format_by_environment)
{
    char *output;

    setenv("MILLRACE_LOG_FORMAT", "json", 1);
    mr_log_init("millrace-check");
    output = mr_check_capture(STDERR_FILENO, mr_say, (void *) "a=1 text");

    ck_assert_mem_eq(output, "{\"time\":\"", 9);
    ck_assert_ptr_nonnull(strstr(output, ",\"a\":\"1\",\"message\":\"text\"}"));
    free(output);

    setenv("MILLRACE_LOG_FORMAT", "xml", 1);
    output = mr_check_capture(STDERR_FILENO, mr_say_init, NULL);
    ck_assert_ptr_nonnull(
        strstr(output, "xml is not one of text, logfmt or json; using text"));
    free(output);
}
END_TEST


static const struct {
    const char *level;
    int lines;
} levels[] = {
    {"debug", 4},
    {"info", 3},
    {"warn", 2},
    {"error", 1},
    {"", 3},
};


START_TEST(level)
{
    int lines;
    char *output, *p;

    setenv("MILLRACE_LOG", levels[_i].level, 1);
    mr_log_init("millrace-check");
    output = mr_check_capture(STDERR_FILENO, mr_say_all, NULL);

    for (lines = 0, p = output; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }

    ck_assert_int_eq(lines, levels[_i].lines);
    ck_assert_ptr_nonnull(strstr(output, " error millrace-check four\n"));

    free(output);
}
END_TEST


START_TEST(bad_level)
{
    char *output;

    setenv("MILLRACE_LOG", "verbose", 1);
    output = mr_check_capture(STDERR_FILENO, mr_say_init, NULL);

    ck_assert_ptr_nonnull(strstr(output, " warn millrace-check "));
    ck_assert_ptr_nonnull(strstr(output, "debug, info, warn or error"));

    free(output);
}
END_TEST


/* Lines of many threads never mix. */
START_TEST(threads)
{
    int lines;
    char *output, *line, *next;

    mr_log_init("millrace-check");
    output = mr_check_capture(STDERR_FILENO, mr_say_threads, NULL);
    lines = 0;

    for (line = output; *line != '\0'; line = next) {

        next = strchr(line, '\n');
        ck_assert_ptr_nonnull(next);
        *next++ = '\0';
        lines++;

        ck_assert_msg(strstr(line, " info millrace-check aaaaaaaa") != NULL
                          && strcmp(line + strlen(line) - 4, "zzzz") == 0,
            "%s", line);
    }

    ck_assert_int_eq(lines, MR_THREADS * MR_LINES);

    free(output);
}
END_TEST


Suite *
mr_suite_log(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("log");
    tc = tcase_create("log");

    tcase_add_test(tc, format);
    tcase_add_loop_test(
        tc, escape, 0, (int) (sizeof(escapes) / sizeof(escapes[0])));
    tcase_add_test(tc, long_text);
    tcase_add_loop_test(
        tc, formats_of_a_line, 0, (int) (sizeof(formats) / sizeof(formats[0])));
    tcase_add_test(tc, formats_long);
    tcase_add_test(tc, format_by_environment);
    tcase_add_loop_test(
        tc, level, 0, (int) (sizeof(levels) / sizeof(levels[0])));
    tcase_add_test(tc, bad_level);
    tcase_add_test(tc, threads);

    suite_add_tcase(suite, tc);

    return suite;
}


static void
mr_say(void *ctx)
{
    mr_log_info("%s", (const char *) ctx);
}


static void
mr_say_all(void *ctx)
{
    (void) ctx;

    mr_log_debug("one");
    mr_log_info("two");
    mr_log_warn("three");
    mr_log_error("four");
}


static void
mr_say_init(void *ctx)
{
    (void) ctx;

    mr_log_init("millrace-check");
}


static void
mr_say_threads(void *ctx)
{
    int i;
    pthread_t list[MR_THREADS];

    (void) ctx;

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&list[i], NULL, mr_thread, NULL), 0);
    }

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_join(list[i], NULL), 0);
    }
}


static void *
mr_thread(void *ctx)
{
    int i;

    (void) ctx;

    for (i = 0; i < MR_LINES; i++) {
        mr_log_info("aaaaaaaa %d zzzz", i);
    }

    return NULL;
}
