/* millrace-erase: removes one user's events from what is stored. */
#include <stdio.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/run.h"
#include "store.h"


#define ERASE_PROGRAM "millrace-erase"


static int erase_run(const char *user, int count_only,
    const mr_options_t *options, mr_error_t *err);


int
main(int argc, char **argv)
{
    int rc, count_only = 0;
    mr_error_t err = MR_ERROR_INIT;
    const char *user = NULL;
    mr_options_t options;

    const mr_command_option_t own[] = {{.name = "user",
                                           .letter = 'u',
                                           .value = "USER_ID",
                                           .text = &user,
                                           .help = "whose events"},
        {.name = "count",
            .letter = 'n',
            .flag = &count_only,
            .help = "only count them"},
        {.name = NULL}};

    const mr_command_line_t line = {.program = ERASE_PROGRAM,
        .summary = "Removes a user's events from MongoDB; what GET /stats "
                   "answers stays.\n",
        .options = own};

    mr_log_init(ERASE_PROGRAM);

    rc = mr_command_line(&line, argc, argv, &options);

    if (rc != -1) {
        return rc;
    }

    if (user == NULL || *user == '\0' || strlen(user) > MR_USER_ID_MAX) {
        (void) fprintf(stderr,
            ERASE_PROGRAM ": --user is a user_id of 1 to %d bytes\n",
            MR_USER_ID_MAX);
        mr_options_free(&options);
        return 2;
    }

    rc = erase_run(user, count_only, &options, &err);

    mr_options_free(&options);

    if (rc == -1) {
        (void) fprintf(stderr, ERASE_PROGRAM ": %s\n", err.message);
        return 1;
    }

    return 0;
}


static int
erase_run(const char *user, int count_only, const mr_options_t *options,
    mr_error_t *err)
{
    int rc;
    mr_erased_t erased;

    if (mr_run_init(err) == -1) {
        return -1;
    }

    erased.events = 0;
    erased.blocks = 0;

    rc = mr_store_erase(
        options, (mr_str_t){user, strlen(user)}, count_only, &erased, err);

    printf("%s %lld events in %lld blocks\n", count_only ? "found" : "erased",
        (long long) erased.events, (long long) erased.blocks);

    return rc;
}
