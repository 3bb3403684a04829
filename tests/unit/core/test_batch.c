#include <stdlib.h>
#include <string.h>

#include <millrace/batch.h>

#include "check_core.h"


/* Two events, one that is JSON but no event, and a number. */
#define A                                                                      \
    "{\"event_id\":\"a\",\"user_id\":\"u\",\"event_type\":\"t\","              \
    "\"timestamp\":1}"
#define B                                                                      \
    "{ \"event_id\":\"b\",\"user_id\":\"u\",\"event_type\":\"t\","             \
    "\"timestamp\":2,\"metadata\":{\"s\":\"]},\\\"[{\"} }"
#define BAD "{\"event_id\":\"bad\"}"


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


/*
 * What a body must give, a letter an item: the event's id (a, b), '-' for
 * one that is refused, then '!' broken or '.' done.
 */

static const struct {
    mr_format_t format;
    const char *body;
    const char *items;
    const char *message; /* of the last error; NULL: none */
} bodies[] = {{MR_FORMAT_JSON, A, "a.", NULL},
    {MR_FORMAT_JSON, " \r\n\t" B "\n ", "b.", NULL},
    {MR_FORMAT_JSON, BAD, "-.", "user_id is missing"},
    {MR_FORMAT_JSON, "{}", "-.", "event_id is missing"},
    {MR_FORMAT_JSON, "[" A "]", "a.", NULL},
    {MR_FORMAT_JSON, " [ " A " , " B " ] ", "ab.", NULL},
    {MR_FORMAT_JSON, "[" A "," B "," A "," A "]\n", "abaa.", NULL},
    {MR_FORMAT_JSON, "[" A "," BAD "," B "]", "a-b.", "user_id is missing"},
    {MR_FORMAT_JSON, "[" A ",1,true,null,\"x\",[],[{}]," B "]", "a------b.",
        "the event is an array"},
    {MR_FORMAT_JSON, "[1e999,-1.5]", "--.", "the event is a number"},
    {MR_FORMAT_JSON, "[\"a,b]\\\"]\"," A "]", "-a.", "the event is a string"},

    {MR_FORMAT_JSON, "", "!", "the body is empty"},
    {MR_FORMAT_JSON, " \n\t\r ", "!", "the body is empty"},
    {MR_FORMAT_JSON, "[]", "!", "the array is empty"},
    {MR_FORMAT_JSON, " [ \n ] ", "!", "the array is empty"},
    {MR_FORMAT_JSON, "null", "!",
        "at byte 1 of the body, near \"null\": the body is neither"},
    {MR_FORMAT_JSON, " 42", "!", "at byte 2 of the body"},
    {MR_FORMAT_JSON, "\"x\"", "!", "neither"},
    {MR_FORMAT_JSON, "]", "!", "neither"},
    {MR_FORMAT_JSON, "\xef\xbb\xbf[" A "]", "!", "near \"\xef\xbb\xbf[{"},
    {MR_FORMAT_JSON, "a=1&b=2", "!", "neither"},
    {MR_FORMAT_JSON, "{", "!", "at byte 2 of the body: the body ends"},
    {MR_FORMAT_JSON, "{\"a\":\"}", "!", "at byte 8 of the body"},
    {MR_FORMAT_JSON, "{]", "!", "not valid JSON at byte 2 of the body"},
    {MR_FORMAT_JSON, "  {\"a\" 1}", "!",
        "not valid JSON at byte 8 of the body, near \"1}\""},
    {MR_FORMAT_JSON, A A, "!", "something follows the object"},
    {MR_FORMAT_JSON, A "\n" B "\n", "!", "application/x-ndjson"},
    {MR_FORMAT_JSON, A ",", "!", "something follows the object"},
    {MR_FORMAT_JSON, "[", "!", "at byte 2 of the body: the body ends"},
    {MR_FORMAT_JSON, "[  ", "!", "at byte 4 of the body: the body ends"},
    {MR_FORMAT_JSON, "[" A, "a!", "closed by ']'"},
    {MR_FORMAT_JSON, "[" A " ", "a!", "closed by ']'"},
    {MR_FORMAT_JSON, "[" A ",", "a!", "closed by ']'"},
    {MR_FORMAT_JSON, "[" A ",]", "a!", "is one too many"},
    {MR_FORMAT_JSON, "[" A " , ]", "a!", "is one too many"},
    {MR_FORMAT_JSON, "[,]", "!", "an event of the array is missing"},
    {MR_FORMAT_JSON, "[," A "]", "!", "at byte 2 of the body"},
    {MR_FORMAT_JSON, "[" A ",," B "]", "a!", "is missing"},
    {MR_FORMAT_JSON, "[" A B "]", "a!", "must be separated by ','"},
    {MR_FORMAT_JSON, "[" A " " B "]", "a!", "must be separated by ','"},
    {MR_FORMAT_JSON, "[" A "}", "a!", "must be separated by ','"},
    {MR_FORMAT_JSON, "[" A "]]", "a!", "something follows the array"},
    {MR_FORMAT_JSON, "[" A "] x", "a!", "near \"x\": something follows"},
    {MR_FORMAT_JSON, "[]x", "!", "something follows the array"},
    {MR_FORMAT_JSON, "[" A "]" A, "a!", "something follows the array"},
    {MR_FORMAT_JSON, "[" A ",{]", "a!", "not valid JSON"},
    {MR_FORMAT_JSON, "[" A ",{]]", "a!", "not valid JSON"},
    {MR_FORMAT_JSON, "[" A ",{]}]", "a!", "not valid JSON"},
    {MR_FORMAT_JSON, "[" A ",tru]", "a!", "incomplete"},
    {MR_FORMAT_JSON, "[" A ",nulL]", "a!", "not valid JSON"},
    {MR_FORMAT_JSON, "[" A ",1 2]", "a-!", "must be separated by ','"},
    {MR_FORMAT_JSON, "[" A ",\"x]", "a!", "the body ends"},
    {MR_FORMAT_JSON, "[}", "!", "is missing"},
    {MR_FORMAT_JSON, "[" A ",{\"a\":\xff}]", "a!", "near \"\\xff}\""},
    {MR_FORMAT_JSON, "[" A ",{\"\xff\":1}]", "a!", "UTF-8"},
    {MR_FORMAT_JSON, "[" A ",{\"a\":1,}]", "a!", "trailing comma"},
    {MR_FORMAT_JSON, "[1,{\"a\":?}]", "-!",
        "not valid JSON at byte 9 of the body, near \"?}\""},

    {MR_FORMAT_NDJSON, A, "a.", NULL}, {MR_FORMAT_NDJSON, A "\n", "a.", NULL},
    {MR_FORMAT_NDJSON, A "\n" B "\n", "ab.", NULL},
    {MR_FORMAT_NDJSON, A "\r\n" B "\r\n", "ab.", NULL},
    {MR_FORMAT_NDJSON, A "\n" B, "ab.", NULL},
    {MR_FORMAT_NDJSON, "\n\n \t\r\n" A "\n\n\r\n  " B " \t\r\n \n", "ab.",
        NULL},
    {MR_FORMAT_NDJSON, A "\n" BAD "\nnonsense\n" B, "a--b.", "not valid JSON"},
    {MR_FORMAT_NDJSON, "[" A "]\n" A, "-a.", "the event is an array"},
    {MR_FORMAT_NDJSON, A B "\n" A, "-a.", "not valid JSON"},
    {MR_FORMAT_NDJSON, "{\"a\":\n1}\n" A, "--a.", "not valid JSON"},
    {MR_FORMAT_NDJSON, "\xef\xbb\xbf" A "\n" A, "-a.", "BOM"},
    {MR_FORMAT_NDJSON, "  {\"a\":?}", "-.", "byte 6 of the line"},
    {MR_FORMAT_NDJSON, "", "!", "the body has no event"},
    {MR_FORMAT_NDJSON, "\n \r\n\t", "!", "the body has no event"}};


START_TEST(body_table)
{
    char *copy;
    size_t i, n, len;
    mr_str_t body, slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;
    const char *end, *items, *text;
    mr_batch_status_t status, expect;

    text = bodies[_i].body;
    len = strlen(text);
    copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);

    body.data = copy;
    body.len = len;
    end = copy;
    n = 0;
    status = MR_BATCH_DONE;

    mr_batch_init(&batch, bodies[_i].format, body);

    for (items = bodies[_i].items; *items != '\0'; items++) {
        status = mr_batch_next(&batch, parser, &slice, &event, &err);
        expect = (*items == '!')   ? MR_BATCH_BROKEN
                 : (*items == '.') ? MR_BATCH_DONE
                 : (*items == '-') ? MR_BATCH_INVALID
                                   : MR_BATCH_EVENT;

        ck_assert_msg(status == expect, "%s: item %zu: %d, not %d (%s)", text,
            n, status, expect, err.message);

        if (status == MR_BATCH_BROKEN || status == MR_BATCH_DONE) {
            break;
        }

        ck_assert_uint_eq(batch.index, n++);

        /* Slices come one after the other and lie in the body. */

        ck_assert(slice.data >= end && slice.len > 0);
        end = slice.data + slice.len;
        ck_assert(end <= copy + len);
        ck_assert(strchr(" \t\r\n", slice.data[0]) == NULL);
        ck_assert(strchr(" \t\r\n", end[-1]) == NULL);

        if (status == MR_BATCH_EVENT) {
            ck_assert_uint_eq(event.event_id.len, 1);
            ck_assert_int_eq(event.event_id.data[0], *items);
            ck_assert(mr_str_eq(slice, *items == 'a' ? mr_str(A) : mr_str(B)));
        }
    }

    if (bodies[_i].message == NULL) {
        ck_assert_int_eq(err.code, MR_OK);

    } else {
        ck_assert_msg(strstr(err.message, bodies[_i].message) != NULL, "%s: %s",
            text, err.message);
    }

    /* However often it is asked, what is over stays over. */

    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(
            mr_batch_next(&batch, parser, &slice, &event, &err), status);
    }

    if (status == MR_BATCH_BROKEN) {
        ck_assert_int_eq(err.code, MR_ERROR_SYNTAX);
    }

    free(copy);
}
END_TEST


/* No prefix of a body may be read beyond, or be taken for a whole array. */

START_TEST(every_prefix_is_broken)
{
    char *copy;
    size_t len, whole;
    mr_str_t body, slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_batch_status_t status;

    static const char text[] = "[" A "," B ",7,\"s\"," BAD "]";

    whole = sizeof(text) - 1;

    for (len = 0; len <= whole; len++) {
        copy = malloc(len > 0 ? len : 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, len);

        body.data = copy;
        body.len = len;
        mr_batch_init(&batch, MR_FORMAT_JSON, body);

        do {
            status = mr_batch_next(&batch, parser, &slice, &event, NULL);
        } while (status == MR_BATCH_EVENT || status == MR_BATCH_INVALID);

        ck_assert_int_eq(
            status, len == whole ? MR_BATCH_DONE : MR_BATCH_BROKEN);

        free(copy);
    }
}
END_TEST


START_TEST(event_id_of_invalid)
{
    mr_str_t slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    mr_batch_init(&batch, MR_FORMAT_JSON, mr_str("[" A "," BAD ",1]"));

    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_EVENT);
    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_INVALID);
    ck_assert(mr_str_eq(mr_parser_event_id(parser), mr_str("bad")));
    ck_assert_str_eq(err.field, "user_id");
    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_INVALID);
    ck_assert_uint_eq(mr_parser_event_id(parser).len, 0);
}
END_TEST


START_TEST(no_body_at_all)
{
    mr_str_t body = {NULL, 0}, slice;
    mr_batch_t batch;
    mr_event_t event;

    mr_batch_init(&batch, MR_FORMAT_JSON, body);
    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, NULL), MR_BATCH_BROKEN);

    mr_batch_init(&batch, MR_FORMAT_NDJSON, body);
    ck_assert_int_eq(
        mr_batch_next(&batch, parser, &slice, &event, NULL), MR_BATCH_BROKEN);
}
END_TEST


START_TEST(a_size_is_refused_unseen)
{
    int format;
    mr_str_t slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;
    static const char *const of[] = {
        [MR_FORMAT_JSON] = "[" A ", {no JSON}," A "]",
        [MR_FORMAT_NDJSON] = A "\n {no JSON}\n" A "\n"};

    for (format = MR_FORMAT_JSON; format <= MR_FORMAT_NDJSON; format++) {
        mr_batch_init(&batch, (mr_format_t) format,
            (mr_str_t){of[format], strlen(of[format])});
        mr_batch_max_event_size(&batch, strlen("{no JSON}") - 1);

        ck_assert_int_eq(mr_batch_next(&batch, parser, &slice, &event, &err),
            MR_BATCH_INVALID);
        ck_assert_int_eq(err.code, MR_ERROR_POLICY);
        ck_assert_ptr_null(err.field);
        ck_assert_uint_eq(mr_parser_event_id(parser).len, 0);
        ck_assert(mr_str_eq(slice, mr_str(A)));

        /* What is larger is not JSON either, but nobody has looked. */
        ck_assert_int_eq(mr_batch_next(&batch, parser, &slice, &event, &err),
            MR_BATCH_INVALID);
        ck_assert_int_eq(err.code, MR_ERROR_POLICY);
        ck_assert_uint_eq(batch.index, 1);

        mr_batch_max_event_size(&batch, strlen(A));
        ck_assert_int_eq(mr_batch_next(&batch, parser, &slice, &event, &err),
            MR_BATCH_EVENT);
        ck_assert_int_eq(
            mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_DONE);
    }
}
END_TEST


/* One event that is too large spoils nothing but itself. */

START_TEST(too_large_is_invalid)
{
    int format;
    mr_str_t body, slice;
    mr_buf_t buf = MR_BUF_INIT;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;

    for (format = MR_FORMAT_JSON; format <= MR_FORMAT_NDJSON; format++) {
        mr_buf_reset(&buf);
        ck_assert_int_eq(mr_buf_printf(&buf, "%s{\"metadata\":\"",
                             format == MR_FORMAT_JSON ? "[" : ""),
            0);
        ck_assert_int_eq(mr_buf_reserve(&buf, 2 * MR_EVENT_SIZE_MAX), 0);
        memset(buf.data + buf.len, ']', MR_EVENT_SIZE_MAX);
        buf.len += MR_EVENT_SIZE_MAX;
        ck_assert_int_eq(mr_buf_printf(&buf, "\"}%s" A "%s",
                             format == MR_FORMAT_JSON ? "," : "\n",
                             format == MR_FORMAT_JSON ? "]" : ""),
            0);

        body.data = buf.data;
        body.len = buf.len;
        mr_batch_init(&batch, (mr_format_t) format, body);

        ck_assert_int_eq(mr_batch_next(&batch, parser, &slice, &event, &err),
            MR_BATCH_INVALID);
        ck_assert_int_eq(err.code, MR_ERROR_EVENT);
        ck_assert_ptr_nonnull(strstr(err.message, "at most 1048576"));
        ck_assert_int_eq(mr_batch_next(&batch, parser, &slice, &event, &err),
            MR_BATCH_EVENT);
        ck_assert_int_eq(
            mr_batch_next(&batch, parser, &slice, &event, &err), MR_BATCH_DONE);
    }

    mr_buf_free(&buf);
}
END_TEST


/*
 * Bodies of 16 MB that would take for ever if the rest were looked at again
 * for each element.
 */

static const struct {
    mr_format_t format;
    const char *first;
    const char *repeat;
} hostile[] = {{MR_FORMAT_JSON, "[", "["}, {MR_FORMAT_JSON, "[", "{"},
    {MR_FORMAT_JSON, "[", "1,"}, {MR_FORMAT_JSON, "[", "{},"},
    {MR_FORMAT_JSON, "[", "\"\","}, {MR_FORMAT_JSON, "[\"", "\\"},
    {MR_FORMAT_JSON, "[", "\""}, {MR_FORMAT_JSON, "[", "[\"],["},
    {MR_FORMAT_JSON, "[", " "}, {MR_FORMAT_JSON, "{", "["},
    {MR_FORMAT_JSON, "{\"a\":", "{\"a\":"}, {MR_FORMAT_NDJSON, "", "\n"},
    {MR_FORMAT_NDJSON, "", "{\n"}, {MR_FORMAT_NDJSON, "", "["},
    {MR_FORMAT_NDJSON, "", " \r\n"}};


START_TEST(hostile_is_linear)
{
    char *text;
    size_t i, first, repeat, len;
    double start, spent;
    mr_str_t body, slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_batch_status_t status;

    len = 4 * 1024 * 1024;
    text = malloc(len);
    ck_assert_ptr_nonnull(text);

    first = strlen(hostile[_i].first);
    repeat = strlen(hostile[_i].repeat);
    memcpy(text, hostile[_i].first, first);

    for (i = first; i < len; i++) {
        text[i] = hostile[_i].repeat[(i - first) % repeat];
    }

    body.data = text;
    body.len = len;
    mr_batch_init(&batch, hostile[_i].format, body);
    start = mr_check_cpu();

    do {
        status = mr_batch_next(&batch, parser, &slice, &event, NULL);
    } while (status == MR_BATCH_EVENT || status == MR_BATCH_INVALID);

    spent = mr_check_cpu() - start;
    ck_assert_msg(spent < 20000, "took %.0f ms", spent);

    free(text);
}
END_TEST


/* Read both bodies to their end: every item must be the same. */
static void
check_same(mr_batch_t *plain, mr_batch_t *limited)
{
    mr_event_t event;
    mr_str_t slices[2];
    mr_error_t errs[2];
    mr_batch_status_t status[2];

    do {
        memset(slices, 0, sizeof(slices));
        memset(errs, 0, sizeof(errs));

        status[0] = mr_batch_next(plain, parser, &slices[0], &event, &errs[0]);

        do {
            status[1] =
                mr_batch_next(limited, parser, &slices[1], &event, &errs[1]);
        } while (status[1] == MR_BATCH_MORE);

        ck_assert_int_eq(status[0], status[1]);
        ck_assert_ptr_eq(slices[0].data, slices[1].data);
        ck_assert_uint_eq(slices[0].len, slices[1].len);
        ck_assert_uint_eq(plain->index, limited->index);
        ck_assert_str_eq(errs[0].message, errs[1].message);
    } while (status[0] == MR_BATCH_EVENT || status[0] == MR_BATCH_INVALID);
}


START_TEST(a_limit_changes_no_answer)
{
    static const char alphabet[] = "\"\"\\\\[]{},: 1a";
    static const size_t limits[] = {1, 64, 65, 100, 1000};

    char text[1200];
    size_t i, len, round;
    uint32_t seed;
    mr_str_t body;
    mr_batch_t plain, limited;

    seed = 1;
    body.data = text;

    for (round = 0; round < 4000; round++) {
        seed = seed * 1664525 + 1013904223;
        len = 1 + (seed >> 8) % sizeof(text);

        for (i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }

        /* half of them long strings of an array, in which little ends one */

        if (round % 2) {
            for (i = 2; i < len; i++) {
                text[i] = (i % 97 == 96) ? text[i] : '\\';
            }

            text[1] = '"';
        }

        text[0] = (round % 3) ? '[' : '{';
        body.len = len;

        mr_batch_init(&plain, MR_FORMAT_JSON, body);
        mr_batch_init(&limited, MR_FORMAT_JSON, body);
        mr_batch_limit(
            &limited, limits[round % (sizeof(limits) / sizeof(limits[0]))]);
        check_same(&plain, &limited);
    }
}
END_TEST


START_TEST(a_limit_bounds_every_call)
{
    char *text;
    size_t i, len, limit, calls;
    mr_str_t body, slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_batch_status_t status;
    static const char *const ends[][2] = {
        {"[{\"", "\"}]"}, {"[\"", "\"]"}, {"[1", "]"}, {"{\"", "\"}"}};

    len = 16 * 1024 * 1024;
    limit = 256 * 1024;
    text = malloc(len);
    ck_assert_ptr_nonnull(text);

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        memset(text, '1', len);
        memcpy(text, ends[i][0], strlen(ends[i][0]));
        memcpy(text + len - strlen(ends[i][1]), ends[i][1], strlen(ends[i][1]));

        body.data = text;
        body.len = len;
        mr_batch_init(&batch, MR_FORMAT_JSON, body);
        mr_batch_limit(&batch, limit);

        for (calls = 1; /* void */; calls++) {
            status = mr_batch_next(&batch, parser, &slice, &event, NULL);

            if (status != MR_BATCH_MORE) {
                break;
            }
        }

        /* larger than any event may be, and found whole all the same */

        ck_assert_int_eq(status, MR_BATCH_INVALID);
        ck_assert_uint_ge(slice.len, len - 2);
        ck_assert_uint_ge(calls, len / limit - 1);
        ck_assert_uint_le(calls, len / limit + 1);
        ck_assert_int_eq(
            mr_batch_next(&batch, parser, &slice, &event, NULL), MR_BATCH_DONE);
    }

    free(text);
}
END_TEST


Suite *
mr_suite_batch(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("batch");
    tc = tcase_create("batch");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);

    tcase_add_loop_test(tc, body_table, 0, sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_test(tc, every_prefix_is_broken);
    tcase_add_test(tc, event_id_of_invalid);
    tcase_add_test(tc, no_body_at_all);
    tcase_add_test(tc, a_size_is_refused_unseen);
    tcase_add_test(tc, too_large_is_invalid);
    tcase_add_test(tc, a_limit_changes_no_answer);
    tcase_add_test(tc, a_limit_bounds_every_call);
    tcase_add_loop_test(
        tc, hostile_is_linear, 0, sizeof(hostile) / sizeof(hostile[0]));

    return suite;
}
