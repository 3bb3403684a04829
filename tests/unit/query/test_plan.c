#include <string.h>

#include <millrace/limits.h>

#include "check_query.h"


#define END (MR_TIMESTAMP_MAX + 1)


START_TEST(defaults)
{
    mr_plan_t plan;
    mr_params_t params;

    test_plan("", &params, &plan);

    ck_assert_ptr_null(plan.user_id.data);
    ck_assert_ptr_null(plan.event_id.data);
    ck_assert_uint_eq(plan.n_types, 0);
    ck_assert_int_eq(plan.from, 0);
    ck_assert_int_eq(plan.to, END);
    ck_assert_int_eq(plan.order, MR_ORDER_DESC);
    ck_assert_uint_eq(plan.limit, 100);
    ck_assert_int_eq(plan.start.kind, MR_POSITION_START);

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(ranges_of_the_classes)
{
    int span;
    int64_t width;
    mr_plan_t plan;
    mr_range_t range;
    mr_params_t params;

    test_plan("from=1000&to=2000&order=asc", &params, &plan);

    for (span = 0; span < MR_SPANS; span++) {
        range = mr_plan_range(&plan, span);
        width = mr_span_width(span);

        ck_assert_int_eq(range.span, span);
        ck_assert_int_eq(range.tmax_from, 1000000);
        ck_assert_int_eq(range.tmin_from,
            width == -1 || width > 1000000 ? 0 : 1000000 - width);
        ck_assert_int_eq(range.tmin_to, 2000000);
        ck_assert_int_eq(
            range.tmax_to, span == MR_SPAN_ANY ? END : 2000000 + width);
    }

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


/* Whatever the filters, each class is in one course, of a user's in two. */
START_TEST(courses_share_out_the_classes)
{
    size_t i, k;
    int all[2], user, user_asc;
    mr_plan_t plan;
    mr_params_t params;
    const mr_course_t *course;
    static const char *const queries[] = {"order=desc", "order=asc",
        "user_id=u&order=desc", "user_id=u&order=asc"};

    test_plan(queries[_i], &params, &plan);
    user = _i >= 2;
    user_asc = _i == 3;
    memset(all, 0, sizeof(all));

    ck_assert_uint_eq(mr_plan_courses(&plan), user_asc ? MR_COURSES
                                              : user   ? 2
                                                       : 1);

    for (i = 0; i < mr_plan_courses(&plan); i++) {
        course = mr_plan_course(&plan, i);
        ck_assert_int_eq(course->by_tmin, _i == 1 || (user_asc && i % 3 == 2));
        ck_assert_int_eq(
            course->earlier, user && i >= mr_plan_courses(&plan) / 2);

        for (k = 0; k < course->n; k++) {
            ck_assert_int_eq(all[course->earlier] & 1 << course->spans[k], 0);
            all[course->earlier] |= 1 << course->spans[k];

            if (plan.order == MR_ORDER_ASC && !course->by_tmin) {
                ck_assert_int_ne(course->spans[k], MR_SPAN_ANY);
                ck_assert_int_ge(
                    course->width, mr_span_width(course->spans[k]));
            }
        }
    }

    ck_assert_int_eq(all[0], (1 << MR_SPANS) - 1);
    ck_assert_int_eq(all[1], user ? (1 << MR_SPANS) - 1 : 0);

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(a_place_narrows_the_range)
{
    int64_t from, to;
    mr_plan_t plan;
    mr_params_t params;

    test_plan("from=1&to=2", &params, &plan);
    plan.start.kind = MR_POSITION_EVENT;
    plan.start.key.time = 1500;

    mr_plan_times(&plan, &from, &to);
    ck_assert_int_eq(from, 1000);
    ck_assert_int_eq(to, 1501);

    plan.order = MR_ORDER_ASC;
    mr_plan_times(&plan, &from, &to);
    ck_assert_int_eq(from, 1500);
    ck_assert_int_eq(to, 2000);

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(the_digest_knows_filters_and_order_alone)
{
    size_t i, j;
    uint64_t digests[16];
    mr_plan_t plan;
    mr_params_t params;
    static const char *const different[] = {
        "",
        "order=asc",
        "from=1",
        "to=1",
        "user_id=a",
        "event_type=a",
        "user_id=a&event_id=b",
        "user_id=ab",
        "event_type=a&event_type=b",
        "event_type=ab",
        "user_id=a&event_type=b",
        "from=1&to=2",
    };
    static const char *const same[][2] = {
        {"", "limit=5"},
        {"", "order=desc"},
        {"from=1", "from=1970-01-01T00:00:01Z"},
        {"event_type=a&event_type=b", "event_type=b&event_type=a&event_type=b"},
        {"user_id=a&from=1", "from=1.0&user_id=%61"},
    };

    for (i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        test_plan(different[i], &params, &plan);
        digests[i] = mr_plan_digest(&plan);

        for (j = 0; j < i; j++) {
            ck_assert_msg(digests[i] != digests[j], "%s = %s", different[i],
                different[j]);
        }

        mr_plan_free(&plan);
        mr_params_free(&params);
    }

    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {

        for (j = 0; j < 2; j++) {
            test_plan(same[i][j], &params, &plan);
            digests[j] = mr_plan_digest(&plan);
            mr_plan_free(&plan);
            mr_params_free(&params);
        }

        ck_assert_msg(digests[0] == digests[1], "%s", same[i][1]);
    }
}
END_TEST


START_TEST(times_beyond_any_event_are_harmless)
{
    mr_plan_t plan;
    mr_params_t params;

    test_plan("to=99999999999", &params, &plan);
    ck_assert_int_le(plan.to, END);
    ck_assert_int_le(mr_plan_range(&plan, 3).tmax_to, END);

    mr_plan_free(&plan);
    mr_params_free(&params);

    /* Nothing was said of from, so it is not at fault. */
    test_plan("to=-5", &params, &plan);
    ck_assert_int_eq(plan.from, 0);
    ck_assert_int_eq(plan.to, 0);

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


Suite *
suite_plan(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("plan");
    tcase = tcase_create("plan");
    suite_add_tcase(suite, tcase);

    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, ranges_of_the_classes);
    tcase_add_loop_test(tcase, courses_share_out_the_classes, 0, 4);
    tcase_add_test(tcase, a_place_narrows_the_range);
    tcase_add_test(tcase, the_digest_knows_filters_and_order_alone);
    tcase_add_test(tcase, times_beyond_any_event_are_harmless);

    return suite;
}
