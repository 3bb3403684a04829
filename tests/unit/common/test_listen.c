#include <string.h>
#include <unistd.h>

#include <common/listen.h>

#include "check_common.h"


static const struct {
    const char *text;
    int family; /* 0: refused */
} addresses[] = {
    {"127.0.0.1:1", AF_INET},
    {"0.0.0.0:65535", AF_INET},
    {"[::1]:9101", AF_INET6},
    {"[::]:9101", AF_INET6},
    {"", 0},
    {":", 0},
    {":9101", 0},
    {"9101", 0},
    {"127.0.0.1", 0},
    {"127.0.0.1:", 0},
    {"127.0.0.1:0", 0},
    {"127.0.0.1:65536", 0},
    {"127.0.0.1:-1", 0},
    {"127.0.0.1:+1", 0},
    {"127.0.0.1: 1", 0},
    {"127.0.0.1:1x", 0},
    {"127.0.0.1:000001", 0},
    {"127.0.0.256:1", 0},
    {"127.1:1", 0},
    {"localhost:1", 0},
    {"::1:9101", 0},
    {"[]:9101", 0},
    {"[127.0.0.1]:9101", 0},
    {"[::1:9101", 0},
    {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001:0001]:1", 0},
};


START_TEST(parse)
{
    int rc;
    socklen_t len;
    struct sockaddr_storage address;

    memset(&address, 0, sizeof(address));
    rc = mr_listen_parse(addresses[_i].text, &address, &len);

    if (addresses[_i].family == 0) {
        ck_assert_msg(rc == -1, "accepted: %s", addresses[_i].text);
        ck_assert_int_eq(address.ss_family, 0);

    } else {
        ck_assert_msg(rc == 0, "refused: %s", addresses[_i].text);
        ck_assert_int_eq(address.ss_family, addresses[_i].family);
    }
}
END_TEST


START_TEST(taken)
{
    int first, second;
    const char *address;
    mr_error_t err = MR_ERROR_INIT;

    address = mr_check_address();
    second = -7;

    ck_assert_msg(mr_listen(address, &first, &err) == 0, "%s", err.message);
    ck_assert_int_eq(mr_listen(address, &second, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_SYSTEM);
    ck_assert_int_eq(second, -7);
    close(first);

    /* Free again at once. */
    ck_assert_int_eq(mr_listen(address, &first, &err), 0);
    close(first);
}
END_TEST


START_TEST(no_address)
{
    int fd;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(mr_listen("nonsense", &fd, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_ARGUMENT);
}
END_TEST


Suite *
mr_suite_listen(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("listen");
    tc = tcase_create("listen");

    tcase_add_loop_test(
        tc, parse, 0, (int) (sizeof(addresses) / sizeof(addresses[0])));
    tcase_add_test(tc, taken);
    tcase_add_test(tc, no_address);

    suite_add_tcase(suite, tc);

    return suite;
}
