#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <common/command_line.h>

#include "check_common.h"


typedef struct {
    char **argv;
    int argc;
    int status;
    const char *name;
    int yes;
    int64_t wait;
} mr_run_t;


static void mr_run_command(void *ctx);
static int mr_run_check(const mr_options_t *options, mr_error_t *err);


static const struct {
    const char *arguments[5];
    int status;
    const char *output;
} commands[] = {
    {{"-h"}, 0, "usage: check-common [--name TEXT]"},
    {{"--help"}, 0, "  -y, --yes               a flag\n"},
    {{"--help"}, 0,
        "      --wait SECONDS      two\n                          lines\n"},
    {{"-V"}, 0, "check-common "},
    {{"--document"}, 0, "## [kafka]"},
    {{"-t"}, 0, "no file: the configuration is good"},
    {{"-t", "-c", "conf/millrace.conf"}, 0, "the configuration is good"},
    {{"-c", "conf/millrace.conf"}, -1, ""},
    {{"-c"}, 2, ""},
    {{"-x"}, 2, ""},
    {{"extra"}, 2, ""},
    {{"-c", "/nowhere"}, 3, ""},
    {{"-t", "-c", "/nowhere"}, 3, ""},
    {{"-y", "--name", "x", "--wait", "3600"}, -1, ""},
    {{"--name", "x", "--name", "y"}, 2, ""},
    {{"-c", "/nowhere", "-c", "conf/millrace.conf"}, -1, ""},
    {{"--name"}, 2, ""},
    {{"--yes=1"}, 2, ""},
    {{"--wait", "0"}, 2, ""},
    {{"--wait", "3601"}, 2, ""},
    {{"--wait", "5s"}, 2, ""},
    {{"--wait", ""}, 2, ""},
};


START_TEST(command)
{
    char *argv[7], *output;
    mr_run_t run;

    argv[0] = (char *) "check-common";
    run.argv = argv;
    run.name = NULL;
    run.yes = 0;
    run.wait = 7;

    for (run.argc = 1; run.argc < 6; run.argc++) {

        argv[run.argc] = (char *) commands[_i].arguments[run.argc - 1];

        if (argv[run.argc] == NULL) {
            break;
        }
    }

    argv[run.argc] = NULL;

    output = mr_check_capture(STDOUT_FILENO, mr_run_command, &run);

    ck_assert_int_eq(run.status, commands[_i].status);
    ck_assert_msg(strstr(output, commands[_i].output) != NULL, "%s", output);

    free(output);
}
END_TEST


START_TEST(values)
{
    mr_run_t run = {.wait = 7};
    char *argv[] = {"check-common", "--wait", "60", "-y", "--name", "-x", NULL};

    run.argv = argv;
    run.argc = 6;

    free(mr_check_capture(STDOUT_FILENO, mr_run_command, &run));

    ck_assert_int_eq(run.status, -1);
    ck_assert_str_eq(run.name, "-x");
    ck_assert_int_eq(run.yes, 1);
    ck_assert_int_eq(run.wait, 60000);
}
END_TEST


/* A program may want more of a configuration than all of them do. */
START_TEST(own_check)
{
    char *output, text[] = "[kafka]\ntopic = other\n";
    char *argv[] = {"check-common", "-c", NULL, "-t", NULL};
    mr_run_t run = {.argv = argv, .argc = _i, .wait = 7};

    argv[2] = (char *) mr_check_file(text, strlen(text));

    argv[_i] = NULL;

    output = mr_check_capture(STDERR_FILENO, mr_run_command, &run);

    ck_assert_int_eq(run.status, 3);
    ck_assert_str_eq(output, "check-common: no other topic\n");

    free(output);
}
END_TEST


Suite *
mr_suite_command_line(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("command_line");
    tc = tcase_create("command_line");

    tcase_add_loop_test(
        tc, command, 0, (int) (sizeof(commands) / sizeof(commands[0])));
    tcase_add_test(tc, values);
    tcase_add_loop_test(tc, own_check, 3, 5); /* without -t, and with it */

    suite_add_tcase(suite, tc);

    return suite;
}


static void
mr_run_command(void *ctx)
{
    mr_run_t *run = ctx;
    mr_options_t options;

    const mr_command_option_t own[] = {
        {.name = "name", .value = "TEXT", .text = &run->name, .help = "a text"},
        {.name = "yes", .letter = 'y', .flag = &run->yes, .help = "a flag"},
        {.name = "wait",
            .value = "SECONDS",
            .ms = &run->wait,
            .help = "two\nlines"},
        {.name = NULL}};

    const mr_command_line_t line = {.program = "check-common",
        .options = own,
        .bad_config = 3,
        .check = mr_run_check};

    run->status = mr_command_line(&line, run->argc, run->argv, &options);

    if (run->status == -1) {
        mr_options_free(&options);
    }
}


static int
mr_run_check(const mr_options_t *options, mr_error_t *err)
{
    if (strcmp(options->kafka.topic, "other") != 0) {
        return 0;
    }

    return mr_error_set(err, MR_ERROR_CONFIG, NULL, "no other topic");
}
