#include <math.h>
#include <stdio.h>
#include <string.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>

#include "check_stats.h"


#define GRACE 3600000
#define START INT64_C(1700000040000)
#define END (START + 60000)


typedef struct {
    int64_t expire;
    int64_t now;
    mr_merge_t merge;
    bool final;
} time_case_t;


typedef struct {
    mr_width_t width;
    const char *event_type;
    bool published;
} published_case_t;


/* The windows are of a minute, so their partials expire long after END. */
static const time_case_t time_cases[] = {
    {0, END, MR_MERGE_WRITE, false},
    {0, END + GRACE - 1, MR_MERGE_WRITE, false},
    {0, END + GRACE, MR_MERGE_WRITE, true},
    {0, END + 100 * GRACE, MR_MERGE_WRITE, true},
    {END + 60000, END, MR_MERGE_WRITE, false},
    {END + 60000, END + 60000 - MR_EXPIRE_MARGIN - 1, MR_MERGE_WRITE, false},
    {END + 60000, END + 60000 - MR_EXPIRE_MARGIN, MR_MERGE_EXPIRED, false},
    {END + 60000, END + 60000 + GRACE, MR_MERGE_EXPIRED, false},
};


static const published_case_t published_cases[] = {
    {MR_WIDTH_SECOND, "a", true},
    {MR_WIDTH_MINUTE, "a", true},
    {MR_WIDTH_HOUR, "a", true},
    {MR_WIDTH_DAY, "a", false},
    {MR_WIDTH_SECOND, "", false},
    {MR_WIDTH_MINUTE, "", false},
    {MR_WIDTH_HOUR, "", false},
    {MR_WIDTH_DAY, "", false},
};


static mr_arena_t arena;
static mr_error_t err;


static void
setup(void)
{
    memset(&arena, 0, sizeof(arena));
}


static void
teardown(void)
{
    mr_arena_free(&arena);
}


/* A window that was stored with `count` events and is not final. */
static mr_merged_t
stored_window(const mr_window_key_t *key, int64_t count)
{
    mr_merged_t window;

    memset(&window, 0, sizeof(window));
    window.key = *key;
    window.scalars.count = count;
    window.revision = 7;
    window.published = 7;
    window.closes = END + GRACE;

    return window;
}


START_TEST(a_fold_sums_counts_and_takes_the_earliest_expiry)
{
    int64_t expire;
    mr_damage_t damage;
    mr_partial_t *a, *b, *c;
    mr_scalars_t sum;

    a = test_partial(&arena, 0, 10);
    b = test_partial(&arena, 1, 20);
    c = test_partial(&arena, 5, 30);
    a->next = b;
    b->next = c;
    b->expire = 5000;
    c->expire = 4000;

    ck_assert_int_eq(
        mr_partials_fold(&arena, a, mr_str(""), &sum, &expire, &damage, &err),
        0);
    ck_assert_int_eq(sum.count, 60);
    ck_assert_uint_eq(sum.n_measures, 0);
    ck_assert_int_eq(expire, 4000);
}
END_TEST


/* The bytes of a sketch that has seen the users [from, to). */
static mr_str_t
users(int from, int to)
{
    char text[24];
    mr_buf_t buf = MR_BUF_INIT;
    mr_hll_t hll = MR_HLL_INIT;
    mr_str_t bytes;

    for (; from < to; from++) {
        (void) snprintf(text, sizeof(text), "user-%d", from);
        ck_assert_int_ge(
            mr_hll_add(&hll, mr_hll_hash((mr_str_t){text, strlen(text)})), 0);
    }

    ck_assert_int_eq(mr_hll_write(&hll, &buf), 0);
    ck_assert_int_eq(
        mr_arena_copy(&arena, (mr_str_t){buf.data, buf.len}, &bytes), 0);

    mr_buf_free(&buf);
    mr_hll_free(&hll);

    return bytes;
}


/* The bytes of a sketch that holds from, from + 1, ... to - 1. */
static mr_str_t
numbers(int from, int to)
{
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t bytes;
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT;

    for (; from < to; from++) {
        ck_assert_int_eq(mr_ddsketch_add(&sketch, mr_ddsketch_key(from), 1), 0);
    }

    ck_assert_int_eq(mr_ddsketch_write(&sketch, &buf), 0);
    ck_assert_int_eq(
        mr_arena_copy(&arena, (mr_str_t){buf.data, buf.len}, &bytes), 0);

    mr_buf_free(&buf);
    mr_ddsketch_free(&sketch);

    return bytes;
}


/* A partition's users may be missing: they were merged before. */
START_TEST(a_fold_merges_sketches)
{
    int64_t expire;
    mr_damage_t damage;
    mr_partial_t *a, *b;
    mr_scalars_t sum, again;

    a = test_partial(&arena, 0, 100);
    b = test_partial(&arena, 1, 100);
    a->next = b;

    a->scalars.users = users(0, 60);
    a->tail = users(50, 70);
    test_measure(
        &arena, &a->scalars, "value", (mr_measure_stats_t){100, 1, 1, 100});
    test_measure(
        &arena, &b->scalars, "value", (mr_measure_stats_t){100, 1, 101, 199.9});
    a->scalars.measures[0].sketch = numbers(1, 101);
    b->scalars.measures[0].sketch = numbers(101, 201);

    ck_assert_int_eq(mr_partials_fold(&arena, a, users(65, 90), &sum, &expire,
                         &damage, &err),
        0);

    ck_assert_int_eq(sum.unique_users, 90);
    ck_assert(mr_str_eq(sum.users, users(0, 90)));
    ck_assert(mr_str_eq(sum.measures[0].sketch, numbers(1, 201)));
    ck_assert_double_eq_tol(sum.measures[0].p50, 100, 1);
    ck_assert_double_eq_tol(sum.measures[0].p95, 190, 1);
    ck_assert_double_le(sum.measures[0].p99, 199.9);

    /* The same again, with what came of it. */
    ck_assert_int_eq(
        mr_partials_fold(&arena, a, sum.users, &again, &expire, &damage, &err),
        0);
    ck_assert(mr_str_eq(sum.users, again.users));
}
END_TEST


/* Counts and sums do not wait for it, nor do the sketches that are whole. */
START_TEST(a_damaged_sketch_is_left_out)
{
    int64_t expire;
    mr_damage_t damage;
    mr_partial_t *a, *b;
    mr_scalars_t sum;
    const mr_str_t bad = {"H\1\16\7", 4};

    a = test_partial(&arena, 3, 100);
    b = test_partial(&arena, 5, 50);
    a->next = b;

    a->scalars.users = users(0, 60);
    a->tail = bad;
    b->scalars.users = users(60, 70);
    test_measure(
        &arena, &a->scalars, "value", (mr_measure_stats_t){100, 1, 1, 100});
    test_measure(
        &arena, &b->scalars, "value", (mr_measure_stats_t){50, 1, 101, 199.9});
    a->scalars.measures[0].sketch = numbers(1, 101);
    b->scalars.measures[0].sketch = bad;

    ck_assert_int_eq(
        mr_partials_fold(&arena, a, mr_str(""), &sum, &expire, &damage, &err),
        0);
    ck_assert_uint_eq(damage.n, 2);
    ck_assert_int_eq(damage.partition, 3);
    ck_assert_uint_eq(damage.name.len, 0);
    ck_assert_int_eq(sum.count, 150);
    ck_assert_int_eq(sum.measures[0].stats.count, 150);
    ck_assert(mr_str_eq(sum.users, users(0, 70)));
    ck_assert(mr_str_eq(sum.measures[0].sketch, numbers(1, 101)));

    /* All of them. */
    a->scalars.users = bad;
    b->scalars.users = bad;
    a->scalars.measures[0].sketch = bad;
    ck_assert_int_eq(
        mr_partials_fold(&arena, a, bad, &sum, &expire, &damage, &err), 0);
    ck_assert_uint_eq(damage.n, 6);
    ck_assert_int_eq(sum.count, 150);
    ck_assert_uint_eq(sum.users.len, 0);
    ck_assert_uint_eq(sum.measures[0].sketch.len, 0);
}
END_TEST


/* A partial that was read without its users brings them a round later. */
START_TEST(users_alone_are_a_change)
{
    mr_merged_t stored, next;
    mr_window_key_t key;
    mr_scalars_t scalars;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 2);
    stored.scalars.users = users(0, 1);
    scalars = stored.scalars;

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_SAME);

    scalars.users = users(0, 2);
    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.revision, 8);
}
END_TEST


/*
 * What may have been sent is kept as it was until Kafka has it; what cannot
 * have been sent is replaced.
 */
START_TEST(an_unacknowledged_revision_is_frozen)
{
    mr_str_t text;
    mr_merged_t stored, next, third;
    mr_window_key_t key;
    mr_scalars_t scalars;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 1);
    stored.revision = 8;
    stored.dirty = true;
    memset(&scalars, 0, sizeof(scalars));
    scalars.count = 2;

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.replaces, 8);
    ck_assert_int_eq(next.revision, 9);
    ck_assert_int_eq(next.frozen, 8);
    text = next.text;
    ck_assert(strstr(text.data, "\"count\":1,") != NULL);
    ck_assert(strstr(text.data, "\"revision\":8,") != NULL);

    scalars.count = 3;
    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &next, GRACE, END, &third),
        MR_MERGE_WRITE);
    ck_assert_int_eq(third.replaces, 9);
    ck_assert_int_eq(third.revision, 9);
    ck_assert_int_eq(third.frozen, 8);
    ck_assert(mr_str_eq(third.text, text));
    ck_assert_int_eq(third.scalars.count, 3);

    ck_assert_int_eq(
        mr_window_close(&arena, &stored, END + GRACE, &next), MR_MERGE_WRITE);
    ck_assert_int_eq(next.frozen, 8);
    ck_assert_int_eq(next.revision, 9);
    ck_assert(next.final);
}
END_TEST


START_TEST(a_fold_of_nothing_is_empty)
{
    int64_t expire;
    mr_damage_t damage;
    mr_scalars_t sum;

    ck_assert_int_eq(mr_partials_fold(&arena, NULL, mr_str(""), &sum, &expire,
                         &damage, &err),
        0);
    ck_assert_int_eq(sum.count, 0);
    ck_assert_uint_eq(sum.n_measures, 0);
    ck_assert_int_eq(expire, 0);
}
END_TEST


START_TEST(a_fold_merges_measures_by_name)
{
    int64_t expire;
    mr_damage_t damage;
    mr_partial_t *a, *b;
    mr_scalars_t sum;

    a = test_partial(&arena, 0, 3);
    b = test_partial(&arena, 1, 4);
    a->next = b;

    test_measure(
        &arena, &a->scalars, "value", (mr_measure_stats_t){2, 3.5, 1, 2.5});
    test_measure(
        &arena, &b->scalars, "value", (mr_measure_stats_t){1, -8, -8, -8});
    test_measure(
        &arena, &b->scalars, "price", (mr_measure_stats_t){4, 40, 1, 20});

    ck_assert_int_eq(
        mr_partials_fold(&arena, a, mr_str(""), &sum, &expire, &damage, &err),
        0);
    ck_assert_uint_eq(sum.n_measures, 2);

    ck_assert(mr_str_eq(sum.measures[0].name, mr_str("price")));
    ck_assert_int_eq(sum.measures[0].stats.count, 4);
    ck_assert(sum.measures[0].stats.sum == 40);

    ck_assert(mr_str_eq(sum.measures[1].name, mr_str("value")));
    ck_assert_int_eq(sum.measures[1].stats.count, 3);
    ck_assert(sum.measures[1].stats.sum == -4.5);
    ck_assert(sum.measures[1].stats.min == -8);
    ck_assert(sum.measures[1].stats.max == 2.5);

    /* what was folded is as it was */
    ck_assert_int_eq(a->scalars.measures[0].stats.count, 2);
}
END_TEST


START_TEST(a_fold_takes_any_number_of_measures)
{
    int i;
    char names[40][8];
    int64_t expire;
    mr_damage_t damage;
    mr_partial_t *a;
    mr_scalars_t sum;

    a = test_partial(&arena, 0, 1);

    for (i = 0; i < 40; i++) {
        (void) snprintf(names[i], sizeof(names[i]), "m%02d", 39 - i);
        test_measure(&arena, &a->scalars, names[i],
            (mr_measure_stats_t){1, 39 - i, 39 - i, 39 - i});
    }

    ck_assert_int_eq(
        mr_partials_fold(&arena, a, mr_str(""), &sum, &expire, &damage, &err),
        0);
    ck_assert_uint_eq(sum.n_measures, 40);

    for (i = 0; i < 40; i++) {
        ck_assert(sum.measures[i].stats.sum == i);
    }
}
END_TEST


START_TEST(scalars_differ_in_any_number)
{
    mr_partial_t *a, *b;
    mr_measure_stats_t stats = {1, 2.5, 2.5, 2.5};

    a = test_partial(&arena, 0, 5);
    b = test_partial(&arena, 0, 5);
    ck_assert(mr_scalars_equal(&a->scalars, &b->scalars));

    test_measure(&arena, &a->scalars, "value", stats);
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    test_measure(&arena, &b->scalars, "other", stats);
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.n_measures = 0;
    test_measure(&arena, &b->scalars, "value", stats);
    ck_assert(mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.measures[0].stats.sum = nextafter(2.5, 3);
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.measures[0].stats = stats;
    b->scalars.measures[0].stats.min = 2;
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.measures[0].stats = stats;
    b->scalars.measures[0].stats.max = 3;
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.measures[0].stats = stats;
    b->scalars.measures[0].stats.count = 2;
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));

    b->scalars.measures[0].stats = stats;
    b->scalars.count = 6;
    ck_assert(!mr_scalars_equal(&a->scalars, &b->scalars));
}
END_TEST


START_TEST(a_new_window_has_revision_one)
{
    mr_merged_t next;
    mr_scalars_t scalars = {.count = 3};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, NULL, GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.revision, 1);
    ck_assert_int_eq(next.published, 0);
    ck_assert_int_eq(next.scalars.count, 3);
    ck_assert_int_eq(next.closes, END + GRACE);
    ck_assert_int_eq(next.expire, 0);
    ck_assert(next.dirty);
    ck_assert(!next.final);
}
END_TEST


START_TEST(a_window_outlives_its_closing)
{
    mr_merged_t next;
    mr_scalars_t scalars = {.count = 3};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);

    /* partials that expire just when the window closes */
    ck_assert_int_eq(mr_window_next(&arena, &key, &scalars, END + GRACE, NULL,
                         GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.expire, END + GRACE + MR_CLOSED_KEEP);

    /* and long after */
    ck_assert_int_eq(mr_window_next(&arena, &key, &scalars, END + 10 * GRACE,
                         NULL, GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.expire, END + 10 * GRACE);
}
END_TEST


START_TEST(an_unchanged_window_is_left_alone)
{
    mr_merged_t stored, next;
    mr_scalars_t scalars = {.count = 3};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_SAME);

    /* closing it is not merging's business */
    ck_assert_int_eq(mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE,
                         END + 2 * GRACE, &next),
        MR_MERGE_SAME);
}
END_TEST


START_TEST(a_changed_window_gets_the_next_revision)
{
    mr_merged_t stored, next;
    mr_scalars_t scalars = {.count = 4};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.revision, 8);
    ck_assert_int_eq(next.published, 7);
    ck_assert(next.dirty);
    ck_assert(!next.final);
}
END_TEST


START_TEST(a_window_never_loses_events)
{
    mr_merged_t stored, next;
    mr_scalars_t scalars = {.count = 2};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, END, &next),
        MR_MERGE_BACKWARDS);
}
END_TEST


START_TEST(a_correction_of_a_final_window_is_final)
{
    mr_merged_t stored, next;
    mr_scalars_t scalars = {.count = 4};
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);
    stored.final = true;

    /* even for a clock that has stepped back */
    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, &stored, GRACE, START, &next),
        MR_MERGE_WRITE);
    ck_assert(next.final);
    ck_assert_int_eq(next.revision, 8);
}
END_TEST


START_TEST(time_decides_on_merging)
{
    mr_merged_t stored, next;
    mr_scalars_t scalars = {.count = 4};
    mr_window_key_t key;
    const time_case_t *c;

    c = &time_cases[_i];
    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(mr_window_next(&arena, &key, &scalars, c->expire, &stored,
                         GRACE, c->now, &next),
        c->merge);

    if (c->merge == MR_MERGE_WRITE) {
        ck_assert_int_eq(next.final, c->final);
    }

    ck_assert_int_eq(mr_window_next(&arena, &key, &scalars, c->expire, NULL,
                         GRACE, c->now, &next),
        c->merge);

    if (c->merge == MR_MERGE_WRITE) {
        ck_assert_int_eq(next.final, c->final);
    }
}
END_TEST


START_TEST(only_some_windows_are_published)
{
    mr_merged_t next;
    mr_scalars_t scalars = {.count = 4};
    mr_window_key_t key;
    const published_case_t *c;

    c = &published_cases[_i];
    key = test_key(c->width, c->event_type, 86400000);

    ck_assert_int_eq(mr_window_published(&key), c->published);
    ck_assert_int_eq(
        mr_window_next(&arena, &key, &scalars, 0, NULL, GRACE, 0, &next),
        MR_MERGE_WRITE);
    ck_assert_int_eq(next.dirty, c->published);
    ck_assert_int_eq(next.revision, 1);
}
END_TEST


START_TEST(a_window_closes_by_the_clock)
{
    mr_merged_t stored, next;
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(mr_window_close(&arena, &stored, END + GRACE - 1, &next),
        MR_MERGE_SAME);
    ck_assert_int_eq(
        mr_window_close(&arena, &stored, END + GRACE, &next), MR_MERGE_WRITE);

    ck_assert(next.final);
    ck_assert(next.dirty);
    ck_assert_int_eq(next.revision, 8);
    ck_assert_int_eq(next.scalars.count, 3);

    /* once */
    ck_assert_int_eq(mr_window_close(&arena, &next, END + 2 * GRACE, &stored),
        MR_MERGE_SAME);
}
END_TEST


START_TEST(closing_what_is_not_published_makes_nothing_dirty)
{
    mr_merged_t stored, next;
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "", START);
    stored = stored_window(&key, 3);

    ck_assert_int_eq(
        mr_window_close(&arena, &stored, END + GRACE, &next), MR_MERGE_WRITE);
    ck_assert(next.final);
    ck_assert(!next.dirty);
}
END_TEST


Suite *
suite_merged(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("merged");
    tc = tcase_create("merged");
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);

    tcase_add_test(tc, a_fold_sums_counts_and_takes_the_earliest_expiry);
    tcase_add_test(tc, a_fold_of_nothing_is_empty);
    tcase_add_test(tc, a_fold_merges_sketches);
    tcase_add_test(tc, a_damaged_sketch_is_left_out);
    tcase_add_test(tc, users_alone_are_a_change);
    tcase_add_test(tc, an_unacknowledged_revision_is_frozen);
    tcase_add_test(tc, a_fold_merges_measures_by_name);
    tcase_add_test(tc, a_fold_takes_any_number_of_measures);
    tcase_add_test(tc, scalars_differ_in_any_number);
    tcase_add_test(tc, a_new_window_has_revision_one);
    tcase_add_test(tc, a_window_outlives_its_closing);
    tcase_add_test(tc, an_unchanged_window_is_left_alone);
    tcase_add_test(tc, a_changed_window_gets_the_next_revision);
    tcase_add_test(tc, a_window_never_loses_events);
    tcase_add_test(tc, a_correction_of_a_final_window_is_final);
    tcase_add_loop_test(tc, time_decides_on_merging, 0,
        sizeof(time_cases) / sizeof(time_cases[0]));
    tcase_add_loop_test(tc, only_some_windows_are_published, 0,
        sizeof(published_cases) / sizeof(published_cases[0]));
    tcase_add_test(tc, a_window_closes_by_the_clock);
    tcase_add_test(tc, closing_what_is_not_published_makes_nothing_dirty);

    return suite;
}
