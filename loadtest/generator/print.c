#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "print.h"
#include "sentlog.h"
#include "workload.h"
#include "zipf.h"


#define MR_PRINT_MEMBERS 8
#define MR_PRINT_RANKS 5 /* powers of ten of users: 1, 10, ... */


typedef struct {
    uint64_t events;
    uint64_t types[MR_WORKLOAD_TYPES];
    uint64_t members[MR_PRINT_MEMBERS]; /* by number of metadata's members */
    uint64_t bytes;
    size_t min;
    size_t max;
    uint64_t late;
    uint64_t lateness; /* ms, sum */
    uint32_t latest;
    uint64_t repeats;
    uint64_t furthest; /* events back of a repeat */
    uint64_t users;    /* distinct */
    uint32_t *sent;    /* events, by user */
} mr_description_t;


static void mr_print_take(
    mr_description_t *d, mr_workload_t *workload, uint64_t i);
static unsigned mr_print_members(const char *event, size_t len);
static void mr_print_table(const mr_description_t *d, const mr_zipf_t *zipf);
static int mr_print_flushed(void);
static mr_workload_t *mr_print_workload(const mr_workload_options_t *options);


int
mr_print_description(const mr_load_options_t *options)
{
    uint64_t i;
    mr_zipf_t *zipf;
    mr_workload_t *workload;
    mr_description_t d = {.min = SIZE_MAX};

    workload = mr_print_workload(&options->workload);
    if (workload == NULL) {
        return -1;
    }

    zipf = mr_zipf_create(MR_WORKLOAD_USERS, MR_WORKLOAD_ZIPF);
    d.sent = calloc(MR_WORKLOAD_USERS, sizeof(uint32_t));

    if (zipf && d.sent) {
        for (i = 0; i < options->events; i++) {
            mr_print_take(&d, workload, i);
        }

        mr_print_table(&d, zipf);

    } else {
        perror("millrace-load");
    }

    i = zipf && d.sent;

    free(d.sent);
    mr_zipf_destroy(zipf);
    mr_workload_destroy(workload);

    return i ? mr_print_flushed() : -1;
}


static void
mr_print_take(mr_description_t *d, mr_workload_t *workload, uint64_t i)
{
    size_t len;
    uint32_t late, user;
    uint64_t origin;
    char event[MR_WORKLOAD_EVENT_MAX];

    len = mr_workload_event(workload, i, (int64_t) time(NULL) * 1000, event);

    d->events++;
    d->bytes += len;
    d->min = len < d->min ? len : d->min;
    d->max = len > d->max ? len : d->max;
    d->types[mr_workload_type(workload, i)]++;
    d->members[mr_print_members(event, len)]++;

    late = mr_workload_lateness(workload, i);

    if (late) {
        d->late++;
        d->lateness += late;
        d->latest = late > d->latest ? late : d->latest;
    }

    user = mr_workload_user(workload, i);
    d->users += d->sent[user]++ == 0;

    origin = mr_workload_origin(workload, i);

    if (origin != i) {
        d->repeats++;
        d->furthest = i - origin > d->furthest ? i - origin : d->furthest;
    }
}


/* Of the metadata; no value of it holds a colon after a quote. */
static unsigned
mr_print_members(const char *event, size_t len)
{
    size_t i;
    unsigned n;
    const char *p;

    p = memmem(event, len, "\"metadata\":", 11);
    n = 0;

    for (i = (size_t) (p - event) + 11; i + 1 < len; i++) {
        n += event[i] == '"' && event[i + 1] == ':';
    }

    return n < MR_PRINT_MEMBERS ? n : MR_PRINT_MEMBERS - 1;
}


static void
mr_print_table(const mr_description_t *d, const mr_zipf_t *zipf)
{
    double n, share, sent;
    unsigned i;
    uint32_t top, user;

    n = (double) d->events;

    (void) printf("%" PRIu64 " events                  wanted\n", d->events);
    (void) printf("bytes of an event      %zu .. %zu, mean %.1f"
                  "     %d .. %d, about 260\n",
        d->min, d->max, (double) d->bytes / n, MR_WORKLOAD_EVENT_MIN,
        MR_WORKLOAD_EVENT_MAX);

    for (i = 0; i < MR_WORKLOAD_TYPES; i++) {
        (void) printf("%-22s %6.2f %%     %6.2f %%\n", mr_workload_types[i],
            100 * (double) d->types[i] / n, 100 * mr_workload_shares[i]);
    }

    for (i = 0; i < MR_PRINT_MEMBERS; i++) {
        if (d->members[i]) {
            (void) printf("%u members of metadata  %6.2f %%\n", i,
                100 * (double) d->members[i] / n);
        }
    }

    (void) printf("late                   %6.2f %%     %6.2f %%\n",
        100 * (double) d->late / n, 100 * MR_WORKLOAD_LATE);
    (void) printf("  by, minutes          mean %.1f, at most %.1f"
                  "     30, 60\n",
        d->late ? (double) d->lateness / (double) d->late / 60000 : 0,
        (double) d->latest / 60000);
    (void) printf("repeats                %6.2f %%     %6.2f %%\n",
        100 * (double) d->repeats / n, 100 * MR_WORKLOAD_REPEATS);
    (void) printf("  events back          at most %" PRIu64 "\n", d->furthest);
    (void) printf("distinct users         %" PRIu64 " of %d\n", d->users,
        MR_WORKLOAD_USERS);

    share = 0;
    sent = 0;
    user = 0;
    top = 1;

    for (i = 0; i < MR_PRINT_RANKS; i++) {
        for (; user < top; user++) {
            share += mr_zipf_probability(zipf, user);
            sent += d->sent[user];
        }

        (void) printf("first %-6" PRIu32 " users     %6.2f %%     %6.2f %%\n",
            top, 100 * sent / n, 100 * share);
        top *= 10;
    }
}


int
mr_print_events(const mr_load_options_t *options)
{
    size_t len;
    int64_t now;
    uint64_t i;
    struct timespec ts;
    mr_workload_t *workload;
    char event[MR_WORKLOAD_EVENT_MAX];

    workload = mr_print_workload(&options->workload);
    if (workload == NULL) {
        return -1;
    }

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    now = (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    for (i = 0; i < options->events && !ferror(stdout); i++) {
        len = mr_workload_event(workload, i, now, event);

        if (options->format == MR_LOAD_ARRAY) {
            (void) putchar(i % options->batch ? ',' : '[');
        }

        (void) fwrite(event, 1, len, stdout);

        if (options->format != MR_LOAD_ARRAY) {
            (void) putchar('\n');

        } else if (i % options->batch == options->batch - 1
                   || i + 1 == options->events) {
            (void) fputs("]\n", stdout);
        }
    }

    mr_workload_destroy(workload);

    return mr_print_flushed();
}


int
mr_print_log(const char *path)
{
    FILE *file;
    uint32_t i;
    mr_workload_t *workload;
    mr_sentlog_record_t record;
    mr_workload_options_t options;
    char id[MR_WORKLOAD_ID_LEN], user[MR_WORKLOAD_USER_LEN];

    file = mr_sentlog_open(path, &options);

    if (file == NULL) {
        (void) fprintf(stderr, "millrace-load: %s: %s\n", path,
            errno == EINVAL ? "this is no sender's log" : strerror(errno));
        return -1;
    }

    workload = mr_print_workload(&options);

    if (workload == NULL) {
        (void) fclose(file);
        return -1;
    }

    while (fread(&record, sizeof(record), 1, file) == 1 && !ferror(stdout)) {
        for (i = 0; i < record.count; i++) {
            mr_workload_identity(workload, record.first + i, id, user);
            (void) printf("%.*s\t%.*s\t%u\n", MR_WORKLOAD_ID_LEN, id,
                MR_WORKLOAD_USER_LEN, user, record.status);
        }
    }

    (void) fclose(file);
    mr_workload_destroy(workload);

    return mr_print_flushed();
}


static mr_workload_t *
mr_print_workload(const mr_workload_options_t *options)
{
    mr_workload_t *workload;

    workload = mr_workload_create(options);

    if (workload == NULL) {
        perror("millrace-load");
    }

    return workload;
}


static int
mr_print_flushed(void)
{
    if (fflush(stdout) != 0) {
        perror("millrace-load: standard output");
        return -1;
    }

    return 0;
}
