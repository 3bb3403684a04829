#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"


#define MR_LOAD_BATCH_MAX 100000
#define MR_LOAD_CONNECTIONS_MAX 20000
#define MR_LOAD_THREADS_MAX 64


enum {
    MR_OPT_BASE = 256,
    MR_OPT_DESCRIBE,
    MR_OPT_EMIT,
    MR_OPT_EXPAND,
    MR_OPT_JSON,
    MR_OPT_LOG,
    MR_OPT_PACE,
    MR_OPT_RETRY,
    MR_OPT_RETRY_WAIT,
    MR_OPT_TEXTS,
    MR_OPT_TIMEOUT,
    MR_OPT_WINDOW
};


typedef struct {
    const char *name;
    mr_load_format_t format;
} mr_load_format_name_t;


static int mr_load_option(int opt, const char *arg, mr_load_options_t *o);
static int mr_load_check(const mr_load_options_t *o);
static int mr_load_number(
    const char *name, const char *text, double min, double max, double *ret);
static int mr_load_count(
    const char *name, const char *text, uint64_t max, uint64_t *ret);
static void mr_load_help(void);


static const struct option mr_load_long_options[] = {
    {"base", required_argument, NULL, MR_OPT_BASE},
    {"batch", required_argument, NULL, 'k'},
    {"connections", required_argument, NULL, 'c'},
    {"describe", required_argument, NULL, MR_OPT_DESCRIBE},
    {"duration", required_argument, NULL, 'd'},
    {"emit", required_argument, NULL, MR_OPT_EMIT},
    {"events", required_argument, NULL, 'n'},
    {"expand", required_argument, NULL, MR_OPT_EXPAND},
    {"format", required_argument, NULL, 'f'},
    {"header", required_argument, NULL, 'H'}, {"help", no_argument, NULL, 'h'},
    {"json", required_argument, NULL, MR_OPT_JSON},
    {"log", required_argument, NULL, MR_OPT_LOG},
    {"pace", required_argument, NULL, MR_OPT_PACE},
    {"quiet", no_argument, NULL, 'q'}, {"rate", required_argument, NULL, 'r'},
    {"repeat-window", required_argument, NULL, MR_OPT_WINDOW},
    {"retry", no_argument, NULL, MR_OPT_RETRY},
    {"retry-wait", required_argument, NULL, MR_OPT_RETRY_WAIT},
    {"seed", required_argument, NULL, 's'},
    {"texts", required_argument, NULL, MR_OPT_TEXTS},
    {"threads", required_argument, NULL, 't'},
    {"timeout", required_argument, NULL, MR_OPT_TIMEOUT},
    {"warmup", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};

static const mr_load_format_name_t mr_load_formats[] = {
    {"ndjson", MR_LOAD_NDJSON}, {"array", MR_LOAD_ARRAY},
    {"json", MR_LOAD_JSON}, {NULL, MR_LOAD_NDJSON}};


int
mr_load_options(int argc, char **argv, mr_load_options_t *ret_options)
{
    int opt;
    mr_load_options_t o = {.workload = MR_WORKLOAD_DEFAULTS};

    o.format = MR_LOAD_NDJSON;
    o.batch = 100;
    o.connections = 64;
    o.threads = 1;
    o.warmup = 0;
    o.timeout = 30;
    o.retry_wait = 5;

    for (;;) {
        opt = getopt_long(
            argc, argv, "H:c:d:f:hk:n:qr:s:t:w:", mr_load_long_options, NULL);

        if (opt == -1) {
            break;
        }

        if (opt == 'h') {
            mr_load_help();
            return 1;
        }

        if (opt == '?' || mr_load_option(opt, optarg, &o) != 0) {
            return -1;
        }
    }

    if (optind < argc) {
        o.url = argv[optind++];
    }

    if (optind < argc) {
        (void) fprintf(stderr, "millrace-load: one URL only, not also \"%s\"\n",
            argv[optind]);
        return -1;
    }

    if (mr_load_check(&o) != 0) {
        return -1;
    }

    *ret_options = o;

    return 0;
}


static int
mr_load_option(int opt, const char *arg, mr_load_options_t *o)
{
    double number;
    uint64_t count;
    const mr_load_format_name_t *format;

    number = 0;
    count = 0;

    switch (opt) {

    case 's':
        return mr_load_count("--seed", arg, INT64_MAX, &o->workload.seed);

    case MR_OPT_BASE:
        if (mr_load_number("--base", arg, 4000, 9e9, &number) != 0) {
            return -1;
        }
        o->workload.base = (int64_t) llround(number * 1000);
        return 0;

    case MR_OPT_PACE:
        return mr_load_number("--pace", arg, 0.001, 1e9, &o->workload.pace);

    case MR_OPT_TEXTS:
        if (mr_load_count("--texts", arg, 1 << 24, &count) != 0) {
            return -1;
        }
        o->workload.texts = (uint32_t) count;
        return 0;

    case MR_OPT_WINDOW:
        if (mr_load_count(
                "--repeat-window", arg, MR_WORKLOAD_WINDOW_MAX, &count)
            != 0) {
            return -1;
        }
        o->workload.repeat_window = (uint32_t) count;
        return 0;

    case 'k':
        if (mr_load_count("-k", arg, MR_LOAD_BATCH_MAX, &count) != 0) {
            return -1;
        }
        o->batch = (uint32_t) count;
        return 0;

    case 'c':
        if (mr_load_count("-c", arg, MR_LOAD_CONNECTIONS_MAX, &count) != 0) {
            return -1;
        }
        o->connections = (uint32_t) count;
        return 0;

    case 't':
        if (mr_load_count("-t", arg, MR_LOAD_THREADS_MAX, &count) != 0) {
            return -1;
        }
        o->threads = (uint32_t) count;
        return 0;

    case 'f':
        for (format = mr_load_formats; format->name; format++) {
            if (strcmp(arg, format->name) == 0) {
                o->format = format->format;
                return 0;
            }
        }
        (void) fprintf(
            stderr, "millrace-load: -f %s: it is ndjson, array or json\n", arg);
        return -1;

    case 'r':
        return mr_load_number("-r", arg, 0.01, 1e7, &o->rate);

    case 'd':
        return mr_load_number("-d", arg, 0.1, 1e6, &o->duration);

    case 'w':
        return mr_load_number("-w", arg, 0, 1e6, &o->warmup);

    case 'n':
        return mr_load_count("-n", arg, INT64_MAX, &o->events);

    case MR_OPT_TIMEOUT:
        return mr_load_number("--timeout", arg, 0.1, 3600, &o->timeout);

    case MR_OPT_RETRY:
        o->retry = 1;
        return 0;

    case MR_OPT_RETRY_WAIT:
        return mr_load_number("--retry-wait", arg, 0, 3600, &o->retry_wait);

    case 'H':
        if (o->nheaders == MR_LOAD_HEADERS_MAX) {
            (void) fprintf(stderr, "millrace-load: at most %d times -H\n",
                MR_LOAD_HEADERS_MAX);
            return -1;
        }
        o->headers[o->nheaders++] = arg;
        return 0;

    case MR_OPT_JSON:
        o->json = arg;
        return 0;

    case MR_OPT_LOG:
        o->log = arg;
        return 0;

    case 'q':
        o->quiet = 1;
        return 0;

    case MR_OPT_EXPAND:
        o->mode = MR_LOAD_EXPAND;
        o->log = arg;
        return 0;

    case MR_OPT_EMIT:
        o->mode = MR_LOAD_EMIT;
        return mr_load_count("--emit", arg, INT64_MAX, &o->events);

    default:
        o->mode = MR_LOAD_DESCRIBE;
        return mr_load_count("--describe", arg, INT64_MAX, &o->events);
    }
}


static int
mr_load_check(const mr_load_options_t *o)
{
    const char *wrong;

    wrong = NULL;

    if (o->mode != MR_LOAD_RUN) {
        if (o->url) {
            wrong = "a URL is for sending: not with --describe, --emit or "
                    "--expand";
        }

    } else if (o->url == NULL) {
        wrong = "where to? give a URL, http://127.0.0.1:8080/events";

    } else if (o->duration == 0 && o->events == 0) {
        wrong = "for how long? give -d SECONDS, -n EVENTS or both";

    } else if (o->connections < o->threads) {
        wrong = "every thread (-t) needs a connection of its own (-c)";
    }

    if (wrong == NULL && o->format == MR_LOAD_JSON && o->batch != 1) {
        wrong = "-f json is one event a request: -k 1";
    }

    if (wrong) {
        (void) fprintf(stderr, "millrace-load: %s\n", wrong);
        return -1;
    }

    return 0;
}


static int
mr_load_number(
    const char *name, const char *text, double min, double max, double *ret)
{
    char *end;
    double number;

    errno = 0;
    number = strtod(text, &end);

    if (end == text || *end != '\0' || errno || !(number >= min)
        || !(number <= max))
    {
        (void) fprintf(stderr,
            "millrace-load: %s %s: a number from %g to %g is wanted\n", name,
            text, min, max);
        return -1;
    }

    *ret = number;

    return 0;
}


static int
mr_load_count(const char *name, const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || *text == '-' || errno || number == 0
        || number > max)
    {
        (void) fprintf(stderr,
            "millrace-load: %s %s: a whole number from 1 to %llu is wanted\n",
            name, text, (unsigned long long) max);
        return -1;
    }

    *ret = number;

    return 0;
}


static void
mr_load_help(void)
{
    (void) printf(
        "millrace-load [OPTION...] http://HOST:PORT/PATH\n"
        "millrace-load --describe N | --emit N | --expand LOG\n"
        "\n"
        "Sends the events of the measured workload with POST and measures.\n"
        "\n"
        "  -d, --duration S     measure for S seconds\n"
        "  -n, --events N       send N events (with -d: whichever is first)\n"
        "  -w, --warmup S       seconds before the measured ones (0)\n"
        "  -f, --format F       ndjson, array or json (ndjson)\n"
        "  -k, --batch N        events a request (100)\n"
        "  -c, --connections N  of all threads together (64)\n"
        "  -t, --threads N      (1)\n"
        "  -r, --rate R         requests a second, sent when they are due\n"
        "                       whether or not earlier ones were answered;\n"
        "                       latency counts from when a request was due.\n"
        "                       Without it each connection sends its next\n"
        "                       request when it has the answer\n"
        "  -H, --header H       one more header, \"Name: value\"\n"
        "      --timeout S      seconds that an answer may take (30)\n"
        "      --retry          send again, once, what a connection that\n"
        "                       closed without a byte of an answer had\n"
        "                       taken; and, until --timeout, what got 503\n"
        "      --retry-wait S   after a 503 wait its Retry-After, but at\n"
        "                       most S seconds (5)\n"
        "      --json FILE      the result as JSON (- is standard output)\n"
        "      --log FILE       the sender's log: what was sent, and how it\n"
        "                       was answered\n"
        "  -q, --quiet          no table\n"
        "\n"
        "  -s, --seed N         which events (1)\n"
        "      --base S         time of the first event in UNIX seconds;\n"
        "                       without it, the time of sending\n"
        "      --pace R         events a second by which --base goes on\n"
        "                       (100000)\n"
        "      --repeat-window N  how many events back a repeated one is at\n"
        "                       most (10000)\n"
        "      --texts N        different metadata made beforehand (131072)\n"
        "\n"
        "      --describe N     what the first N events are like\n"
        "      --emit N         the first N events on standard output: as\n"
        "                       lines, or with -f array -k K a line of K\n"
        "      --expand LOG     event_id, user_id and status of every event\n"
        "                       in a sender's log, separated by tabs\n");
}
