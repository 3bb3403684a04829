#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/event.h>

#include <generator/workload.h>
#include <generator/zipf.h>

#include "check_loadtest.h"


#define EVENTS 200000
#define BASE INT64_C(1764000000000)


static mr_workload_t *
make(uint64_t seed, int64_t base)
{
    mr_workload_t *workload;
    mr_workload_options_t options = MR_WORKLOAD_DEFAULTS;

    options.seed = seed;
    options.base = base;

    workload = mr_workload_create(&options);
    ck_assert_ptr_nonnull(workload);

    return workload;
}


/* Every event is valid and is what the questions about it answer. */
START_TEST(test_events)
{
    size_t len, bytes;
    int64_t time;
    uint64_t i, repeats;
    mr_event_t event;
    mr_parser_t *parser;
    mr_workload_t *workload;
    mr_error_t err = MR_ERROR_INIT;
    char text[MR_WORKLOAD_EVENT_MAX], id[MR_WORKLOAD_ID_LEN],
        user[MR_WORKLOAD_USER_LEN];

    workload = make(3, BASE);
    parser = mr_parser_create();
    bytes = 0;
    repeats = 0;

    for (i = 0; i < EVENTS; i++) {
        len = mr_workload_event(workload, i, 0, text);
        bytes += len;

        ck_assert_uint_ge(len, MR_WORKLOAD_EVENT_MIN);
        ck_assert_uint_le(len, MR_WORKLOAD_EVENT_MAX);

        ck_assert_msg(
            mr_event_parse(parser, (mr_str_t){text, len}, &event, &err) == 0,
            "%s: %.*s", err.message, (int) len, text);

        mr_workload_identity(workload, i, id, user);

        ck_assert_uint_eq(event.event_id.len, sizeof(id));
        ck_assert_mem_eq(event.event_id.data, id, sizeof(id));
        ck_assert_int_eq(id[14], '4');
        ck_assert_ptr_nonnull(strchr("89ab", id[19]));

        ck_assert_uint_eq(event.user_id.len, sizeof(user));
        ck_assert_mem_eq(event.user_id.data, user, sizeof(user));

        ck_assert_uint_eq(event.event_type.len,
            strlen(mr_workload_types[mr_workload_type(workload, i)]));
        ck_assert_mem_eq(event.event_type.data,
            mr_workload_types[mr_workload_type(workload, i)],
            event.event_type.len);

        /* 100,000 events a second */

        time = BASE + (int64_t) mr_workload_origin(workload, i) / 100
               - mr_workload_lateness(workload, i);
        ck_assert_int_eq(event.timestamp, time);

        repeats += mr_workload_origin(workload, i) != i;
    }

    ck_assert_double_eq_tol((double) bytes / EVENTS, 260, 5);
    ck_assert_double_eq_tol((double) repeats / EVENTS, 0.005, 0.001);

    mr_parser_destroy(parser);
    mr_workload_destroy(workload);
}
END_TEST


START_TEST(test_seeds)
{
    size_t len;
    uint64_t i, same;
    mr_workload_t *one, *two, *other;
    char a[MR_WORKLOAD_EVENT_MAX], b[MR_WORKLOAD_EVENT_MAX];

    one = make(1, BASE);
    two = make(1, BASE);
    other = make(2, BASE);
    same = 0;

    /* in another order, too */

    for (i = 0; i < EVENTS / 10; i++) {
        len = mr_workload_event(one, i, 0, a);
        ck_assert_uint_eq(mr_workload_event(one, i, 0, b), len);
        ck_assert_mem_eq(a, b, len);
    }

    for (i = EVENTS / 10; i-- > 0;) {
        len = mr_workload_event(one, i, 0, a);
        ck_assert_uint_eq(mr_workload_event(two, i, 5, b), len);
        ck_assert_mem_eq(a, b, len);

        (void) mr_workload_event(other, i, 0, b);
        same += memcmp(a + 13, b + 13, MR_WORKLOAD_ID_LEN) == 0;
    }

    ck_assert_uint_eq(same, 0);

    mr_workload_destroy(one);
    mr_workload_destroy(two);
    mr_workload_destroy(other);
}
END_TEST


/* Without a base a repeat keeps the time of what it repeats. */
START_TEST(test_repeats_keep_their_time)
{
    size_t len;
    uint64_t i, origin, repeats;
    mr_workload_t *workload;
    static char texts[EVENTS][MR_WORKLOAD_EVENT_MAX];

    workload = make(1, 0);
    repeats = 0;

    for (i = 0; i < EVENTS; i++) {
        len = mr_workload_event(workload, i, BASE + (int64_t) i, texts[i]);
        origin = mr_workload_origin(workload, i);

        if (origin != i) {
            ck_assert_mem_eq(texts[i], texts[origin], len);
            repeats++;
        }
    }

    ck_assert_uint_gt(repeats, EVENTS / 400);

    mr_workload_destroy(workload);
}
END_TEST


/* Each of the first ranks within five deviations of its probability. */
START_TEST(test_zipf)
{
    double p, deviation;
    uint32_t rank, *drawn;
    uint64_t i;
    mr_zipf_t *zipf;
    mr_workload_t *workload;

    workload = make(11, BASE);
    zipf = mr_zipf_create(MR_WORKLOAD_USERS, MR_WORKLOAD_ZIPF);
    drawn = calloc(MR_WORKLOAD_USERS, sizeof(uint32_t));

    for (i = 0; i < 5 * EVENTS; i++) {
        drawn[mr_workload_user(workload, i)]++;
    }

    p = 0;

    for (rank = 0; rank < MR_WORKLOAD_USERS; rank++) {
        p += mr_zipf_probability(zipf, rank);
    }

    ck_assert_double_eq_tol(p, 1, 1e-9);

    for (rank = 0; rank < 50; rank++) {
        p = mr_zipf_probability(zipf, rank);
        deviation = sqrt(5 * EVENTS * p * (1 - p));
        ck_assert_double_eq_tol(drawn[rank], 5 * EVENTS * p, 5 * deviation);
    }

    free(drawn);
    mr_zipf_destroy(zipf);
    mr_workload_destroy(workload);
}
END_TEST


Suite *
suite_workload(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("workload");

    tc = tcase_create("workload");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_events);
    tcase_add_test(tc, test_seeds);
    tcase_add_test(tc, test_repeats_keep_their_time);
    tcase_add_test(tc, test_zipf);
    suite_add_tcase(suite, tc);

    return suite;
}
