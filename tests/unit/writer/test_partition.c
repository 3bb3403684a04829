#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <writer/partition.h>

#include "check_writer.h"


#define MOST 1500
#define STEP 100 /* ms from record to record: three minutes of them */
#define MINUTES 4


typedef enum { FATE_STORED, FATE_REPEATED, FATE_DEAD } fate_t;

/* A made log: one record an element, offsets with holes. */
typedef struct {
    int64_t offset;
    char value[96];
    int has_value;
    int64_t identity; /* -1: not a valid event */
} made_t;

static made_t made[MOST];
static size_t n;
static fate_t fate[MOST];
static mr_account_t accounts[MINUTES]; /* as MongoDB would add them up */

static mr_parser_t *parser;
static mr_options_t options;
static mr_pool_t pool;


static void
setup(void)
{
    parser = mr_parser_create();
    test_options(&options, 0);
    memset(&pool, 0, sizeof(mr_pool_t));
}


static void
teardown(void)
{
    mr_parser_destroy(parser);
    test_options_free(&options);
    mr_pool_free(&pool);
}


static void
make_log(uint64_t seed, uint64_t identities)
{
    int64_t offset;

    test_seed(seed);
    offset = (int64_t) test_below(5000);

    for (n = 0; n < MOST; n++) {
        offset += test_below(30) == 0 ? 2 + (int64_t) test_below(20) : 1;

        made[n].offset = offset;
        made[n].has_value = test_below(50) != 0;
        made[n].identity = -1;

        if (test_below(20) == 0 || !made[n].has_value) {
            (void) snprintf(made[n].value, sizeof(made[n].value), "bad %zu", n);
            continue;
        }

        made[n].identity = (int64_t) test_below(identities);

        (void) snprintf(made[n].value, sizeof(made[n].value),
            "{\"event_id\":\"e%lld\",\"user_id\":\"u%lld\",\"event_type\":"
            "\"t\",\"timestamp\":%zu}",
            (long long) made[n].identity / 10,
            (long long) made[n].identity % 10, n);
    }
}


static mr_record_t
record_of(size_t i)
{
    mr_record_t record;

    memset(&record, 0, sizeof(mr_record_t));

    record.kind = MR_RECORD_DATA;
    record.offset = made[i].offset;
    record.time = 1000000 + STEP * (int64_t) i;
    record.key = mr_str("k");

    if (made[i].has_value) {
        record.value = (mr_str_t){made[i].value, strlen(made[i].value)};
    }

    return record;
}


/* The rule of docs/data-model.md, naively. */
static fate_t
fate_of(size_t i, int64_t window)
{
    size_t k;

    if (made[i].identity == -1) {
        return FATE_DEAD;
    }

    for (k = 0; k < i; k++) {
        if (made[k].identity == made[i].identity
            && made[k].offset >= made[i].offset - window)
        {
            return FATE_REPEATED;
        }
    }

    return FATE_STORED;
}


static size_t
index_of(int64_t offset)
{
    size_t i;

    i = 0;

    while (i < n && made[i].offset != offset) {
        i++;
    }

    ck_assert_uint_lt(i, n);

    return i;
}


static size_t
minute_of(int64_t time)
{
    return (size_t) (time / MR_ACCOUNTS_MINUTE
                     - record_of(0).time / MR_ACCOUNTS_MINUTE);
}


/* Add a flush's accounts; together they tile its offsets. */
static void
note_accounts(const mr_partition_t *partition, const mr_ledger_t *after)
{
    size_t i;
    int64_t covered;
    mr_account_t *total;
    const mr_account_t *account;

    covered = 0;

    for (i = 0; i < partition->flush->accounts.n; i++) {
        account = &partition->flush->accounts.list[i];
        total = &accounts[minute_of(account->minute)];

        ck_assert_int_ge(account->first, partition->ledger.next);
        ck_assert_int_lt(account->last, after->next);
        ck_assert_int_eq(account->last + 1 - account->first,
            account->stored + account->repeated + account->dead
                + account->holes);

        total->stored += account->stored;
        total->repeated += account->repeated;
        total->dead += account->dead;
        covered += account->last + 1 - account->first;
    }

    ck_assert_int_eq(covered, after->next - partition->ledger.next);
}


static void
check_accounts(void)
{
    size_t i, minute;
    mr_account_t right[MINUTES];

    memset(right, 0, sizeof(right));

    for (i = 0; i < n; i++) {
        minute = minute_of(record_of(i).time);
        right[minute].stored += fate[i] == FATE_STORED;
        right[minute].repeated += fate[i] == FATE_REPEATED;
        right[minute].dead += fate[i] == FATE_DEAD;
    }

    for (i = 0; i < MINUTES; i++) {
        ck_assert_int_eq(accounts[i].stored, right[i].stored);
        ck_assert_int_eq(accounts[i].repeated, right[i].repeated);
        ck_assert_int_eq(accounts[i].dead, right[i].dead);
    }
}


/* What a committed flush says of the records it covers. */
static void
note_flush(const mr_partition_t *partition, const mr_ledger_t *after)
{
    size_t i;
    mr_flush_t *flush;

    flush = partition->flush;

    for (i = 0; i < n; i++) {
        if (made[i].offset >= partition->ledger.next
            && made[i].offset < after->next) {
            fate[i] = FATE_REPEATED;
        }
    }

    for (i = 0; i < flush->n; i++) {
        fate[index_of(flush->entries[i].offset)] = FATE_STORED;
    }

    for (i = 0; i < flush->n_dead; i++) {
        fate[index_of(flush->dead[i].offset)] = FATE_DEAD;
        ck_assert_uint_gt(flush->dead[i].reason.len, 0);
    }

    ck_assert_uint_eq(
        flush->records, flush->n + flush->n_dead + flush->repeated);
    note_accounts(partition, after);
}


/*
 * The promise of the window: however the log is cut into flushes, whoever
 * drops unstored work, restarts, or hands over to an owner with or without a
 * window of its own, every record meets the same fate.
 */
START_TEST(every_cut_of_the_log_decides_alike)
{
    size_t i, owner;
    int64_t start, window;
    mr_error_t err;
    mr_take_t take;
    mr_record_t record;
    mr_ledger_t ledger, after;
    mr_partition_t *owners[2], *partition;

    memset(accounts, 0, sizeof(accounts));
    make_log((uint64_t) _i, (uint64_t[]){20, 200, 5000}[_i % 3]);
    window = (int64_t[]){1, 10, 100, 10000}[test_below(4)];

    memset(&ledger, 0, sizeof(mr_ledger_t));
    ledger.epoch = 1;
    ledger.next = 0;
    ledger.last.offset = -1;

    for (owner = 0; owner < 2; owner++) {
        owners[owner] = mr_partition_create(0, window);
        owners[owner]->flush = mr_flush_create(&options, &pool);
    }

    while (ledger.next <= made[n - 1].offset) {

        /* somebody takes over, sometimes a newborn one */
        owner = test_below(2);

        if (test_below(4) == 0) {
            mr_flush_destroy(owners[owner]->flush);
            mr_partition_destroy(owners[owner]);
            owners[owner] = mr_partition_create(0, window);
            owners[owner]->flush = mr_flush_create(&options, &pool);

        } else if (test_below(8) == 0) {
            (void) mr_partition_forget(owners[owner]);
            ck_assert(!mr_partition_forget(owners[owner]));
        }

        partition = owners[owner];
        mr_flush_reset(partition->flush);
        ck_assert_int_eq(mr_partition_start(partition, &ledger, 0, &start), 0);

        for (i = 0; i < n; i++) {

            if (made[i].offset < start) {
                continue;
            }

            record = record_of(i);
            take = mr_partition_take(partition, &record, parser, &err);
            ck_assert_int_eq(take, MR_TAKE_DONE);

            /* given once more, it is of the past */
            take = mr_partition_take(partition, &record, parser, &err);
            ck_assert_int_eq(take, MR_TAKE_STALE);

            if (partition->flush->records != 0
                && !mr_partition_doubtful(partition) && test_below(40) == 0)
            {
                mr_partition_after(partition, &after);
                ck_assert_int_eq(after.next, made[i].offset + 1);
                ck_assert_int_eq(after.flush, ledger.flush + 1);
                note_flush(partition, &after);
                mr_partition_committed(partition, &after);
                ledger = after;
            }

            if (test_below(150) == 0) {
                break;
            }
        }

        if (i == n && partition->flush->records != 0
            && !mr_partition_doubtful(partition))
        {
            mr_partition_after(partition, &after);
            note_flush(partition, &after);
            mr_partition_committed(partition, &after);
            ledger = after;
        }
    }

    for (i = 0; i < n; i++) {
        ck_assert_msg(fate[i] == fate_of(i, window),
            "record %zu at %lld: %d, not %d (W %lld)", i,
            (long long) made[i].offset, fate[i], fate_of(i, window),
            (long long) window);
    }

    check_accounts();

    for (owner = 0; owner < 2; owner++) {
        mr_flush_destroy(owners[owner]->flush);
        mr_partition_destroy(owners[owner]);
    }
}
END_TEST


/* One partition that has stored up to the tenth record of the made log. */
static mr_partition_t *
stored_ten(mr_ledger_t *ledger)
{
    size_t i;
    int64_t start;
    mr_error_t err;
    mr_record_t record;
    mr_partition_t *partition;

    make_log(1, 100000);

    for (i = 0; i < n; i++) {
        made[i].offset = (int64_t) i;
    }

    memset(ledger, 0, sizeof(mr_ledger_t));
    ledger->epoch = 1;
    ledger->last.offset = -1;

    partition = mr_partition_create(0, 100);
    partition->flush = mr_flush_create(&options, &pool);
    ck_assert_int_eq(mr_partition_start(partition, ledger, 0, &start), 0);

    for (i = 0; i < 10; i++) {
        record = record_of(i);
        ck_assert_int_eq(
            mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);
    }

    mr_partition_after(partition, ledger);
    mr_partition_committed(partition, ledger);

    return partition;
}


static void
done(mr_partition_t *partition)
{
    mr_flush_destroy(partition->flush);
    mr_partition_destroy(partition);
}


START_TEST(another_record_in_the_last_place_is_noticed)
{
    int64_t start;
    mr_error_t err;
    mr_ledger_t ledger;
    mr_record_t record;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);

    /* a kept window: only the last record is read again */
    ck_assert_int_eq(mr_partition_start(partition, &ledger, 0, &start), 0);
    ck_assert_int_eq(start, made[9].offset);

    record = record_of(9);
    record.time++;
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_RECREATED);
    ck_assert(partition->foreign);

    ck_assert_int_eq(mr_partition_start(partition, &ledger, 0, &start), 0);
    ck_assert(!partition->foreign);
    record = record_of(9);
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);
    record = record_of(10);
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);

    done(partition);
}
END_TEST


START_TEST(a_missing_last_record_is_noticed)
{
    int64_t start;
    mr_error_t err;
    mr_ledger_t ledger;
    mr_record_t record;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);
    ck_assert_int_eq(mr_partition_start(partition, &ledger, 0, &start), 0);

    record = record_of(10);
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_RECREATED);

    /* unless the log begins behind it */
    ck_assert_int_eq(
        mr_partition_start(partition, &ledger, ledger.next, &start), 0);
    ck_assert_int_eq(start, ledger.next);
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);

    done(partition);
}
END_TEST


/* Take a record at `offset` that is no event. */
static void
take_at(mr_partition_t *partition, int64_t offset)
{
    mr_error_t err;
    mr_record_t record;

    memset(&record, 0, sizeof(mr_record_t));
    record.offset = offset;

    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);
}


START_TEST(a_marker_is_a_hole_to_be_checked_against_the_log)
{
    mr_ledger_t ledger;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);
    ck_assert_int_eq(partition->hole, -1);

    take_at(partition, ledger.next);
    take_at(partition, ledger.next + 2);
    take_at(partition, ledger.next + 4);
    ck_assert_int_eq(partition->hole, ledger.next + 1);
    ck_assert(!mr_partition_doubtful(partition));

    mr_partition_after(partition, &ledger);
    mr_partition_committed(partition, &ledger);
    ck_assert_int_eq(partition->hole, -1);

    done(partition);
}
END_TEST


START_TEST(a_longer_hole_must_be_met_twice)
{
    int64_t start, next;
    mr_ledger_t ledger;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);
    next = ledger.next;

    take_at(partition, next);
    take_at(partition, next + 5);
    ck_assert(mr_partition_doubtful(partition));

    /* read anew, met again, and a new one */
    mr_flush_reset(partition->flush);
    ledger.last.offset = -1;
    ck_assert_int_eq(mr_partition_start(partition, &ledger, next, &start), 0);
    take_at(partition, next);
    take_at(partition, next + 5);
    ck_assert(!mr_partition_doubtful(partition));
    take_at(partition, next + 9);
    ck_assert(mr_partition_doubtful(partition));

    mr_flush_reset(partition->flush);
    ck_assert_int_eq(mr_partition_start(partition, &ledger, next, &start), 0);
    take_at(partition, next);
    take_at(partition, next + 5);
    take_at(partition, next + 9);
    ck_assert(!mr_partition_doubtful(partition));

    done(partition);
}
END_TEST


/* As when records of an earlier assignment would slip through. */
START_TEST(a_hole_that_is_not_there_again_is_never_stored)
{
    int i;
    int64_t start, next;
    mr_ledger_t ledger;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);
    next = ledger.next;
    ledger.last.offset = -1;

    for (i = 1; i < 5; i++) {
        ck_assert_int_eq(
            mr_partition_start(partition, &ledger, next, &start), 0);
        take_at(partition, next);
        take_at(partition, next + 1000 * i);
        ck_assert(mr_partition_doubtful(partition));
        mr_flush_reset(partition->flush);
    }

    ck_assert_int_eq(mr_partition_start(partition, &ledger, next, &start), 0);
    take_at(partition, next);
    take_at(partition, next + 1);
    ck_assert(!mr_partition_doubtful(partition));

    done(partition);
}
END_TEST


START_TEST(the_end_of_the_log_drops_no_record)
{
    mr_ledger_t ledger;
    mr_partition_t *partition;

    partition = stored_ten(&ledger);

    mr_partition_end(partition, ledger.next + 7);
    ck_assert_int_eq(partition->reached, ledger.next + 7);
    take_at(partition, ledger.next);
    ck_assert_uint_eq(partition->flush->records, 1);

    done(partition);
}
END_TEST


START_TEST(a_dead_letter_is_the_record_as_it_was)
{
    int64_t start;
    mr_error_t err;
    mr_ledger_t ledger;
    mr_record_t record;
    mr_partition_t *partition;
    const mr_dead_t *dead;

    memset(&ledger, 0, sizeof(mr_ledger_t));
    ledger.last.offset = -1;
    partition = mr_partition_create(0, 100);
    partition->flush = mr_flush_create(&options, &pool);
    ck_assert_int_eq(mr_partition_start(partition, &ledger, 0, &start), 0);

    memset(&record, 0, sizeof(mr_record_t));
    record.offset = 0;
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);

    record.offset = 1;
    record.key = mr_str("");
    record.value = mr_str("{\"a\0b\":");
    ck_assert_int_eq(
        mr_partition_take(partition, &record, parser, &err), MR_TAKE_DONE);

    ck_assert_uint_eq(partition->flush->n_dead, 2);

    dead = &partition->flush->dead[0];
    ck_assert(!dead->has_key && !dead->has_value);
    ck_assert_int_eq(dead->offset, 0);

    dead = &partition->flush->dead[1];
    ck_assert(dead->has_key && dead->has_value);
    ck_assert_uint_eq(dead->key.len, 0);
    ck_assert(mr_str_eq(dead->value, record.value));

    done(partition);
}
END_TEST


Suite *
suite_partition(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("partition");
    tc = tcase_create("partition");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);

    tcase_add_loop_test(
        tc, every_cut_of_the_log_decides_alike, 0, TEST_CASES(30));
    tcase_add_test(tc, another_record_in_the_last_place_is_noticed);
    tcase_add_test(tc, a_missing_last_record_is_noticed);
    tcase_add_test(tc, a_marker_is_a_hole_to_be_checked_against_the_log);
    tcase_add_test(tc, a_longer_hole_must_be_met_twice);
    tcase_add_test(tc, a_hole_that_is_not_there_again_is_never_stored);
    tcase_add_test(tc, the_end_of_the_log_drops_no_record);
    tcase_add_test(tc, a_dead_letter_is_the_record_as_it_was);

    suite_add_tcase(suite, tc);

    return suite;
}
