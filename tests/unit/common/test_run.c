#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <millrace/time.h>

#include <common/run.h>

#include "check_common.h"


#define MR_THREADS 4
#define MR_LONG 30000 /* ms; no test may take that */


static void *mr_sleeper(void *ctx);


static void
mr_init(void)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_run_init(&err), 0);
    ck_assert_int_eq(mr_run_stopping(), 0);
}


START_TEST(sleep_full)
{
    int64_t start, took;

    mr_init();
    start = mr_time_monotonic();
    ck_assert_int_eq(mr_run_sleep(50), 0);
    took = mr_time_monotonic() - start;

    ck_assert_int_ge(took, 50);
    ck_assert_int_eq(mr_run_sleep(0), 0);
    ck_assert_int_eq(mr_run_sleep(-5), 0);
}
END_TEST


/* It is also what a program does that never called mr_run_init(). */
START_TEST(sleep_without_init)
{
    int64_t start;

    start = mr_time_monotonic();
    ck_assert_int_eq(mr_run_sleep(30), 0);
    ck_assert_int_ge(mr_time_monotonic() - start, 30);
}
END_TEST


START_TEST(stop_wakes_all)
{
    int i;
    int64_t start;
    pthread_t list[MR_THREADS];

    mr_init();
    start = mr_time_monotonic();

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&list[i], NULL, mr_sleeper, NULL), 0);
    }

    mr_run_stop();

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_join(list[i], NULL), 0);
    }

    ck_assert_int_lt(mr_time_monotonic() - start, MR_LONG / 2);
    ck_assert_int_ne(mr_run_stopping(), 0);

    /* From now on nothing sleeps. */
    ck_assert_int_ne(mr_run_sleep(MR_LONG), 0);
    ck_assert_int_ne(mr_run_backoff(20, 1000), 0);
    ck_assert_int_lt(mr_time_monotonic() - start, MR_LONG / 2);
}
END_TEST


static const int signals[] = {SIGTERM, SIGINT};


START_TEST(signal_stops)
{
    mr_init();

    ck_assert_int_eq(kill(getpid(), signals[_i]), 0);
    ck_assert_int_ne(mr_run_sleep(MR_LONG), 0);
    ck_assert_int_ne(mr_run_stopping(), 0);

    /* A second one does not hurry it. */
    ck_assert_int_eq(kill(getpid(), signals[_i]), 0);
    ck_assert_int_ne(mr_run_stopping(), 0);
}
END_TEST


START_TEST(pipe_ignored)
{
    int fds[2];

    mr_init();
    ck_assert_int_eq(pipe(fds), 0);
    close(fds[0]);

    ck_assert_int_eq(write(fds[1], "x", 1), -1);
    ck_assert_int_eq(mr_run_stopping(), 0);
    close(fds[1]);
}
END_TEST


static const struct {
    unsigned attempt;
    int64_t base;
    int64_t delay;
} backoffs[] = {
    {0, 20, 20},
    {1, 20, 40},
    {3, 20, 160},
    {0, 0, 1},
    {0, -7, 1},
    {4000000000U, 5000, 5000},
};


START_TEST(backoff)
{
    int64_t start, took;

    mr_init();

    start = mr_time_monotonic();
    ck_assert_int_eq(
        mr_run_backoff(backoffs[_i].attempt, backoffs[_i].base), 0);
    took = mr_time_monotonic() - start;

    /* Between a half and the whole; a busy machine may add to it. */
    ck_assert_int_ge(took, backoffs[_i].delay / 2);
    ck_assert_int_le(took, backoffs[_i].delay + 2000);
}
END_TEST


Suite *
mr_suite_run(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("run");
    tc = tcase_create("run");
    tcase_set_timeout(tc, 20);

    tcase_add_test(tc, sleep_full);
    tcase_add_test(tc, sleep_without_init);
    tcase_add_test(tc, stop_wakes_all);
    tcase_add_loop_test(
        tc, signal_stops, 0, (int) (sizeof(signals) / sizeof(signals[0])));
    tcase_add_test(tc, pipe_ignored);
    tcase_add_loop_test(
        tc, backoff, 0, (int) (sizeof(backoffs) / sizeof(backoffs[0])));

    suite_add_tcase(suite, tc);

    return suite;
}


static void *
mr_sleeper(void *ctx)
{
    (void) ctx;

    (void) mr_run_sleep(MR_LONG);

    return NULL;
}
