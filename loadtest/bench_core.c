/*
 * How fast the core is by itself, on one thread: `make bench-core`.
 *
 * Each figure is the best of several rounds, since what disturbs a round
 * can only make it slower.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/batch.h>
#include <millrace/hash.h>
#include <millrace/json.h>
#include <millrace/value.h>


#define ROUNDS 15
#define ROUND_NS 40e6
#define BATCH 1000
#define MANY_KEYS 8000
#define HOSTILE (16 * 1024 * 1024)

/* 272 bytes of a usual shape. */
static const char EVENT[] =
    "{\"event_id\":\"018bcfe5-6800-7c3a-9d2e-5f1c0a7b42d9\","
    "\"user_id\":\"user-0042917\",\"event_type\":\"product_view\","
    "\"timestamp\":1700000000.123,\"metadata\":{\"path\":"
    "\"/catalog/shoes/4711\",\"referrer\":\"newsletter\",\"value\":59.95,"
    "\"position\":12,\"device\":\"mobile\",\"session\":\"8f14e45fceea167a\"}}";


/* What every benchmark works on. */

typedef struct {
    mr_parser_t *parser;
    mr_str_t text;
    mr_format_t format;
    mr_event_t event;
    mr_pointer_t *pointer;
    mr_buf_t out;
    uint64_t sum; /* so that no work can be left out */
} bench_t;


/* Does the work once; returns how many units of it that were. */
typedef size_t (*bench_fn)(bench_t *bench);


static double bench_ns(bench_t *bench, bench_fn fn);
static double bench_clock(void);
static void bench_report(const char *what, double ns, double bytes);
static void bench_fail(const char *what, const mr_error_t *err);
static void bench_body(mr_buf_t *body, mr_format_t format);
static void bench_keys(mr_buf_t *text);


static size_t
bench_parse(bench_t *bench)
{
    mr_error_t err;

    if (mr_event_parse(bench->parser, bench->text, &bench->event, &err) != 0) {
        bench_fail("parse", &err);
    }

    bench->sum += (uint64_t) bench->event.timestamp;

    return 1;
}


static size_t
bench_admit(bench_t *bench)
{
    mr_hash_t hash;
    mr_error_t err;

    static const mr_policy_t policy = {64 * 1024, 86400000};

    (void) bench_parse(bench);

    if (mr_event_admit(&bench->event, bench->text.len, &policy,
            INT64_C(1700000000000), &err)
        != 0)
    {
        bench_fail("admit", &err);
    }

    hash = mr_hash_identity(bench->event.user_id, bench->event.event_id);
    bench->sum += hash.lo;

    return 1;
}


static size_t
bench_number(bench_t *bench)
{
    double number;

    if (mr_event_number(&bench->event, bench->pointer, &number)
        != MR_NUMBER_FOUND) {
        bench_fail("number", NULL);
    }

    bench->sum += (uint64_t) number;

    return 1;
}


static size_t
bench_batch(bench_t *bench)
{
    size_t n;
    mr_str_t slice;
    mr_batch_t batch;
    mr_error_t err;
    mr_batch_status_t status;

    mr_batch_init(&batch, bench->format, bench->text);

    for (n = 0;; n++) {
        status =
            mr_batch_next(&batch, bench->parser, &slice, &bench->event, &err);

        if (status != MR_BATCH_EVENT) {
            break;
        }

        bench->sum += slice.len;
    }

    if (status != MR_BATCH_DONE) {
        bench_fail("batch", &err);
    }

    return n;
}


/* A body that is hostile: it need not be a batch. */

static size_t
bench_hostile(bench_t *bench)
{
    mr_str_t slice;
    mr_batch_t batch;
    mr_batch_status_t status;

    mr_batch_init(&batch, bench->format, bench->text);

    do {
        status =
            mr_batch_next(&batch, bench->parser, &slice, &bench->event, NULL);
    } while (status == MR_BATCH_EVENT || status == MR_BATCH_INVALID);

    bench->sum += status;

    return 1;
}


static size_t
bench_real(bench_t *bench)
{
    mr_buf_reset(&bench->out);

    if (mr_json_real(&bench->out, 59.95) != 0) {
        bench_fail("real", NULL);
    }

    bench->sum += bench->out.len;

    return 1;
}


int
main(void)
{
    bench_t bench;
    mr_buf_t body = MR_BUF_INIT;
    mr_error_t err = MR_ERROR_INIT;

    memset(&bench, 0, sizeof(bench));
    bench.parser = mr_parser_create();

    if (bench.parser == NULL
        || mr_pointer_compile(mr_str("/metadata/value"), &bench.pointer, &err)
               != 0)
    {
        bench_fail("start", &err);
    }

    bench.text.data = EVENT;
    bench.text.len = sizeof(EVENT) - 1;

    printf("one event of %zu bytes\n", bench.text.len);
    bench_report("  parse and judge", bench_ns(&bench, bench_parse),
        (double) bench.text.len);
    bench_report("  the same, policy and identity hash",
        bench_ns(&bench, bench_admit), (double) bench.text.len);
    bench_report("  one JSON Pointer", bench_ns(&bench, bench_number), 0);
    bench_report("  write a double", bench_ns(&bench, bench_real), 0);

    printf("an event of a body of %d\n", BATCH);

    bench.format = MR_FORMAT_JSON;
    bench_body(&body, bench.format);
    bench.text.data = body.data;
    bench.text.len = body.len;
    bench_report(
        "  array", bench_ns(&bench, bench_batch), (double) body.len / BATCH);

    bench.format = MR_FORMAT_NDJSON;
    bench_body(&body, bench.format);
    bench.text.data = body.data;
    bench.text.len = body.len;
    bench_report(
        "  NDJSON", bench_ns(&bench, bench_batch), (double) body.len / BATCH);

    printf("hostile\n");

    bench_keys(&body);
    bench.text.data = body.data;
    bench.text.len = body.len;
    bench_report("  one event of 8000 keys", bench_ns(&bench, bench_parse),
        (double) body.len);

    mr_buf_reset(&body);

    if (mr_buf_reserve(&body, HOSTILE) != 0) {
        bench_fail("memory", NULL);
    }

    memset(body.data, '[', HOSTILE);
    bench.text.data = body.data;
    bench.text.len = HOSTILE;
    bench.format = MR_FORMAT_JSON;
    bench_report("  16 MiB of '['", bench_ns(&bench, bench_hostile), HOSTILE);

    memset(body.data + 1, '\\', HOSTILE - 1);
    bench_report("  16 MiB of '\\'", bench_ns(&bench, bench_hostile), HOSTILE);

    body.data[1] = '"';
    memset(body.data + 2, 'x', HOSTILE - 2);
    bench_report(
        "  16 MiB of a string", bench_ns(&bench, bench_hostile), HOSTILE);

    memset(body.data, '\n', HOSTILE);
    bench.format = MR_FORMAT_NDJSON;
    bench_report(
        "  16 MiB of empty lines", bench_ns(&bench, bench_hostile), HOSTILE);

    printf("(checksum %016" PRIx64 ")\n", bench.sum);

    mr_buf_free(&body);
    mr_buf_free(&bench.out);
    mr_pointer_destroy(bench.pointer);
    mr_parser_destroy(bench.parser);

    return EXIT_SUCCESS;
}


/* Nanoseconds a unit of work. */

static double
bench_ns(bench_t *bench, bench_fn fn)
{
    int round;
    double best, spent, start;
    size_t calls, i, n;

    calls = 1;
    best = 0;

    for (round = 0; round < ROUNDS; /* void */) {
        n = 0;
        start = bench_clock();

        for (i = 0; i < calls; i++) {
            n += fn(bench);
        }

        spent = bench_clock() - start;

        if (spent < ROUND_NS / 2) {
            calls *= 2;
            continue;
        }

        if (round == 0 || spent / (double) n < best) {
            best = spent / (double) n;
        }

        round++;
    }

    return best;
}


static double
bench_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}


static void
bench_report(const char *what, double ns, double bytes)
{
    if (ns < 1e5) {
        printf("%-40s %10.0f ns", what, ns);

    } else {
        printf("%-40s %10.2f ms", what, ns / 1e6);
    }

    if (bytes > 0) {
        printf(" %8.0f MB/s", bytes / ns * 1e3);
    }

    printf("\n");
}


static void
bench_fail(const char *what, const mr_error_t *err)
{
    (void) fprintf(stderr, "bench_core: %s failed%s%s\n", what,
        err != NULL ? ": " : "", err != NULL ? err->message : "");
    exit(EXIT_FAILURE);
}


static void
bench_body(mr_buf_t *body, mr_format_t format)
{
    int i, rc;

    mr_buf_reset(body);
    rc = 0;

    for (i = 0; i < BATCH; i++) {
        if (format == MR_FORMAT_JSON) {
            rc |= mr_buf_append(body, i == 0 ? "[" : ",", 1);
        }

        rc |= mr_buf_append(body, EVENT, sizeof(EVENT) - 1);

        if (format == MR_FORMAT_NDJSON) {
            rc |= mr_buf_append(body, "\n", 1);
        }
    }

    if (format == MR_FORMAT_JSON) {
        rc |= mr_buf_append(body, "]", 1);
    }

    if (rc != 0) {
        bench_fail("memory", NULL);
    }
}


static void
bench_keys(mr_buf_t *text)
{
    int i, rc;

    mr_buf_reset(text);
    rc = mr_buf_printf(text, "{\"event_id\":\"e\",\"user_id\":\"u\","
                             "\"event_type\":\"t\",\"timestamp\":1,"
                             "\"metadata\":");

    for (i = 0; i < MANY_KEYS; i++) {
        rc |= mr_buf_printf(text, "%c\"%x\":1", i == 0 ? '{' : ',', i);
    }

    rc |= mr_buf_append(text, "}}", 2);

    if (rc != 0) {
        bench_fail("memory", NULL);
    }
}
