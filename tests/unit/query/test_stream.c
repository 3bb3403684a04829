#include <stdio.h>
#include <string.h>

#include "check_query.h"
#include "query/stream_ring.h"


static mr_options_t options = {
    .measures = {.list = {{.name = "value"}, {.name = "price"}}, .n = 2}};

static const mr_stream_filter_t all;


static mr_stream_message_t *
message_of(const char *value)
{
    int malformed;

    return mr_stream_message_create(
        &options, test_str(value), mr_str("7:8"), &malformed);
}


static void
push(mr_stream_ring_t *ring, size_t partition, int64_t offset, int64_t time)
{
    mr_stream_message_t *message;

    message = message_of("{\"event_type\":\"a\",\"width\":\"1m\",\"start\":0,"
                         "\"count\":1}");
    ck_assert_ptr_nonnull(message);
    message->partition = partition;
    message->offset = offset;
    message->time = time;
    mr_stream_ring_push(ring, message);
}


/* Offsets that a cursor gives until there is no more, or -1 when lost. */
static const char *
walk(const mr_stream_ring_t *ring, mr_stream_cursor_t *cursor)
{
    static char text[256];
    size_t len;
    mr_stream_next_t next;
    mr_stream_message_t *message;

    len = 0;
    text[0] = '\0';

    while ((next = mr_stream_ring_next(ring, cursor, &all, &message))
           == MR_STREAM_FOUND)
    {
        len += (size_t) snprintf(text + len, sizeof(text) - len, " %d/%lld",
            (int) message->partition, (long long) message->offset);
        cursor->next++;
    }

    return next == MR_STREAM_LOST ? "lost" : text;
}


typedef struct {
    const char *json;
    const char *cut; /* NULL: refused */
} cut_t;

static const cut_t cuts[] = {
    {"{}", "{}"},
    {"{\"sketches\":{\"a\":[1,{\"b\":\"}]\"}]}}", "{}"},
    {"{\"a\":1,\"sketches\":\"x\",\"b\":2}", "{\"a\":1,\"b\":2}"},
    {"{\"sketches\":1,\"b\":2.50}", "{\"b\":2.50}"},
    {"{ \"a\" : [ 1 , \"sketches\" , null ] ,\n\t\"sketches\":[]}\r\n",
        "{\"a\":[1,\"sketches\",null]}"},
    {"{\"m\":{\"v\":{\"sketches\":\"y\",\"n\":1}}}",
        "{\"m\":{\"v\":{\"n\":1}}}"},
    {"{\"a\\\"sketches\":\"\\\\\",\"b\":\"\\\"}\"}",
        "{\"a\\\"sketches\":\"\\\\\",\"b\":\"\\\"}\"}"},
    {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", NULL},
};


START_TEST(sketches_are_cut)
{
    mr_buf_t buf = MR_BUF_INIT;
    const cut_t *row = &cuts[_i];

    if (row->cut == NULL) {
        ck_assert_int_eq(mr_stream_cut(&buf, test_str(row->json)), -1);

    } else {
        ck_assert_int_eq(mr_stream_cut(&buf, test_str(row->json)), 0);
        ck_assert_uint_eq(buf.len, strlen(row->cut));
        ck_assert_mem_eq(buf.data, row->cut, buf.len);
    }

    mr_buf_free(&buf);
}
END_TEST


static const char *malformed[] = {
    "",
    "{",
    "[]",
    "1",
    "{\"event_type\":\"a\",\"width\":\"1m\",\"start\":0}",
    "{\"event_type\":1,\"width\":\"1m\",\"start\":0,\"count\":1}",
    "{\"event_type\":\"a\",\"width\":\"1w\",\"start\":0,\"count\":1}",
    "{\"event_type\":\"a\",\"width\":\"1m\",\"start\":\"0\",\"count\":1}",
    "{\"event_type\":\"a\",\"width\":\"1m\",\"start\":0,\"count\":1} x",
    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one row, too long */
    "{\"event_type\":\"a\",\"width\":\"1m\",\"start\":0,\"count\":1,"
    "\"count\":2}",
};


START_TEST(what_is_no_window)
{
    int bad;

    ck_assert_ptr_null(mr_stream_message_create(
        &options, test_str(malformed[_i]), mr_str("0:0"), &bad));
    ck_assert_int_eq(bad, 1);
}
END_TEST


START_TEST(a_message)
{
    mr_stream_message_t *message;
    static const char text[] =
        "event: window\ndata: {\"event_type\":\"a\",\"width\":\"1h\","
        "\"start\":0,\"count\":1,\"measures\":{\"price\":{}}}\nid: 7:8\n\n";

    message =
        message_of("{\"event_type\":\"a\",\"width\":\"1h\", \"start\":0,\r\n"
                   "\"count\":1,\"measures\":{\"price\":{}},\"sketches\":1}");
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(message->width, MR_WIDTH_HOUR);
    ck_assert_uint_eq(message->measures, 2);
    ck_assert_uint_eq(message->len, sizeof(text) - 1);
    ck_assert_mem_eq(message->text, text, message->len);

    mr_stream_message_unref(message);
}
END_TEST


START_TEST(a_ring_forgets_the_oldest)
{
    int i;
    int64_t first = 100;
    mr_stream_ring_t ring;
    mr_stream_cursor_t slow, fast;

    ck_assert_int_eq(mr_stream_ring_init(&ring, 4, 1000000), 0);
    mr_stream_ring_reset(&ring, 1, &first);
    mr_stream_ring_end(&ring, &slow);
    mr_stream_ring_end(&ring, &fast);

    for (i = 0; i < 4; i++) {
        push(&ring, 0, 100 + i * 10, 1);
    }

    ck_assert_str_eq(walk(&ring, &fast), " 0/100 0/110 0/120 0/130");
    push(&ring, 0, 140, 1);
    ck_assert_str_eq(walk(&ring, &slow), "lost");
    ck_assert_str_eq(walk(&ring, &fast), " 0/140");
    ck_assert_int_eq(ring.floor[0].offset, 100);

    /* One that is larger than all of it is there alone. */
    ring.bytes_max = 10;
    push(&ring, 0, 150, 1);
    ck_assert_uint_eq(ring.head - ring.tail, 1);
    ck_assert_str_eq(walk(&ring, &fast), " 0/150");

    mr_stream_ring_free(&ring);
    ck_assert_uint_eq(ring.bytes, 0);
}
END_TEST


typedef struct {
    const char *id;
    const char *walk; /* NULL: no position here */
} resume_t;

/* Partition 0 has 10 to 13 at times 1000 to 1003, partition 1 only 20. */
static const resume_t resumes[] = {
    {"13:1003,20:1002", ""},
    {"12:1002,20:1002", " 0/13"},
    {"11:1001,19:0", " 0/12 1/20 0/13"},
    {"9:0,19:0", " 0/10 0/11 0/12 1/20 0/13"},
    {"9:77,20:1002", " 0/10 0/11 0/12 0/13"},
    {"13:1003,19:5", " 1/20"},
    {"15:2000,20:1002", ""},  /* another daemon was ahead */
    {"15:900,20:1002", NULL}, /* of a topic that is gone */
    {"8:1,20:1002", NULL},    /* too old */
    {"11:999,20:1002", NULL}, /* another record at that offset */
    {"13:1003,20:1", NULL},
    {"13:1003", NULL},
    {"13:1003,20:1002,1:1", NULL},
    {"13:1003,20:1002 ", NULL},
    {"13:1003,20:1002,", NULL},
    {" 13:1003,20:1002", NULL},
    {"+13:1003,20:1002", NULL},
    {"13,20", NULL},
    {"", NULL},
    {"99999999999999999999:1,20:1002", NULL},
};


START_TEST(resuming)
{
    int rc;
    int64_t firsts[2] = {10, 20};
    mr_stream_ring_t ring;
    mr_stream_cursor_t cursor;
    const resume_t *row = &resumes[_i];

    ck_assert_int_eq(mr_stream_ring_init(&ring, 16, 1000000), 0);
    mr_stream_ring_reset(&ring, 2, firsts);
    push(&ring, 0, 10, 1000);
    push(&ring, 0, 11, 1001);
    push(&ring, 0, 12, 1002);
    push(&ring, 1, 20, 1002);
    push(&ring, 0, 13, 1003);

    rc = mr_stream_ring_resume(&ring, row->id, &cursor);
    ck_assert_int_eq(rc, row->walk != NULL ? 0 : -1);

    if (row->walk != NULL) {
        ck_assert_str_eq(walk(&ring, &cursor), row->walk);

        /* What it skips is skipped once: then come new ones. */
        push(&ring, 0, 16, 3000);
        ck_assert_str_eq(walk(&ring, &cursor), " 0/16");
    }

    mr_stream_ring_free(&ring);
}
END_TEST


START_TEST(the_text_of_a_position)
{
    char buf[MR_STREAM_ID_SIZE];
    mr_str_t id;
    mr_stream_at_t at[MR_STREAM_PARTITIONS];
    size_t i;

    for (i = 0; i < MR_STREAM_PARTITIONS; i++) {
        at[i].offset = INT64_MIN;
        at[i].time = INT64_MIN;
    }

    id = mr_stream_id(at, MR_STREAM_PARTITIONS, buf);
    ck_assert_uint_eq(id.len, MR_STREAM_ID_SIZE - 1);

    at[0].offset = -1;
    at[0].time = 0;
    id = mr_stream_id(at, 1, buf);
    ck_assert_uint_eq(id.len, 4);
    ck_assert_mem_eq(id.data, "-1:0", 4);
}
END_TEST


#define ROWS(table) ((int) (sizeof(table) / sizeof((table)[0])))

Suite *
suite_stream(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("stream");
    tcase = tcase_create("stream");
    tcase_add_loop_test(tcase, sketches_are_cut, 0, ROWS(cuts));
    tcase_add_loop_test(tcase, what_is_no_window, 0, ROWS(malformed));
    tcase_add_test(tcase, a_message);
    tcase_add_test(tcase, a_ring_forgets_the_oldest);
    tcase_add_loop_test(tcase, resuming, 0, ROWS(resumes));
    tcase_add_test(tcase, the_text_of_a_position);
    suite_add_tcase(suite, tcase);

    return suite;
}
