/* What nginx says that Kafka has acknowledged. */

#include <stdio.h>
#include <string.h>

#include "check_audit.h"


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


Suite *
suite_acknowledged(void)
{
    TCase *tcase;
    Suite *suite;

    suite = suite_create("acknowledged");
    tcase = tcase_create("acknowledged");
    tcase_add_checked_fixture(tcase, audit_setup, audit_teardown);
    tcase_add_test(tcase, more_acknowledged_than_there_is_was_lost);
    tcase_add_test(tcase, what_nginx_does_not_say_is_refused);
    suite_add_tcase(suite, tcase);

    return suite;
}
