/*
 * The command line of a program: -c, -t, -h, -V and --document, which all of
 * them share, and a table of its own.  The usage is made of the same table.
 */
#ifndef MILLRACE_COMMAND_LINE_H
#define MILLRACE_COMMAND_LINE_H

#include <stdint.h>

#include "options.h"


#define MR_COMMAND_OPTIONS_MAX 16   /* of a program's own */
#define MR_COMMAND_SECONDS_MAX 3600 /* of an option that takes seconds */


/*
 * One of flag, text and ms is set, and by that it is known what is taken.  A
 * text can be given only once, but for -c, of which the last counts, so that
 * what a script has can be overridden.
 */
typedef struct {
    const char *name;  /* without its dashes; NULL ends the table */
    char letter;       /* 0: only the name */
    const char *value; /* what is taken, for the usage; NULL with a flag */
    const char *help;  /* lines end with \n but for the last */
    int *flag;         /* set to 1 */
    const char **text; /* set to what is in argv */
    int64_t *ms;       /* set to ms: whole seconds are taken, from 1 on */
} mr_command_option_t;


typedef struct {
    const char *program;
    const char *summary; /* lines for the usage, each ends with \n; or NULL */
    const mr_command_option_t *options; /* or NULL */
    int bad_config; /* exit status for a bad configuration; 0: it is 1 */

    /* What else the program wants of a configuration; or NULL. */
    int (*check)(const mr_options_t *options, mr_error_t *err);
} mr_command_line_t;


/*
 * Reads the command line, then the configuration, and checks all of it, as
 * at every start.  Returns the exit status (2 when the command line is wrong),
 * or -1 to go on, with *ret_options set.  Main thread, once.
 */
int mr_command_line(const mr_command_line_t *line, int argc, char **argv,
    mr_options_t *ret_options);

#endif /* MILLRACE_COMMAND_LINE_H */
