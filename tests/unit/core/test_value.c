#include <stdlib.h>
#include <string.h>

#include "../../fuzz/rewrite.h"
#include "check_core.h"


static mr_parser_t *parser;
static mr_event_t event;


static void
setup(void)
{
    char *text;

    static const char metadata[] =
        "{\"value\":12.5,\"i\":-3,\"zero\":-0,\"s\":\"1\",\"t\":true,"
        "\"n\":null,\"o\":{\"value\":7,\"\":8},\"a\":[10,[20,{\"x\":30}],"
        "\"s\"],\"\":9,\"a/b\":1,\"m~n\":2,\"~1\":3,\"01\":4,\"0\":5,"
        "\"max\":1e15,\"over\":1000000000000001,\"min\":-1e15,"
        "\"under\":-1.0000000000000002e15,\"big\":9223372036854775807}";

    parser = mr_parser_create();
    ck_assert_ptr_nonnull(parser);

    text = mr_check_with_metadata(metadata);
    ck_assert_int_eq(
        mr_check_parse(parser, mr_check_str(text), &event, NULL), 0);
    free(text);
}


static void
teardown(void)
{
    mr_parser_destroy(parser);
    parser = NULL;
}


static const struct {
    const char *pointer;
    mr_number_t found;
    double number;
} lookups[] = {{"/metadata/value", MR_NUMBER_FOUND, 12.5},
    {"/metadata/i", MR_NUMBER_FOUND, -3},
    {"/metadata/zero", MR_NUMBER_FOUND, 0}, {"/timestamp", MR_NUMBER_FOUND, 1},
    {"/metadata/s", MR_NUMBER_IGNORED, 0},
    {"/metadata/t", MR_NUMBER_IGNORED, 0},
    {"/metadata/o", MR_NUMBER_IGNORED, 0},
    {"/metadata/a", MR_NUMBER_IGNORED, 0}, {"/metadata", MR_NUMBER_IGNORED, 0},
    {"/user_id", MR_NUMBER_IGNORED, 0}, {"/metadata/n", MR_NUMBER_ABSENT, 0},
    {"/metadata/none", MR_NUMBER_ABSENT, 0},
    {"/metadata/valu", MR_NUMBER_ABSENT, 0},
    {"/metadata/value/", MR_NUMBER_ABSENT, 0},
    {"/metadata/value/x", MR_NUMBER_ABSENT, 0},
    {"/metadata/n/x", MR_NUMBER_ABSENT, 0},
    {"/none/value", MR_NUMBER_ABSENT, 0}, {"/", MR_NUMBER_ABSENT, 0},
    {"/metadata/o/value", MR_NUMBER_FOUND, 7},
    {"/metadata/o/", MR_NUMBER_FOUND, 8}, {"/metadata/", MR_NUMBER_FOUND, 9},
    {"/metadata/a/0", MR_NUMBER_FOUND, 10},
    {"/metadata/a/1/0", MR_NUMBER_FOUND, 20},
    {"/metadata/a/1/1/x", MR_NUMBER_FOUND, 30},
    {"/metadata/a/2", MR_NUMBER_IGNORED, 0},
    {"/metadata/a/3", MR_NUMBER_ABSENT, 0},
    {"/metadata/a/-", MR_NUMBER_ABSENT, 0},
    {"/metadata/a/00", MR_NUMBER_ABSENT, 0},
    {"/metadata/a/+0", MR_NUMBER_ABSENT, 0},
    {"/metadata/a/", MR_NUMBER_ABSENT, 0},
    {"/metadata/a/99999999999999999999", MR_NUMBER_ABSENT, 0},
    {"/metadata/a~1b", MR_NUMBER_FOUND, 1},
    {"/metadata/m~0n", MR_NUMBER_FOUND, 2},
    {"/metadata/~01", MR_NUMBER_FOUND, 3}, {"/metadata/01", MR_NUMBER_FOUND, 4},
    {"/metadata/0", MR_NUMBER_FOUND, 5},
    {"/metadata/max", MR_NUMBER_FOUND, 1e15},
    {"/metadata/min", MR_NUMBER_FOUND, -1e15},
    {"/metadata/over", MR_NUMBER_IGNORED, 0},
    {"/metadata/under", MR_NUMBER_IGNORED, 0},
    {"/metadata/big", MR_NUMBER_IGNORED, 0}};


START_TEST(pointer_finds)
{
    double number;
    mr_number_t found;
    mr_pointer_t *pointer;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_msg(
        mr_pointer_compile(mr_check_str(lookups[_i].pointer), &pointer, &err)
            == 0,
        "%s", err.message);

    number = 12345;
    found = mr_event_number(&event, pointer, &number);

    ck_assert_int_eq(found, lookups[_i].found);
    ck_assert_double_eq(
        number, found == MR_NUMBER_FOUND ? lookups[_i].number : 12345);

    mr_pointer_destroy(pointer);
}
END_TEST


static const struct {
    const char *pointer;
    const char *message;
} bad[] = {{"", "is empty"}, {"metadata/value", "does not begin with '/'"},
    {"~0", "does not begin with '/'"}, {"/a~", "neither ~0 nor ~1"},
    {"/a~/b", "neither ~0 nor ~1"}, {"/a~2", "neither ~0 nor ~1"},
    {"/\n~", "\"/\\x0a~\""}};


START_TEST(pointer_refuses)
{
    mr_pointer_t *pointer;
    mr_error_t err = MR_ERROR_INIT;

    pointer = (mr_pointer_t *) &err;

    ck_assert_int_eq(
        mr_pointer_compile(mr_check_str(bad[_i].pointer), &pointer, &err), -1);
    ck_assert_ptr_eq(pointer, (mr_pointer_t *) &err);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    ck_assert_msg(
        strstr(err.message, bad[_i].message) != NULL, "%s", err.message);
    ck_assert_ptr_nonnull(strstr(err.message, "/metadata/value"));

    mr_pointer_destroy(NULL);
}
END_TEST


START_TEST(pointer_token_may_hold_nul)
{
    double number;
    mr_pointer_t *pointer;

    ck_assert_int_eq(
        mr_pointer_compile(mr_str("/metadata/i\0"), &pointer, NULL), 0);
    ck_assert_int_eq(
        mr_event_number(&event, pointer, &number), MR_NUMBER_ABSENT);
    mr_pointer_destroy(pointer);
}
END_TEST


/* The root: its own members, and 33 levels deep with the deepest metadata. */

START_TEST(walk_root)
{
    int i;
    char *text;
    mr_buf_t metadata = MR_BUF_INIT, buf = MR_BUF_INIT;

    for (i = 1; i < MR_METADATA_DEPTH; i++) {
        ck_assert_int_eq(mr_buf_printf(&metadata, "{\"k\":"), 0);
    }

    ck_assert_int_eq(mr_buf_printf(&metadata, "{}"), 0);

    for (i = 1; i < MR_METADATA_DEPTH; i++) {
        ck_assert_int_eq(mr_buf_append(&metadata, "}", 1), 0);
    }

    ck_assert_int_eq(mr_buf_append(&metadata, "", 1), 0);

    text = mr_check_with_metadata(metadata.data);
    ck_assert_int_eq(
        mr_check_parse(parser, mr_check_str(text), &event, NULL), 0);
    ck_assert_int_eq(mr_rewrite_object(&buf, event.root), 0);
    ck_assert_uint_eq(buf.len, strlen(text));
    ck_assert_mem_eq(buf.data, text, buf.len);

    free(text);
    mr_buf_free(&metadata);
    mr_buf_free(&buf);
}
END_TEST


/* An array's members have its indexes as keys; another value has none. */

START_TEST(walk_array_and_scalar)
{
    int rc;
    yyjson_doc *doc;
    mr_rewrite_t rewrite;
    const mr_value_t *value;
    mr_buf_t buf = MR_BUF_INIT;

    static const char text[] = "[1,\"a\",[2],{\"\":null},-0.0]";

    doc = yyjson_read(text, sizeof(text) - 1, 0);
    ck_assert_ptr_nonnull(doc);
    value = (const mr_value_t *) yyjson_doc_get_root(doc);

    memset(&rewrite, 0, sizeof(rewrite));
    rewrite.buf = &buf;
    rewrite.levels[0].is_array = 1;

    rc = mr_value_walk(value, &mr_rewrite_visitor, &rewrite);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(rewrite.failed, 0);
    ck_assert_uint_eq(buf.len, sizeof(text) - 3);
    ck_assert_mem_eq(buf.data, text + 1, buf.len);

    value = (const mr_value_t *) yyjson_arr_get_first(yyjson_doc_get_root(doc));
    buf.len = 0;

    rc = mr_value_walk(value, &mr_rewrite_visitor, &rewrite);
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_eq(buf.len, 0);

    mr_buf_free(&buf);
    yyjson_doc_free(doc);
}
END_TEST


/* A visitor that stops at its n-th call, whichever callback that is. */

typedef struct {
    int calls;
    int stop;
} stopper_t;


static int
stop_count(void *ctx)
{
    stopper_t *stopper = ctx;

    return (++stopper->calls == stopper->stop) ? 100 + stopper->stop : 0;
}


static int
stop_begin(void *ctx, mr_str_t key, int is_array)
{
    (void) key;
    (void) is_array;
    return stop_count(ctx);
}


static int
stop_string(void *ctx, mr_str_t key, mr_str_t value)
{
    (void) key;
    (void) value;
    return stop_count(ctx);
}


static int
stop_integer(void *ctx, mr_str_t key, int64_t value)
{
    (void) key;
    (void) value;
    return stop_count(ctx);
}


static int
stop_real(void *ctx, mr_str_t key, double value)
{
    (void) key;
    (void) value;
    return stop_count(ctx);
}


static int
stop_boolean(void *ctx, mr_str_t key, int value)
{
    (void) key;
    (void) value;
    return stop_count(ctx);
}


static int
stop_null(void *ctx, mr_str_t key)
{
    (void) key;
    return stop_count(ctx);
}


static const mr_value_visitor_t stop_visitor = {stop_begin, stop_count,
    stop_string, stop_integer, stop_real, stop_boolean, stop_null};


START_TEST(walk_stops)
{
    int all, n;
    stopper_t stopper = {0, 0};

    ck_assert_int_eq(mr_value_walk(event.metadata, &stop_visitor, &stopper), 0);
    all = stopper.calls;

    /* 19 members; "o" has 2 and an end; "a" has 3 and an end, and in it an
     * array has 2 and an end, and in that an object has 1 and an end. */

    ck_assert_int_eq(all, 19 + 3 + 4 + 3 + 2);

    for (n = 1; n <= all; n++) {
        stopper.calls = 0;
        stopper.stop = n;

        ck_assert_int_eq(
            mr_value_walk(event.metadata, &stop_visitor, &stopper), 100 + n);
        ck_assert_int_eq(stopper.calls, n);
    }
}
END_TEST


Suite *
mr_suite_value(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("value");
    tc = tcase_create("value");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);

    tcase_add_loop_test(
        tc, pointer_finds, 0, sizeof(lookups) / sizeof(lookups[0]));
    tcase_add_loop_test(tc, pointer_refuses, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, pointer_token_may_hold_nul);
    tcase_add_test(tc, walk_root);
    tcase_add_test(tc, walk_array_and_scalar);
    tcase_add_test(tc, walk_stops);

    return suite;
}
