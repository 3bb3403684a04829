#include "command_line.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "log.h"
#include "version.h"


#define MR_COMMAND_SHARED_MAX 8
#define MR_COMMAND_MAX (MR_COMMAND_SHARED_MAX + MR_COMMAND_OPTIONS_MAX)

/* In the usage: where the text begins, and where a line ends */
#define MR_COMMAND_COLUMN 26
#define MR_COMMAND_WIDTH 78


/* The program's own options, then the shared ones. */
typedef struct {
    const mr_command_line_t *line;
    const mr_command_option_t *options[MR_COMMAND_MAX];
    int n;
    int n_own;
} mr_command_t;


static void mr_command_add(
    mr_command_t *command, const mr_command_option_t *options);
static int mr_command_parse(const mr_command_t *command, int argc, char **argv);
static int mr_command_find(const mr_command_t *command, int letter);
static int mr_command_take(const mr_command_t *command, int index);
static int mr_command_seconds(const char *text, int64_t *ret_ms);
static int mr_command_load(const mr_command_line_t *line, const char *path,
    int test, mr_options_t *ret_options);
static void mr_command_warn(const mr_options_t *options);
static void mr_command_usage(FILE *out, const mr_command_t *command);
static void mr_command_usage_option(
    FILE *out, const mr_command_option_t *option);


int
mr_command_line(const mr_command_line_t *line, int argc, char **argv,
    mr_options_t *ret_options)
{
    int test = 0, help = 0, version = 0, document = 0;
    const char *path = NULL;
    mr_command_t command = {.line = line};

    const mr_command_option_t shared[] = {
        {.name = "config",
            .letter = 'c',
            .value = "FILE",
            .text = &path,
            .help = "configuration; without it every key has its default"},
        {.name = "test",
            .letter = 't',
            .flag = &test,
            .help = "check the configuration and exit"},
        {.name = "help",
            .letter = 'h',
            .flag = &help,
            .help = "print this and exit"},
        {.name = "version",
            .letter = 'V',
            .flag = &version,
            .help = "print the version and exit"},
        {.name = "document",
            .flag = &document,
            .help = "print all configuration keys as Markdown and exit"},
        {.name = NULL}};

    mr_command_add(&command, line->options);
    command.n_own = command.n;
    mr_command_add(&command, shared);

    if (mr_command_parse(&command, argc, argv) == -1) {
        return 2;
    }

    if (help) {
        mr_command_usage(stdout, &command);
        return 0;
    }

    if (version) {
        printf("%s %s\n", line->program, MR_VERSION);
        return 0;
    }

    if (document) {
        mr_options_document();
        return 0;
    }

    return mr_command_load(line, path, test, ret_options);
}


static void
mr_command_add(mr_command_t *command, const mr_command_option_t *options)
{
    if (options == NULL) {
        return;
    }

    while (options->name != NULL && command->n < MR_COMMAND_MAX) {
        command->options[command->n++] = options++;
    }
}


/* Fails after it has said why. */
static int
mr_command_parse(const mr_command_t *command, int argc, char **argv)
{
    int c, i, index;
    char letters[2 * MR_COMMAND_MAX + 1], *p;
    struct option table[MR_COMMAND_MAX + 1];
    const mr_command_option_t *option;

    memset(table, 0, sizeof(table));
    p = letters;

    for (i = 0; i < command->n; i++) {
        option = command->options[i];

        table[i].name = option->name;
        table[i].has_arg = option->flag ? no_argument : required_argument;

        if (option->letter) {
            *p++ = option->letter;

            if (option->flag == NULL) {
                *p++ = ':';
            }
        }
    }

    *p = '\0';

    for (;;) {
        index = -1;

        c = getopt_long(argc, argv, letters, table, &index);
        if (c == -1) {
            break;
        }

        if (c != 0) {
            index = mr_command_find(command, c);
        }

        if (index == -1) {
            mr_command_usage(stderr, command);
            return -1;
        }

        if (mr_command_take(command, index) == -1) {
            return -1;
        }
    }

    if (optind < argc) {
        (void) fprintf(stderr, "%s: unexpected argument \"%s\"\n",
            command->line->program, argv[optind]);
        mr_command_usage(stderr, command);
        return -1;
    }

    return 0;
}


/* -1 for '?', which is getopt_long()'s answer to what is no option. */
static int
mr_command_find(const mr_command_t *command, int letter)
{
    int i;

    for (i = 0; i < command->n; i++) {
        if (command->options[i]->letter == letter) {
            return i;
        }
    }

    return -1;
}


static int
mr_command_take(const mr_command_t *command, int index)
{
    const char *program;
    const mr_command_option_t *option;

    program = command->line->program;
    option = command->options[index];

    if (option->flag) {
        *option->flag = 1;
        return 0;
    }

    if (option->ms) {
        if (mr_command_seconds(optarg, option->ms) == 0) {
            return 0;
        }

        (void) fprintf(stderr,
            "%s: --%s is a whole number of seconds, 1 to %d\n", program,
            option->name, MR_COMMAND_SECONDS_MAX);
        return -1;
    }

    if (*option->text && index < command->n_own) {
        (void) fprintf(
            stderr, "%s: --%s is given twice\n", program, option->name);
        return -1;
    }

    *option->text = optarg;

    return 0;
}


static int
mr_command_seconds(const char *text, int64_t *ret_ms)
{
    char *end;
    long seconds;

    seconds = strtol(text, &end, 10);

    if (end == text || *end != '\0' || seconds < 1
        || seconds > MR_COMMAND_SECONDS_MAX)
    {
        return -1;
    }

    *ret_ms = (int64_t) seconds * 1000;

    return 0;
}


static int
mr_command_load(const mr_command_line_t *line, const char *path, int test,
    mr_options_t *ret_options)
{
    int bad;
    mr_error_t err;

    bad = line->bad_config ? line->bad_config : 1;

    if (mr_options_load(path, ret_options, &err) == -1) {
        (void) fprintf(stderr, "%s: %s\n", line->program, err.message);
        return bad;
    }

    if (mr_kafka_check(ret_options, &err) == -1
        || mr_mongo_check(ret_options, &err) == -1
        || (line->check && line->check(ret_options, &err) == -1))
    {
        (void) fprintf(stderr, "%s: %s\n", line->program, err.message);
        mr_options_free(ret_options);
        return bad;
    }

    mr_command_warn(ret_options);

    if (test) {
        printf("%s: %s: the configuration is good\n", line->program,
            path == NULL ? "no file" : path);
        mr_options_free(ret_options);
        return 0;
    }

    return -1;
}


/* What may be meant, and yet takes something away. */
static void
mr_command_warn(const mr_options_t *options)
{
    int64_t keep, retention;

    keep = options->writer.keep_accounts;
    retention = options->kafka.retention;

    if (keep != 0 && (retention == 0 || keep < retention)) {
        mr_log_warn("[writer] keep_accounts is less than [kafka] retention: "
                    "millrace-audit cannot tell whether records that are "
                    "older than it were stored, though Kafka still has them");
    }
}


static void
mr_command_usage(FILE *out, const mr_command_t *command)
{
    int i, first, column, len;
    const mr_command_option_t *option;

    first = fprintf(out, "usage: %s", command->line->program);
    column = first;

    for (i = 0; i < command->n; i++) {
        option = command->options[i];

        /* "[--name VALUE]" */
        len = 6 + (int) strlen(option->name);
        len += option->value ? 1 + (int) strlen(option->value) : 0;

        if (column + len > MR_COMMAND_WIDTH) {
            (void) fprintf(out, "\n%*s", first, "");
            column = first;
        }

        (void) fprintf(out, " [--%s%s%s]", option->name,
            option->value ? " " : "", option->value ? option->value : "");
        column += len;
    }

    (void) fprintf(
        out, "\n%s", command->line->summary ? command->line->summary : "");

    for (i = 0; i < command->n; i++) {
        mr_command_usage_option(out, command->options[i]);
    }

    (void) fprintf(out,
        "MILLRACE_<SECTION>_<KEY> in the environment overrides a key;\n"
        "MILLRACE_LOG is debug, info, warn or error;\n"
        "MILLRACE_LOG_FORMAT is text, logfmt or json.\n");
}


static void
mr_command_usage_option(FILE *out, const mr_command_option_t *option)
{
    int column;
    const char *line, *end;

    column = option->letter ? fprintf(out, "  -%c, ", option->letter)
                            : fprintf(out, "      ");
    column += fprintf(out, "--%s%s%s  ", option->name, option->value ? " " : "",
        option->value ? option->value : "");

    if (column > MR_COMMAND_COLUMN) {
        (void) fputc('\n', out);
        column = 0;
    }

    for (line = option->help; *line != '\0'; line = end) {
        end = strchr(line, '\n');
        end = end ? end + 1 : line + strlen(line);

        (void) fprintf(out, "%*s%.*s",
            column < MR_COMMAND_COLUMN ? MR_COMMAND_COLUMN - column : 0, "",
            (int) (end - line), line);
        column = 0;
    }

    (void) fputc('\n', out);
}
