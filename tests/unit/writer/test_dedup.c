#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <writer/dedup.h>

#include "check_writer.h"


#define MOST 4000


/* A record of a made log: its offset, and whose identity it has; -1: none. */
typedef struct {
    int64_t offset;
    int64_t identity;
} made_t;

static made_t made[MOST];
static size_t n;


static mr_hash_t
hash_of(int64_t identity)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%lld", (long long) identity);

    return mr_hash((mr_str_t){text, strlen(text)});
}


/* The rule, word by word. */
static int
is_repeat(size_t i, int64_t window)
{
    size_t k;

    for (k = 0; k < i; k++) {
        if (made[k].identity == made[i].identity
            && made[k].offset >= made[i].offset - window)
        {
            return 1;
        }
    }

    return 0;
}


/* A log with holes, bad records and more or fewer repeats. */
static void
make_log(uint64_t seed, uint64_t identities)
{
    int64_t offset;

    test_seed(seed);
    offset = (int64_t) test_below(1000000);
    n = 0;

    while (n < MOST) {
        offset += test_below(50) == 0 ? 1 + (int64_t) test_below(300) : 1;

        made[n].offset = offset;
        made[n].identity =
            test_below(20) == 0 ? -1 : (int64_t) test_below(identities);
        n++;
    }
}


static const int64_t windows[] = {1, 2, 3, 7, 64, 100, 1000, 100000};

#define WINDOWS (sizeof(windows) / sizeof(windows[0]))


START_TEST(decisions_are_those_of_the_rule)
{
    size_t i, w;
    mr_dedup_t *dedup;

    make_log((uint64_t) _i, (uint64_t[]){5, 100, 1000, 100000}[_i % 4]);

    for (w = 0; w < WINDOWS; w++) {
        dedup = mr_dedup_create(windows[w]);

        for (i = 0; i < n; i++) {
            if (made[i].identity != -1) {
                ck_assert_msg(mr_dedup_add(dedup, made[i].offset,
                                  hash_of(made[i].identity))
                                  == is_repeat(i, windows[w]),
                    "W %lld, record %zu", (long long) windows[w], i);
            }
        }

        mr_dedup_destroy(dedup);
    }
}
END_TEST


/*
 * Whoever begins at a record with the W offsets before it decides as one who
 * has read the log from its start.
 */
START_TEST(a_rebuilt_window_decides_alike)
{
    size_t i, k, w;
    int64_t window;
    mr_dedup_t *whole, *rebuilt;

    make_log((uint64_t) _i, 300);

    w = (size_t) _i % WINDOWS;
    window = windows[w];
    whole = mr_dedup_create(window);
    rebuilt = mr_dedup_create(window);

    for (i = 0; i < n; i++) {

        /* a restart now and then */
        if (test_below(200) == 0) {
            mr_dedup_reset(rebuilt);

            for (k = 0; k < i; k++) {
                if (made[k].offset >= made[i].offset - window
                    && made[k].identity != -1) {
                    (void) mr_dedup_add(
                        rebuilt, made[k].offset, hash_of(made[k].identity));
                }
            }
        }

        if (made[i].identity != -1) {
            ck_assert_int_eq(
                mr_dedup_add(whole, made[i].offset, hash_of(made[i].identity)),
                mr_dedup_add(
                    rebuilt, made[i].offset, hash_of(made[i].identity)));
        }
    }

    mr_dedup_destroy(whole);
    mr_dedup_destroy(rebuilt);
}
END_TEST


/* Each repeat refreshes: the distance counts from the latest, kept or not. */
START_TEST(a_dropped_record_refreshes_the_window)
{
    int64_t offset;
    mr_dedup_t *dedup;

    dedup = mr_dedup_create(10);

    ck_assert_int_eq(mr_dedup_add(dedup, 0, hash_of(1)), 0);

    for (offset = 10; offset <= 100; offset += 10) {
        ck_assert_int_eq(mr_dedup_add(dedup, offset, hash_of(1)), 1);
    }

    ck_assert_int_eq(mr_dedup_add(dedup, 111, hash_of(1)), 0);

    mr_dedup_destroy(dedup);
}
END_TEST


/* Identities that fall on the same slot and tag must still be told apart. */
START_TEST(colliding_hashes_are_told_apart)
{
    int64_t offset;
    mr_hash_t hash;
    mr_dedup_t *dedup;

    dedup = mr_dedup_create(1000);

    for (offset = 0; offset < 3000; offset++) {
        hash.lo = (uint64_t) offset << 32;
        hash.hi = (uint64_t) offset << 32;
        ck_assert_int_eq(mr_dedup_add(dedup, offset, hash), 0);
    }

    for (offset = 3000; offset < 3500; offset++) {
        hash.lo = (uint64_t) (offset - 1000) << 32;
        hash.hi = hash.lo;
        ck_assert_int_eq(mr_dedup_add(dedup, offset, hash), 1);
    }

    mr_dedup_destroy(dedup);
}
END_TEST


/* All zeroes marks an empty place inside; as a hash it is like any other. */
START_TEST(a_hash_of_zeroes_is_a_hash)
{
    mr_hash_t zero = {0, 0};
    mr_dedup_t *dedup;

    dedup = mr_dedup_create(4);

    ck_assert_int_eq(mr_dedup_add(dedup, 0, zero), 0);
    ck_assert_int_eq(mr_dedup_add(dedup, 4, zero), 1);
    ck_assert_int_eq(mr_dedup_add(dedup, 9, zero), 0);

    mr_dedup_destroy(dedup);
}
END_TEST


/* In pages. */
/* ThreadSanitizer's own memory of what is allocated is as large. */
#ifndef __SANITIZE_THREAD__

static long
resident(void)
{
    FILE *file;
    long size, pages;

    file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &size, &pages), 2);
    (void) fclose(file);

    return pages;
}


START_TEST(a_window_that_is_new_takes_no_memory)
{
    long before;
    mr_dedup_t *dedup;

    /* 64 MB and 32 MB */
    before = resident();
    dedup = mr_dedup_create(4000000);
    mr_dedup_reset(dedup);

    ck_assert_int_lt((resident() - before) * sysconf(_SC_PAGESIZE), 20000000);

    mr_dedup_destroy(dedup);
}
END_TEST

#endif


Suite *
suite_dedup(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("dedup");
    tc = tcase_create("dedup");
    tcase_set_timeout(tc, 120);

    tcase_add_loop_test(tc, decisions_are_those_of_the_rule, 0, 8);
    tcase_add_loop_test(tc, a_rebuilt_window_decides_alike, 0, 24);
    tcase_add_test(tc, a_dropped_record_refreshes_the_window);
    tcase_add_test(tc, colliding_hashes_are_told_apart);
    tcase_add_test(tc, a_hash_of_zeroes_is_a_hash);
#ifndef __SANITIZE_THREAD__
    tcase_add_test(tc, a_window_that_is_new_takes_no_memory);
#endif

    suite_add_tcase(suite, tc);

    return suite;
}
