#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_common.h"


/* Each is refused, in this line, with this in the message. */
static const struct {
    const char *text;
    unsigned line;
    const char *message;
} bad[] = {
    {"brokers = a\n", 1, "a key before the first section"},
    {"\n\n[writer\nthreads = 1\n", 3, "without its closing ]"},
    {"[writer] threads = 1\n", 1, "nothing but a comment may follow"},
    {"[writers]\n", 1, "unknown section [writers]; allowed: [kafka]"},
    {"[]\n", 1, "unknown section []"},
    {"[Writer]\n", 1, "unknown section [Writer]"},
    {"[writer]\n\nthreads\n", 3, "expected [section], key = value"},
    {"[writer]\nno\nthreads = x\n", 2, "expected [section], key = value"},
    {"[writer]\nthreads = x\nno\n", 2, "\"x\" is not a whole number"},

    {"[writer]\nthread = 1\n", 2,
        "[writer] has no key \"thread\"; allowed: group, threads, "
        "flush_events, flush_size, flush_interval, dedup_window, retention, "
        "keep_accounts, sketch_cache, metrics"},
    {"[writer]\nThreads = 1\n", 2, "has no key \"Threads\""},
    {"[writer]\n= 1\n", 2, "has no key \"\""},
    {"[writer]\nsasl.password = 1\n", 2, "has no key \"sasl.password\""},
    {"[writer]\n\x01\x02 = 1\n", 2, "has no key \"\\x01\\x02\""},
    {"[kafka]\nfoo = 1\n", 2, "any librdkafka property with a dot"},

    {"[writer]\nthreads = 1\ngroup = a\nthreads = 2\n", 4,
        "[writer] threads is already set in line 2"},
    {"[kafka]\na.b = 1\n\na.b = 1\n", 4, "a.b is already set at"},
    {"[measures]\na = /b\na = /c\n", 3, "[measures] a is already set"},

    {"[writer]\nthreads =\n", 2, "\"\" is not a whole number"},
    {"[writer]\nthreads = 0\n", 2, "0 is out of range; allowed: 1 to 256"},
    {"[writer]\nthreads = 257\n", 2, "257 is out of range"},
    {"[writer]\nthreads = -1\n", 2, "\"-1\" is not a whole number"},
    {"[writer]\nthreads = +1\n", 2, "not a whole number"},
    {"[writer]\nthreads = 1.5\n", 2, "not a whole number"},
    {"[writer]\nthreads = 0x10\n", 2, "not a whole number"},
    {"[writer]\nthreads = 2 # two\n", 2, "not a whole number"},
    {"[writer]\nthreads = 99999999999999999999\n", 2, "not a whole number"},
    {"[writer]\nflush_size = 1z\n", 2,
        "\"1z\" is not a size (a whole number of bytes, or with k, m or g); "
        "allowed: 64k to 256m"},
    {"[writer]\nflush_size = 63k\n", 2, "out of range"},
    {"[writer]\nflush_size = 9223372036854775807g\n", 2, "not a size"},
    {"[writer]\nflush_interval = 200\n", 2,
        "\"200\" is not a duration (a whole number with ms, s, m, h or d); "
        "allowed: 1ms to 60s"},
    {"[writer]\nflush_interval = 0\n", 2, "out of range"},
    {"[writer]\nflush_interval = 2 s\n", 2, "not a duration"},
    {"[writer]\nflush_interval = 61s\n", 2, "out of range"},
    {"[writer]\nretention = 1m\n", 2,
        "allowed: 0 or 1h to 24855d (0: for ever)"},
    {"[writer]\nretention = 24856d\n", 2, "out of range"},
    {"[writer]\nretention = 596523h\n", 2, "out of range"},

    {"[writer]\nmetrics = 9101\n", 2, "allowed: address:port"},
    {"[writer]\nmetrics = localhost:9101\n", 2, "the address as numbers"},
    {"[writer]\nmetrics = 127.0.0.1:0\n", 2, "port 1 to 65535"},
    {"[writer]\nmetrics = 127.0.0.1:65536\n", 2, "port 1 to 65535"},
    {"[writer]\nmetrics = ::1:9101\n", 2, "address:port"},
    {"[writer]\ngroup =\n", 2, "allowed: 1 to 249 letters"},
    {"[kafka]\ntopic = a b\n", 2, "\"a b\" is not allowed"},
    {"[kafka]\ntopic = ..\n", 2, "\"..\" is not allowed"},
    {"[kafka]\nbrokers =\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = a:\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = a:0\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = a:65536\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = a,,b\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = a:1,\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = http://a\n", 2, "allowed: host[:port]"},
    {"[kafka]\nbrokers = [::1\n", 2, "allowed: host[:port]"},
    {"[mongodb]\ndatabase = a.b\n", 2, "\"a.b\" is not allowed"},
    {"[mongodb]\nuri = http://h\n", 2, "not a connection string"},

    {"[measures]\n1a = /b\n", 2, "\"1a\" is no name for a measure"},
    {"[measures]\nA = /b\n", 2, "is no name for a measure"},
    {"[measures]\na.b = /b\n", 2, "is no name for a measure"},
    {"[measures]\na23456789012345678901234567890123 = /b\n", 2,
        "is no name for a measure"},
    {"[measures]\na = metadata/b\n", 2, "expected a JSON Pointer"},
    {"[measures]\na1=/a\na2=/a\na3=/a\na4=/a\na5=/a\na6=/a\na7=/a\na8=/a\n"
     "a9=/a\nb1=/a\nb2=/a\nb3=/a\nb4=/a\nb5=/a\nb6=/a\nb7=/a\nb8=/a\n",
        18, "more than 16 measures"},
};


START_TEST(bad_line)
{
    int rc;
    char prefix[96];
    const char *path;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    path = mr_check_file(bad[_i].text, strlen(bad[_i].text));
    rc = mr_options_load(path, &options, &err);

    ck_assert_msg(rc == -1, "accepted: %s", bad[_i].text);
    ck_assert_int_eq(err.code, MR_ERROR_CONFIG);

    (void) snprintf(prefix, sizeof(prefix), "%s:%u: ", path, bad[_i].line);

    ck_assert_msg(strncmp(err.message, prefix, strlen(prefix)) == 0,
        "\"%s\" does not begin with %s", err.message, prefix);
    ck_assert_msg(strstr(err.message, bad[_i].message) != NULL,
        "\"%s\" does not say: %s", err.message, bad[_i].message);
}
END_TEST


static const char *const refused[] = {"acks", "request.required.acks",
    "enable.idempotence", "transactional.id", "transaction.timeout.ms",
    "retries", "partitioner", "group.id", "auto.offset.reset",
    "enable.auto.commit", "enable.auto.offset.store", "isolation.level",
    "bootstrap.servers", "partition.assignment.strategy", "client.id",
    "delivery.report.only.error", "allow.auto.create.topics",
    "test.mock.num.brokers", "topic.acks", "topic.partitioner", "check.crcs",
    "log.queue", "statistics.interval.ms"};


START_TEST(refused_property)
{
    char text[128];
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    (void) snprintf(text, sizeof(text), "[kafka]\n%s = 1\n", refused[_i]);

    ck_assert_int_eq(mr_check_load(text, &options, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, ":2: [kafka] "));
    ck_assert_ptr_nonnull(strstr(err.message, refused[_i]));
    ck_assert_ptr_nonnull(strstr(err.message, " may not be set: "));
}
END_TEST


static const struct {
    const char *name;
    const char *value;
    const char *message;
} bad_variables[] = {
    {"MILLRACE_WRITER_THREAD", "1",
        "MILLRACE_WRITER_THREAD: [writer] has no key \"thread\"; allowed"},
    {"MILLRACE_WRITER_THREADS", "x",
        "MILLRACE_WRITER_THREADS: [writer] threads: \"x\" is not"},
    {"MILLRACE_WRITER_THREADS", "", "\"\" is not a whole number"},
    {"MILLRACE_KAFKA_ACKS", "1",
        "MILLRACE_KAFKA_ACKS: [kafka] acks may not be set"},
    {"MILLRACE_KAFKA_ENABLE_AUTO_COMMIT", "1",
        "[kafka] enable.auto.commit may not be set"},
    {"MILLRACE_KAFKA_FOO", "1", "has no key \"foo\""},
    {"MILLRACE_MEASURES_1", "/a", "is no name for a measure"},
    {"MILLRACE_MEASURES_A", "a", "expected a JSON Pointer"},
};


START_TEST(bad_variable)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    setenv(bad_variables[_i].name, bad_variables[_i].value, 1);

    ck_assert_int_eq(mr_options_load(NULL, &options, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_CONFIG);
    ck_assert_msg(strstr(err.message, bad_variables[_i].message) != NULL, "%s",
        err.message);
}
END_TEST


static const struct {
    const char *text;
    const char *message;
} bad_together[] = {
    {"[kafka]\nstats_topic = events\n", "three different topics"},
    {"[kafka]\ndead_topic = event-stats\n", "three different topics"},
    {"[kafka]\nmin_insync_replicas = 2\n", "more than replication (1)"},
    {"[stats]\nlease = 1s\ninterval = 501ms\n", "at least twice interval"},
    {"[stats]\nkeep_second = 2h\nkeep_minute = 1h\n",
        "seconds are inside their minutes"},
};


START_TEST(together)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_int_eq(mr_check_load(bad_together[_i].text, &options, &err), -1);
    ck_assert_msg(strstr(err.message, bad_together[_i].message) != NULL, "%s",
        err.message);
}
END_TEST


START_TEST(nul_byte)
{
    const char *path;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    path = mr_check_file("[writer]\nthreads = 1\0 2\n", 23);

    ck_assert_int_eq(mr_options_load(path, &options, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, ":2: a NUL byte"));
}
END_TEST


START_TEST(too_long)
{
    char *text;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    text = malloc(20001);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', 20000);
    text[20000] = '\0';
    memcpy(text, "[kafka]\n\na.b = ", 15);
    memcpy(text + 19990, "\nx = 1\n", 7);

    ck_assert_int_eq(mr_check_load(text, &options, &err), -1);
    ck_assert_msg(
        strstr(err.message, ":3: a line of 19981 bytes; at most") != NULL, "%s",
        err.message);

    free(text);
}
END_TEST


START_TEST(no_file)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_int_eq(
        mr_options_load("/nowhere/millrace.conf", &options, &err), -1);
    ck_assert_str_eq(err.message,
        "cannot open /nowhere/millrace.conf: No such file or directory");

    ck_assert_int_eq(mr_options_load("/tmp", &options, &err), -1);
    ck_assert_str_eq(err.message, "cannot read /tmp: Is a directory");
}
END_TEST


/* A wrong line may hold a secret: its value is not repeated. */
START_TEST(secret)
{
    size_t i;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    static const char *const lines[] = {
        "[mongodb]\nuri = u:hush@host\n",
        "[kafka]\nsasl.passwort = hush\nsasl.passwort = hush\n",
        "[kafka]\nsasl_password = hush\n",
        "[mongodb]\npassword = hush\n",
        "[kafka]\nsasl.password hush\n",
    };

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ck_assert_int_eq(mr_check_load(lines[i], &options, &err), -1);
        ck_assert_msg(strstr(err.message, "hush") == NULL, "%s", err.message);
    }
}
END_TEST


Suite *
mr_suite_options_errors(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("options_errors");
    tc = tcase_create("options_errors");

    tcase_add_loop_test(tc, bad_line, 0, (int) (sizeof(bad) / sizeof(bad[0])));
    tcase_add_loop_test(
        tc, refused_property, 0, (int) (sizeof(refused) / sizeof(refused[0])));
    tcase_add_loop_test(tc, bad_variable, 0,
        (int) (sizeof(bad_variables) / sizeof(bad_variables[0])));
    tcase_add_loop_test(tc, together, 0,
        (int) (sizeof(bad_together) / sizeof(bad_together[0])));
    tcase_add_test(tc, nul_byte);
    tcase_add_test(tc, too_long);
    tcase_add_test(tc, no_file);
    tcase_add_test(tc, secret);

    suite_add_tcase(suite, tc);

    return suite;
}
