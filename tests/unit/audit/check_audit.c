/* The unit tests of the audit's pure parts: what is counted and judged. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <audit/audit.h>


#define START INT64_C(1700000040000) /* a whole minute */
#define NOW (START + 10 * MR_AUDIT_MINUTE)
#define MINUTES 4


static mr_options_t options;
static mr_audit_t audit;


static void
setup(void)
{
    mr_error_t err;

    memset(&options, 0, sizeof(mr_options_t));
    options.stats.keep_minute = INT64_C(35) * 86400 * 1000;

    ck_assert_int_eq(mr_audit_init(&audit, &options, START,
                         START + MINUTES * MR_AUDIT_MINUTE, NOW, &err),
        0);
    ck_assert_int_eq(mr_audit_partitions(&audit, 1, &err), 0);
}


static void
teardown(void)
{
    mr_audit_free(&audit);
}


static void
account(int minute, int64_t first, int64_t last, int64_t stored,
    int64_t repeated, int64_t dead, int64_t holes)
{
    mr_audit_account_t one = {START + minute * MR_AUDIT_MINUTE, first, last,
        stored, repeated, dead, holes, first};
    mr_audit_partition_t *partition = &audit.partitions[0];

    ck_assert_int_eq(mr_audit_account(partition, &one), 0);
    partition->found[partition->n_accounts - 1] = stored;
}


/*
 * A partition in balance: three minutes of records, offsets 100 to 179, one
 * minute without any, a hole before offset 150.
 */
static void
balanced(void)
{
    int64_t bounds[MINUTES + 1] = {100, 130, 130, 150, 180};
    mr_audit_partition_t *partition = &audit.partitions[0];

    memcpy(partition->offsets, bounds, sizeof(bounds));
    partition->known = 1;
    partition->next = 180;
    partition->log_first = 50;
    partition->log_start = 50;
    partition->log_end = 180;
    partition->before = 100;
    partition->stored = 1000;
    partition->totals = (mr_audit_totals_t){1000, 1000, 1000, 1000};
    audit.windows_hours = 1000;
    audit.windows_days = 1000;
    audit.merged = 1;

    account(0, 100, 129, 20, 7, 3, 0);
    account(2, 130, 149, 19, 0, 0, 1);
    account(3, 150, 179, 30, 0, 0, 0);
}


static void
expect(size_t i, const char *check, int minute, int64_t difference)
{
    const mr_audit_finding_t *finding = &audit.findings[i];

    ck_assert_uint_lt(i, audit.n_findings);
    ck_assert_str_eq(finding->check, check);
    ck_assert_int_eq(finding->minute,
        minute == -1 ? MR_AUDIT_UNKNOWN : START + minute * MR_AUDIT_MINUTE);
    ck_assert_int_eq(finding->difference, difference);
}


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


static int
acknowledged(const char *text, mr_error_t *err)
{
    int rc;
    FILE *in;

    in = fmemopen((void *) text, strlen(text), "r");
    ck_assert_ptr_nonnull(in);
    rc = mr_audit_acknowledged(&audit, in, "f", err);
    ck_assert_int_eq(fclose(in), 0);

    return rc;
}


START_TEST(more_acknowledged_than_there_is_was_lost)
{
    mr_error_t err;

    options.kafka.topic = "events";
    balanced();
    audit.partitions[0].offsets[MINUTES] = 190;
    audit.partitions[0].log_end = 190;

    /* Two nginx: all of minute 0, one too many in 2, what waits in 3. */
    ck_assert_int_eq(
        acknowledged("{\"topics\":[{\"topic\":\"other\",\"minutes\":["
                     "{\"minute\":1700000040,\"acknowledged\":999}]},"
                     "{\"topic\":\"events\",\"minutes\":["
                     "{\"minute\":1699999980,\"acknowledged\":7},"
                     "{\"minute\":1700000040,\"acknowledged\":30},"
                     "{\"minute\":1700000160,\"acknowledged\":11}]}]}\n"
                     "{\"topics\":[{\"topic\":\"events\",\"minutes\":["
                     "{\"minute\":1700000160,\"acknowledged\":9},"
                     "{\"minute\":1700000220,\"acknowledged\":40}]}]} \n",
            &err),
        0);
    mr_audit_judge(&audit);

    ck_assert_int_eq(audit.minutes[0].acknowledged, 30);
    ck_assert_int_eq(audit.minutes[1].acknowledged, 0);
    ck_assert_int_eq(audit.minutes[3].acknowledged, 40);
    ck_assert_uint_eq(audit.n_findings, 1);
    expect(0, "acknowledged", 2, -1);
}
END_TEST


START_TEST(what_nginx_does_not_say_is_refused)
{
    size_t i;
    mr_error_t err;
    static const char *const texts[] = {"", "x", "[]", "{}", "{\"topics\":[]}",
        "{\"topics\":[1]}",
        "{\"topics\":[{\"topic\":\"other\","
        "\"minutes\":[]}]}",
        "{\"topics\":[{\"topic\":\"events\"}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":[{}]}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":["
        "{\"minute\":61,\"acknowledged\":1}]}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":["
        "{\"minute\":60,\"acknowledged\":-1}]}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":["
        "{\"minute\":-60,\"acknowledged\":1}]}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":["
        "{\"minute\":60,\"acknowledged\":1.5}]}]}",
        "{\"topics\":[{\"topic\":\"events\",\"minutes\":[]}]} {"};

    options.kafka.topic = "events";

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        /* fmemopen() takes no empty text. */
        ck_assert_msg(
            acknowledged(texts[i][0] == '\0' ? "\n" : texts[i], &err) == -1,
            "%s", texts[i]);
        ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
        ck_assert_msg(strncmp(err.message, "f: ", 3) == 0, "%s", err.message);
    }
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


/* Of the first account, and after it of the one before the period. */
START_TEST(accounts_past_their_time_are_unknown)
{
    int i;
    mr_audit_partition_t *partition = &audit.partitions[0];

    for (i = 0; i < 2; i++) {
        teardown();
        setup();
        balanced();
        options.writer.keep_accounts = NOW - START - 2 * MR_AUDIT_MINUTE;
        partition = &audit.partitions[0];
        memmove(partition->accounts, partition->accounts + 1,
            2 * sizeof(mr_audit_account_t));
        memmove(partition->found, partition->found + 1, 2 * sizeof(int64_t));
        partition->n_accounts = 2;
        partition->before = i == 0 ? 100 : MR_AUDIT_UNKNOWN;
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
    }

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

    teardown();
    setup();
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


START_TEST(a_tally_keeps_many_cells_apart)
{
    char name[32];
    size_t i, n;
    uint32_t type;
    int64_t sum;
    mr_tally_t *tally;
    mr_tally_cell_t *cell;
    const mr_tally_cell_t *cells;

    tally = mr_tally_create();

    for (i = 0; i < 30000; i++) {
        (void) snprintf(name, sizeof(name), "type-%zu", i % 3000);
        ck_assert_int_eq(
            mr_tally_type(tally, (mr_str_t){name, strlen(name)}, &type), 0);
        ck_assert_uint_eq(type, i % 3000);
        cell = mr_tally_cell(
            tally, (int32_t) (i % 7) - 1, (uint32_t) (i % 5), type);
        cell->events++;
    }

    n = mr_tally_cells(tally, &cells);

    for (i = 0, sum = 0; i < n; i++) {
        sum += cells[i].events;
        ck_assert(i == 0 || cells[i - 1].minute <= cells[i].minute);
    }

    ck_assert_uint_eq(n, 21000);
    ck_assert_int_eq(sum, 30000);
    ck_assert_str_eq(mr_tally_name(tally, 17).data, "type-17");
    mr_tally_destroy(tally);
}
END_TEST


START_TEST(types_without_windows_are_tallied_together)
{
    uint32_t a, b, x, y;
    mr_tally_t *tally;

    tally = mr_tally_create();

    ck_assert_int_eq(mr_tally_type(tally, mr_str("a"), &a), 0);
    ck_assert_int_eq(mr_tally_fold(tally), 0);
    ck_assert_int_eq(mr_tally_type(tally, mr_str("x"), &x), 0);
    ck_assert_int_eq(mr_tally_type(tally, mr_str("y"), &y), 0);
    ck_assert_uint_eq(x, y);
    ck_assert_str_eq(mr_tally_name(tally, x).data, "(other)");

    ck_assert_int_eq(mr_tally_type(tally, mr_str("(other)"), &y), 0);
    ck_assert_uint_eq(x, y);
    ck_assert_int_eq(mr_tally_type(tally, mr_str("a"), &b), 0);
    ck_assert_uint_eq(a, b);
    ck_assert_int_eq(mr_tally_type(tally, mr_str(""), &b), 0);
    ck_assert_uint_eq(mr_tally_name(tally, b).len, 0);

    mr_tally_destroy(tally);
}
END_TEST


int
main(void)
{
    int failed;
    TCase *tcase;
    Suite *suite;
    SRunner *runner;

    suite = suite_create("audit");
    tcase = tcase_create("judge");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_agrees_is_balanced);
    tcase_add_test(tcase, what_is_beyond_the_ledger_waits);
    tcase_add_test(tcase, more_acknowledged_than_there_is_was_lost);
    tcase_add_test(tcase, what_nginx_does_not_say_is_refused);
    tcase_add_test(tcase, a_marker_may_lie_in_the_minute_before);
    tcase_add_test(tcase, a_missing_account_is_two_findings);
    tcase_add_test(tcase, the_first_and_the_last_account_are_missed_too);
    tcase_add_test(tcase, blocks_that_hold_less_or_more);
    tcase_add_test(tcase, blocks_past_their_retention_are_unknown);
    tcase_add_test(tcase, what_kafka_has_deleted_is_unknown);
    tcase_add_test(tcase, what_kafka_deletes_meanwhile_is_unknown);
    tcase_add_test(tcase, accounts_may_interleave);
    tcase_add_test(tcase, each_total_is_compared);
    tcase_add_test(tcase, windows_are_compared_once_merged);
    tcase_add_test(tcase, how_far_a_partition_is_merged_is_known);
    tcase_add_test(tcase, events_that_may_be_gone_are_not_missed);
    tcase_add_test(tcase, more_events_than_counted_are_found_at_any_age);
    tcase_add_test(tcase, windows_are_compared_whatever_became_of_events);
    tcase_add_test(tcase, how_far_timestamps_may_be_ahead_is_heeded);
    tcase_add_test(tcase, windows_past_their_time_are_unknown);
    tcase_add_test(tcase, accounts_past_their_time_are_unknown);
    tcase_add_test(tcase, accounts_may_be_gone_since_the_one_before_the_period);
    tcase_add_test(tcase, what_is_all_unknown_is_no_verdict);
    tcase_add_test(tcase, a_tally_keeps_many_cells_apart);
    tcase_add_test(tcase, types_without_windows_are_tallied_together);
    suite_add_tcase(suite, tcase);

    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
