#include <stdio.h>
#include <string.h>

#include "check_query.h"
#include "query/stats_plan.h"
#include "query/stats_point.h"
#include "query/stats_render.h"
#include "query/stats_types.h"


#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* 2026-11-23T06:20:00.123Z */
#define NOW INT64_C(1795414800123)


static mr_options_t options;

static const mr_param_spec_t specs[] = {
    {"event_type", 1},
    {"group_by", 0},
    {"time_interval", 0},
    {"from", 0},
    {"to", 0},
    {"measure", 0},
    {NULL, 0},
};


static void
setup(void)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_options_load(NULL, &options, &err), 0);
}


static void
teardown(void)
{
    mr_options_free(&options);
}


static int
plan_of(const char *query, mr_params_t *params, mr_stats_plan_t *plan,
    mr_error_t *err)
{
    ck_assert_int_eq(mr_params_parse(test_str(query), specs, params, err), 0);

    return mr_stats_plan_create(params, &options, NOW, plan, err);
}


typedef struct {
    const char *query;
    int64_t from;
    int64_t to;
    size_t buckets;
    mr_width_t width;
} good_t;


static const good_t good[] = {
    {"", NOW / MINUTE *MINUTE - 59 * MINUTE, NOW / MINUTE *MINUTE + MINUTE, 60,
        MR_WIDTH_MINUTE},
    {"time_interval=1s", NOW / SECOND *SECOND - 59 * SECOND,
        NOW / SECOND *SECOND + SECOND, 60, MR_WIDTH_SECOND},
    {"time_interval=12h", NOW / (12 * HOUR) * 12 * HOUR - 59 * 12 * HOUR,
        NOW / (12 * HOUR) * 12 * HOUR + 12 * HOUR, 60, MR_WIDTH_HOUR},
    {"time_interval=1d&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:01Z",
        INT64_C(1767225600000), INT64_C(1767225600000) + DAY, 1, MR_WIDTH_DAY},
    {"time_interval=5m&from=1795410001&to=1795411199.999",
        INT64_C(1795410000000), INT64_C(1795411200000), 4, MR_WIDTH_MINUTE},
    {"time_interval=1h&to=1795410000", INT64_C(1795410000000) - 60 * HOUR,
        INT64_C(1795410000000), 60, MR_WIDTH_HOUR},
    {"time_interval=1h&from=1795406400&to=1795406400", INT64_C(1795406400000),
        INT64_C(1795406400000), 0, MR_WIDTH_HOUR},
    {"time_interval=1d&to=-5", 0, 0, 0, MR_WIDTH_DAY},
    {"time_interval=1d&from=0", 0, NOW / DAY *DAY + DAY,
        (size_t) (NOW / DAY + 1) > MR_POINTS_MAX ? 0 : (size_t) (NOW / DAY + 1),
        MR_WIDTH_DAY},
};


START_TEST(ranges)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    mr_stats_plan_t plan;
    const good_t *test;

    test = &good[_i];

    if (test->buckets == 0 && test->to > test->from) {
        ck_assert_int_eq(plan_of(test->query, &params, &plan, &err), -1);
        mr_params_free(&params);
        return;
    }

    ck_assert_msg(plan_of(test->query, &params, &plan, &err) == 0, "%s: %s",
        test->query, err.message);
    ck_assert_int_eq(plan.from, test->from);
    ck_assert_int_eq(plan.to, test->to);
    ck_assert_uint_eq(plan.buckets, test->buckets);
    ck_assert_int_eq(plan.interval->width, test->width);
    ck_assert_str_eq(plan.measure, "value");

    mr_stats_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


typedef struct {
    const char *query;
    const char *field;
    const char *part;
} bad_t;


static const bad_t bad[] = {
    {"time_interval=3s", "time_interval", "12 h; 1d"},
    {"time_interval=1", "time_interval", "one of"},
    {"time_interval=24h", "time_interval", "one of"},
    {"time_interval=2d", "time_interval", "one of"},
    {"group_by=user", "group_by", "event_type"},
    {"measure=price", "measure", "configured: value"},
    {"event_type=", "event_type", "1 to 128"},
    {"event_type=%0a", "event_type", "control"},
    {"from=2&to=1", "from", "later"},
    {"from=9999999999", "from", "current bucket"},
    {"from=x", "from", "from"},
    {"time_interval=1s&from=1795411000&to=1795411010", "time_interval",
        "1m, 1h, 1d"},
    {"time_interval=30m&from=1790000000&to=1790001800", "time_interval",
        "by 1h, 1d"},
    {"time_interval=1h&from=1700000000", "time_interval", "11000"},
    {"event_type=a&event_type=b&group_by=event_type&time_interval=1h&"
     "from=1770000000",
        "time_interval", "2 series"},
};


START_TEST(refusals)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    mr_stats_plan_t plan;
    const bad_t *test;

    test = &bad[_i];

    ck_assert_int_eq(plan_of(test->query, &params, &plan, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    ck_assert_str_eq(err.field, test->field);
    ck_assert_msg(strstr(err.message, test->part) != NULL, "%s: %s",
        test->query, err.message);

    mr_params_free(&params);
}
END_TEST


START_TEST(every_interval_is_made_of_whole_windows)
{
    size_t i;
    mr_width_t width;
    const mr_interval_t *interval;
    static const char *const names[] = {"1s", "2s", "5s", "10s", "15s", "30s",
        "1m", "2m", "5m", "10m", "15m", "30m", "1h", "2h", "3h", "4h", "6h",
        "8h", "12h", "1d"};

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        interval = mr_interval_find(test_str(names[i]));
        ck_assert_ptr_nonnull(interval);
        ck_assert_str_eq(interval->name, names[i]);

        width = interval->width;
        ck_assert_int_eq(
            interval->length % (mr_width_seconds(width) * SECOND), 0);
        ck_assert_int_eq(DAY % interval->length, 0);
    }

    ck_assert_ptr_null(mr_interval_find(mr_str("")));
    ck_assert_ptr_null(mr_interval_find(mr_str("1")));
    ck_assert_ptr_null(mr_interval_find(mr_str("1mm")));
}
END_TEST


START_TEST(elapsed)
{
    /* over, ahead, just begun, open, in its last second */
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, MINUTE), MINUTE);
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, 5 * MINUTE), MINUTE);
    ck_assert_int_eq(mr_stats_elapsed(MINUTE, 2 * MINUTE, 1), MINUTE);
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, 1), SECOND);
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, 1000), SECOND);
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, 1001), 2 * SECOND);
    ck_assert_int_eq(mr_stats_elapsed(0, MINUTE, 59500), MINUTE);
}
END_TEST


START_TEST(points)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_stats_points(11000, 1, &err), 0);
    ck_assert_int_eq(mr_stats_points(11001, 1, &err), -1);
    ck_assert_int_eq(mr_stats_points(1100, 10, &err), 0);
    ck_assert_int_eq(mr_stats_points(1100, 11, &err), -1);
    ck_assert_int_eq(mr_stats_points(0, 20000, &err), 0);
    ck_assert_int_eq(mr_stats_points(SIZE_MAX / 2, 4, &err), -1);
}
END_TEST


START_TEST(a_point_as_text)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t type, text;
    mr_error_t err = MR_ERROR_INIT;
    mr_point_t bucket;
    mr_params_t params;
    mr_stats_plan_t plan;

    ck_assert_int_eq(plan_of("time_interval=1m&from=1795410000&to=1795410120",
                         &params, &plan, &err),
        0);

    memset(&bucket, 0, sizeof(bucket));
    ck_assert_int_eq(
        mr_stats_render_point(&buf, &plan, 0, NULL, &bucket, NOW, 1), 0);

    type = mr_str("a\"b");
    bucket.count = 90;
    bucket.measure.count = 4;
    bucket.measure.sum = 10;
    bucket.measure.min = -1.5;
    bucket.measure.max = 8;
    bucket.unique_users = 7;
    bucket.quantiles[0] = 2;
    bucket.quantiles[1] = 4;
    bucket.quantiles[2] = 6.5;
    ck_assert_int_eq(
        mr_stats_render_point(&buf, &plan, 1, &type, &bucket, NOW, 0), 0);

    text.data = buf.data;
    text.len = buf.len;
    ck_assert_msg(
        mr_str_eq(text,
            mr_str("{\"event_type\":null,\"start\":1795410000,\"count\":0,"
                   "\"rate\":0.0,\"measured\":0,\"average\":null,\"sum\":null,"
                   "\"min\":null,\"max\":null,\"p50\":null,\"p95\":null,"
                   "\"p99\":null,\"unique_users\":0},"
                   "{\"event_type\":\"a\\\"b\",\"start\":1795410060,"
                   "\"count\":90,\"rate\":1.5,\"measured\":4,\"average\":2.5,"
                   "\"sum\":10.0,\"min\":-1.5,\"max\":8.0,\"p50\":2.0,"
                   "\"p95\":4.0,\"p99\":6.5,\"unique_users\":7}")),
        "%.*s", (int) buf.len, buf.data);

    mr_buf_free(&buf);
    mr_stats_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


typedef struct {
    const char *query;
    const char *spans;
} spans_t;

/* 1795392000 is a midnight; the widths as `width:windows`. */
static const spans_t spans_of[] = {
    {"time_interval=1m&from=1795392000&to=1795392300", " 60:5"},
    {"time_interval=1m&from=1795395540&to=1795402860", " 60:1 3600:2 60:1"},
    {"time_interval=1m&from=1795395600&to=1795402800", " 3600:2"},
    {"time_interval=1h&from=1795305600&to=1795392000", " 86400:1"},
    {"time_interval=1h&from=1795302000&to=1795568400",
        " 3600:1 86400:3 3600:1"},
    {"time_interval=1m&from=1795302060&to=1795568460",
        " 60:59 86400:3 3600:1 60:1"},
    {"time_interval=1d&from=1795305600&to=1795564800", " 86400:3"},
    {"time_interval=30s&from=1795414680&to=1795414740", " 60:1"},
    {"time_interval=30s&from=1795414710&to=1795414740", ""},
    {"time_interval=1m&from=1795392000&to=1795392000", ""},
};


START_TEST(spans)
{
    char text[128];
    size_t i, n, len;
    mr_error_t err = MR_ERROR_INIT;
    mr_span_t list[MR_SPANS_OF_RANGE];
    mr_params_t params;
    mr_stats_plan_t plan;

    ck_assert_int_eq(plan_of(spans_of[_i].query, &params, &plan, &err), 0);

    n = mr_stats_spans(&plan, list);
    text[0] = '\0';

    for (i = 0, len = 0; i < n; i++) {
        ck_assert_int_eq(list[i].from, i == 0 ? plan.from : list[i - 1].to);
        len += (size_t) snprintf(text + len, sizeof(text) - len, " %d:%d",
            mr_width_seconds(list[i].width),
            (int) ((list[i].to - list[i].from) / 1000
                   / mr_width_seconds(list[i].width)));
    }

    ck_assert(n == 0 || list[n - 1].to == plan.to);
    ck_assert_str_eq(text, spans_of[_i].spans);

    mr_stats_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(what_is_missing_is_not_known)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_point_t point;
    mr_sketches_t sketches, other;
    mr_window_row_t row;

    memset(&point, 0, sizeof(point));
    memset(&row, 0, sizeof(row));
    memset(&sketches, 0, sizeof(sketches));
    memset(&other, 0, sizeof(other));

    /* Without events nothing is missing. */
    ck_assert_int_eq(mr_sketches_add(&sketches, &row, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(!point.unestimated && point.unique_users == 0);

    row.count = 1;
    row.users = mr_str("H\1\16\0\1abcdefgh");
    ck_assert_int_eq(mr_sketches_add(&sketches, &row, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(!point.unestimated && point.unique_users == 1);
    ck_assert(point.unranked);

    /* A measure and its sketch; what it says is limited by what was seen. */
    row.measure.count = 1;
    row.values = mr_str("D\1\5\1\375\120\1");
    point.measure.min = 1.0;
    point.measure.max = 1.0;
    ck_assert_int_eq(mr_sketches_add(&sketches, &row, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(!point.unranked);
    ck_assert(point.quantiles[0] >= 1.0 && point.quantiles[2] <= 1.0);

    /* A window that has events but no sketches, seen by another. */
    row.users = mr_str("");
    row.values = mr_str("");
    ck_assert_int_eq(mr_sketches_add(&other, &row, &err), 0);
    ck_assert_int_eq(mr_sketches_merge(&sketches, &other, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(point.unestimated && point.unranked);

    mr_sketches_free(&sketches);
    mr_sketches_free(&other);
}
END_TEST


START_TEST(what_is_damaged_is_missing)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_point_t point;
    mr_sketches_t sketches;
    mr_window_row_t row;

    memset(&point, 0, sizeof(point));
    memset(&row, 0, sizeof(row));
    memset(&sketches, 0, sizeof(sketches));

    row.count = 1;
    row.measure.count = 1;
    row.users = mr_str("H\1\16\11");
    row.values = mr_str("D\1\5\1\375\120\1");
    point.measure.max = 2.0;
    ck_assert_int_eq(mr_sketches_add(&sketches, &row, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(point.unestimated && !point.unranked);

    row.users = mr_str("H\1\16\0\1abcdefgh");
    row.values = mr_str("D\1\5\2\375\120\1");
    ck_assert_int_eq(mr_sketches_add(&sketches, &row, &err), 0);
    mr_sketches_estimate(&sketches, &point);
    ck_assert(point.unestimated && point.unranked);

    mr_sketches_free(&sketches);
}
END_TEST


START_TEST(etags)
{
    size_t i;
    static const char tag[] = "W/\"abc\"";
    static const char *const match[] = {"\"abc\"", "W/\"abc\"", "*", " * ",
        "\"x\", \"abc\"", "\"x,y\",W/\"abc\"", "  \"abc\"  ", ",,\"abc\""};
    static const char *const other[] = {"", "abc", "\"ab\"", "\"abcd\"",
        "\"x\"", "W/", "\"abc", "\"", ",", "W/abc", "\"x\" *", "\"\\\"abc\""};

    ck_assert(!mr_stats_etag_matches(NULL, tag));

    for (i = 0; i < sizeof(match) / sizeof(match[0]); i++) {
        ck_assert_msg(mr_stats_etag_matches(match[i], tag), "%s", match[i]);
    }

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        ck_assert_msg(!mr_stats_etag_matches(other[i], tag), "%s", other[i]);
    }
}
END_TEST


/* Two values of max_types, two partitions. */
static const mr_other_t others[] = {
    {5, 1000, 1999},
    {5, 500, 1499},
    {9, 5000, 5999},
};

static const struct {
    size_t n;
    int64_t max;
    int64_t from;
    int64_t to;
    int64_t last; /* 0: none may be there */
} held[] = {
    {0, INT64_MAX, 0, 10000, 0},

    /* A type that came when there were five, nine places, or never. */
    {3, 5, 0, 10000, 0},
    {3, 9, 0, 10000, 1999},
    {3, 10, 0, 10000, 5999},
    {3, INT64_MAX, 0, 10000, 5999},
    {3, 0, 0, 10000, 0},

    /* The range begins and ends where they do. */
    {3, 9, 0, 500, 0},
    {3, 9, 0, 501, 1999},
    {3, 9, 1999, 2000, 1999},
    {3, 9, 2000, 10000, 0},
    {3, INT64_MAX, 2000, 5000, 0},
    {3, INT64_MAX, 2000, 5001, 5999},
    {3, INT64_MAX, 6000, 10000, 0},
    {1, 9, 500, 1000, 0},
    {2, 9, 500, 1000, 1999},

    /* Between two of them nothing is known to be missing. */
    {3, INT64_MAX, 3000, 4000, 0},
};


START_TEST(others_may_hold)
{
    int may;
    int64_t last;

    last = 0;
    may = mr_others_may_hold(
        others, held[_i].n, held[_i].max, held[_i].from, held[_i].to, &last);

    ck_assert_int_eq(may, held[_i].last != 0);
    ck_assert_int_eq(last, held[_i].last);
}
END_TEST


Suite *
suite_stats(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("stats");
    tcase = tcase_create("stats");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);

    tcase_add_loop_test(
        tcase, ranges, 0, (int) (sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(
        tcase, refusals, 0, (int) (sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tcase, every_interval_is_made_of_whole_windows);
    tcase_add_test(tcase, elapsed);
    tcase_add_test(tcase, points);
    tcase_add_test(tcase, a_point_as_text);
    tcase_add_loop_test(
        tcase, spans, 0, (int) (sizeof(spans_of) / sizeof(spans_of[0])));
    tcase_add_test(tcase, what_is_missing_is_not_known);
    tcase_add_test(tcase, what_is_damaged_is_missing);
    tcase_add_test(tcase, etags);
    tcase_add_loop_test(
        tcase, others_may_hold, 0, (int) (sizeof(held) / sizeof(held[0])));

    return suite;
}
