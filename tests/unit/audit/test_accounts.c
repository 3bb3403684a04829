/* Records, accounts, blocks and totals as the audit judges them. */

#include <string.h>

#include <audit/stretch.h>

#include "check_audit.h"


START_TEST(what_agrees_is_balanced)
{
    balanced();
    mr_audit_judge(&audit);

    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
    ck_assert_int_eq(audit.minutes[0].records, 30);
    ck_assert_int_eq(audit.minutes[0].repeated, 7);
    ck_assert_int_eq(audit.minutes[0].dead, 3);
    ck_assert_int_eq(audit.minutes[0].blocks, 20);
    ck_assert_int_eq(audit.minutes[1].records, 0);
    ck_assert_int_eq(audit.minutes[2].records, 19);
    ck_assert_int_eq(audit.minutes[3].waiting, 0);
}
END_TEST


START_TEST(what_is_beyond_the_ledger_waits)
{
    balanced();
    audit.partitions[0].offsets[MINUTES] = 190;
    audit.partitions[0].log_end = 190;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_int_eq(audit.minutes[3].waiting, 10);
}
END_TEST


START_TEST(a_marker_may_lie_in_the_minute_before)
{
    balanced();
    audit.partitions[0].offsets[2] = 131;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);

    /* but one record more than that is one too many */
    audit.partitions[0].offsets[3] = 148;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 2);
    expect(0, "kafka", 2, 3);
    expect(1, "kafka", 3, -2);
}
END_TEST


/* Its record came after the period, and so did the account of both. */
START_TEST(a_marker_may_be_the_last_of_the_period)
{
    mr_audit_partition_t *partition = &audit.partitions[0];

    /* First behind records of its minute, then in a minute without any. */
    balanced();
    partition->next = _i == 0 ? 190 : 160;
    partition->offsets[MINUTES] = _i == 0 ? 181 : 151;
    partition->n_accounts = _i == 0 ? 3 : 2;
    account(
        4, partition->offsets[MINUTES] - 1, partition->next - 1, 9, 0, 0, 1);
    mr_audit_stretch_trim(&audit, partition);
    ck_assert_int_eq(partition->holes, 1);
    mr_audit_judge(&audit);
    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);

    partition->offsets[MINUTES]++;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "kafka", 3, -2);
}
END_TEST


/* Offsets of two minutes in turn: only one of them is of the period. */
START_TEST(a_stretch_that_crosses_an_edge_is_not_judged)
{
    mr_audit_partition_t *partition = &audit.partitions[0];

    balanced();
    partition->n_accounts = 0;
    partition->before = MR_AUDIT_UNKNOWN;
    account(-5, 60, 69, 10, 0, 0, 0);
    account(-4, 70, 79, 10, 0, 0, 0);
    account(-1, 80, 128, 20, 0, 0, 0);
    account(0, 82, 129, 20, 7, 3, 0);
    account(2, 130, 149, 19, 0, 0, 1);
    account(3, 150, 177, 20, 0, 0, 0);
    account(4, 160, 179, 10, 0, 0, 0);
    account(5, 180, 189, 9, 0, 0, 1);
    mr_audit_sort(partition);
    mr_audit_stretch_trim(&audit, partition);

    ck_assert_uint_eq(partition->n_accounts, 5);
    ck_assert_int_eq(partition->accounts[0].first, 80);
    ck_assert_int_eq(partition->before, 80);
    ck_assert_int_eq(partition->after, START - 3 * MR_AUDIT_MINUTE);
    ck_assert_int_eq(partition->holes, 1);

    partition->found[2] = 19;
    partition->offsets[0] = 82;
    partition->offsets[MINUTES] = 160;
    mr_audit_judge(&audit);
    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
    ck_assert_int_eq(audit.minutes[0].records, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[0].stored, 20);
    ck_assert_int_eq(audit.minutes[0].blocks, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[1].records, 0);
    ck_assert_int_eq(audit.minutes[2].records, 19);
    ck_assert_int_eq(audit.minutes[2].blocks, 19);
    ck_assert_int_eq(audit.minutes[3].records, MR_AUDIT_UNKNOWN);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_RECORDS], 2);
}
END_TEST


/* As clocks that went back by more than the period do it. */
START_TEST(a_stretch_may_reach_over_all_of_the_period)
{
    size_t i;
    mr_audit_partition_t *partition = &audit.partitions[0];

    balanced();
    partition->n_accounts = 0;
    partition->before = MR_AUDIT_UNKNOWN;
    account(9, 100, 149, 50, 0, 0, 0);
    account(-9, 150, 179, 30, 0, 0, 0);
    mr_audit_sort(partition);
    mr_audit_stretch_trim(&audit, partition);
    ck_assert_uint_eq(partition->n_accounts, 2);

    for (i = 0; i <= MINUTES; i++) {
        partition->offsets[i] = 100;
    }

    mr_audit_judge(&audit);
    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
}
END_TEST


/* Kafka has another log by now, and the blocks have what is left. */
START_TEST(epochs_of_before_are_judged_without_kafka)
{
    size_t i;
    mr_audit_partition_t *past;
    mr_audit_account_t accounts[] = {{START, 5, 14, 8, 1, 1, 0, 5},
        {START + 2 * MR_AUDIT_MINUTE, 15, 24, 9, 0, 0, 1, 15}};

    balanced();
    ck_assert_int_eq(mr_audit_past(&audit, 0, 1), 0);
    past = &audit.past[0];
    past->before = 5;

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(mr_audit_account(past, &accounts[i]), 0);
        past->found[i] = accounts[i].stored;
    }

    audit.minutes[0].acknowledged = 40;
    mr_audit_judge(&audit);
    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
    ck_assert_int_eq(audit.minutes[0].stored, 28);
    ck_assert_int_eq(audit.minutes[0].repeated, 8);
    ck_assert_int_eq(audit.minutes[0].dead, 4);
    ck_assert_int_eq(audit.minutes[0].blocks, 28);
    ck_assert_int_eq(audit.minutes[0].records, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[3].records, 30);

    past->accounts[1].first = 16;
    past->found[0] = 6;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 3);
    expect(0, "blocks", 0, -2);
    ck_assert_str_eq(audit.findings[0].text,
        "epoch 1: 8 events were stored, and the blocks hold 6 of the offsets 5 "
        "to 14");
    expect(1, "accounts", 2, -1);
    expect(2, "accounts", 2, 1);
}
END_TEST


START_TEST(a_missing_account_is_two_findings)
{
    mr_audit_partition_t *partition = &audit.partitions[0];

    balanced();
    partition->accounts[1] = partition->accounts[2];
    partition->found[1] = partition->found[2];
    partition->n_accounts = 2;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 2);
    expect(0, "kafka", 2, -20);
    expect(1, "accounts", 3, -20);
    ck_assert_int_eq(audit.minutes[2].records, 20);
    ck_assert(audit.minutes[2].bad);
}
END_TEST


START_TEST(the_first_and_the_last_account_are_missed_too)
{
    mr_audit_partition_t *partition = &audit.partitions[0];

    balanced();
    partition->n_accounts = 2;
    memmove(partition->accounts, partition->accounts + 1,
        sizeof(mr_audit_account_t));
    partition->n_accounts = 1;
    partition->found[0] = 19;
    partition->before = MR_AUDIT_UNKNOWN;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 3);
    expect(0, "kafka", 0, -30);
    expect(1, "kafka", 3, -30);
    expect(2, "accounts", -1, -30);
}
END_TEST


START_TEST(blocks_that_hold_less_or_more)
{
    balanced();
    audit.partitions[0].found[0] = 18;
    audit.partitions[0].found[2] = 31;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 2);
    expect(0, "blocks", 0, -2);
    expect(1, "blocks", 3, 1);
    ck_assert_int_eq(audit.minutes[0].blocks, 18);
}
END_TEST


START_TEST(blocks_past_their_retention_are_unknown)
{
    balanced();
    options.writer.retention = NOW - START - MR_AUDIT_MINUTE;
    audit.partitions[0].found[0] = 0;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_int_eq(audit.minutes[0].blocks, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[2].blocks, 19);
}
END_TEST


START_TEST(what_kafka_has_deleted_is_unknown)
{
    balanced();
    audit.partitions[0].log_start = 110;
    audit.partitions[0].offsets[0] = 110;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_int_eq(audit.minutes[0].records, MR_AUDIT_UNKNOWN);

    audit.partitions[0].log_first = 185;
    audit.partitions[0].log_start = 185;
    mr_audit_judge(&audit);
    expect(0, "kafka", -1, -5);
}
END_TEST


/* The first two minutes are asked for before, the others after that. */
START_TEST(what_kafka_deletes_meanwhile_is_unknown)
{
    balanced();
    audit.partitions[0].log_first = 90;
    audit.partitions[0].log_start = 140;
    audit.partitions[0].offsets[2] = 140;
    mr_audit_judge(&audit);

    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
    ck_assert_int_eq(audit.minutes[0].records, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[2].records, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[3].records, 30);

    /* What the writer has not come to by now was not deleted when it was. */
    audit.partitions[0].log_start = 185;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 0);
}
END_TEST


START_TEST(accounts_may_interleave)
{
    balanced();
    audit.partitions[0].offsets[1] = 100;
    audit.partitions[0].offsets[2] = 100;
    audit.partitions[0].offsets[3] = 180;
    audit.partitions[0].n_accounts = 0;
    account(2, 100, 160, 20, 5, 5, 0);
    account(0, 110, 179, 50, 0, 0, 0);
    mr_audit_sort(&audit.partitions[0]);
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 0);

    audit.partitions[0].accounts[1].stored = 49;
    mr_audit_judge(&audit);
    expect(0, "accounts", 0, -1);
    expect(1, "blocks", 0, 1);
}
END_TEST


START_TEST(each_total_is_compared)
{
    balanced();
    audit.partitions[0].totals.hours = 999;
    audit.partitions[0].totals.days_types = 1002;
    audit.windows_days = 1;
    audit.stored_before = 20;
    audit.windows_hours = 1020;
    mr_audit_judge(&audit);

    ck_assert_uint_eq(audit.n_findings, 3);
    expect(0, "totals", -1, -1);
    expect(1, "totals", -1, 2);
    expect(2, "totals", -1, -1019);
}
END_TEST


/* Of the first account, and after it of the one before the period. */
START_TEST(accounts_past_their_time_are_unknown)
{
    mr_audit_partition_t *partition = &audit.partitions[0];

    balanced();
    options.writer.keep_accounts = NOW - START - 2 * MR_AUDIT_MINUTE;
    memmove(partition->accounts, partition->accounts + 1,
        2 * sizeof(mr_audit_account_t));
    memmove(partition->found, partition->found + 1, 2 * sizeof(int64_t));
    partition->n_accounts = 2;
    partition->before = _i == 0 ? 100 : MR_AUDIT_UNKNOWN;
    audit.minutes[0].acknowledged = 30;
    audit.acknowledged = 1;
    mr_audit_judge(&audit);

    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);
    ck_assert_int_eq(audit.minutes[0].records, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[0].stored, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[0].blocks, MR_AUDIT_UNKNOWN);
    ck_assert_int_eq(audit.minutes[1].records, 0);
    ck_assert_int_eq(audit.minutes[2].stored, 19);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_RECORDS], 1);

    /* One that is younger is missed as ever. */
    partition->accounts[0] = partition->accounts[1];
    partition->found[0] = partition->found[1];
    partition->n_accounts = 1;
    mr_audit_judge(&audit);
    ck_assert_uint_ge(audit.n_findings, 1);
    expect(0, "kafka", 2, -20);
}
END_TEST


/* keep_accounts was lowered: one of before outlives those that came later. */
START_TEST(accounts_may_be_gone_since_the_one_before_the_period)
{
    balanced();
    options.writer.keep_accounts = NOW - START + 10 * MR_AUDIT_MINUTE;
    audit.partitions[0].before = 70;
    audit.partitions[0].after = START - 20 * MR_AUDIT_MINUTE;
    mr_audit_judge(&audit);
    ck_assert_msg(audit.n_findings == 0, "%s", audit.findings[0].text);

    audit.partitions[0].after = START - 5 * MR_AUDIT_MINUTE;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "accounts", 0, -30);
}
END_TEST


START_TEST(what_is_all_unknown_is_no_verdict)
{
    size_t i;
    mr_audit_partition_t *partition;

    balanced();
    options.writer.retention = 1;
    options.stats.keep_minute = 1;
    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert_uint_eq(audit.uncompared[MR_AUDIT_BLOCKS], MINUTES);
    ck_assert(!mr_audit_blind(&audit));

    audit_teardown();
    audit_setup();
    balanced();
    partition = &audit.partitions[0];
    options.writer.retention = 1;
    options.writer.keep_accounts = 1;
    options.stats.keep_minute = 1;
    partition->n_accounts = 0;
    partition->before = MR_AUDIT_UNKNOWN;
    partition->log_start = 180;

    for (i = 0; i <= MINUTES; i++) {
        partition->offsets[i] = 180;
    }

    mr_audit_judge(&audit);
    ck_assert_uint_eq(audit.n_findings, 0);
    ck_assert(mr_audit_blind(&audit));
}
END_TEST


Suite *
suite_accounts(void)
{
    TCase *tcase;
    Suite *suite;

    suite = suite_create("accounts");
    tcase = tcase_create("accounts");
    tcase_add_checked_fixture(tcase, audit_setup, audit_teardown);
    tcase_add_test(tcase, what_agrees_is_balanced);
    tcase_add_test(tcase, what_is_beyond_the_ledger_waits);
    tcase_add_test(tcase, a_marker_may_lie_in_the_minute_before);
    tcase_add_loop_test(tcase, a_marker_may_be_the_last_of_the_period, 0, 2);
    tcase_add_test(tcase, a_stretch_that_crosses_an_edge_is_not_judged);
    tcase_add_test(tcase, a_stretch_may_reach_over_all_of_the_period);
    tcase_add_test(tcase, epochs_of_before_are_judged_without_kafka);
    tcase_add_test(tcase, a_missing_account_is_two_findings);
    tcase_add_test(tcase, the_first_and_the_last_account_are_missed_too);
    tcase_add_test(tcase, blocks_that_hold_less_or_more);
    tcase_add_test(tcase, blocks_past_their_retention_are_unknown);
    tcase_add_test(tcase, what_kafka_has_deleted_is_unknown);
    tcase_add_test(tcase, what_kafka_deletes_meanwhile_is_unknown);
    tcase_add_test(tcase, accounts_may_interleave);
    tcase_add_test(tcase, each_total_is_compared);
    tcase_add_loop_test(tcase, accounts_past_their_time_are_unknown, 0, 2);
    tcase_add_test(tcase, accounts_may_be_gone_since_the_one_before_the_period);
    tcase_add_test(tcase, what_is_all_unknown_is_no_verdict);
    suite_add_tcase(suite, tcase);

    return suite;
}
