#include <stdlib.h>
#include <string.h>

#include "../../../core/scan.h"
#include "check_core.h"


/*
 * A plain, slow reading of a container.  A backslash escapes a quote outside
 * of strings too: the text is no JSON then, wherever it is cut.
 */

static const char *
slow_scan(const char *pos, const char *end)
{
    int inside;
    size_t depth;

    inside = 0;
    depth = 0;

    for (/* void */; pos < end; pos++) {
        if (*pos == '\\') {
            pos += (pos + 1 < end && (pos[1] == '"' || pos[1] == '\\'));
            continue;
        }

        if (*pos == '"') {
            inside = !inside;
        }

        if (inside) {
            continue;
        }

        switch (*pos) {

        case '{':
        case '[':
            depth++;
            break;

        case '}':
        case ']':

            if (--depth == 0) {
                return pos + 1;
            }

            break;

        default:
            break;
        }
    }

    return NULL;
}


static const struct {
    const char *text;
    int end; /* -1: not closed */
} values[] = {{"{}", 2}, {"[],", 2}, {"[]]", 2},
    {"{\"a\":[1,{\"b\":\"]}\"}]} ", 20}, {"{\"a\":\"\\\"}\"}x", 11},
    {"{\"a\":\"\\\\\"}x", 10}, {"[\"\\\\\\\"]\"]]", 9}, {"{[}]", 4}, {"{", -1},
    {"[[]", -1}, {"[\"]", -1}, {"[\"\\\"]", -1}, {"\"\"", 2},
    {"\"a\\\"b\",", 6}, {"\"\\\\\"\"", 4}, {"\"", -1}, {"\"\\", -1},
    {"\"\\\"", -1}, {"1", 1}, {"-1.5e3,2", 6}, {"true]", 4}, {"null}", 4},
    {"nu ll", 2}, {"1\t", 1}, {"1\r", 1}, {"1\n", 1}, {"tru\"e\"", 6}, {",", 0},
    {"]", 0}};


START_TEST(value_table)
{
    char *copy;
    size_t len;
    const char *end;

    /* In memory of exactly this size, for a sanitizer's sake. */

    len = strlen(values[_i].text);
    copy = malloc(len);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, values[_i].text, len);

    end = mr_scan_value(copy, copy + len);

    if (values[_i].end < 0) {
        ck_assert_msg(end == NULL, "%s", values[_i].text);

    } else {
        ck_assert_msg(end == copy + values[_i].end, "%s: %d", values[_i].text,
            end == NULL ? -1 : (int) (end - copy));
    }

    free(copy);
}
END_TEST


/*
 * Random texts of the bytes that matter, of every length around the size of
 * a block, against the slow reading.
 */

START_TEST(value_agrees_with_slow)
{
    char *text;
    size_t i, len, round, closed;
    uint32_t state;
    const char *expect;

    static const char alphabet[] = "{}[]\"\"\\\\ a:,{}[]{}[]\\\"{[";

    state = 12345;
    closed = 0;

    for (round = 0; round < 300000; round++) {
        state = state * 1664525 + 1013904223;
        len = 1 + (state >> 16) % 200;

        text = malloc(len);
        ck_assert_ptr_nonnull(text);

        for (i = 0; i < len; i++) {
            state = state * 1664525 + 1013904223;

            /* Some are mostly backslashes, some mostly openings. */

            if (round % 3 == 1 && (state >> 28) > 2) {
                text[i] = (i % 2 == 0) ? '\\' : '"';

            } else if (round % 3 == 2 && (state >> 28) > 9) {
                text[i] = '[';

            } else {
                text[i] = alphabet[(state >> 16) % (sizeof(alphabet) - 1)];
            }
        }

        text[0] = (round % 2 == 0) ? '{' : '[';
        expect = slow_scan(text, text + len);
        closed += (expect != NULL);

        ck_assert_msg(
            mr_scan_value(text, text + len) == expect, "%.*s", (int) len, text);

        free(text);
    }

    ck_assert_uint_gt(closed, 10000);
    ck_assert_uint_lt(closed, 290000);
}
END_TEST


/* A closing bracket at every place, beyond any depth a block can change. */

START_TEST(value_of_any_depth)
{
    char *text;
    size_t depth;

    for (depth = 1; depth < 400; depth++) {
        text = malloc(depth * 2 + 1);
        ck_assert_ptr_nonnull(text);
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[depth * 2] = ']';

        ck_assert_ptr_eq(
            mr_scan_value(text, text + depth * 2 + 1), text + depth * 2);
        ck_assert_ptr_null(mr_scan_value(text, text + depth * 2 - 1));

        free(text);
    }
}
END_TEST


START_TEST(space_of_any_length)
{
    char *text;
    size_t len, at;

    for (len = 1; len < 100; len++) {
        text = malloc(len);
        ck_assert_ptr_nonnull(text);

        for (at = 0; at < len; at++) {
            text[at] = " \t\r\n"[at % 4];
        }

        ck_assert_ptr_eq(mr_scan_space(text, text + len), text + len);

        for (at = 0; at < len; at++) {
            text[at] = "x\v\f\0"[at % 4];
            ck_assert_ptr_eq(mr_scan_space(text, text + len), text + at);
            text[at] = ' ';
        }

        ck_assert_ptr_eq(mr_scan_space(text, text), text);
        free(text);
    }
}
END_TEST


/* 32 MiB of the worst: what is quadratic does not come back. */

START_TEST(hostile_is_linear)
{
    char *text;
    size_t len;
    double start;

    static const char *const pieces[] = {
        "[", "\"", "\\", "{\"", "[]", "\"\\", "]", " ", "1"};

    len = 32 * 1024 * 1024;
    text = malloc(len);
    ck_assert_ptr_nonnull(text);

    memset(text, pieces[_i][0], len);

    if (strlen(pieces[_i]) == 2) {
        for (size_t i = 1; i < len; i += 2) {
            text[i] = pieces[_i][1];
        }
    }

    start = mr_check_cpu();
    (void) mr_scan_value(text, text + len);
    text[0] = '[';
    (void) mr_scan_value(text, text + len);
    text[0] = '"';
    (void) mr_scan_value(text, text + len);
    text[0] = ' ';
    (void) mr_scan_space(text, text + len);

    ck_assert_double_lt(mr_check_cpu() - start, 3000);

    free(text);
}
END_TEST


Suite *
mr_suite_scan(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("scan");
    tc = tcase_create("scan");
    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);

    tcase_add_loop_test(tc, value_table, 0, sizeof(values) / sizeof(values[0]));
    tcase_add_test(tc, value_agrees_with_slow);
    tcase_add_test(tc, value_of_any_depth);
    tcase_add_test(tc, space_of_any_length);
    tcase_add_loop_test(tc, hostile_is_linear, 0, 9);

    return suite;
}
