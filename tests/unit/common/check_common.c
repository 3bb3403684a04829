#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_common.h"


static void mr_check_remove(void);


static char mr_check_path[64];


const char *
mr_check_file(const char *data, size_t len)
{
    int fd;

    if (mr_check_path[0] == '\0') {
        ck_assert_int_eq(atexit(mr_check_remove), 0);

    } else {
        mr_check_remove();
    }

    (void) snprintf(
        mr_check_path, sizeof(mr_check_path), "/tmp/millrace-check-XXXXXX");

    fd = mkstemp(mr_check_path);
    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(write(fd, data, len), (ssize_t) len);
    close(fd);

    return mr_check_path;
}


int
mr_check_load(const char *text, mr_options_t *ret_options, mr_error_t *err)
{
    return mr_options_load(mr_check_file(text, strlen(text)), ret_options, err);
}


char *
mr_check_capture(int fd, void (*writer)(void *ctx), void *ctx)
{
    int saved;
    FILE *file;
    char *text;
    size_t n;

    (void) fflush(NULL);

    file = tmpfile();
    ck_assert_ptr_nonnull(file);

    saved = dup(fd);
    ck_assert_int_ne(dup2(fileno(file), fd), -1);

    writer(ctx);

    (void) fflush(NULL);
    ck_assert_int_ne(dup2(saved, fd), -1);
    close(saved);

    text = calloc(1, 1 << 20);
    ck_assert_ptr_nonnull(text);

    rewind(file);
    n = fread(text, 1, (1 << 20) - 1, file);
    text[n] = '\0';
    (void) fclose(file);

    return text;
}


const char *
mr_check_address(void)
{
    static char text[32];

    int fd;
    socklen_t len;
    struct sockaddr_in address;

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(address);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &address, &len), 0);
    close(fd);

    (void) snprintf(
        text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));

    return text;
}


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(mr_suite_options());

    srunner_add_suite(runner, mr_suite_options_errors());
    srunner_add_suite(runner, mr_suite_command_line());
    srunner_add_suite(runner, mr_suite_log());
    srunner_add_suite(runner, mr_suite_metrics());
    srunner_add_suite(runner, mr_suite_run());
    srunner_add_suite(runner, mr_suite_listen());
    srunner_add_suite(runner, mr_suite_times());
    srunner_add_suite(runner, mr_suite_clients());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


static void
mr_check_remove(void)
{
    (void) unlink(mr_check_path);
}
