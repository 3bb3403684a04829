#include <math.h>
#include <string.h>

#include <bson/bson.h>

#include "check_query.h"
#include "query/render.h"


/* An event with this metadata, in MongoDB's order of fields. */
static void
make_event(bson_t *event, const bson_t *metadata)
{
    bson_init(event);
    BSON_APPEND_UTF8(event, "event_id", "other");
    BSON_APPEND_UTF8(event, "user_id", "other");
    BSON_APPEND_DOCUMENT(event, "metadata", metadata);
    BSON_APPEND_INT64(event, "offset", 99);
}


static mr_row_t
make_row(const bson_t *event, int64_t time)
{
    mr_row_t row;

    memset(&row, 0, sizeof(row));
    row.key.event_id = mr_str("e\"1");
    row.key.user_id = mr_str("\xc3\xbc");
    row.key.time = time;
    row.type = mr_str("t");
    row.data.data = (const char *) bson_get_data(event);
    row.data.len = event->len;

    return row;
}


static void
check(const bson_t *metadata, int64_t time, const char *want)
{
    bson_t event;
    mr_buf_t buf = MR_BUF_INIT;
    mr_row_t row;
    mr_str_t text;
    mr_error_t err = MR_ERROR_INIT;

    make_event(&event, metadata);
    row = make_row(&event, time);

    ck_assert_int_eq(mr_render_event(&buf, &row, &err), 0);
    text.data = buf.data;
    text.len = buf.len;
    ck_assert_msg(
        mr_str_eq(text, test_str(want)), "%.*s", (int) buf.len, buf.data);

    mr_buf_free(&buf);
    bson_destroy(&event);
}


#define HEAD                                                                   \
    "{\"event_id\":\"e\\\"1\",\"user_id\":\"\xc3\xbc\",\"event_type\":\"t\","


START_TEST(fields_in_their_order)
{
    bson_t metadata;

    bson_init(&metadata);
    check(&metadata, 1700000000000,
        HEAD "\"timestamp\":1700000000,\"metadata\":{}}");
    check(&metadata, 1700000000120,
        HEAD "\"timestamp\":1700000000.12,\"metadata\":{}}");
    check(&metadata, 0, HEAD "\"timestamp\":0,\"metadata\":{}}");
    bson_destroy(&metadata);
}
END_TEST


START_TEST(values_of_each_kind)
{
    bson_t metadata, child, list;

    bson_init(&metadata);
    BSON_APPEND_INT32(&metadata, "", -5);
    BSON_APPEND_INT64(&metadata, "a.b", INT64_MIN);
    BSON_APPEND_DOUBLE(&metadata, "$d", 2.0);
    BSON_APPEND_DOUBLE(&metadata, "z", -0.0);
    BSON_APPEND_BOOL(&metadata, "t", true);
    BSON_APPEND_BOOL(&metadata, "f", false);
    BSON_APPEND_NULL(&metadata, "n");
    bson_append_utf8(&metadata, "s", 1, "a\0b", 3);
    BSON_APPEND_DOCUMENT_BEGIN(&metadata, "o", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "l", &list);
    BSON_APPEND_INT32(&list, "0", 1);
    BSON_APPEND_UTF8(&list, "1", "x");
    bson_append_array_end(&child, &list);
    bson_append_document_end(&metadata, &child);
    BSON_APPEND_ARRAY_BEGIN(&metadata, "e", &list);
    bson_append_array_end(&metadata, &list);

    check(&metadata, 1000,
        HEAD "\"timestamp\":1,\"metadata\":{\"\":-5,"
             "\"a.b\":-9223372036854775808,\"$d\":2.0,\"z\":-0.0,"
             "\"t\":true,\"f\":false,\"n\":null,\"s\":\"a\\u0000b\","
             "\"o\":{\"l\":[1,\"x\"]},\"e\":[]}}");
    bson_destroy(&metadata);
}
END_TEST


static void
refuse(const mr_row_t *row)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_buf_append(&buf, "kept", 4), 0);
    ck_assert_int_eq(mr_render_event(&buf, row, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_EVENT);
    ck_assert_uint_eq(buf.len, 4);
    mr_buf_free(&buf);
}


/* What no writer of ours has stored is refused, not passed on as it is. */
START_TEST(foreign_values)
{
    int i;
    bson_t metadata, event;
    bson_oid_t oid;
    mr_row_t row;

    for (i = 0; i < 4; i++) {
        bson_init(&metadata);

        switch (i) {

        case 0:
            bson_oid_init(&oid, NULL);
            BSON_APPEND_OID(&metadata, "x", &oid);
            break;

        case 1:
            BSON_APPEND_DOUBLE(&metadata, "x", NAN);
            break;

        case 2:
            BSON_APPEND_DOUBLE(&metadata, "x", (double) INFINITY);
            break;

        default:
            BSON_APPEND_DATE_TIME(&metadata, "x", 1);
            break;
        }

        make_event(&event, &metadata);
        row = make_row(&event, 1);
        refuse(&row);

        bson_destroy(&event);
        bson_destroy(&metadata);
    }

    bson_init(&event);
    BSON_APPEND_UTF8(&event, "event_id", "e");
    row = make_row(&event, 1);
    refuse(&row);
    row.data.len = 3;
    refuse(&row);
    bson_destroy(&event);
}
END_TEST


START_TEST(an_empty_page)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t none, text;
    mr_page_t page;
    mr_error_t err = MR_ERROR_INIT;

    memset(&page, 0, sizeof(page));
    none.data = NULL;
    none.len = 0;

    ck_assert_int_eq(mr_render_page(&buf, &page, none, &err), 0);
    ck_assert_int_eq(mr_render_page(&buf, &page, mr_str("abc"), &err), 0);
    text.data = buf.data;
    text.len = buf.len;
    ck_assert(
        mr_str_eq(text, mr_str("{\"events\":[],\"next_cursor\":null}\n"
                               "{\"events\":[],\"next_cursor\":\"abc\"}\n")));
    mr_buf_free(&buf);
}
END_TEST


Suite *
suite_render(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("render");
    tcase = tcase_create("render");
    suite_add_tcase(suite, tcase);

    tcase_add_test(tcase, fields_in_their_order);
    tcase_add_test(tcase, values_of_each_kind);
    tcase_add_test(tcase, foreign_values);
    tcase_add_test(tcase, an_empty_page);

    return suite;
}
