#include <string.h>

#include <writer/operator.h>

#include "check_writer.h"


START_TEST(an_order_is_taken_out_of_the_command_line)
{
    int argc;
    mr_order_t order;
    mr_error_t err;
    char *argv[] = {"w", "-c", "f", "--accept-gap", "3", "-t", NULL};

    argc = 6;
    ck_assert_int_eq(mr_operator_parse(&argc, argv, &order, &err), 0);

    ck_assert_int_eq(order.what, MR_RESUME_GAP);
    ck_assert_int_eq(order.partition, 3);
    ck_assert_int_eq(argc, 4);
    ck_assert_str_eq(argv[2], "f");
    ck_assert_str_eq(argv[3], "-t");
    ck_assert_ptr_null(argv[4]);
}
END_TEST


START_TEST(without_an_order_it_is_a_daemon)
{
    int argc;
    mr_order_t order;
    mr_error_t err;
    char *argv[] = {"w", "-c", "f", NULL};

    argc = 3;
    ck_assert_int_eq(mr_operator_parse(&argc, argv, &order, &err), 0);
    ck_assert_int_eq(order.what, MR_RESUME_NONE);
    ck_assert_int_eq(argc, 3);
}
END_TEST


START_TEST(a_bad_order_is_refused)
{
    size_t i;
    int argc;
    mr_order_t order;
    mr_error_t err;
    static char *table[][6] = {
        {"w", "--new-epoch", NULL},
        {"w", "--new-epoch", "x", NULL},
        {"w", "--new-epoch", "", NULL},
        {"w", "--new-epoch", "-1", NULL},
        {"w", "--new-epoch", " 1", NULL},
        {"w", "--new-epoch", "1x", NULL},
        {"w", "--new-epoch", "99999999999", NULL},
        {"w", "--new-epoch", "1", "--accept-gap", "1", NULL},
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (argc = 0; table[i][argc] != NULL; argc++) { /* void */
        }

        err.code = MR_OK;
        ck_assert_int_eq(mr_operator_parse(&argc, table[i], &order, &err), -1);
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

    tcase_add_test(tc, an_order_is_taken_out_of_the_command_line);
    tcase_add_test(tc, without_an_order_it_is_a_daemon);
    tcase_add_test(tc, a_bad_order_is_refused);

    suite_add_tcase(suite, tc);

    return suite;
}
