/* The table of counts. */

#include <stdio.h>
#include <string.h>

#include "check_audit.h"


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


Suite *
suite_tally(void)
{
    TCase *tcase;
    Suite *suite;

    suite = suite_create("tally");
    tcase = tcase_create("tally");
    tcase_add_test(tcase, a_tally_keeps_many_cells_apart);
    tcase_add_test(tcase, types_without_windows_are_tallied_together);
    suite_add_tcase(suite, tcase);

    return suite;
}
