#include <string.h>

#include <writer/ledger.h>

#include "check_writer.h"


static mr_ledger_t
ledger_at(int64_t next, int64_t last)
{
    mr_ledger_t ledger;

    memset(&ledger, 0, sizeof(mr_ledger_t));

    ledger.epoch = 1;
    ledger.next = next;
    ledger.last.offset = last;

    return ledger;
}


START_TEST(a_ledger_is_judged_by_the_log)
{
    size_t i;
    mr_ledger_t ledger;
    static const struct {
        int64_t next;
        int64_t start;
        int64_t end;
        mr_verdict_t verdict;
    } table[] = {
        {0, 0, 0, MR_LEDGER_READ},
        {5, 0, 10, MR_LEDGER_READ},
        {10, 0, 10, MR_LEDGER_READ},  /* stored to the end */
        {10, 10, 10, MR_LEDGER_READ}, /* and all of it expired */
        {5, 5, 10, MR_LEDGER_READ},
        {5, 6, 10, MR_LEDGER_GAP},
        {0, 1, 1, MR_LEDGER_GAP},
        {11, 0, 10, MR_LEDGER_RECREATED},
        {1, 0, 0, MR_LEDGER_RECREATED},
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ledger = ledger_at(table[i].next, table[i].next - 1);
        ck_assert_msg(mr_ledger_judge(&ledger, table[i].start, table[i].end)
                          == table[i].verdict,
            "row %zu", i);
    }
}
END_TEST


/* The markers behind the last record have expired: nothing is lost. */
START_TEST(what_was_reached_is_no_gap)
{
    mr_ledger_t ledger;

    ledger = ledger_at(10, 9);
    ledger.reached = 12;

    ck_assert_int_eq(mr_ledger_judge(&ledger, 12, 12), MR_LEDGER_READ);
    ck_assert_int_eq(mr_ledger_judge(&ledger, 13, 13), MR_LEDGER_GAP);
}
END_TEST


START_TEST(reading_starts_early_enough)
{
    size_t i;
    int64_t fill;
    mr_ledger_t ledger;
    static const struct {
        const char *what;
        int64_t next;
        int64_t last;
        int64_t log_start;
        int64_t kept;
        int64_t start;
        int64_t fill;
    } table[] = {
        /* W is 100 */
        {"nothing stored", 0, -1, 0, -1, 0, 0},
        {"a window's length back", 500, 499, 0, -1, 400, 400},
        {"clamped to the log's start", 500, 499, 450, -1, 450, 450},
        {"a kept window: only verify", 500, 499, 0, 500, 499, 500},
        {"a kept window, markers since", 500, 490, 0, 500, 490, 500},
        {"a kept window falls short", 500, 499, 0, 450, 450, 450},
        {"a kept window is too old", 500, 499, 0, 399, 400, 400},
        {"a kept window saw too much", 500, 499, 0, 501, 400, 400},
        {"the last record is gone", 500, 499, 500, 500, 500, 500},
        {"the last one lies before W", 500, 300, 0, -1, 300, 400},
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ledger = ledger_at(table[i].next, table[i].last);

        ck_assert_msg(mr_ledger_start(&ledger, table[i].log_start, 100,
                          table[i].kept, &fill)
                          == table[i].start,
            "%s", table[i].what);
        ck_assert_msg(fill == table[i].fill, "%s", table[i].what);
    }
}
END_TEST


START_TEST(an_order_holds_for_one_state_only)
{
    mr_ledger_t ledger;

    ledger = ledger_at(50, 49);
    ck_assert(!mr_ledger_allows(&ledger, MR_RESUME_GAP));

    /* No order is none, also where `next` is 0 as it is. */
    ledger = ledger_at(0, -1);
    ck_assert(!mr_ledger_allows(&ledger, MR_RESUME_NONE));

    ledger = ledger_at(50, 49);
    ledger.resume = MR_RESUME_GAP;
    ledger.resume_next = 50;
    ck_assert(mr_ledger_allows(&ledger, MR_RESUME_GAP));
    ck_assert(!mr_ledger_allows(&ledger, MR_RESUME_EPOCH));

    ledger.next = 60;
    ck_assert(!mr_ledger_allows(&ledger, MR_RESUME_GAP));
}
END_TEST


START_TEST(the_last_record_is_known_by_all_it_has)
{
    mr_hash_t hash = {1, 2}, other = {1, 3};
    mr_last_t last = {7, 1000, {1, 2}};

    ck_assert(mr_last_matches(&last, 7, 1000, hash));
    ck_assert(!mr_last_matches(&last, 8, 1000, hash));
    ck_assert(!mr_last_matches(&last, 7, 1001, hash));
    ck_assert(!mr_last_matches(&last, 7, 1000, other));
}
END_TEST


Suite *
suite_ledger(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("ledger");
    tc = tcase_create("ledger");

    tcase_add_test(tc, a_ledger_is_judged_by_the_log);
    tcase_add_test(tc, what_was_reached_is_no_gap);
    tcase_add_test(tc, reading_starts_early_enough);
    tcase_add_test(tc, an_order_holds_for_one_state_only);
    tcase_add_test(tc, the_last_record_is_known_by_all_it_has);

    suite_add_tcase(suite, tc);

    return suite;
}
