#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <common/options_table.h>

#include "check_common.h"


static int64_t mr_number(
    const mr_options_t *options, const char *section, const char *key);
static const char *mr_text(
    const mr_options_t *options, const char *section, const char *key);
static int mr_is_number(const mr_option_t *option);
static void mr_document(void *ctx);


START_TEST(defaults)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_msg(
        mr_options_load(NULL, &options, &err) == 0, "%s", err.message);

    ck_assert_str_eq(options.kafka.brokers, "127.0.0.1:9092");
    ck_assert_str_eq(options.kafka.topic, "events");
    ck_assert_str_eq(options.kafka.stats_topic, "event-stats");
    ck_assert_str_eq(options.kafka.dead_topic, "events-dead");
    ck_assert_int_eq(options.kafka.partitions, 8);
    ck_assert_int_eq(options.kafka.retention, 7 * 86400 * 1000LL);
    ck_assert_uint_eq(options.kafka.n_properties, 0);

    ck_assert_str_eq(
        options.mongodb.uri, "mongodb://127.0.0.1:27017/?replicaSet=rs0");
    ck_assert_str_eq(options.mongodb.database, "millrace");
    ck_assert_int_eq(options.mongodb.timeout, 20000);

    ck_assert_int_eq(options.writer.flush_events, 65536);
    ck_assert_int_eq(options.writer.flush_size, 32 * 1024 * 1024);
    ck_assert_int_eq(options.writer.flush_interval, 200);
    ck_assert_int_eq(options.writer.dedup_window, 500000);
    ck_assert_int_eq(options.writer.retention, 0);

    ck_assert_int_eq(options.stats.grace, 3600 * 1000);
    ck_assert_int_eq(options.stats.keep_minute, 35 * 86400 * 1000LL);
    ck_assert_int_eq(options.stats.max_types, 2000);
    ck_assert_str_eq(options.query.listen, "127.0.0.1:8081");
    ck_assert_int_eq(options.query.queue, 256);

    ck_assert_uint_eq(options.measures.n, 1);
    ck_assert_str_eq(options.measures.list[0].name, "value");
    ck_assert_str_eq(options.measures.list[0].text, "/metadata/value");
    ck_assert_ptr_nonnull(options.measures.list[0].pointer);

    mr_options_free(&options);
}
END_TEST


/* conf/millrace.conf has every key, and the default that the code has. */
START_TEST(shipped_file)
{
    FILE *file;
    char line[256], section[32], wanted[32];
    size_t n;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t shipped, plain;
    const mr_option_t *option;

    ck_assert_msg(mr_options_load("conf/millrace.conf", &shipped, &err) == 0,
        "%s", err.message);
    ck_assert_int_eq(mr_options_load(NULL, &plain, &err), 0);

    for (option = mr_option_table; option->section != NULL; option++) {

        file = fopen("conf/millrace.conf", "r");
        ck_assert_ptr_nonnull(file);

        section[0] = '\0';
        n = 0;
        (void) snprintf(wanted, sizeof(wanted), "%s =", option->key);

        while (fgets(line, sizeof(line), file) != NULL) {

            (void) sscanf(line, "[%31[a-z]]", section);

            if (strcmp(section, option->section) == 0
                && strncmp(line, wanted, strlen(wanted)) == 0)
            {
                n++;
            }
        }

        (void) fclose(file);

        ck_assert_msg(n == 1, "[%s] %s is there %zu times", option->section,
            option->key, n);

        if (mr_is_number(option)) {
            ck_assert_int_eq(mr_number(&shipped, option->section, option->key),
                mr_number(&plain, option->section, option->key));

        } else {
            ck_assert_str_eq(mr_text(&shipped, option->section, option->key),
                mr_text(&plain, option->section, option->key));
        }
    }

    ck_assert_uint_eq(shipped.measures.n, 1);
    ck_assert_str_eq(shipped.measures.list[0].text, "/metadata/value");

    mr_options_free(&shipped);
    mr_options_free(&plain);
}
END_TEST


static const struct {
    const char *section;
    const char *line;
    const char *key;
    int64_t value;
} numbers[] = {
    {"kafka", "partitions = 1", "partitions", 1},
    {"kafka", "partitions=10000", "partitions", 10000},
    {"kafka", "partitions : 00012", "partitions", 12},
    {"kafka", "  partitions   =   12   ", "partitions", 12},
    {"kafka", "\tpartitions = 12 ; a comment", "partitions", 12},
    {"kafka", "retention = 0", "retention", 0},
    {"kafka", "retention = 0s", "retention", 0},
    {"kafka", "retention = 1m", "retention", 60000},
    {"kafka", "retention = 60000ms", "retention", 60000},
    {"kafka", "retention = 3650d", "retention", 3650 * 86400000LL},
    {"writer", "flush_interval = 1ms", "flush_interval", 1},
    {"writer", "flush_interval = 60s", "flush_interval", 60000},
    {"writer", "flush_size = 65536", "flush_size", 65536},
    {"writer", "flush_size = 64k", "flush_size", 65536},
    {"writer", "flush_size = 256m", "flush_size", 256 * 1048576},
    {"writer", "retention = 1h", "retention", 3600000},
    {"writer", "retention = 24855d", "retention", 24855 * 86400000LL},
    {"writer", "dedup_window = 50000000", "dedup_window", 50000000},
    {"stats", "grace = 0", "grace", 0},
    {"stats", "keep_second = 30d", "keep_second", 30 * 86400000LL},
    {"stats", "max_types = 100000", "max_types", 100000},
    {"query", "scan_blocks = 1000000", "scan_blocks", 1000000},
    {"query", "slow_block = 0", "slow_block", 0},
};


START_TEST(number)
{
    char text[128];
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    (void) snprintf(text, sizeof(text), "[%s]\n%s\n", numbers[_i].section,
        numbers[_i].line);

    ck_assert_msg(mr_check_load(text, &options, &err) == 0, "%s: %s",
        numbers[_i].line, err.message);
    ck_assert_int_eq(mr_number(&options, numbers[_i].section, numbers[_i].key),
        numbers[_i].value);

    mr_options_free(&options);
}
END_TEST


static const struct {
    const char *section;
    const char *key;
    const char *value;
} texts[] = {
    {"kafka", "brokers", "a"},
    {"kafka", "brokers", "kafka-1.example.org:9092,10.0.0.1:65535"},
    {"kafka", "brokers", "[::1]:9092"},
    {"kafka", "topic", "a.b_c-D9"},
    {"mongodb", "database", "a_b-1"},
    {"mongodb", "uri", "mongodb+srv://u:p@example.org/?tls=true"},
    {"mongodb", "uri", "mongodb://a,b,c/?replicaSet=x"},
    {"writer", "group", "g.1"},
    {"writer", "metrics", "0.0.0.0:1"},
    {"query", "listen", "[::1]:65535"},
};


START_TEST(text)
{
    char content[256];
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    (void) snprintf(content, sizeof(content), "[%s]\n%s = %s\n",
        texts[_i].section, texts[_i].key, texts[_i].value);

    ck_assert_msg(mr_check_load(content, &options, &err) == 0, "%s: %s",
        texts[_i].value, err.message);
    ck_assert_str_eq(
        mr_text(&options, texts[_i].section, texts[_i].key), texts[_i].value);

    mr_options_free(&options);
}
END_TEST


START_TEST(layout)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_msg(mr_check_load("\xef\xbb\xbf[writer] # one\r\n"
                                "\r\n"
                                "; a comment\r\n"
                                "# another = 1\r\n"
                                "threads = 3\r\n"
                                "[kafka];two\r\n"
                                "sasl.password = a#b;c = d \r\n"
                                "client.rack =\r\n"
                                "[writer]\r\n"
                                "group = last-line-without-newline",
                      &options, &err)
                      == 0,
        "%s", err.message);

    ck_assert_int_eq(options.writer.threads, 3);
    ck_assert_str_eq(options.writer.group, "last-line-without-newline");

    ck_assert_uint_eq(options.kafka.n_properties, 2);
    ck_assert_str_eq(options.kafka.properties[0].name, "sasl.password");
    ck_assert_str_eq(options.kafka.properties[0].value, "a#b;c = d");
    ck_assert_ptr_nonnull(strstr(options.kafka.properties[0].where, ":7"));
    ck_assert_str_eq(options.kafka.properties[1].value, "");

    mr_options_free(&options);
}
END_TEST


/* inih alone would cut a line at 200 bytes and read the rest as the next. */
START_TEST(long_line)
{
    char *uri, *content;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    uri = malloc(8001);
    content = malloc(9000);
    ck_assert(uri != NULL && content != NULL);

    memset(uri, 'h', 8000);
    uri[8000] = '\0';
    memcpy(uri, "mongodb://", 10);

    (void) snprintf(content, 9000, "[mongodb]\nuri = %s\npool = 3\n", uri);

    ck_assert_msg(
        mr_check_load(content, &options, &err) == 0, "%s", err.message);
    ck_assert_str_eq(options.mongodb.uri, uri);
    ck_assert_int_eq(options.mongodb.pool, 3);

    mr_options_free(&options);
    free(uri);
    free(content);
}
END_TEST


START_TEST(measures)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_msg(mr_check_load("[measures]\n"
                                "price = /metadata/price\n"
                                "n_2 = /metadata/a~1b/0\n",
                      &options, &err)
                      == 0,
        "%s", err.message);

    ck_assert_uint_eq(options.measures.n, 2);
    ck_assert_str_eq(options.measures.list[0].name, "price");
    ck_assert_str_eq(options.measures.list[1].name, "n_2");
    ck_assert_str_eq(options.measures.list[1].text, "/metadata/a~1b/0");
    ck_assert_ptr_nonnull(options.measures.list[1].pointer);

    mr_options_free(&options);
}
END_TEST


START_TEST(environment)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    setenv("MILLRACE_KAFKA_STATS_TOPIC", "s", 1);
    setenv("MILLRACE_KAFKA_SASL_PASSWORD", "hush", 1);
    setenv("MILLRACE_KAFKA_SSL_CA_LOCATION", "/ca", 1);
    setenv("MILLRACE_MONGODB_URI", "mongodb://other/", 1);
    setenv("MILLRACE_WRITER_FLUSH_INTERVAL", "5s", 1);
    setenv("MILLRACE_MEASURES_PRICE", "/metadata/price", 1);
    setenv("MILLRACE_MEASURES_MORE", "/metadata/more", 1);

    /* Not ours: no section has such a name. */
    setenv("MILLRACE_LOG", "debug", 1);
    setenv("MILLRACE_HOME", "/", 1);
    setenv("MILLRACE_WRITERS", "1", 1);

    ck_assert_msg(mr_check_load("[kafka]\n"
                                "sasl.password = in-the-file\n"
                                "stats_topic = in-the-file\n"
                                "[writer]\n"
                                "flush_interval = 1s\n"
                                "threads = 7\n"
                                "[measures]\n"
                                "price = /metadata/other\n",
                      &options, &err)
                      == 0,
        "%s", err.message);

    ck_assert_str_eq(options.kafka.stats_topic, "s");
    ck_assert_uint_eq(options.kafka.n_properties, 2);
    ck_assert_str_eq(options.kafka.properties[0].name, "sasl.password");
    ck_assert_str_eq(options.kafka.properties[0].value, "hush");
    ck_assert_str_eq(
        options.kafka.properties[0].where, "MILLRACE_KAFKA_SASL_PASSWORD");
    ck_assert_str_eq(options.kafka.properties[1].name, "ssl.ca.location");
    ck_assert_str_eq(options.mongodb.uri, "mongodb://other/");
    ck_assert_int_eq(options.writer.flush_interval, 5000);
    ck_assert_int_eq(options.writer.threads, 7);

    ck_assert_uint_eq(options.measures.n, 2);
    ck_assert_str_eq(options.measures.list[0].name, "price");
    ck_assert_str_eq(options.measures.list[0].text, "/metadata/price");
    ck_assert_str_eq(options.measures.list[1].name, "more");

    mr_options_free(&options);
}
END_TEST


START_TEST(document)
{
    char *output, row[128];
    const mr_option_t *option;

    output = mr_check_capture(STDOUT_FILENO, mr_document, NULL);

    for (option = mr_option_table; option->section != NULL; option++) {
        (void) snprintf(
            row, sizeof(row), "| `%s` | `%s` |", option->key, option->value);
        ck_assert_msg(strstr(output, row) != NULL, "no row %s", row);
    }

    ck_assert_ptr_nonnull(strstr(output, "## [measures]"));
    ck_assert_ptr_nonnull(strstr(output, "0 or 1h to 36500d (0: for ever)"));

    free(output);
}
END_TEST


Suite *
mr_suite_options(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("options");
    tc = tcase_create("options");

    tcase_add_test(tc, defaults);
    tcase_add_test(tc, shipped_file);
    tcase_add_loop_test(
        tc, number, 0, (int) (sizeof(numbers) / sizeof(numbers[0])));
    tcase_add_loop_test(tc, text, 0, (int) (sizeof(texts) / sizeof(texts[0])));
    tcase_add_test(tc, layout);
    tcase_add_test(tc, long_line);
    tcase_add_test(tc, measures);
    tcase_add_test(tc, environment);
    tcase_add_test(tc, document);

    suite_add_tcase(suite, tc);

    return suite;
}


static int
mr_is_number(const mr_option_t *option)
{
    return option->type == MR_OPTION_COUNT || option->type == MR_OPTION_DURATION
           || option->type == MR_OPTION_SIZE;
}


static int64_t
mr_number(const mr_options_t *options, const char *section, const char *key)
{
    const mr_option_t *option;

    option = mr_option_find(section, key);
    ck_assert(option != NULL && mr_is_number(option));

    return *(const int64_t *) ((const char *) options + option->offset);
}


static const char *
mr_text(const mr_options_t *options, const char *section, const char *key)
{
    const mr_option_t *option;

    option = mr_option_find(section, key);
    ck_assert(option != NULL && !mr_is_number(option));

    return *(char *const *) ((const char *) options + option->offset);
}


static void
mr_document(void *ctx)
{
    (void) ctx;
    mr_options_document();
}
