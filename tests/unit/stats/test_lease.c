#include <stats/lease.h>

#include "check_stats.h"


#define LEASE 10000
#define SERVER INT64_C(1700000000000) /* the server's clock at monotonic 0 */


/* The answer to an attempt that reached the server at `at` (monotonic). */
static mr_lease_answer_t
granted(int64_t term, int64_t at)
{
    mr_lease_answer_t answer;

    answer.mine = true;
    answer.term = term;
    answer.until = SERVER + at + LEASE;

    return answer;
}


static mr_lease_answer_t
refused(int64_t term)
{
    mr_lease_answer_t answer;

    answer.mine = false;
    answer.term = term;
    answer.until = SERVER + 100 * LEASE;

    return answer;
}


START_TEST(nothing_is_held_at_first)
{
    mr_lease_t lease;

    mr_lease_init(&lease, LEASE);

    ck_assert(!mr_lease_valid(&lease, 0));
    ck_assert(mr_lease_due(&lease, 0));
}
END_TEST


START_TEST(it_is_taken_kept_and_lost)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);

    answer = refused(4);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 0), MR_LEASE_WAITING);
    ck_assert(!mr_lease_valid(&lease, 0));

    answer = granted(5, 1000);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 1000), MR_LEASE_TAKEN);
    ck_assert(mr_lease_valid(&lease, 1000));

    answer = granted(5, 5000);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 5000), MR_LEASE_KEPT);

    answer = refused(6);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 9000), MR_LEASE_LOST);
    ck_assert(!mr_lease_valid(&lease, 9000));

    ck_assert_int_eq(
        mr_lease_answered(&lease, &answer, 9500), MR_LEASE_WAITING);
}
END_TEST


START_TEST(a_new_term_of_the_same_owner_is_a_new_lease)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);

    answer = granted(5, 0);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 0), MR_LEASE_TAKEN);

    /* the process was stopped, and nobody was there to take it */
    answer = granted(6, 60000);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 60000), MR_LEASE_TAKEN);
    ck_assert_int_eq(lease.term, 6);
}
END_TEST


START_TEST(it_ends_here_before_it_ends_there)
{
    int64_t t;
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);

    /* asked at 1000, at the server at 3000, answered at 5000 */
    answer = granted(1, 3000);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 1000), MR_LEASE_TAKEN);

    for (t = 5000; t < 20000; t += 100) {

        if (mr_lease_valid(&lease, t)) {
            ck_assert_int_lt(SERVER + t, answer.until - LEASE / 10);
        }
    }

    ck_assert(mr_lease_valid(&lease, 9999));
    ck_assert(!mr_lease_valid(&lease, 10000));
}
END_TEST


START_TEST(it_is_renewed_early)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);
    answer = granted(1, 0);
    mr_lease_answered(&lease, &answer, 0);

    ck_assert(!mr_lease_due(&lease, LEASE / 3 - 1));
    ck_assert(mr_lease_due(&lease, LEASE / 3));
}
END_TEST


START_TEST(time_is_the_servers)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);

    answer = granted(1, 3000);
    mr_lease_answered(&lease, &answer, 2900);

    /* ahead by the way there, never behind */
    ck_assert_int_eq(mr_lease_time(&lease, 4000), SERVER + 4100);
}
END_TEST


START_TEST(a_dropped_lease_is_not_valid)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);
    answer = granted(1, 0);
    mr_lease_answered(&lease, &answer, 0);
    mr_lease_drop(&lease);

    ck_assert(!mr_lease_valid(&lease, 1));
    ck_assert(mr_lease_due(&lease, 1));

    /* if the server still says that it is ours, the state is read anew */
    answer = granted(1, 10);
    ck_assert_int_eq(mr_lease_answered(&lease, &answer, 10), MR_LEASE_TAKEN);
}
END_TEST


START_TEST(a_standby_asks_often_enough)
{
    mr_lease_t lease;

    mr_lease_init(&lease, 1000);
    ck_assert_int_eq(mr_lease_poll(&lease), 100);

    mr_lease_init(&lease, 300000);
    ck_assert_int_eq(mr_lease_poll(&lease), 500);
}
END_TEST


/* Whatever its end is: the clock that said so may have been ahead. */
START_TEST(what_nobody_renews_is_over)
{
    mr_lease_t lease;
    mr_lease_answer_t answer;

    mr_lease_init(&lease, LEASE);
    ck_assert_ptr_null(mr_lease_stale(&lease, 100 * LEASE));

    answer = refused(4);
    mr_lease_answered(&lease, &answer, 1000);
    mr_lease_answered(&lease, &answer, 2000);
    ck_assert_ptr_null(mr_lease_stale(&lease, 3 * LEASE + 999));
    ck_assert_ptr_nonnull(mr_lease_stale(&lease, 3 * LEASE + 1000));
    ck_assert_int_eq(mr_lease_stale(&lease, 4 * LEASE)->until, answer.until);

    /* It was renewed after all, or belongs to the next one. */
    answer.until++;
    mr_lease_answered(&lease, &answer, 4 * LEASE);
    ck_assert_ptr_null(mr_lease_stale(&lease, 7 * LEASE - 1));
    ck_assert_ptr_nonnull(mr_lease_stale(&lease, 7 * LEASE));

    answer.term++;
    mr_lease_answered(&lease, &answer, 7 * LEASE);
    ck_assert_ptr_null(mr_lease_stale(&lease, 10 * LEASE - 1));

    answer = granted(6, 8 * LEASE);
    mr_lease_answered(&lease, &answer, 8 * LEASE);
    ck_assert_ptr_null(mr_lease_stale(&lease, 100 * LEASE));
}
END_TEST


Suite *
suite_lease(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("lease");
    tc = tcase_create("lease");
    suite_add_tcase(suite, tc);

    tcase_add_test(tc, nothing_is_held_at_first);
    tcase_add_test(tc, it_is_taken_kept_and_lost);
    tcase_add_test(tc, a_new_term_of_the_same_owner_is_a_new_lease);
    tcase_add_test(tc, it_ends_here_before_it_ends_there);
    tcase_add_test(tc, it_is_renewed_early);
    tcase_add_test(tc, time_is_the_servers);
    tcase_add_test(tc, a_dropped_lease_is_not_valid);
    tcase_add_test(tc, a_standby_asks_often_enough);
    tcase_add_test(tc, what_nobody_renews_is_over);

    return suite;
}
