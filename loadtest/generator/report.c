#include <inttypes.h>
#include <string.h>

#include "report.h"


typedef struct {
    const char *name;
    double quantile;
} mr_report_quantile_t;


static void mr_report_add(mr_result_t *sum, const mr_result_t *result);
static void mr_report_charge(mr_report_t *report, mr_run_t *run);
static void mr_report_trouble(const mr_report_t *report, FILE *out);
static double mr_report_ms(const mr_report_t *report, double quantile);
static void mr_report_json_counts(
    const char *name, const mr_counts_t *counts, FILE *out);
static void mr_report_json_string(const char *text, size_t len, FILE *out);


static const mr_report_quantile_t mr_report_quantiles[] = {{"p50", 0.5},
    {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}, {NULL, 0}};

static const char *const mr_report_formats[] = {"ndjson", "array", "json"};


void
mr_report_make(
    mr_run_t *run, const mr_result_t *results, mr_report_t *ret_report)
{
    double busy;
    int64_t end;
    uint32_t i;

    memset(ret_report, 0, sizeof(mr_report_t));

    end = run->finished < run->end ? run->finished : run->end;

    ret_report->run = run;
    ret_report->backlog = mr_run_backlog(run);
    ret_report->seconds =
        end > run->measure ? (double) (end - run->measure) / 1e9 : 0;

    for (i = 0; i < run->options->threads; i++) {
        mr_report_add(&ret_report->sum, &results[i]);

        busy =
            ret_report->seconds > 0 ? results[i].cpu / ret_report->seconds : 0;

        if (busy > ret_report->busiest) {
            ret_report->busiest = busy;
        }
    }

    if (ret_report->backlog) {
        mr_report_charge(ret_report, run);
    }
}


static void
mr_report_add(mr_result_t *sum, const mr_result_t *result)
{
    unsigned i;

    for (i = 0; i < MR_STATUS_MAX; i++) {
        sum->all.requests[i] += result->all.requests[i];
        sum->all.events[i] += result->all.events[i];
        sum->measured.requests[i] += result->measured.requests[i];
        sum->measured.events[i] += result->measured.events[i];
    }

    for (i = 0; i < MR_RUN_SECONDS; i++) {
        sum->seconds[i] += result->seconds[i];
    }

    mr_histogram_merge(&sum->latency, &result->latency);

    sum->late += result->late;
    sum->unanswered += result->unanswered;
    sum->sent += result->sent;
    sum->bytes_sent += result->bytes_sent;
    sum->bytes_received += result->bytes_received;
    sum->connects += result->connects;
    sum->connects_failed += result->connects_failed;
    sum->closed += result->closed;
    sum->cut += result->cut;
    sum->broken += result->broken;
    sum->timeouts += result->timeouts;
    sum->retried_closed += result->retried_closed;
    sum->retried_503 += result->retried_503;
    sum->miscounted += result->miscounted;
    sum->cpu += result->cpu;

    if (sum->sample_status == 0) {
        sum->sample_status = result->sample_status;
        memcpy(sum->sample, result->sample, sizeof(sum->sample));
    }

    if (sum->log_errno == 0) {
        sum->log_errno = result->log_errno;
    }

    if (sum->failed == 0) {
        sum->failed = result->failed;
    }
}


/* What was due and never begun has waited for that until the last answer. */
static void
mr_report_charge(mr_report_t *report, mr_run_t *run)
{
    int64_t due;
    uint64_t batch;

    for (batch = atomic_load(&run->next); batch < run->batches; batch++) {
        due = mr_run_due(run, batch);

        if (due >= run->end) {
            break;
        }

        if (due >= run->measure) {
            mr_histogram_add(
                &report->sum.latency, (uint64_t) (run->finished - due) / 1000);
        }
    }
}


void
mr_report_table(const mr_report_t *report, FILE *out)
{
    double s;
    unsigned status;
    const mr_result_t *sum;
    const mr_load_options_t *o;
    const mr_report_quantile_t *q;

    sum = &report->sum;
    o = report->run->options;
    s = report->seconds > 0 ? report->seconds : 1;

    (void) fprintf(out,
        "%s, %" PRIu32 " connections, %" PRIu32 " thread%s, %s of %" PRIu32
        ", ",
        o->url, o->connections, o->threads, o->threads == 1 ? "" : "s",
        mr_report_formats[o->format], o->batch);

    if (o->rate > 0) {
        (void) fprintf(out, "%g requests/s as they are due\n", o->rate);

    } else {
        (void) fprintf(out, "each when the last is answered\n");
    }

    (void) fprintf(out, "  measured     %.1f s after %.1f s\n", report->seconds,
        o->warmup);

    for (status = 1; status < MR_STATUS_MAX; status++) {

        if (sum->measured.requests[status] == 0
            && sum->all.requests[status] == 0) {
            continue;
        }

        (void) fprintf(out,
            "  %3u          %10.0f requests/s %10.0f events/s"
            "   (in all %" PRIu64 " and %" PRIu64 ")\n",
            status, (double) sum->measured.requests[status] / s,
            (double) sum->measured.events[status] / s,
            sum->all.requests[status], sum->all.events[status]);
    }

    (void) fprintf(out, "  latency, ms ");

    for (q = mr_report_quantiles; q->name; q++) {
        (void) fprintf(
            out, " %s %.2f", q->name, mr_report_ms(report, q->quantile));
    }

    (void) fprintf(out, " max %.2f\n", mr_report_ms(report, 1));

    mr_report_trouble(report, out);

    (void) fprintf(out, "  generator    %.0f %% of a core", 100 * sum->cpu / s);

    if (report->run->idle >= 0) {
        (void) fprintf(out, "; machine idle %.0f %%", 100 * report->run->idle);
    }

    (void) fprintf(out, "\n");
}


/* Only what there is. */
static void
mr_report_trouble(const mr_report_t *report, FILE *out)
{
    unsigned i;
    const mr_result_t *sum;
    struct {
        const char *text;
        uint64_t n;
    } rows[] = {{"closed without a byte of an answer", report->sum.closed},
        {"closed in the middle of an answer", report->sum.cut},
        {"answers that are no HTTP", report->sum.broken},
        {"no answer in time", report->sum.timeouts},
        {"202 for another number of events", report->sum.miscounted},
        {"failures to connect", report->sum.connects_failed},
        {"sent again after a close", report->sum.retried_closed},
        {"sent again after a 503", report->sum.retried_503},
        {"answered after the end; the latencies have them", report->sum.late},
        {"never answered; the latencies have the time they were waited for",
            report->sum.unanswered},
        {"due but never sent: all connections were busy", report->backlog}};

    sum = &report->sum;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].n) {
            (void) fprintf(
                out, "  %-12" PRIu64 " %s\n", rows[i].n, rows[i].text);
        }
    }

    if (sum->sample_status) {
        (void) fprintf(out, "  a %u said    %.*s\n", sum->sample_status,
            (int) sizeof(sum->sample), sum->sample);
    }
}


static double
mr_report_ms(const mr_report_t *report, double quantile)
{
    return (double) mr_histogram_quantile(&report->sum.latency, quantile)
           / 1000;
}


void
mr_report_json(const mr_report_t *report, FILE *out)
{
    double s;
    int64_t i, last;
    uint64_t answered;
    unsigned status;
    const mr_result_t *sum;
    const mr_load_options_t *o;
    const mr_report_quantile_t *q;

    sum = &report->sum;
    o = report->run->options;
    s = report->seconds > 0 ? report->seconds : 1;

    (void) fprintf(out, "{\"url\":");
    mr_report_json_string(o->url, strlen(o->url), out);

    (void) fprintf(out,
        ",\"format\":\"%s\",\"batch\":%" PRIu32 ",\"connections\":%" PRIu32
        ",\"threads\":%" PRIu32 ",\"rate\":%g,\"seed\":%" PRIu64
        ",\"warmup\":%.3f,\"seconds\":%.6f",
        mr_report_formats[o->format], o->batch, o->connections, o->threads,
        o->rate, o->workload.seed, o->warmup, report->seconds);

    answered = 0;

    for (status = 1; status < MR_STATUS_MAX; status++) {
        answered += sum->measured.requests[status];
    }

    (void) fprintf(out,
        ",\"requests_per_second\":%.1f,\"events_per_second\":%.1f",
        (double) answered / s, (double) sum->measured.events[202] / s);

    mr_report_json_counts("measured", &sum->measured, out);
    mr_report_json_counts("all", &sum->all, out);

    (void) fprintf(out,
        ",\"latency_ms\":{\"count\":%" PRIu64 ",\"min\":%.3f,"
        "\"mean\":%.3f",
        sum->latency.count, (double) sum->latency.min / 1000,
        sum->latency.count
            ? (double) sum->latency.sum / 1000 / (double) sum->latency.count
            : 0);

    for (q = mr_report_quantiles; q->name; q++) {
        (void) fprintf(
            out, ",\"%s\":%.3f", q->name, mr_report_ms(report, q->quantile));
    }

    (void) fprintf(out, ",\"max\":%.3f}", mr_report_ms(report, 1));

    (void) fprintf(out,
        ",\"sent\":%" PRIu64 ",\"bytes_sent\":%" PRIu64
        ",\"bytes_received\":%" PRIu64 ",\"connects\":%" PRIu64
        ",\"connects_failed\":%" PRIu64 ",\"closed\":%" PRIu64
        ",\"cut\":%" PRIu64 ",\"broken\":%" PRIu64 ",\"timeouts\":%" PRIu64
        ",\"retried_closed\":%" PRIu64 ",\"retried_503\":%" PRIu64
        ",\"miscounted\":%" PRIu64 ",\"backlog\":%" PRIu64 ",\"late\":%" PRIu64
        ",\"unanswered\":%" PRIu64,
        sum->sent, sum->bytes_sent, sum->bytes_received, sum->connects,
        sum->connects_failed, sum->closed, sum->cut, sum->broken, sum->timeouts,
        sum->retried_closed, sum->retried_503, sum->miscounted, report->backlog,
        sum->late, sum->unanswered);

    (void) fprintf(out,
        ",\"cpu_seconds\":%.6f,\"busiest_thread\":%.4f,"
        "\"generator_is_the_limit\":%s,\"machine_idle\":",
        sum->cpu, report->busiest,
        report->busiest > MR_REPORT_BUSY ? "true" : "false");

    if (report->run->idle >= 0) {
        (void) fprintf(out, "%.4f", report->run->idle);

    } else {
        (void) fprintf(out, "null");
    }

    if (sum->sample_status) {
        (void) fprintf(
            out, ",\"sample\":{\"status\":%u,\"body\":", sum->sample_status);
        mr_report_json_string(
            sum->sample, strnlen(sum->sample, sizeof(sum->sample)), out);
        (void) fprintf(out, "}");
    }

    /* acknowledged events in each second of the run */

    last = (report->run->finished - report->run->start) / 1000000000;
    (void) fprintf(out, ",\"acknowledged_by_second\":[");

    for (i = 0; i <= last && i < MR_RUN_SECONDS; i++) {
        (void) fprintf(out, "%s%" PRIu32, i ? "," : "", sum->seconds[i]);
    }

    (void) fprintf(out, "]}\n");
}


/* Status "0": no whole answer came. */
static void
mr_report_json_counts(const char *name, const mr_counts_t *counts, FILE *out)
{
    unsigned status;
    const char *comma;

    (void) fprintf(out, ",\"%s\":{", name);
    comma = "";

    for (status = 0; status < MR_STATUS_MAX; status++) {
        if (counts->requests[status]) {
            (void) fprintf(out,
                "%s\"%u\":{\"requests\":%" PRIu64 ",\"events\":%" PRIu64 "}",
                comma, status, counts->requests[status],
                counts->events[status]);
            comma = ",";
        }
    }

    (void) fprintf(out, "}");
}


static void
mr_report_json_string(const char *text, size_t len, FILE *out)
{
    size_t i;
    unsigned char c;

    (void) fputc('"', out);

    for (i = 0; i < len; i++) {
        c = (unsigned char) text[i];

        if (c == '"' || c == '\\') {
            (void) fprintf(out, "\\%c", c);

        } else if (c < 0x20 || c >= 0x7f) {
            (void) fprintf(out, "\\u%04x", c);

        } else {
            (void) fputc(c, out);
        }
    }

    (void) fputc('"', out);
}


unsigned
mr_report_warn(const mr_report_t *report)
{
    unsigned n;
    const mr_result_t *sum;

    n = 0;
    sum = &report->sum;

    if (report->busiest > MR_REPORT_BUSY) {
        (void) fprintf(stderr,
            "millrace-load: WARNING: a thread of the generator used %.0f %% "
            "of a core: the figures are its own limit; use more threads "
            "(-t)\n",
            100 * report->busiest);
        n++;
    }

    if (report->run->options->rate > 0 && report->backlog) {
        (void) fprintf(stderr,
            "millrace-load: WARNING: %" PRIu64 " requests were due and never "
            "sent: the latencies have them with the time until the last "
            "answer, and are too low; use more connections (-c) or a lower "
            "rate (-r)\n",
            report->backlog);
        n++;
    }

    if (sum->unanswered) {
        (void) fprintf(stderr,
            "millrace-load: WARNING: %" PRIu64 " requests got no answer: the "
            "latencies have them with the time that they were waited for, "
            "and are too low\n",
            sum->unanswered);
        n++;
    }

    if (sum->failed) {
        (void) fprintf(stderr, "millrace-load: a thread could not work: %s\n",
            strerror(sum->failed));
        n++;
    }

    if (sum->log_errno) {
        (void) fprintf(stderr,
            "millrace-load: the sender's log is not complete: %s\n",
            strerror(sum->log_errno));
        n++;
    }

    return n;
}
