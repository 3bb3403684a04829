/* millrace-erase: removes one user's events from what is stored. */
#include <stdio.h>
#include <string.h>

#include <millrace/limits.h>
#include <millrace/time.h>
#include <millrace/utf8.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/run.h"
#include "settle.h"
#include "store.h"


#define ERASE_PROGRAM "millrace-erase"


typedef struct {
    const char *user;
    int count_only;
    int no_wait;
    int64_t timeout; /* ms */
} erase_arguments_t;


static int erase_is_user(const char *user);
static int erase_run(const erase_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);
static int erase_wait(mr_store_t *store, const erase_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err);


int
main(int argc, char **argv)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    erase_arguments_t arguments = {.timeout = 60 * 1000};

    const mr_command_option_t own[] = {{.name = "user",
                                           .letter = 'u',
                                           .value = "USER_ID",
                                           .text = &arguments.user,
                                           .help = "whose events"},
        {.name = "count",
            .letter = 'n',
            .flag = &arguments.count_only,
            .help = "only count those that are stored"},
        {.name = "timeout",
            .value = "SECONDS",
            .ms = &arguments.timeout,
            .help = "how long to wait until all that Kafka holds now is\n"
                    "stored (default 60)"},
        {.name = "no-wait",
            .flag = &arguments.no_wait,
            .help = "do not wait: what Kafka still holds may come later"},
        {.name = NULL}};

    const mr_command_line_t line = {.program = ERASE_PROGRAM,
        .summary = "Removes a user's events from MongoDB; what GET /stats "
                   "answers stays.\nStatus 0: none is left, and none that "
                   "Kafka holds will come; 1: not so.\n",
        .options = own};

    mr_log_init(ERASE_PROGRAM);

    rc = mr_command_line(&line, argc, argv, &options);

    if (rc != -1) {
        return rc;
    }

    if (arguments.user == NULL || !erase_is_user(arguments.user)) {
        (void) fprintf(stderr,
            ERASE_PROGRAM ": --user is a user_id of 1 to %d bytes, in UTF-8 "
                          "and without control characters\n",
            MR_USER_ID_MAX);
        mr_options_free(&options);
        return 2;
    }

    rc = erase_run(&arguments, &options, &err);

    mr_options_free(&options);

    if (rc == -1) {
        (void) fprintf(stderr, ERASE_PROGRAM ": %s\n", err.message);
        return 1;
    }

    return 0;
}


/* No event can have another one: that nothing is found would say nothing. */
static int
erase_is_user(const char *user)
{
    size_t len;

    len = strlen(user);

    return len > 0 && len <= MR_USER_ID_MAX && mr_utf8_valid(user, len)
           && mr_utf8_find_control(user, len) == len;
}


/*
 * What is stored is erased whether or not all is: it can be done again, and
 * what was stored meanwhile goes with the rest.
 */
static int
erase_run(const erase_arguments_t *arguments, const mr_options_t *options,
    mr_error_t *err)
{
    int rc, waited;
    mr_store_t *store;
    mr_erased_t erased = {0, 0};
    mr_error_t why = MR_ERROR_INIT;

    if (mr_run_init(err) == -1 || mr_store_open(options, &store, err) != 0) {
        return -1;
    }

    waited = erase_wait(store, arguments, options, &why);

    if (waited != 0 && mr_run_stopping()) {
        mr_store_close(store);
        *err = why;
        return -1;
    }

    rc = mr_store_erase(store,
        (mr_str_t){arguments->user, strlen(arguments->user)},
        arguments->count_only, &erased, err);

    printf("%s %lld events in %lld blocks\n",
        arguments->count_only ? "found" : "erased", (long long) erased.events,
        (long long) erased.blocks);

    if (waited != 0 && rc != 0) {
        mr_log_error("%s", why.message);

    } else if (waited != 0) {
        *err = why;
        rc = -1;
    }

    mr_store_close(store);

    return rc;
}


static int
erase_wait(mr_store_t *store, const erase_arguments_t *arguments,
    const mr_options_t *options, mr_error_t *err)
{
    if (arguments->count_only) {
        return 0;
    }

    if (arguments->no_wait) {
        mr_log_warn("events of the user that Kafka holds and that are not "
                    "stored yet are not waited for: they may still come");
        return 0;
    }

    return mr_erase_settle(
        store, options, mr_time_monotonic() + arguments->timeout, err);
}
