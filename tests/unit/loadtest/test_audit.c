#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <audit.h>
#include <generator/sentlog.h>
#include <generator/workload.h>

#include "check_loadtest.h"


#define BATCH 100
#define BATCHES 200


/* What is wrong with the topic in a case. */
typedef enum {
    NOTHING,
    ONE_LOST,
    ONE_TWICE,
    ONE_UNKNOWN,
    ONE_GARBLED,
    ONE_MISPLACED
} fault_t;


static mr_workload_t *workload;
static mr_audit_t *audit;
static char path[64];


/*
 * A log of batches; every tenth was answered 503, every 25th not at all,
 * every 30th was sent twice.
 */
static unsigned
status_of(unsigned batch)
{
    return batch % 25 == 3 ? 0 : batch % 10 == 3 ? 503 : 202;
}


static void
setup(void)
{
    int fd;
    unsigned i;
    static mr_sentlog_t log;
    mr_sentlog_record_t record;
    mr_workload_options_t options = MR_WORKLOAD_DEFAULTS;

    options.seed = 5;
    workload = mr_workload_create(&options);

    (void) snprintf(path, sizeof(path), "/tmp/millrace-audit-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ne(fd, -1);
    close(fd);

    fd = mr_sentlog_create(path, &options);
    ck_assert_int_ne(fd, -1);
    mr_sentlog_init(&log, fd);

    for (i = 0; i < BATCHES; i++) {
        record.first = i * BATCH;
        record.count = BATCH;
        record.status = (uint16_t) status_of(i);
        record.attempts = i % 30 == 7 ? 2 : 1;
        ck_assert_int_eq(mr_sentlog_add(&log, &record), 0);
    }

    ck_assert_int_eq(mr_sentlog_flush(&log), 0);
    close(fd);

    audit = mr_audit_create();
    ck_assert_ptr_nonnull(audit);
    ck_assert_int_eq(mr_audit_log(audit, path), 0);
}


static void
teardown(void)
{
    (void) unlink(path);
    mr_audit_destroy(audit);
    mr_workload_destroy(workload);
}


/* One event that nothing repeats, so that a fault is not mended by another. */
static uint64_t
victim(void)
{
    uint64_t i, j;

    for (i = 1000;; i++) {
        for (j = 0; j < BATCH * BATCHES; j++) {
            if (j != i
                && mr_workload_origin(workload, j)
                       == mr_workload_origin(workload, i))
            {
                break;
            }
        }

        if (j == BATCH * BATCHES && status_of((unsigned) (i / BATCH)) == 202
            && i / BATCH % 30 != 7)
        {
            return i;
        }
    }
}


static void
deliver(uint64_t i, fault_t fault)
{
    size_t len;
    char text[MR_WORKLOAD_EVENT_MAX], id[MR_WORKLOAD_ID_LEN],
        key[MR_WORKLOAD_USER_LEN];

    len = mr_workload_event(workload, i, 1764000000000, text);
    mr_workload_identity(workload, i, id, key);

    if (fault == ONE_UNKNOWN) {
        text[13] = text[13] == 'a' ? 'b' : 'a';

    } else if (fault == ONE_GARBLED) {
        text[13] = 'x';

    } else if (fault == ONE_MISPLACED) {
        key[11] = key[11] == '1' ? '2' : '1';
    }

    mr_audit_record(audit, key, sizeof(key), text, len);
}


static mr_audit_result_t
judge(fault_t fault)
{
    uint64_t i, bad;
    unsigned status;
    mr_audit_result_t result;

    bad = victim();

    for (i = 0; i < BATCH * BATCHES; i++) {
        status = status_of((unsigned) (i / BATCH));

        /* of what has no 202, a part is there */

        if (status != 202 && i % 3) {
            continue;
        }

        if (i != bad) {
            deliver(i, NOTHING);

        } else if (fault != ONE_LOST) {
            deliver(i, fault);

            if (fault == ONE_TWICE) {
                deliver(i, NOTHING);
            }
        }
    }

    mr_audit_finish(audit, &result);

    return result;
}


/* How many different events judge() delivers, all good. */
static uint64_t
distinct(void)
{
    uint64_t i, n;
    static char seen[BATCH * BATCHES];

    memset(seen, 0, sizeof(seen));
    n = 0;

    for (i = 0; i < BATCH * BATCHES; i++) {
        if (status_of((unsigned) (i / BATCH)) == 202 || i % 3 == 0) {
            n += !seen[mr_workload_origin(workload, i)];
            seen[mr_workload_origin(workload, i)] = 1;
        }
    }

    return n;
}


START_TEST(test_good)
{
    mr_audit_result_t r;

    r = judge(NOTHING);

    ck_assert_uint_eq(r.distinct, distinct());
    ck_assert_uint_lt(r.distinct, r.records);

    ck_assert_uint_eq(r.missing, 0);
    ck_assert_uint_eq(r.unknown, 0);
    ck_assert_uint_eq(r.misplaced, 0);
    ck_assert_uint_eq(r.surplus, 0);
    ck_assert_uint_gt(r.extra, 0);
    ck_assert_uint_eq(r.records, r.acknowledged + r.extra);
    ck_assert_uint_eq(r.sent, BATCH * BATCHES + 7 * BATCH);
}
END_TEST


START_TEST(test_faults)
{
    mr_audit_result_t r;
    static const struct {
        fault_t fault;
        uint64_t missing, unknown, misplaced, surplus;
    } rows[] = {{ONE_LOST, 1, 0, 0, 0}, {ONE_TWICE, 0, 0, 0, 1},
        {ONE_UNKNOWN, 1, 1, 0, 0}, {ONE_GARBLED, 1, 1, 0, 0},
        {ONE_MISPLACED, 0, 0, 1, 0}};

    r = judge(rows[_i].fault);

    ck_assert_uint_eq(r.distinct, distinct() - rows[_i].missing);
    ck_assert_uint_eq(r.missing, rows[_i].missing);
    ck_assert_uint_eq(r.unknown, rows[_i].unknown);
    ck_assert_uint_eq(r.misplaced, rows[_i].misplaced);
    ck_assert_uint_eq(r.surplus, rows[_i].surplus);
}
END_TEST


START_TEST(test_no_log)
{
    FILE *file;
    mr_workload_options_t options;

    file = fopen(path, "w");
    (void) fputs("something else that is as long as a log's head is: this and "
                 "a little more of it",
        file);
    (void) fclose(file);

    ck_assert_ptr_null(mr_sentlog_open(path, &options));
    ck_assert_int_eq(mr_audit_log(audit, path), -1);
    ck_assert_int_eq(mr_audit_log(audit, "/nowhere/at/all"), -1);
}
END_TEST


Suite *
suite_audit(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("audit");

    tc = tcase_create("audit");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_good);
    tcase_add_loop_test(tc, test_faults, 0, 5);
    tcase_add_test(tc, test_no_log);
    suite_add_tcase(suite, tc);

    return suite;
}
