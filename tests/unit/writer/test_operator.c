#include <writer/operator.h>

#include "check_writer.h"


START_TEST(an_order_names_its_partition)
{
    mr_order_t order;
    mr_error_t err;

    ck_assert_int_eq(mr_operator_order("3", NULL, &order, &err), 0);
    ck_assert_int_eq(order.what, MR_RESUME_GAP);
    ck_assert_int_eq(order.partition, 3);

    ck_assert_int_eq(mr_operator_order(NULL, "0", &order, &err), 0);
    ck_assert_int_eq(order.what, MR_RESUME_EPOCH);
    ck_assert_int_eq(order.partition, 0);
}
END_TEST


START_TEST(without_an_order_it_is_a_daemon)
{
    mr_order_t order;
    mr_error_t err;

    ck_assert_int_eq(mr_operator_order(NULL, NULL, &order, &err), 0);
    ck_assert_int_eq(order.what, MR_RESUME_NONE);
}
END_TEST


START_TEST(a_bad_order_is_refused)
{
    size_t i;
    mr_order_t order;
    mr_error_t err;
    static const char *table[][2] = {{NULL, "x"}, {NULL, ""}, {"-1", NULL},
        {" 1", NULL}, {NULL, "1x"}, {NULL, "99999999999"}, {"1", "1"}};

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        err.code = MR_OK;
        ck_assert_int_eq(
            mr_operator_order(table[i][0], table[i][1], &order, &err), -1);
        ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
    }
}
END_TEST


Suite *
suite_operator(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("operator");
    tc = tcase_create("operator");

    tcase_add_test(tc, an_order_names_its_partition);
    tcase_add_test(tc, without_an_order_it_is_a_daemon);
    tcase_add_test(tc, a_bad_order_is_refused);

    suite_add_tcase(suite, tc);

    return suite;
}
