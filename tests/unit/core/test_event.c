#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <millrace/batch.h>

#include "check_core.h"


#define ID "\"event_id\":\"e\""
#define USER "\"user_id\":\"u\""
#define TYPE "\"event_type\":\"t\""
#define TIME "\"timestamp\":1700000000"

/* An event but for its timestamp. */
#define REST ID "," USER "," TYPE


static mr_parser_t *parser;


static void
setup(void)
{
    parser = mr_parser_create();
    ck_assert_ptr_nonnull(parser);
}


static void
teardown(void)
{
    mr_parser_destroy(parser);
    parser = NULL;
}


static void
check_str(mr_str_t s, const char *expect)
{
    ck_assert_msg(mr_str_eq(s, mr_check_str(expect)), "%.*s, not %s",
        (int) s.len, s.data, expect);
}


START_TEST(parse_all_fields)
{
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(
        mr_check_parse(parser,
            mr_str(" \r\n\t{ \"metadata\" : {\"k\": 1} ,\n"
                   "\"timestamp\":1700000000.25,\"event_type\":\"\\u00e9\","
                   "\"user_id\":\"us\xe2\x82\xac\","
                   "\"\\u0065vent_id\":\"a\\\\b\"}\n "),
            &event, &err),
        0);

    check_str(event.event_id, "a\\b");
    check_str(event.user_id, "us\xe2\x82\xac");
    check_str(event.event_type, "\xc3\xa9");
    ck_assert_int_eq(event.timestamp, INT64_C(1700000000250));
    ck_assert_ptr_nonnull(event.metadata);
    ck_assert_ptr_nonnull(event.root);
    check_str(mr_parser_event_id(parser), "a\\b");

    ck_assert_int_eq(err.code, MR_OK);
}
END_TEST


START_TEST(parse_without_metadata)
{
    mr_event_t event;

    ck_assert_int_eq(
        mr_check_parse(parser, mr_str("{" REST "," TIME "}"), &event, NULL), 0);
    ck_assert_ptr_null(event.metadata);
}
END_TEST


static const struct {
    const char *text;
    mr_code_t code;
    const char *field;   /* NULL: none */
    const char *message; /* must be in it */
} bad[] = {{"", MR_ERROR_SYNTAX, NULL, "empty"},
    {" \n ", MR_ERROR_SYNTAX, NULL, "empty"},
    {"x", MR_ERROR_SYNTAX, NULL, "byte 1 of the event, near \"x\""},
    {"{", MR_ERROR_SYNTAX, NULL, "incomplete"},
    {"{" REST "," TIME, MR_ERROR_SYNTAX, NULL, "incomplete"},
    {"{" REST "," TIME ",}", MR_ERROR_SYNTAX, NULL, "trailing comma"},
    {"{" REST "," TIME "}}", MR_ERROR_SYNTAX, NULL, "near \"}\""},
    {"{" REST "," TIME "} {}", MR_ERROR_SYNTAX, NULL, "near \"{}\""},
    {"{" REST ";" TIME "}", MR_ERROR_SYNTAX, NULL, "near \";"},
    {"\xef\xbb\xbf{" REST "," TIME "}", MR_ERROR_SYNTAX, NULL, "BOM"},
    {"{" REST ",\"timestamp\":NaN}", MR_ERROR_SYNTAX, NULL, "NaN"},
    {"{" REST ",\"timestamp\":-Infinity}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" REST ",\"timestamp\":01}", MR_ERROR_SYNTAX, NULL, "leading zero"},
    {"{" REST ",\"timestamp\":+1}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" REST ",\"timestamp\":1.}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" REST ",\"timestamp\":.5}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" REST ",\"timestamp\":0x10}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" REST "," TIME "/* c */}", MR_ERROR_SYNTAX, NULL, ""},
    {"{'event_id':'e'}", MR_ERROR_SYNTAX, NULL, ""},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xff\"}", MR_ERROR_SYNTAX,
        NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xc0\x80\"}", MR_ERROR_SYNTAX,
        NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xe0\x80\xaf\"}",
        MR_ERROR_SYNTAX, NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xf0\x80\x80\xaf\"}",
        MR_ERROR_SYNTAX, NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xed\xa0\x80\"}",
        MR_ERROR_SYNTAX, NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\xf4\x90\x80\x80\"}",
        MR_ERROR_SYNTAX, NULL, "UTF-8"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\ud800\"}", MR_ERROR_SYNTAX,
        NULL, "surrogate"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\ud800x\"}", MR_ERROR_SYNTAX,
        NULL, "surrogate"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\ud800\\u0041\"}",
        MR_ERROR_SYNTAX, NULL, "surrogate"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\udc00\"}", MR_ERROR_SYNTAX,
        NULL, "surrogate"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"a\nb\"}", MR_ERROR_SYNTAX,
        NULL, "control character"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\x41\"}", MR_ERROR_SYNTAX,
        NULL, "escaped"},

    {"null", MR_ERROR_EVENT, NULL, "the event is null"},
    {"true", MR_ERROR_EVENT, NULL, "the event is a boolean"},
    {"1", MR_ERROR_EVENT, NULL, "the event is a number"},
    {"1e999", MR_ERROR_EVENT, NULL, "the event is a number"},
    {"\"x\"", MR_ERROR_EVENT, NULL, "the event is a string"},
    {"[]", MR_ERROR_EVENT, NULL, "the event is an array"},
    {"[{" REST "," TIME "}]", MR_ERROR_EVENT, NULL, "the event is an array"},

    {"{}", MR_ERROR_EVENT, "event_id", "event_id is missing"},
    {"{" USER "," TYPE "," TIME "}", MR_ERROR_EVENT, "event_id",
        "event_id is missing; it must be a string of 1 to 128 bytes"},
    {"{" ID "," TYPE "," TIME "}", MR_ERROR_EVENT, "user_id",
        "user_id is missing; it must be a string of 1 to 256 bytes"},
    {"{" ID "," USER "," TIME "}", MR_ERROR_EVENT, "event_type",
        "event_type is missing"},
    {"{" REST "}", MR_ERROR_EVENT, "timestamp", "timestamp is missing"},
    {"{\"metadata\":{}," ID "," USER "," TYPE "}", MR_ERROR_EVENT, "timestamp",
        "timestamp is missing"},

    {"{" REST "," TIME ",\"extra\":1}", MR_ERROR_EVENT, NULL,
        "unknown field \"extra\""},
    {"{" REST "," TIME ",\"\":1}", MR_ERROR_EVENT, NULL, "unknown field \"\""},
    {"{" REST "," TIME ",\"user_ip\":1}", MR_ERROR_EVENT, NULL,
        "unknown field \"user_ip\""},
    {"{" REST "," TIME ",\"Metadata\":{}}", MR_ERROR_EVENT, NULL,
        "unknown field \"Metadata\""},
    {"{" REST "," TIME ",\"timestamq\":1}", MR_ERROR_EVENT, NULL,
        "unknown field \"timestamq\""},
    {"{" REST "," TIME ",\"event_typo\":1}", MR_ERROR_EVENT, NULL,
        "unknown field \"event_typo\""},
    {"{" REST "," TIME ",\"event_id\\u0000\":1}", MR_ERROR_EVENT, NULL,
        "unknown field \"event_id\\x00\""},
    {"{" REST "," TIME ",\"0123456789012345678901234567890123456789\":1}",
        MR_ERROR_EVENT, NULL, "\"01234567890123456789012345678901...\""},

    {"{" REST "," TIME "," ID "}", MR_ERROR_EVENT, "event_id",
        "event_id stands more than once"},
    {"{" REST "," TIME ",\"\\u0075ser_id\":\"u\"}", MR_ERROR_EVENT, "user_id",
        "user_id stands more than once"},
    {"{" REST "," TIME "," TIME "}", MR_ERROR_EVENT, "timestamp",
        "more than once"},
    {"{" REST "," TIME ",\"metadata\":{},\"metadata\":{}}", MR_ERROR_EVENT,
        "metadata", "more than once"},

    {"{" USER "," TYPE "," TIME ",\"event_id\":1}", MR_ERROR_EVENT, "event_id",
        "event_id is a number"},
    {"{" ID "," TYPE "," TIME ",\"user_id\":null}", MR_ERROR_EVENT, "user_id",
        "user_id is null"},
    {"{" ID "," USER "," TIME ",\"event_type\":[]}", MR_ERROR_EVENT,
        "event_type", "event_type is an array"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\"}", MR_ERROR_EVENT,
        "event_id", "event_id is empty"},
    {"{" ID "," TYPE "," TIME ",\"user_id\":\"\"}", MR_ERROR_EVENT, "user_id",
        "user_id is empty"},
    {"{" ID "," USER "," TIME ",\"event_type\":\"\"}", MR_ERROR_EVENT,
        "event_type", "event_type is empty"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"a\\u0000\"}", MR_ERROR_EVENT,
        "event_id", "U+0000 at byte 2"},
    {"{" USER "," TYPE "," TIME ",\"event_id\":\"\\n\"}", MR_ERROR_EVENT,
        "event_id", "U+000A at byte 1"},
    {"{" ID "," TYPE "," TIME ",\"user_id\":\"a\x7f\"}", MR_ERROR_EVENT,
        "user_id", "U+007F at byte 2"},
    {"{" ID "," USER "," TIME ",\"event_type\":\"0123456\xc2\x85\"}",
        MR_ERROR_EVENT, "event_type", "U+0085 at byte 8"},
    {"{" ID "," USER "," TIME ",\"event_type\":\"\\u009f\"}", MR_ERROR_EVENT,
        "event_type", "U+009F at byte 1"},

    {"{" REST ",\"timestamp\":\"1700000000\"}", MR_ERROR_EVENT, "timestamp",
        "timestamp is a string"},
    {"{" REST ",\"timestamp\":{}}", MR_ERROR_EVENT, "timestamp",
        "timestamp is an object; it must be a number"},
    {"{" REST ",\"timestamp\":null}", MR_ERROR_EVENT, "timestamp",
        "timestamp is null"},
    {"{" REST ",\"timestamp\":true}", MR_ERROR_EVENT, "timestamp",
        "timestamp is a boolean"},
    {"{" REST "," TIME ",\"metadata\":null}", MR_ERROR_EVENT, "metadata",
        "metadata is null; it must be an object"},
    {"{" REST "," TIME ",\"metadata\":[]}", MR_ERROR_EVENT, "metadata",
        "metadata is an array"},
    {"{" REST "," TIME ",\"metadata\":\"{}\"}", MR_ERROR_EVENT, "metadata",
        "metadata is a string"}};


START_TEST(parse_refuses)
{
    int rc;
    mr_event_t event, before;
    mr_error_t err = MR_ERROR_INIT;

    memset(&event, 0x5a, sizeof(event));
    memset(&before, 0x5a, sizeof(before));

    rc = mr_check_parse(parser, mr_check_str(bad[_i].text), &event, &err);

    ck_assert_msg(rc == -1, "accepted: %s", bad[_i].text);
    ck_assert_msg(err.code == bad[_i].code, "%s: code %d (%s)", bad[_i].text,
        err.code, err.message);
    ck_assert_mem_eq(&event, &before, sizeof(event));

    if (bad[_i].field == NULL) {
        ck_assert_ptr_null(err.field);

    } else {
        ck_assert_str_eq(err.field, bad[_i].field);
    }

    ck_assert_msg(strstr(err.message, bad[_i].message) != NULL,
        "%s: \"%s\" has no \"%s\"", bad[_i].text, err.message, bad[_i].message);
    ck_assert_uint_lt(strlen(err.message), MR_ERROR_MESSAGE_SIZE - 1);

    /* It can be asked for no message as well. */

    ck_assert_int_eq(
        mr_check_parse(parser, mr_check_str(bad[_i].text), &event, NULL), -1);
}
END_TEST


START_TEST(parse_refuses_raw_nul)
{
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(
        mr_check_parse(parser,
            mr_str("{" USER "," TYPE "," TIME ",\"event_id\":\"a\0b\"}"),
            &event, &err),
        -1);
    ck_assert_int_eq(err.code, MR_ERROR_SYNTAX);

    ck_assert_int_eq(
        mr_check_parse(parser, mr_str("{" REST "," TIME "}\0"), &event, &err),
        -1);
    ck_assert_int_eq(err.code, MR_ERROR_SYNTAX);
}
END_TEST


static const struct {
    const char *name;
    size_t max;
} limits[] = {{"event_id", MR_EVENT_ID_MAX}, {"user_id", MR_USER_ID_MAX},
    {"event_type", MR_EVENT_TYPE_MAX}};


/* At the limit and one byte beyond, in one-byte and in two-byte characters. */

START_TEST(parse_string_limits)
{
    int k, rc;
    char value[600], text[2000];
    size_t i, len;
    mr_event_t event;
    mr_error_t err;

    for (k = 0; k < 3; k++) {
        for (len = limits[_i].max; len <= limits[_i].max + 1; len++) {
            for (i = 0; i < len; i++) {
                value[i] = (k == 1 && len % 2 == 0) ? "\xc3\xa9"[i % 2] : 'x';
            }

            value[len] = '\0';

            (void) snprintf(text, sizeof(text),
                "{%s%s%s," TIME ",\"%s\":\"%s\"}", _i == 0 ? "" : ID,
                _i == 1 ? "" : (_i == 0 ? USER : "," USER),
                _i == 2 ? "" : "," TYPE, limits[_i].name, value);

            rc = mr_check_parse(parser, mr_check_str(text), &event, &err);

            if (len == limits[_i].max) {
                ck_assert_msg(rc == 0, "%s", err.message);
                continue;
            }

            ck_assert_int_eq(rc, -1);
            ck_assert_str_eq(err.field, limits[_i].name);
            ck_assert_ptr_nonnull(strstr(err.message, "bytes"));
        }
    }
}
END_TEST


static const struct {
    const char *number;
    int64_t time;
} timestamps[] = {{"0", 0}, {"-0", 0}, {"-0.0", 0}, {"0.0004", 0},
    {"0.0005", 1}, {"1e-400", 0}, {"1", 1000},
    {"1.7e9", INT64_C(1700000000000)}, {"17E+8", INT64_C(1700000000000)},
    {"1700000000", INT64_C(1700000000000)},
    {"1700000000.001", INT64_C(1700000000001)},
    {"1700000000.0004", INT64_C(1700000000000)},
    {"1700000000.00049", INT64_C(1700000000000)},
    {"1700000000.0005", INT64_C(1700000000001)},
    {"1700000000.0015", INT64_C(1700000000002)},
    {"1700000000.9994", INT64_C(1700000000999)},
    {"1700000000.9995", INT64_C(1700000001000)},
    {"1699999999.9999", INT64_C(1700000000000)},
    {"99999999999", INT64_C(99999999999000)},
    {"99999999999.999", INT64_C(99999999999999)},
    {"99999999999.9994", INT64_C(99999999999999)}};


START_TEST(parse_timestamps)
{
    char text[200];
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    (void) snprintf(text, sizeof(text), "{" REST ",\"timestamp\":%s}",
        timestamps[_i].number);

    ck_assert_msg(mr_check_parse(parser, mr_check_str(text), &event, &err) == 0,
        "%s: %s", timestamps[_i].number, err.message);
    ck_assert_msg(event.timestamp == timestamps[_i].time,
        "%s: %" PRId64 ", not %" PRId64, timestamps[_i].number, event.timestamp,
        timestamps[_i].time);
}
END_TEST


/*
 * Every half of a millisecond, and its neighbours in the fifth digit, must
 * go where the decimal digits say, at many magnitudes.
 */

START_TEST(parse_timestamp_halves)
{
    char text[200];
    int64_t seconds, expect;
    unsigned digits, fifth;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    for (seconds = 1; seconds < INT64_C(20000000000); seconds = seconds * 3 + 1)
    {
        for (digits = 0; digits < 1000; digits += 7) {
            for (fifth = 49; fifth <= 51; fifth++) {
                (void) snprintf(text, sizeof(text),
                    "{" REST ",\"timestamp\":%" PRId64 ".%03u%02u}", seconds,
                    digits, fifth);

                expect = seconds * 1000 + digits + (fifth >= 50);

                ck_assert_int_eq(
                    mr_event_parse(parser, mr_check_str(text), &event, &err),
                    0);
                ck_assert_msg(event.timestamp == expect,
                    "%s: %" PRId64 ", not %" PRId64, text, event.timestamp,
                    expect);
            }
        }
    }
}
END_TEST


static const struct {
    const char *number;
    const char *message;
} bad_timestamps[] = {{"-1", "timestamp -1 lies before 1970"},
    {"-0.001", "before 1970"}, {"-1e400", "timestamp -1e400 lies before 1970"},
    {"-99999999999999999999", "before 1970"},
    {"100000000000", "looks like milliseconds"},
    {"100000000000.0", "looks like milliseconds"},
    {"99999999999.9995", "looks like milliseconds"},
    {"1700000000000", "timestamp 1700000000000 is too large for seconds and "
                      "looks like milliseconds; send UNIX seconds"},
    {"1700000000000.5", "timestamp 1700000000000.5 is too large"},
    {"9223372036854775807", "looks like milliseconds"},
    {"18446744073709551615", "looks like milliseconds"},
    {"18446744073709551616", "timestamp 18446744073709551616 is too large"},
    {"1e400", "timestamp 1e400 is too large"}};


START_TEST(parse_refuses_timestamps)
{
    char text[200];
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    (void) snprintf(text, sizeof(text), "{" REST ",\"timestamp\":%s}",
        bad_timestamps[_i].number);

    ck_assert_int_eq(
        mr_check_parse(parser, mr_check_str(text), &event, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_EVENT);
    ck_assert_str_eq(err.field, "timestamp");
    ck_assert_msg(strstr(err.message, bad_timestamps[_i].message) != NULL, "%s",
        err.message);
}
END_TEST


static const struct {
    const char *text;
    const char *id;
} ids[] = {{"{\"extra\":1,\"event_id\":\"late\"}", "late"},
    {"{\"event_id\":\"early\",\"user_id\":1}", "early"},
    {"{\"event_id\":\"a\",\"metadata\":{\"event_id\":\"b\"}}", "a"},
    {"{\"metadata\":{\"event_id\":\"b\"}}", ""},
    {"{\"metadata\":[{\"a\":[1]}],\"event_id\":\"past\"}", "past"},
    {"{\"event_id\":\"a\",\"event_id\":\"b\"}", ""},
    {"{\"event_id\":\"a\\n\"}", ""}, {"{\"event_id\":7}", ""},
    {"{\"event_id\":\"x\"", ""}, {"{}", ""}, {"[\"event_id\",\"a\"]", ""}};


START_TEST(event_id_of_refused)
{
    mr_event_t event;

    ck_assert_int_eq(
        mr_check_parse(parser, mr_str("{" REST "," TIME "}"), &event, NULL), 0);
    check_str(mr_parser_event_id(parser), "e");

    ck_assert_int_eq(
        mr_check_parse(parser, mr_check_str(ids[_i].text), &event, NULL), -1);
    check_str(mr_parser_event_id(parser), ids[_i].id);
}
END_TEST


/* A text of the largest size is judged, a larger one is not even read. */

START_TEST(parse_size_limit)
{
    char *text;
    size_t size;
    mr_str_t s;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    size = sizeof("{" REST "," TIME "}") - 1;
    text = malloc(MR_EVENT_SIZE_MAX + 1);
    ck_assert_ptr_nonnull(text);

    memset(text, ' ', MR_EVENT_SIZE_MAX + 1);
    memcpy(text + MR_EVENT_SIZE_MAX - size, "{" REST "," TIME "}", size);

    s.data = text;
    s.len = MR_EVENT_SIZE_MAX;
    ck_assert_int_eq(mr_check_parse(parser, s, &event, &err), 0);

    s.len++;
    ck_assert_int_eq(mr_check_parse(parser, s, &event, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_EVENT);
    ck_assert_ptr_nonnull(strstr(err.message, "1048577 bytes"));
    ck_assert_uint_eq(mr_parser_event_id(parser).len, 0);

    free(text);
}
END_TEST


/* Small, large and small again: the memory grows and is used again. */

START_TEST(parser_grows)
{
    int i;
    char *text, *big, *value;
    size_t len;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    for (i = 0; i < 20; i++) {
        len = (size_t) 1 << i;
        value = malloc(len + 3);
        ck_assert_ptr_nonnull(value);
        memset(value, 'v', len + 2);
        value[0] = '"';
        value[len + 1] = '"';
        value[len + 2] = '\0';

        ck_assert_int_gt(asprintf(&text, "{\"k\":%s}", value), 0);
        big = mr_check_with_metadata(text);

        ck_assert_msg(
            mr_check_parse(parser, mr_check_str(big), &event, &err) == 0,
            "%zu: %s", len, err.message);
        ck_assert_int_eq(
            mr_check_parse(parser, mr_str("{" REST "," TIME "}"), &event, &err),
            0);

        free(big);
        free(text);
        free(value);
    }
}
END_TEST


/* What opens a million containers and closes none must fail cleanly. */

START_TEST(parse_unclosed)
{
    char *text;
    size_t i, k;
    mr_str_t s;
    mr_event_t event;
    mr_error_t err;

    static const char *const openings[] = {
        "[", "{\"\":", "[{\"\":", " [", "[ "};

    text = malloc(MR_EVENT_SIZE_MAX);
    ck_assert_ptr_nonnull(text);

    for (k = 0; k < sizeof(openings) / sizeof(openings[0]); k++) {
        for (i = 0; i < MR_EVENT_SIZE_MAX; i++) {
            text[i] = openings[k][i % strlen(openings[k])];
        }

        s.data = text;
        s.len = MR_EVENT_SIZE_MAX;

        ck_assert_int_eq(mr_check_parse(parser, s, &event, &err), -1);
        ck_assert_int_eq(err.code, MR_ERROR_SYNTAX);
    }

    free(text);
}
END_TEST


#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* Out of memory is told from bad input, and the parser is usable after. */

START_TEST(out_of_memory)
{
    long pages;
    char *text;
    FILE *file;
    mr_str_t s, slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;
    struct rlimit limit, before;

    text = malloc(MR_EVENT_SIZE_MAX);
    ck_assert_ptr_nonnull(text);
    memset(text, ' ', MR_EVENT_SIZE_MAX);
    memcpy(text, "{" REST "," TIME "}", sizeof("{" REST "," TIME "}") - 1);
    s.data = text;
    s.len = MR_EVENT_SIZE_MAX;

    file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    (void) fclose(file);

    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t) (pages * sysconf(_SC_PAGESIZE)) + 1024 * 1024;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);

    ck_assert_int_eq(mr_event_parse(parser, s, &event, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_MEMORY);

    mr_batch_init(&batch, MR_FORMAT_NDJSON, s);
    text[MR_EVENT_SIZE_MAX - 1] = 'x';
    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_BROKEN);
    ck_assert_int_eq(err.code, MR_ERROR_MEMORY);

    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);

    text[MR_EVENT_SIZE_MAX - 1] = ' ';
    ck_assert_int_eq(mr_event_parse(parser, s, &event, &err), 0);

    free(text);
}
END_TEST

#endif


START_TEST(parser_destroys_null)
{
    mr_parser_destroy(NULL);
}
END_TEST


static const mr_policy_t policy = {64 * 1024, 86400000};

#define NOW INT64_C(1700000000000)

static const struct {
    size_t size;
    int64_t time;
    const char *type;
    const char *field;
    const char *message; /* NULL: admitted */
} admissions[] = {{1, 0, "view", NULL, NULL},
    {64 * 1024, NOW, "view", NULL, NULL},
    {100, NOW + 86400000, "view", NULL, NULL},
    {100, NOW + 86400001, "view", "timestamp",
        "timestamp 1700086400.001 lies too far in the future; at most "
        "1700086400.000"},
    {100, MR_TIMESTAMP_MAX, "view", "timestamp", "86400 s ahead"},
    {64 * 1024 + 1, NOW, "view", NULL, "65537 bytes; at most 65536"},
    {100, NOW, "(other)", "event_type",
        "event_type \"(other)\" is what GET /stats calls all types beyond"},
    {100, NOW, "(others)", NULL, NULL}, {100, NOW, "(other", NULL, NULL},
    {100, NOW, "(Other)", NULL, NULL}, {100, NOW, "other", NULL, NULL}};


START_TEST(admit_table)
{
    int rc;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    memset(&event, 0, sizeof(event));
    event.timestamp = admissions[_i].time;
    event.event_type.data = admissions[_i].type;
    event.event_type.len = strlen(admissions[_i].type);

    rc = mr_event_admit(&event, admissions[_i].size, &policy, NOW, &err);

    if (admissions[_i].message == NULL) {
        ck_assert_msg(rc == 0, "%s", err.message);
        return;
    }

    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(err.code, MR_ERROR_POLICY);
    ck_assert_ptr_nonnull(strstr(err.message, admissions[_i].message));

    if (admissions[_i].field == NULL) {
        ck_assert_ptr_null(err.field);

    } else {
        ck_assert_str_eq(err.field, admissions[_i].field);
    }
}
END_TEST


Suite *
mr_suite_event(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("event");
    tc = tcase_create("event");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, parse_all_fields);
    tcase_add_test(tc, parse_without_metadata);
    tcase_add_loop_test(tc, parse_refuses, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, parse_refuses_raw_nul);
    tcase_add_loop_test(tc, parse_string_limits, 0, 3);
    tcase_add_loop_test(
        tc, parse_timestamps, 0, sizeof(timestamps) / sizeof(timestamps[0]));
    tcase_add_test(tc, parse_timestamp_halves);
    tcase_add_loop_test(tc, parse_refuses_timestamps, 0,
        sizeof(bad_timestamps) / sizeof(bad_timestamps[0]));
    tcase_add_loop_test(
        tc, event_id_of_refused, 0, sizeof(ids) / sizeof(ids[0]));
    tcase_add_test(tc, parse_size_limit);
    tcase_add_test(tc, parser_grows);
    tcase_add_test(tc, parse_unclosed);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tc, out_of_memory);
#endif

    tcase_add_test(tc, parser_destroys_null);
    tcase_add_loop_test(
        tc, admit_table, 0, sizeof(admissions) / sizeof(admissions[0]));

    return suite;
}
