/* The unit tests of the audit's pure parts: what is counted and judged. */

#include "check_audit.h"

#include <stdlib.h>
#include <string.h>


mr_options_t options;
mr_audit_t audit;


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_accounts());
    srunner_add_suite(runner, suite_acknowledged());
    srunner_add_suite(runner, suite_windows());
    srunner_add_suite(runner, suite_tally());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


void
audit_setup(void)
{
    mr_error_t err;

    memset(&options, 0, sizeof(mr_options_t));
    options.stats.keep_minute = INT64_C(35) * 86400 * 1000;

    ck_assert_int_eq(mr_audit_init(&audit, &options, START,
                         START + MINUTES * MR_AUDIT_MINUTE, NOW, &err),
        0);
    ck_assert_int_eq(mr_audit_partitions(&audit, 1, &err), 0);
}


void
audit_teardown(void)
{
    mr_audit_free(&audit);
}


void
account(int minute, int64_t first, int64_t last, int64_t stored,
    int64_t repeated, int64_t dead, int64_t holes)
{
    mr_audit_account_t one = {START + minute * MR_AUDIT_MINUTE, first, last,
        stored, repeated, dead, holes, first};
    mr_audit_partition_t *partition = &audit.partitions[0];

    ck_assert_int_eq(mr_audit_account(partition, &one), 0);
    partition->found[partition->n_accounts - 1] = stored;
}


void
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


void
expect(size_t i, const char *check, int minute, int64_t difference)
{
    const mr_audit_finding_t *finding = &audit.findings[i];

    ck_assert_uint_lt(i, audit.n_findings);
    ck_assert_str_eq(finding->check, check);
    ck_assert_int_eq(finding->minute,
        minute == -1 ? MR_AUDIT_UNKNOWN : START + minute * MR_AUDIT_MINUTE);
    ck_assert_int_eq(finding->difference, difference);
}
