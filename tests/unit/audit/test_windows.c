/* Events, partials and windows of a minute as the audit judges them. */

#include "check_audit.h"


START_TEST(windows_are_compared_once_merged)
{
    uint32_t all, type;
    mr_tally_cell_t *cell;

    balanced();
    ck_assert_int_eq(mr_tally_type(audit.tally, mr_str(""), &all), 0);
    ck_assert_int_eq(mr_tally_type(audit.tally, mr_str("view"), &type), 0);
    ck_assert_uint_ne(all, type);

    cell = mr_tally_cell(audit.tally, 0, 1, all);
    cell->events = 5;
    cell->counted = 5;
    cell = mr_tally_cell(audit.tally, -1, 1, all);
    cell->events = 5;
    cell->counted = 4;
    cell->unmerged = 1;
    cell = mr_tally_cell(audit.tally, -1, 2, all);
    cell->events = 5;
    cell->counted = 4;
    cell = mr_tally_cell(audit.tally, 0, 1, type);
    cell->events = 5;
    cell->counted = 7;

    audit.merged = 0;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 2);
    expect(0, "partials", 1, 2);
    expect(1, "windows", 2, -1);
    ck_assert_int_eq(audit.minutes[1].events, 5);
    ck_assert_int_eq(audit.minutes[1].counted, 5);
    ck_assert_int_eq(audit.minutes[1].windows, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[2].windows, 4);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_WINDOWS], 1);
}
END_TEST


START_TEST(how_far_a_partition_is_merged_is_known)
{
    ck_assert_int_eq(mr_audit_merged(&audit, 3), 0);
    ck_assert_int_eq(mr_audit_merge(&audit, 3, 30), 0);
    ck_assert_int_eq(mr_audit_merge(&audit, 0, 7), 0);
    ck_assert_int_eq(mr_audit_merge(&audit, -1, 9), 0);
    ck_assert_int_eq(mr_audit_merge(&audit, INT64_MAX, 9), 0);
    ck_assert_int_eq(mr_audit_merged(&audit, 0), 7);
    ck_assert_int_eq(mr_audit_merged(&audit, 1), 0);
    ck_assert_int_eq(mr_audit_merged(&audit, 3), 30);
    ck_assert_int_eq(mr_audit_merged(&audit, -1), 0);
    ck_assert_int_eq(mr_audit_merged(&audit, INT64_MAX), 0);
}
END_TEST


/* Minute 1: so many in blocks, in partials, in the merged window. */
static void
tally(int64_t events, int64_t counted, int64_t windows)
{
    uint32_t all;
    mr_tally_cell_t *cell;

    ck_assert_int_eq(mr_tally_type(audit.tally, mr_str(""), &all), 0);

    cell = mr_tally_cell(audit.tally, 0, 1, all);
    cell->events = events;
    cell->counted = counted;
    cell = mr_tally_cell(audit.tally, -1, 1, all);
    cell->events = counted;
    cell->counted = windows;
}


/* Events may have come a day before their timestamp, and be gone. */
START_TEST(events_that_may_be_gone_are_not_missed)
{
    balanced();
    options.writer.retention = INT64_C(24) * 3600 * 1000;
    tally(5, 7, 7);
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_int_eq(audit.minutes[1].events, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[1].counted, 7);
    ck_assert_int_eq(audit.minutes[1].windows, 7);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_RECORDS], 0);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_BLOCKS], 0);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_EVENTS], MINUTES);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_WINDOWS], 0);
    ck_assert(!mr_audit_blind(&audit));
}
END_TEST


START_TEST(more_events_than_counted_are_found_at_any_age)
{
    balanced();
    options.writer.retention = INT64_C(24) * 3600 * 1000;
    tally(7, 5, 5);
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "partials", 1, -2);
}
END_TEST


START_TEST(windows_are_compared_whatever_became_of_events)
{
    balanced();
    options.writer.retention = INT64_C(3600) * 1000;
    tally(5, 5, 4);
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "windows", 1, -1);
}
END_TEST


START_TEST(how_far_timestamps_may_be_ahead_is_heeded)
{
    balanced();
    options.writer.retention = INT64_C(48) * 3600 * 1000;
    tally(5, 7, 7);
    audit.future = INT64_C(48) * 3600 * 1000;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 0);

    audit.future = MR_AUDIT_FUTURE;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "partials", 1, 2);
}
END_TEST


START_TEST(windows_past_their_time_are_unknown)
{
    balanced();
    options.stats.keep_minute = NOW - START - 2 * MR_AUDIT_MINUTE;
    tally(5, 0, 0);
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_int_eq(audit.minutes[1].counted, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[2].counted, 0);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_EVENTS], 2);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_WINDOWS], 2);
}
END_TEST


Suite *
suite_windows(void)
{
    TCase *tcase;
    Suite *suite;

    suite = suite_create("windows");
    tcase = tcase_create("windows");
    tcase_add_checked_fixture(tcase, audit_setup, audit_teardown);
    tcase_add_test(tcase, windows_are_compared_once_merged);
    tcase_add_test(tcase, how_far_a_partition_is_merged_is_known);
    tcase_add_test(tcase, events_that_may_be_gone_are_not_missed);
    tcase_add_test(tcase, more_events_than_counted_are_found_at_any_age);
    tcase_add_test(tcase, windows_are_compared_whatever_became_of_events);
    tcase_add_test(tcase, how_far_timestamps_may_be_ahead_is_heeded);
    tcase_add_test(tcase, windows_past_their_time_are_unknown);
    suite_add_tcase(suite, tcase);

    return suite;
}
