#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <generator/report.h>
#include <generator/run.h>

#include "check_loadtest.h"


#define RATE 200
#define MS 1000000 /* in ns */
#define CONNECTIONS 4


/* Answers 202 but for a while, in ms of the run; stops on a byte. */
typedef struct {
    int listener;
    int stop[2];
    int64_t start;
    int from;
    int until;
    pthread_t thread;
} mr_stalling_t;


typedef struct {
    const char *name;
    int connections;
    double rate;
    int until;            /* ms: it answers again */
    uint64_t least, most; /* requests that the latencies have */
    uint64_t late, unanswered, backlog;
    uint64_t p90; /* us, at least */
} mr_stall_case_t;


static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n"
                             "\r\n{\"accepted\":1}";

/*
 * A request every 5 ms for 100 ms of warm-up and 400 ms, in whose second half
 * nobody is answered: 80 are due in the measured time.
 */
static const mr_stall_case_t cases[] = {
    {"answered after the end", 64, RATE, 600, 80, 80, 40, 0, 0, 150000},
    {"never answered", 64, RATE, 60000, 80, 80, 0, 40, 0, 300000},
    {"never sent", CONNECTIONS, RATE, 600, 80, 80, CONNECTIONS, 0,
        40 - CONNECTIONS, 150000},
    {"each when the last is answered", CONNECTIONS, 0, 600, 1, UINT64_MAX, 0, 0,
        0, 0}};


static mr_report_t report;


static int64_t
now_ms(const mr_stalling_t *server)
{
    return (mr_run_clock() - server->start) / MS;
}


static void *
serve(void *data)
{
    size_t i, n;
    char buf[65536];
    ssize_t got;
    mr_stalling_t *server = data;
    struct pollfd fds[80];

    fds[0] = (struct pollfd){server->stop[0], POLLIN, 0};
    fds[1] = (struct pollfd){server->listener, POLLIN, 0};
    n = 2;

    for (;;) {
        (void) poll(fds, n, -1);

        if (fds[0].revents) {
            break;
        }

        while (now_ms(server) >= server->from && now_ms(server) < server->until
               && poll(fds, 1, 1) == 0)
        {
        }

        for (i = 2; i < n; i++) {
            if (fds[i].fd >= 0 && fds[i].revents) {
                got = recv(fds[i].fd, buf, sizeof(buf), 0);

                if (got <= 0
                    || send(fds[i].fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL)
                           < 0) {
                    (void) close(fds[i].fd);
                    fds[i].fd = -1;
                }
            }
        }

        if (fds[1].revents && n < sizeof(fds) / sizeof(fds[0])) {
            fds[n] = (struct pollfd){
                accept(server->listener, NULL, NULL), POLLIN, 0};
            n++;
        }
    }

    for (i = 2; i < n; i++) {
        if (fds[i].fd >= 0) {
            (void) close(fds[i].fd);
        }
    }

    return NULL;
}


static void
listen_anywhere(mr_stalling_t *server, struct sockaddr_in *address)
{
    socklen_t len;

    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(*address);

    ck_assert_int_eq(pipe(server->stop), 0);
    ck_assert_int_eq(
        bind(server->listener, (struct sockaddr *) address, len), 0);
    ck_assert_int_eq(listen(server->listener, 128), 0);
    ck_assert_int_eq(
        getsockname(server->listener, (struct sockaddr *) address, &len), 0);
}


/* Both sides may be late on a machine that has much to do. */
static void
about(uint64_t got, uint64_t want, const char *what)
{
    ck_assert_msg(want == 0 ? got <= 20 : got >= want / 2,
        "%s: %lu, not about %lu", what, (unsigned long) got,
        (unsigned long) want);
}


START_TEST(test_a_stall_is_charged)
{
    char url[64];
    mr_run_t run;
    mr_result_t *result;
    mr_stalling_t server;
    struct sockaddr_in address;
    mr_load_options_t options;
    const mr_stall_case_t *row;

    row = &cases[_i];

    memset(&run, 0, sizeof(run));
    memset(&options, 0, sizeof(options));
    memset(&server, 0, sizeof(server));

    listen_anywhere(&server, &address);

    options.workload = (mr_workload_options_t) MR_WORKLOAD_DEFAULTS;
    options.workload.texts = 1000;
    options.format = MR_LOAD_JSON;
    options.batch = 1;
    options.threads = 1;
    options.connections = (uint32_t) row->connections;
    options.rate = row->rate;
    options.timeout = row->unanswered ? 0.5 : 20;
    options.url = url;
    (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/events",
        (unsigned) ntohs(address.sin_port));

    run.options = &options;
    run.log_fd = -1;
    run.batches = UINT64_MAX;
    ck_assert_int_eq(mr_run_prepare(&run), 0);
    run.workload = mr_workload_create(&options.workload);
    result = calloc(1, sizeof(mr_result_t));
    ck_assert(run.workload != NULL && result != NULL);

    run.start = mr_run_clock();
    run.measure = run.start + 100 * MS;
    run.end = run.start + 500 * MS;
    server.start = run.start;
    server.from = 300;
    server.until = row->until;
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, &server), 0);

    ck_assert_int_eq(mr_run_threads(&run, result), 0);

    ck_assert_int_eq(write(server.stop[1], "", 1), 1);
    (void) pthread_join(server.thread, NULL);

    mr_report_make(&run, result, &report);

    ck_assert_uint_ge(report.sum.latency.count, row->least);
    ck_assert_uint_le(report.sum.latency.count, row->most);
    ck_assert_uint_ge(
        mr_histogram_quantile(&report.sum.latency, 0.9), row->p90);
    about(report.sum.late, row->late, "late");
    about(report.sum.unanswered, row->unanswered, "unanswered");
    about(report.backlog, row->backlog, "backlog");

    (void) close(server.listener);
    (void) close(server.stop[0]);
    (void) close(server.stop[1]);
    mr_run_release(&run);
    mr_workload_destroy(run.workload);
    free(result);
}
END_TEST


Suite *
suite_client(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("client");

    tc = tcase_create("client");
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_a_stall_is_charged, 0,
        (int) (sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, tc);

    return suite;
}
