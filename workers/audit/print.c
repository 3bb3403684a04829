#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "audit.h"


#define PRINT_COLUMNS 10
#define PRINT_SHOWN 100
#define PRINT_WIDTH(column) ((column) == PRINT_COLUMNS - 1 ? 12 : 10)


static void print_verdict(const mr_audit_t *audit);
static int print_columns(const mr_audit_t *audit);
static void print_row(
    const char *name, const int64_t *numbers, int columns, int bad);
static void print_numbers(
    const mr_audit_minute_t *minute, int64_t *ret_numbers);
static void print_time(int64_t time, char *buf, size_t size);
static void print_sum(const mr_audit_t *audit, int64_t *ret_numbers);
static json_t *print_json_numbers(
    const mr_audit_t *audit, const int64_t *numbers);


static const char *const print_names[PRINT_COLUMNS] = {"records", "waiting",
    "stored", "repeated", "dead", "blocks", "events", "counted", "windows",
    "acknowledged"};

static const struct {
    const char *name;
    const char *text;
} print_equations[MR_AUDIT_EQUATIONS] = {
    [MR_AUDIT_RECORDS] = {"records", "records = stored + repeated + dead"},
    [MR_AUDIT_BLOCKS] = {"blocks", "stored = blocks"},
    [MR_AUDIT_EVENTS] = {"events", "events = counted"},
    [MR_AUDIT_WINDOWS] = {"windows", "counted = windows"},
};


void
mr_audit_print(const mr_audit_t *audit)
{
    int i, columns;
    char from[32], to[32];
    size_t k, shown;
    int64_t numbers[PRINT_COLUMNS];
    const mr_audit_finding_t *finding;

    columns = print_columns(audit);

    printf("%-17s", "minute (UTC)");

    for (i = 0; i < columns; i++) {
        printf(" %*s", PRINT_WIDTH(i), print_names[i]);
    }

    printf("\n");

    for (k = 0; k < audit->n_minutes; k++) {
        print_numbers(&audit->minutes[k], numbers);

        for (i = 0; i < PRINT_COLUMNS && numbers[i] <= 0; i++) {
            /* void */
        }

        /* Minutes in which nothing happened are left out. */
        if (i < PRINT_COLUMNS || audit->minutes[k].bad) {
            print_time(audit->minutes[k].start, from, sizeof(from));
            print_row(from, numbers, columns, audit->minutes[k].bad);
        }
    }

    print_sum(audit, numbers);
    print_row("sum", numbers, columns, 0);
    print_time(audit->from, from, sizeof(from));
    print_time(audit->to, to, sizeof(to));

    printf("\n%zu partitions, from %s to %s; %s\n", audit->n_partitions, from,
        to,
        audit->merged ? "the windows hold all that is stored"
                      : "the windows do not hold all yet, those that do are "
                        "compared");

    shown = audit->n_findings < PRINT_SHOWN ? audit->n_findings : PRINT_SHOWN;

    for (k = 0; k < shown; k++) {
        finding = &audit->findings[k];
        printf("%s: ", finding->check);

        if (finding->minute != MR_AUDIT_UNKNOWN) {
            print_time(finding->minute, from, sizeof(from));
            printf("%s: ", from);
        }

        if (finding->partition != -1) {
            printf("partition %d: ", (int) finding->partition);
        }

        printf("%s\n", finding->text);
    }

    if (audit->n_findings > shown) {
        printf("and %zu more\n", audit->n_findings - shown);
    }

    print_verdict(audit);
}


/* What was compared, and what was not: one line. */
static void
print_verdict(const mr_audit_t *audit)
{
    int i;
    const char *before;

    if (audit->n_findings != 0) {
        printf("NOT balanced: %zu findings", audit->n_findings);

    } else if (mr_audit_blind(audit)) {
        printf("no verdict");

    } else {
        before = "balanced: ";

        for (i = 0; i < MR_AUDIT_EQUATIONS; i++) {
            if (audit->uncompared[i] < audit->n_minutes) {
                printf("%s%s", before, print_equations[i].text);
                before = ", ";
            }
        }
    }

    before = "; NOT compared: ";

    for (i = 0; i < MR_AUDIT_EQUATIONS; i++) {
        if (audit->uncompared[i] != 0) {
            printf("%s%s in %zu of %zu minutes", before,
                print_equations[i].text, audit->uncompared[i],
                audit->n_minutes);
            before = ", ";
        }
    }

    printf("\n");
}


int
mr_audit_print_json(const mr_audit_t *audit, mr_error_t *err)
{
    size_t i;
    char *text;
    json_t *root, *minutes, *findings, *uncompared, *row;
    int64_t numbers[PRINT_COLUMNS];
    const mr_audit_finding_t *finding;

    minutes = json_array();
    findings = json_array();

    for (i = 0; i < audit->n_minutes; i++) {
        print_numbers(&audit->minutes[i], numbers);
        row = print_json_numbers(audit, numbers);
        (void) json_object_set_new(
            row, "minute", json_integer(audit->minutes[i].start / 1000));
        (void) json_object_set_new(
            row, "balanced", json_boolean(!audit->minutes[i].bad));
        (void) json_array_append_new(minutes, row);
    }

    for (i = 0; i < audit->n_findings && i < MR_AUDIT_FINDINGS; i++) {
        finding = &audit->findings[i];
        row =
            json_pack("{s:s, s:I, s:s}", "check", finding->check, "difference",
                (json_int_t) finding->difference, "text", finding->text);
        (void) json_object_set_new(row, "minute",
            finding->minute == MR_AUDIT_UNKNOWN
                ? json_null()
                : json_integer(finding->minute / 1000));
        (void) json_object_set_new(row, "partition",
            finding->partition == -1 ? json_null()
                                     : json_integer(finding->partition));
        (void) json_array_append_new(findings, row);
    }

    uncompared = json_object();

    for (i = 0; i < MR_AUDIT_EQUATIONS; i++) {
        (void) json_object_set_new(uncompared, print_equations[i].name,
            json_integer((json_int_t) audit->uncompared[i]));
    }

    print_sum(audit, numbers);

    root = json_pack("{s:b, s:o, s:I, s:I, s:b, s:i, s:o, s:o, s:i, s:o}",
        "balanced", audit->n_findings == 0 && !mr_audit_blind(audit),
        "uncompared", uncompared, "from", (json_int_t) audit->from / 1000, "to",
        (json_int_t) audit->to / 1000, "merged", audit->merged, "partitions",
        (int) audit->n_partitions, "sum", print_json_numbers(audit, numbers),
        "minutes", minutes, "findings_total", (int) audit->n_findings,
        "findings", findings);

    text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);

    if (text == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    printf("%s\n", text);
    free(text);

    return 0;
}


void
mr_audit_print_metrics(const mr_audit_t *audit)
{
    int i;
    int64_t numbers[PRINT_COLUMNS];

    print_sum(audit, numbers);

    printf("# HELP millrace_audit_balanced Whether the last audit found "
           "nothing lost or repeated\n"
           "# TYPE millrace_audit_balanced gauge\n"
           "millrace_audit_balanced %d\n",
        audit->n_findings == 0 && !mr_audit_blind(audit));
    printf("# HELP millrace_audit_findings What did not agree\n"
           "# TYPE millrace_audit_findings gauge\n"
           "millrace_audit_findings %zu\n",
        audit->n_findings);
    printf("# HELP millrace_audit_uncompared Minutes that an equation "
           "could not be held against\n"
           "# TYPE millrace_audit_uncompared gauge\n");

    for (i = 0; i < MR_AUDIT_EQUATIONS; i++) {
        printf("millrace_audit_uncompared{check=\"%s\"} %zu\n",
            print_equations[i].name, audit->uncompared[i]);
    }

    printf("# HELP millrace_audit_time_seconds When the audit was made\n"
           "# TYPE millrace_audit_time_seconds gauge\n"
           "millrace_audit_time_seconds %.3f\n",
        (double) audit->now / 1000);
    printf("# HELP millrace_audit_records Records and events of the audited "
           "period\n"
           "# TYPE millrace_audit_records gauge\n");

    for (i = 0; i < print_columns(audit); i++) {
        if (numbers[i] != MR_AUDIT_UNKNOWN) {
            printf("millrace_audit_records{state=\"%s\"} %" PRId64 "\n",
                print_names[i], numbers[i]);
        }
    }
}


/* The last one only if nginx was asked. */
static int
print_columns(const mr_audit_t *audit)
{
    return audit->acknowledged ? PRINT_COLUMNS : PRINT_COLUMNS - 1;
}


static void
print_row(const char *name, const int64_t *numbers, int columns, int bad)
{
    int i;

    printf("%-17s", name);

    for (i = 0; i < columns; i++) {
        if (numbers[i] == MR_AUDIT_UNKNOWN) {
            printf(" %*s", PRINT_WIDTH(i), "-");

        } else {
            printf(" %*" PRId64, PRINT_WIDTH(i), numbers[i]);
        }
    }

    printf("%s\n", bad ? "  <--" : "");
}


static void
print_numbers(const mr_audit_minute_t *minute, int64_t *ret_numbers)
{
    ret_numbers[0] = minute->records;
    ret_numbers[1] = minute->waiting;
    ret_numbers[2] = minute->stored;
    ret_numbers[3] = minute->repeated;
    ret_numbers[4] = minute->dead;
    ret_numbers[5] = minute->blocks;
    ret_numbers[6] = minute->events;
    ret_numbers[7] = minute->counted;
    ret_numbers[8] = minute->windows;
    ret_numbers[9] = minute->acknowledged;
}


/* What is unknown of one minute is unknown of the sum. */
static void
print_sum(const mr_audit_t *audit, int64_t *ret_numbers)
{
    int i;
    size_t k;
    int64_t numbers[PRINT_COLUMNS];

    for (i = 0; i < PRINT_COLUMNS; i++) {
        ret_numbers[i] = 0;
    }

    for (k = 0; k < audit->n_minutes; k++) {
        print_numbers(&audit->minutes[k], numbers);

        for (i = 0; i < PRINT_COLUMNS; i++) {
            if (numbers[i] == MR_AUDIT_UNKNOWN
                || ret_numbers[i] == MR_AUDIT_UNKNOWN) {
                ret_numbers[i] = MR_AUDIT_UNKNOWN;

            } else {
                ret_numbers[i] += numbers[i];
            }
        }
    }
}


static json_t *
print_json_numbers(const mr_audit_t *audit, const int64_t *numbers)
{
    int i;
    json_t *row;

    row = json_object();

    for (i = 0; i < print_columns(audit); i++) {
        (void) json_object_set_new(row, print_names[i],
            numbers[i] == MR_AUDIT_UNKNOWN ? json_null()
                                           : json_integer(numbers[i]));
    }

    return row;
}


static void
print_time(int64_t time, char *buf, size_t size)
{
    struct tm tm;
    time_t seconds;

    seconds = (time_t) (time / 1000);
    (void) gmtime_r(&seconds, &tm);
    (void) strftime(buf, size, "%Y-%m-%d %H:%M", &tm);
}
