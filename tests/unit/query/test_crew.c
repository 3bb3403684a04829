#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <query/crew.h>

#include "check_query.h"


#define PARTS 40
#define CALLERS 6
#define ROUNDS 200


typedef struct {
    atomic_uint done[PARTS];
    atomic_uint inside;
    atomic_uint most; /* parts that were under way at once */
    unsigned wait;    /* until so many are */
} work_t;


static mr_crew_t *crew;


static void
start(size_t helpers)
{
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_crew_start(helpers, &crew, &err), 0);
}


static void
part(void *ctx, size_t number)
{
    work_t *work;
    unsigned inside;

    work = ctx;
    ck_assert_uint_lt(number, PARTS);

    inside = atomic_fetch_add(&work->inside, 1) + 1;

    if (inside > atomic_load(&work->most)) {
        atomic_store(&work->most, inside);
    }

    while (atomic_load(&work->most) < work->wait) {
        /* void */
    }

    atomic_fetch_add(&work->done[number], 1);
    atomic_fetch_sub(&work->inside, 1);
}


static void
check(work_t *work, size_t n)
{
    size_t i;

    ck_assert_uint_eq(atomic_load(&work->inside), 0);

    for (i = 0; i < PARTS; i++) {
        ck_assert_uint_eq(atomic_load(&work->done[i]), i < n ? 1 : 0);
    }
}


START_TEST(every_part_is_done_once)
{
    size_t n;
    work_t work;

    start((size_t) _i);

    for (n = 1; n <= PARTS; n++) {
        memset(&work, 0, sizeof(work));
        mr_crew_run(crew, part, &work, n);
        check(&work, n);
    }

    mr_crew_stop(crew);
}
END_TEST


/* This hangs, and the test runs out of time, if one waits for the other. */
START_TEST(helpers_work_beside_the_caller)
{
    work_t work;

    start(3);

    memset(&work, 0, sizeof(work));
    work.wait = 4;
    mr_crew_run(crew, part, &work, 4);
    check(&work, 4);
    ck_assert_uint_eq(atomic_load(&work.most), 4);

    mr_crew_stop(crew);
}
END_TEST


static void *
caller(void *ctx)
{
    int i;
    size_t n;
    work_t work;
    uint32_t state;

    state = (uint32_t) (uintptr_t) ctx;

    for (i = 0; i < ROUNDS; i++) {
        n = 1 + test_random(&state) % PARTS;
        memset(&work, 0, sizeof(work));
        mr_crew_run(crew, part, &work, n);
        check(&work, n);
    }

    return NULL;
}


START_TEST(many_share_the_helpers)
{
    size_t i;
    pthread_t threads[CALLERS];

    start((size_t) _i);

    for (i = 0; i < CALLERS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, caller,
                             (void *) (uintptr_t) (i + 1)),
            0);
    }

    for (i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }

    mr_crew_stop(crew);
}
END_TEST


Suite *
suite_crew(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("crew");
    tc = tcase_create("crew");
    tcase_set_timeout(tc, 60);

    tcase_add_loop_test(tc, every_part_is_done_once, 1, 4);
    tcase_add_test(tc, helpers_work_beside_the_caller);
    tcase_add_loop_test(tc, many_share_the_helpers, 1, 5);

    suite_add_tcase(suite, tc);

    return suite;
}
