#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <writer/sketches.h>

#include "check_writer.h"


#define MINUTE INT64_C(60000)
#define NOW (INT64_C(1700000040) * 1000)


static const mr_str_t names[] = {{"view", 4}, {"click", 5}};

static mr_options_t options;
static mr_partials_t partials;
static mr_sketches_t *sketches;


static void
setup(void)
{
    test_options(&options, 2);
    mr_partials_init(&partials, &options);
    sketches = mr_sketches_create(1024 * 1024, 2);
    ck_assert_ptr_nonnull(sketches);
}


static void
teardown(void)
{
    mr_sketches_destroy(sketches);
    mr_partials_free(&partials);
    test_options_free(&options);
}


static void
event(uint32_t type, int64_t time, uint64_t user, double value)
{
    mr_cell_t *cell;

    cell = mr_partials_add(&partials, type, time, NOW);
    ck_assert_ptr_nonnull(cell);
    ck_assert_int_eq(mr_partials_user(&partials, cell, user), 0);
    ck_assert_int_eq(
        mr_partials_number(&partials, cell, 1, mr_ddsketch_key(value)), 0);
}


static mr_partial_t
row_of(mr_width_t width, mr_str_t type, int64_t start)
{
    mr_partial_t row;

    memset(&row, 0, sizeof(row));
    row.width = width;
    row.type = type;
    row.start = start;

    return row;
}


/* Every window of a minute and more gets every one of its events. */
START_TEST(rows_get_their_samples)
{
    size_t i, rows, checked;
    int64_t want;
    mr_partial_t row;
    mr_sketch_t *sketch;

    event(0, NOW, 1, 10);
    event(0, NOW + 1000, 2, 20);
    event(0, NOW + 1000, 2, 30);
    event(1, NOW + 2000, 3, 40);
    event(0, NOW - MINUTE, 4, 50);

    ck_assert_int_eq(mr_partials_roll_up(&partials, NULL), 0);
    ck_assert_int_eq(mr_sketches_begin(sketches, 3, 0), 0);

    rows = mr_partials_rows(&partials);
    checked = 0;

    for (i = 0; i < rows; i++) {
        mr_partials_row(&partials, i, names, &row);

        ck_assert_ptr_null(mr_sketches_find(sketches, 3, &row));
        sketch = mr_sketches_add(sketches, 3, &row);
        ck_assert_ptr_nonnull(sketch);
        ck_assert_int_eq(mr_sketch_add(sketch, &partials, i), 0);
        ck_assert_int_eq(sketch->changed, 1);
        ck_assert_uint_eq(sketch->measured, 2);
        ck_assert_int_eq(sketch->measures[1].count, row.count);
        ck_assert_int_eq(sketch->measures[0].count, 0);

        /* Three events of "view" in this minute are of two users. */
        want = row.count - (row.count >= 3);
        ck_assert_int_eq(mr_hll_estimate(&sketch->users), want);
        ck_assert_int_eq(mr_hll_estimate(&sketch->tail), want);
        checked++;

        ck_assert_int_eq(mr_sketch_add(sketch, &partials, i), 0);
        ck_assert_int_eq(sketch->changed, 0);
    }

    ck_assert_uint_eq(checked, 5 + 3 + 3);
}
END_TEST


/* What is cached is used only where the ledger stands as it was left. */
START_TEST(nothing_is_kept_that_was_not_committed)
{
    mr_partial_t row;

    row = row_of(MR_WIDTH_MINUTE, names[0], NOW);

    ck_assert_int_eq(mr_sketches_begin(sketches, 3, 7), 0);
    ck_assert_ptr_nonnull(mr_sketches_add(sketches, 3, &row));
    ck_assert_ptr_nonnull(mr_sketches_find(sketches, 3, &row));
    mr_sketches_commit(sketches, 3, 8);

    /* another partition's is another one */
    ck_assert_int_eq(mr_sketches_begin(sketches, 4, 8), 0);
    ck_assert_ptr_null(mr_sketches_find(sketches, 4, &row));

    ck_assert_int_eq(mr_sketches_begin(sketches, 3, 8), 0);
    ck_assert_ptr_nonnull(mr_sketches_find(sketches, 3, &row));

    /* that one was not committed: a retry begins at the same flush */
    ck_assert_int_eq(mr_sketches_begin(sketches, 3, 8), 0);
    ck_assert_ptr_null(mr_sketches_find(sketches, 3, &row));
    ck_assert_ptr_nonnull(mr_sketches_add(sketches, 3, &row));
    mr_sketches_commit(sketches, 3, 9);

    /* somebody else was here */
    ck_assert_int_eq(mr_sketches_begin(sketches, 3, 12), 0);
    ck_assert_ptr_null(mr_sketches_find(sketches, 3, &row));
}
END_TEST


START_TEST(memory_is_bounded)
{
    int i, j;
    char type[24];
    mr_partial_t row;
    mr_sketch_t *sketch;

    ck_assert_int_eq(mr_sketches_begin(sketches, 0, 0), 0);

    for (i = 0; i < 300; i++) {
        (void) snprintf(type, sizeof(type), "type-%d", i);
        row = row_of(MR_WIDTH_HOUR, (mr_str_t){type, strlen(type)}, 0);
        sketch = mr_sketches_add(sketches, 0, &row);
        ck_assert_ptr_nonnull(sketch);

        /* It grows after it was added. */
        for (j = 0; j < 1500; j++) {
            (void) mr_hll_add(
                &sketch->users, (uint64_t) j * UINT64_C(0x9e3779b97f4a7c15));
        }

        mr_sketches_trim(sketches);
        ck_assert_uint_le(mr_sketches_memory(sketches), 1024 * 1024);
        ck_assert_ptr_nonnull(mr_sketches_find(sketches, 0, &row));
    }

    ck_assert_uint_ge(mr_sketches_memory(sketches), 1000 * 1024);

    /* The oldest has gone; one that is used stays. */
    row = row_of(MR_WIDTH_HOUR, mr_str("type-0"), 0);
    ck_assert_ptr_null(mr_sketches_find(sketches, 0, &row));
}
END_TEST


Suite *
suite_sketches(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("sketches");
    tc = tcase_create("sketches");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);

    tcase_add_test(tc, rows_get_their_samples);
    tcase_add_test(tc, nothing_is_kept_that_was_not_committed);
    tcase_add_test(tc, memory_is_bounded);

    return suite;
}
