#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <common/listen.h>
#include <common/metrics.h>
#include <common/version.h>

#include "check_common.h"


#define MR_THREADS 8

/* ThreadSanitizer has a thread of its own. */
#ifdef __SANITIZE_THREAD__
#define MR_PROCESS_THREADS 2
#else
#define MR_PROCESS_THREADS 1
#endif

#define MR_ADDS 100000


static char *mr_metrics_text(void);
static char *mr_http(const char *address, const char *request);
static void *mr_adder(void *ctx);


START_TEST(text)
{
    char *output;

    mr_metric_add(mr_metric(MR_METRIC_COUNTER, "b_total", "p=\"2\"", "Bs."), 5);
    mr_metric_set(
        mr_metric(MR_METRIC_GAUGE, "c", "", "A \\ and\na line."), 0.5);
    mr_metric_add(
        mr_metric(MR_METRIC_COUNTER, "b_total", "p=\"10\"", "Bs."), 7);
    (void) mr_metric(MR_METRIC_COUNTER, "a_total", "", "As.");

    output = mr_metrics_text();

    ck_assert_str_eq(output, "# HELP a_total As.\n"
                             "# TYPE a_total counter\n"
                             "a_total 0\n"
                             "# HELP b_total Bs.\n"
                             "# TYPE b_total counter\n"
                             "b_total{p=\"10\"} 7\n"
                             "b_total{p=\"2\"} 5\n"
                             "# HELP c A \\\\ and\\na line.\n"
                             "# TYPE c gauge\n"
                             "c 0.5\n");
    free(output);
}
END_TEST


START_TEST(same_metric)
{
    mr_metric_t *a, *b, *c;

    a = mr_metric(MR_METRIC_COUNTER, "x_total", "k=\"1\"", "X.");
    b = mr_metric(MR_METRIC_COUNTER, "x_total", "k=\"1\"", "X.");
    c = mr_metric(MR_METRIC_COUNTER, "x_total", "k=\"2\"", "X.");

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_ne(a, c);
}
END_TEST


static const struct {
    double value;
    const char *text;
} gauges[] = {
    {0.0, "g 0\n"},
    {-1.0, "g -1\n"},
    {0.1, "g 0.10000000000000001\n"},
    {1e300, "g 1.0000000000000001e+300\n"},
    {NAN, "g NaN\n"},
    {INFINITY, "g +Inf\n"},
    {-INFINITY, "g -Inf\n"},
};


START_TEST(gauge)
{
    char *output;
    mr_metric_t *metric;

    metric = mr_metric(MR_METRIC_GAUGE, "g", "", "G.");
    mr_metric_set(metric, gauges[_i].value);

    output = mr_metrics_text();
    ck_assert_ptr_nonnull(strstr(output, gauges[_i].text));
    free(output);
}
END_TEST


START_TEST(gauge_add)
{
    char *output;
    mr_metric_t *metric;

    metric = mr_metric(MR_METRIC_GAUGE, "g", "", "G.");
    mr_metric_set(metric, 1.5);
    mr_metric_add(metric, 3);
    mr_metric_add(metric, -4);

    output = mr_metrics_text();
    ck_assert_ptr_nonnull(strstr(output, "\ng 0.5\n"));
    free(output);
}
END_TEST


/* Added to in ms, shown in seconds. */
START_TEST(seconds)
{
    char *output;
    mr_metric_t *metric;

    metric = mr_metric(MR_METRIC_SECONDS, "s_seconds_total", "a=\"b\"", "S.");
    mr_metric_add(metric, 1234);
    mr_metric_add(metric, 70);

    output = mr_metrics_text();
    ck_assert_str_eq(output, "# HELP s_seconds_total S.\n"
                             "# TYPE s_seconds_total counter\n"
                             "s_seconds_total{a=\"b\"} 1.304\n");
    free(output);
}
END_TEST


/* A bound is in its bucket, and every bucket holds those before it. */
START_TEST(histogram)
{
    size_t i;
    char *output;
    mr_metric_t *metric;
    static const int64_t times[] = {-3, 0, 1, 2, 3, 30000, 30001};
    static const char *const lines[] = {
        "# TYPE h_seconds histogram\n",
        "\nh_seconds_bucket{p=\"1\",le=\"0.001\"} 3\n",
        "\nh_seconds_bucket{p=\"1\",le=\"0.002\"} 4\n",
        "\nh_seconds_bucket{p=\"1\",le=\"0.005\"} 5\n",
        "\nh_seconds_bucket{p=\"1\",le=\"10\"} 5\n",
        "\nh_seconds_bucket{p=\"1\",le=\"30\"} 6\n",
        "\nh_seconds_bucket{p=\"1\",le=\"+Inf\"} 7\n",
        "\nh_seconds_sum{p=\"1\"} 60.007\n",
        "\nh_seconds_count{p=\"1\"} 7\n",
    };

    metric = mr_metric(MR_METRIC_HISTOGRAM, "h_seconds", "p=\"1\"", "H.");

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        mr_metric_observe(metric, times[i]);
    }

    output = mr_metrics_text();

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ck_assert_msg(
            strstr(output, lines[i]) != NULL, "no %s in %s", lines[i], output);
    }

    free(output);
}
END_TEST


/* What Prometheus' own clients tell of a process. */
START_TEST(process)
{
    size_t i;
    double value;
    char *output, *p;
    static const struct {
        const char *name;
        double min, max;
    } metrics[] = {
        {"\nprocess_cpu_seconds_total ", 0, 3600},
        {"\nprocess_start_time_seconds ", 1.6e9, 1e11},
        {"\nprocess_resident_memory_bytes ", 1e5, 1e11},
        {"\nprocess_virtual_memory_bytes ", 1e6, 1e15},
        {"\nprocess_threads ", 1, MR_PROCESS_THREADS},
        {"\nprocess_open_fds ", 3, 1e5},
        {"\nprocess_max_fds ", 3, 1e19},
        {"\nmillrace_build_info{version=\"" MR_VERSION "\"} ", 1, 1},
    };

    mr_metrics_process();
    output = mr_metrics_text();

    for (i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        p = strstr(output, metrics[i].name);
        ck_assert_msg(p != NULL, "no %s in %s", metrics[i].name, output);

        value = strtod(p + strlen(metrics[i].name), NULL);
        ck_assert_msg(value >= metrics[i].min && value <= metrics[i].max,
            "%s%g", metrics[i].name, value);
    }

    free(output);
}
END_TEST


START_TEST(many)
{
    int i, n;
    char *output, *p, name[32];

    for (i = 0; i < 500; i++) {
        (void) snprintf(name, sizeof(name), "m%d_total", (i * 7919) % 500);
        mr_metric_add(mr_metric(MR_METRIC_COUNTER, name, "", "M."), i);
    }

    output = mr_metrics_text();

    for (n = 0, p = output; (p = strstr(p, "# TYPE ")) != NULL; p++) {
        n++;
    }

    ck_assert_int_eq(n, 500);
    free(output);
}
END_TEST


START_TEST(null)
{
    mr_metric_add(NULL, 1);
    mr_metric_set(NULL, 1);
}
END_TEST


START_TEST(label)
{
    char buf[64];

    buf[0] = '\0';

    ck_assert_int_eq(mr_metric_label(buf, sizeof(buf), "a", "b\\\"\nc"), 0);
    ck_assert_str_eq(buf, "a=\"b\\\\\\\"\\nc\"");

    ck_assert_int_eq(mr_metric_label(buf, sizeof(buf), "d", ""), 0);
    ck_assert_str_eq(buf, "a=\"b\\\\\\\"\\nc\",d=\"\"");
}
END_TEST


/* It fits exactly or not at all. */
START_TEST(label_size)
{
    char buf[16];
    size_t size;

    for (size = 1; size <= sizeof(buf); size++) {

        memset(buf, '#', sizeof(buf));
        buf[0] = '\0';

        if (mr_metric_label(buf, size, "ab", "c\"") == 0) {
            ck_assert_str_eq(buf, "ab=\"c\\\"\"");
            ck_assert_uint_ge(size, 9);

        } else {
            ck_assert_str_eq(buf, "");
            ck_assert_uint_lt(size, 11);
        }

        ck_assert_msg(size == sizeof(buf) || buf[size] == '#',
            "written beyond %zu", size);
    }
}
END_TEST


START_TEST(concurrent)
{
    int i;
    char *output, want[64];
    pthread_t list[MR_THREADS];

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&list[i], NULL, mr_adder, NULL), 0);
    }

    for (i = 0; i < MR_THREADS; i++) {
        ck_assert_int_eq(pthread_join(list[i], NULL), 0);
    }

    output = mr_metrics_text();

    (void) snprintf(
        want, sizeof(want), "\nhot_total %d\n", MR_THREADS * MR_ADDS);
    ck_assert_msg(strstr(output, want) != NULL, "%s", output);

    (void) snprintf(want, sizeof(want), "\nhot %d\n", MR_THREADS * MR_ADDS);
    ck_assert_msg(strstr(output, want) != NULL, "%s", output);

    free(output);
}
END_TEST


static const struct {
    const char *request;
    const char *status;
    const char *has;
} requests[] = {
    {"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 ", "\n# HELP served_total S.\n"},
    {"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 ",
        "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"},
    {"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 ", "Content-Length: "},
    {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 ", "\r\n\r\nok\n"},
    {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 ",
        "there are /metrics and /healthz\n"},
    {"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
     "Content-Length: 3\r\n\r\nabc",
        "HTTP/1.1 405 ", "\r\nAllow: GET, HEAD\r\n"},
};


START_TEST(server)
{
    char *answer;
    const char *address;
    mr_error_t err = MR_ERROR_INIT;

    mr_metric_add(mr_metric(MR_METRIC_COUNTER, "served_total", "", "S."), 1);

    address = mr_check_address();
    ck_assert_msg(mr_metrics_start(address, &err) == 0, "%s", err.message);

    answer = mr_http(address, requests[_i].request);

    ck_assert_msg(
        strncmp(answer, requests[_i].status, strlen(requests[_i].status)) == 0
            && strstr(answer, requests[_i].has) != NULL,
        "%s", answer);

    if (strncmp(requests[_i].request, "HEAD", 4) == 0) {
        ck_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    }

    free(answer);
    mr_metrics_stop();
}
END_TEST


START_TEST(port_taken)
{
    int fd;
    const char *address;
    mr_error_t err = MR_ERROR_INIT;

    address = mr_check_address();
    ck_assert_int_eq(mr_listen(address, &fd, &err), 0);

    ck_assert_int_eq(mr_metrics_start(address, &err), -1);
    ck_assert_int_eq(err.code, MR_ERROR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.message, address));
    ck_assert_ptr_nonnull(strstr(err.message, "Address already in use"));

    /* Stopping what was not started is allowed. */
    mr_metrics_stop();
    close(fd);
}
END_TEST


Suite *
mr_suite_metrics(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("metrics");
    tc = tcase_create("metrics");

    tcase_add_test(tc, text);
    tcase_add_test(tc, same_metric);
    tcase_add_loop_test(
        tc, gauge, 0, (int) (sizeof(gauges) / sizeof(gauges[0])));
    tcase_add_test(tc, gauge_add);
    tcase_add_test(tc, seconds);
    tcase_add_test(tc, histogram);
    tcase_add_test(tc, process);
    tcase_add_test(tc, many);
    tcase_add_test(tc, null);
    tcase_add_test(tc, label);
    tcase_add_test(tc, label_size);
    tcase_add_test(tc, concurrent);
    tcase_add_loop_test(
        tc, server, 0, (int) (sizeof(requests) / sizeof(requests[0])));
    tcase_add_test(tc, port_taken);

    suite_add_tcase(suite, tc);

    return suite;
}


static char *
mr_metrics_text(void)
{
    mr_buf_t buf = MR_BUF_INIT;

    ck_assert_int_eq(mr_metrics_write(&buf), 0);
    ck_assert_int_eq(mr_buf_append(&buf, "", 1), 0);

    return buf.data;
}


/* One request, the answer until the peer closes; the caller frees it. */
static char *
mr_http(const char *address, const char *request)
{
    int fd;
    char *answer;
    size_t len;
    ssize_t n;
    socklen_t size;
    struct timeval timeout = {10, 0};
    struct sockaddr_storage to;

    ck_assert_int_eq(mr_listen_parse(address, &to, &size), 0);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &to, size), 0);
    ck_assert_int_eq(
        write(fd, request, strlen(request)), (ssize_t) strlen(request));

    answer = calloc(1, 65536);
    ck_assert_ptr_nonnull(answer);
    len = 0;

    while ((n = read(fd, answer + len, 65535 - len)) > 0) {
        len += (size_t) n;
    }

    ck_assert_msg(n == 0, "no end of the answer: %s", answer);
    close(fd);

    return answer;
}


static void *
mr_adder(void *ctx)
{
    int i;
    mr_metric_t *counter, *level;

    (void) ctx;

    counter = mr_metric(MR_METRIC_COUNTER, "hot_total", "", "H.");
    level = mr_metric(MR_METRIC_GAUGE, "hot", "", "H.");

    for (i = 0; i < MR_ADDS; i++) {
        mr_metric_add(counter, 1);
        mr_metric_add(level, 1);
    }

    return NULL;
}
