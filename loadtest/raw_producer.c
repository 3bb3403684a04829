/*
 * What librdkafka alone can do: the workload's events produced from memory
 * in one process, with the settings that the module uses.  What the module
 * reaches over HTTP is read beside this figure.
 *
 * The events are made beforehand and sent in turn; only delivery reports
 * without an error count.
 *
 * With -n it makes a backlog instead: that many different events, whose times
 * are spread evenly over the -S seconds before now.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "generator/workload.h"


#define RAW_EVENTS 500000 /* made beforehand */
#define RAW_POLL 1000     /* events between two looks at the reports */

/* Where user_id's value stands in every event of the workload. */
#define RAW_USER                                                               \
    (sizeof("{\"event_id\":\"\",\"user_id\":\"") - 1 + MR_WORKLOAD_ID_LEN)


typedef struct {
    char *memory;
    char **events; /* one more than there are, so that each has an end */
    uint64_t n;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    uint64_t bytes; /* of a backlog */
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t failed;
    rd_kafka_resp_err_t err; /* the first */
} raw_t;


typedef struct {
    double warmup; /* s */
    double duration;
    double spread;  /* of a backlog, s */
    uint64_t count; /* its events; 0: none is wanted */
    uint64_t seed;
    const char *topic;
    rd_kafka_conf_t *conf;
} raw_options_t;


static int raw_options(int argc, char **argv, raw_options_t *ret_options);
static int raw_set(rd_kafka_conf_t *conf, const char *pair);
static int raw_seconds(const char *text, double *ret_seconds);
static int raw_make(raw_t *raw, uint64_t seed);
static int raw_open(raw_t *raw, const raw_options_t *options);
static void raw_report(
    rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
static void raw_send(raw_t *raw, double until);
static int raw_backlog(raw_t *raw, const raw_options_t *options);
static int raw_produce(raw_t *raw, char *event, size_t len, double until);
static void raw_tell(
    const raw_t *raw, uint64_t acknowledged, double seconds, double cpu);
static double raw_clock(void);
static double raw_cpu(void);


int
main(int argc, char **argv)
{
    int rc;
    double cpu, start, seconds;
    uint64_t before;
    raw_options_t options;
    raw_t raw;

    memset(&raw, 0, sizeof(raw));

    /* as the module does in a worker: the same for both */
    (void) mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    (void) mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
    (void) mallopt(M_TOP_PAD, 1024 * 1024);

    if (raw_options(argc, argv, &options) != 0) {
        return 2;
    }

    if ((options.count == 0 && raw_make(&raw, options.seed) != 0)
        || raw_open(&raw, &options) != 0)
    {
        free(raw.events);
        free(raw.memory);
        return 1;
    }

    if (options.count == 0) {
        raw_send(&raw, raw_clock() + options.warmup);
    }

    before = raw.acknowledged;
    start = raw_clock();
    cpu = raw_cpu();

    if (options.count == 0) {
        raw_send(&raw, start + options.duration);

    } else if (raw_backlog(&raw, &options) != 0) {
        return 1;
    }

    seconds = raw_clock() - start;
    cpu = raw_cpu() - cpu;
    before = raw.acknowledged - before;

    (void) rd_kafka_flush(raw.rk, 60000);

    rc = raw.failed || raw.acknowledged != raw.sent;

    raw_tell(&raw, before, seconds, cpu);

    rd_kafka_topic_destroy(raw.topic);
    rd_kafka_destroy(raw.rk);
    free(raw.events);
    free(raw.memory);

    return rc;
}


static int
raw_options(int argc, char **argv, raw_options_t *ret_options)
{
    int opt;
    char errstr[256];
    raw_options_t o = {.warmup = 1, .duration = 5, .spread = 86400, .seed = 1};

    o.conf = rd_kafka_conf_new();

    /* as the module has it; -X goes on top */

    if (raw_set(o.conf, "acks=all") != 0
        || raw_set(o.conf, "enable.idempotence=true") != 0
        || raw_set(o.conf, "partitioner=murmur2_random") != 0
        || raw_set(o.conf, "compression.codec=lz4") != 0)
    {
        return -1;
    }

    for (;;) {
        opt = getopt(argc, argv, "b:d:n:s:S:w:X:");

        if (opt == -1) {
            break;
        }

        switch (opt) {

        case 'b':
            if (rd_kafka_conf_set(
                    o.conf, "bootstrap.servers", optarg, errstr, sizeof(errstr))
                != RD_KAFKA_CONF_OK)
            {
                (void) fprintf(stderr, "raw_producer: %s\n", errstr);
                return -1;
            }
            break;

        case 'd':
            if (raw_seconds(optarg, &o.duration) != 0) {
                return -1;
            }
            break;

        case 'n':
            o.count = strtoull(optarg, NULL, 10);
            break;

        case 'S':
            if (raw_seconds(optarg, &o.spread) != 0) {
                return -1;
            }
            break;

        case 's':
            o.seed = strtoull(optarg, NULL, 10);
            break;

        case 'w':
            if (raw_seconds(optarg, &o.warmup) != 0) {
                return -1;
            }
            break;

        case 'X':
            if (raw_set(o.conf, optarg) != 0) {
                return -1;
            }
            break;

        default:
            optind = argc + 1;
        }

        if (optind > argc) {
            break;
        }
    }

    if (optind + 1 != argc) {
        (void) fprintf(stderr,
            "usage: raw_producer -b BROKERS [-w WARMUP] [-d SECONDS] "
            "[-s SEED] [-X PROPERTY=VALUE]... TOPIC\n"
            "       raw_producer -b BROKERS -n EVENTS [-S SECONDS] "
            "[-s SEED] [-X PROPERTY=VALUE]... TOPIC\n");
        return -1;
    }

    o.topic = argv[optind];
    *ret_options = o;

    return 0;
}


static int
raw_set(rd_kafka_conf_t *conf, const char *pair)
{
    char name[128], errstr[256];
    size_t len;
    const char *value;

    value = strchr(pair, '=');
    len = value ? (size_t) (value - pair) : 0;

    if (len == 0 || len >= sizeof(name)) {
        (void) fprintf(
            stderr, "raw_producer: \"%s\" is not property=value\n", pair);
        return -1;
    }

    memcpy(name, pair, len);
    name[len] = '\0';

    if (rd_kafka_conf_set(conf, name, value + 1, errstr, sizeof(errstr))
        != RD_KAFKA_CONF_OK)
    {
        (void) fprintf(stderr, "raw_producer: %s\n", errstr);
        return -1;
    }

    return 0;
}


static int
raw_seconds(const char *text, double *ret_seconds)
{
    char *end;
    double seconds;

    seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400)) {
        (void) fprintf(
            stderr, "raw_producer: \"%s\" is no number of seconds\n", text);
        return -1;
    }

    *ret_seconds = seconds;

    return 0;
}


static int
raw_make(raw_t *raw, uint64_t seed)
{
    char *p;
    int64_t now;
    uint64_t i;
    mr_workload_t *workload;
    mr_workload_options_t options = MR_WORKLOAD_DEFAULTS;

    options.seed = seed;
    workload = mr_workload_create(&options);

    raw->n = RAW_EVENTS;
    raw->memory = malloc(raw->n * MR_WORKLOAD_EVENT_MAX);
    raw->events = malloc((raw->n + 1) * sizeof(char *));

    if (workload == NULL || raw->memory == NULL || raw->events == NULL) {
        perror("raw_producer");
        return -1;
    }

    now = (int64_t) time(NULL) * 1000;
    p = raw->memory;

    for (i = 0; i < raw->n; i++) {
        raw->events[i] = p;
        p += mr_workload_event(workload, i, now, p);
    }

    raw->events[i] = p;

    mr_workload_destroy(workload);

    return 0;
}


static int
raw_open(raw_t *raw, const raw_options_t *options)
{
    char errstr[256];

    rd_kafka_conf_set_dr_msg_cb(options->conf, raw_report);
    rd_kafka_conf_set_opaque(options->conf, raw);

    raw->rk =
        rd_kafka_new(RD_KAFKA_PRODUCER, options->conf, errstr, sizeof(errstr));

    if (raw->rk == NULL) {
        (void) fprintf(stderr, "raw_producer: %s\n", errstr);
        rd_kafka_conf_destroy(options->conf);
        return -1;
    }

    raw->topic = rd_kafka_topic_new(raw->rk, options->topic, NULL);

    if (raw->topic == NULL) {
        (void) fprintf(stderr, "raw_producer: %s: %s\n", options->topic,
            rd_kafka_err2str(rd_kafka_last_error()));
        return -1;
    }

    return 0;
}


static void
raw_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    raw_t *raw = opaque;

    (void) rk;

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        raw->acknowledged++;
        return;
    }

    if (raw->failed++ == 0) {
        raw->err = message->err;
    }
}


/* As fast as the queue takes it, which is bounded by librdkafka. */
static void
raw_send(raw_t *raw, double until)
{
    char *event;
    uint64_t i;

    while (raw_clock() < until) {

        for (i = 0; i < RAW_POLL; i++) {
            event = raw->events[raw->sent % raw->n];

            if (raw_produce(raw, event,
                    (size_t) (raw->events[raw->sent % raw->n + 1] - event),
                    until)
                != 0)
            {
                return;
            }
        }

        (void) rd_kafka_poll(raw->rk, 0);
    }
}


static int
raw_backlog(raw_t *raw, const raw_options_t *options)
{
    int rc;
    char event[MR_WORKLOAD_EVENT_MAX];
    size_t len;
    uint64_t i;
    mr_workload_t *workload;
    mr_workload_options_t o = MR_WORKLOAD_DEFAULTS;

    o.seed = options->seed;
    o.base = (int64_t) ((double) time(NULL) - options->spread) * 1000;
    o.pace = (double) options->count / (options->spread + 1e-3);

    workload = mr_workload_create(&o);
    if (workload == NULL) {
        perror("raw_producer");
        return -1;
    }

    rc = 0;

    for (i = 0; i < options->count && rc == 0; i++) {
        len = mr_workload_event(workload, i, 0, event);
        raw->bytes += len;
        rc = raw_produce(raw, event, len, (double) INT32_MAX);

        if (i % RAW_POLL == 0) {
            (void) rd_kafka_poll(raw->rk, 0);
        }
    }

    mr_workload_destroy(workload);

    return rc;
}


/* Waits for room in the queue.  Returns -1 at `until`, or when it failed. */
static int
raw_produce(raw_t *raw, char *event, size_t len, double until)
{
    while (
        rd_kafka_produce(raw->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
            event, len, event + RAW_USER, MR_WORKLOAD_USER_LEN, NULL)
        == -1)
    {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            raw->failed++;
            raw->err = rd_kafka_last_error();
            return -1;
        }

        if (raw_clock() >= until) {
            return -1;
        }

        (void) rd_kafka_poll(raw->rk, 10);
    }

    raw->sent++;

    return 0;
}


/* One JSON object. */
static void
raw_tell(const raw_t *raw, uint64_t acknowledged, double seconds, double cpu)
{
    (void) printf("{\"events_per_second\":%.1f,\"seconds\":%.6f,"
                  "\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64
                  ",\"failed\":%" PRIu64 ",\"cpu_seconds\":%.6f,"
                  "\"bytes_per_event\":%.1f}\n",
        (double) acknowledged / seconds, seconds, raw->sent, raw->acknowledged,
        raw->failed, cpu,
        raw->events == NULL ? (double) raw->bytes / (double) raw->sent
                            : (double) (raw->events[raw->n] - raw->events[0])
                                  / (double) raw->n);

    if (raw->failed) {
        (void) fprintf(stderr, "raw_producer: %" PRIu64 " failed: %s\n",
            raw->failed, rd_kafka_err2str(raw->err));
    }
}


static double
raw_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* Of all threads, in seconds. */
static double
raw_cpu(void)
{
    struct rusage usage;

    (void) getrusage(RUSAGE_SELF, &usage);

    return (double) usage.ru_utime.tv_sec + (double) usage.ru_stime.tv_sec
           + ((double) usage.ru_utime.tv_usec + (double) usage.ru_stime.tv_usec)
                 / 1e6;
}
