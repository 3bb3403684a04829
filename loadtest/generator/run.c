#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "run.h"


#define MR_RUN_HOST 256


typedef struct {
    mr_run_t *run;
    mr_result_t *result;
    pthread_t thread;
    uint32_t connections;
} mr_run_thread_t;


static int mr_run_resolve(mr_run_t *run, const char *host, const char *port);
static int mr_run_head(mr_run_t *run, const char *host, const char *path);
static void *mr_run_main(void *data);
static int mr_run_jiffies(double *ret_all, double *ret_idle);


int64_t
mr_run_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


int
mr_run_claim(mr_run_t *run, int64_t now, uint64_t *ret_batch, int64_t *ret_due)
{
    int64_t due;
    uint64_t next;

    next = atomic_load_explicit(&run->next, memory_order_relaxed);

    do {
        due = now;

        if (run->options->rate > 0) {
            due = mr_run_due(run, next);
        }

        if (next >= run->batches || now >= run->end || due >= run->end
            || atomic_load_explicit(&run->stop, memory_order_relaxed))
        {
            *ret_due = INT64_MAX;
            return 0;
        }

        if (due > now) {
            *ret_due = due;
            return 0;
        }

    } while (!atomic_compare_exchange_weak_explicit(&run->next, &next, next + 1,
        memory_order_relaxed, memory_order_relaxed));

    *ret_batch = next;
    *ret_due = due;

    return 1;
}


int64_t
mr_run_due(const mr_run_t *run, uint64_t batch)
{
    return run->start + (int64_t) ((double) batch * 1e9 / run->options->rate);
}


uint64_t
mr_run_backlog(mr_run_t *run)
{
    double due;
    uint64_t next;

    if (run->options->rate == 0 || run->end == INT64_MAX
        || atomic_load(&run->stop)) {
        return 0;
    }

    next = atomic_load(&run->next);
    due = (double) (run->end - run->start) / 1e9 * run->options->rate;

    if (due > (double) run->batches) {
        due = (double) run->batches;
    }

    return due > (double) next ? (uint64_t) due - next : 0;
}


void
mr_run_batch(const mr_run_t *run, uint64_t batch, uint64_t *ret_first,
    uint32_t *ret_count)
{
    uint64_t left;

    *ret_first = batch * run->options->batch;
    *ret_count = run->options->batch;

    if (run->options->events) {
        left = run->options->events - *ret_first;

        if (left < *ret_count) {
            *ret_count = (uint32_t) left;
        }
    }
}


int
mr_run_prepare(mr_run_t *run)
{
    size_t len;
    char host[MR_RUN_HOST], name[MR_RUN_HOST];
    const char *url, *path, *port, *end;

    url = run->options->url;

    if (strncmp(url, "http://", 7) != 0) {
        (void) fprintf(
            stderr, "millrace-load: %s: the URL begins with http://\n", url);
        return -1;
    }

    url += 7;
    path = strchr(url, '/');
    len = path ? (size_t) (path - url) : strlen(url);

    if (len == 0 || len >= sizeof(host)) {
        (void) fprintf(stderr, "millrace-load: the URL has no host\n");
        return -1;
    }

    memcpy(host, url, len);
    host[len] = '\0';

    /* [::1]:8080, 127.0.0.1:8080, localhost */

    end = host[0] == '[' ? strchr(host, ']') : NULL;
    port = strrchr(end ? end : host, ':');
    len = port ? (size_t) (port - host) : strlen(host);

    memcpy(name, host, len);
    name[len] = '\0';

    if (end) {
        len = (size_t) (end - host) - 1;
        memmove(name, name + 1, len);
        name[len] = '\0';
    }

    if (mr_run_resolve(run, name, port ? port + 1 : "80") != 0) {
        return -1;
    }

    return mr_run_head(run, host, path ? path : "/");
}


void
mr_run_release(mr_run_t *run)
{
    free(run->head);
}


static int
mr_run_resolve(mr_run_t *run, const char *host, const char *port)
{
    int rc;
    struct addrinfo hints, *found;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(host, port, &hints, &found);

    if (rc != 0) {
        (void) fprintf(stderr, "millrace-load: %s port %s: %s\n", host, port,
            gai_strerror(rc));
        return -1;
    }

    memcpy(&run->address, found->ai_addr, found->ai_addrlen);
    run->address_len = found->ai_addrlen;

    freeaddrinfo(found);

    return 0;
}


static int
mr_run_head(mr_run_t *run, const char *host, const char *path)
{
    FILE *out;
    unsigned i;

    out = open_memstream(&run->head, &run->head_len);
    if (out == NULL) {
        perror("millrace-load: open_memstream()");
        return -1;
    }

    (void) fprintf(out, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, host);
    (void) fprintf(out, "Content-Type: application/%s\r\n",
        run->options->format == MR_LOAD_NDJSON ? "x-ndjson" : "json");

    for (i = 0; i < run->options->nheaders; i++) {
        (void) fprintf(out, "%s\r\n", run->options->headers[i]);
    }

    (void) fprintf(out, "Content-Length: ");

    if (fclose(out) != 0 || run->head_len > MR_CLIENT_HEAD_MAX) {
        (void) fprintf(stderr,
            "millrace-load: the headers are longer than %d "
            "bytes\n",
            MR_CLIENT_HEAD_MAX);
        free(run->head);
        run->head = NULL;
        return -1;
    }

    return 0;
}


int
mr_run_threads(mr_run_t *run, mr_result_t *results)
{
    int rc;
    double all[2], idle[2];
    uint32_t i, n, started;
    sigset_t signals;
    struct timespec ts;
    mr_run_thread_t *threads;

    n = run->options->threads;
    rc = 0;

    threads = calloc(n, sizeof(mr_run_thread_t));
    if (threads == NULL) {
        perror("millrace-load: calloc()");
        return -1;
    }

    /* a signal shall wake this thread */

    (void) sigemptyset(&signals);
    (void) sigaddset(&signals, SIGINT);
    (void) sigaddset(&signals, SIGTERM);
    (void) pthread_sigmask(SIG_BLOCK, &signals, NULL);

    for (started = 0; started < n && rc == 0; started++) {
        threads[started].run = run;
        threads[started].result = &results[started];
        threads[started].connections =
            run->options->connections / n
            + (started < run->options->connections % n);

        rc = pthread_create(
            &threads[started].thread, NULL, mr_run_main, &threads[started]);
    }

    (void) pthread_sigmask(SIG_UNBLOCK, &signals, NULL);

    if (rc) {
        (void) fprintf(
            stderr, "millrace-load: pthread_create(): %s\n", strerror(rc));
        atomic_store(&run->stop, 1);
        started--;
    }

    /* the machine's idle time, if the bounds are known */

    run->idle = -1;

    if (rc == 0 && run->end != INT64_MAX && run->batches == UINT64_MAX) {
        ts.tv_sec = run->measure / 1000000000;
        ts.tv_nsec = run->measure % 1000000000;
        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);

        if (mr_run_jiffies(&all[0], &idle[0]) == 0) {
            ts.tv_sec = run->end / 1000000000;
            ts.tv_nsec = run->end % 1000000000;

            /* a signal cuts it short: then there is no figure */

            if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0
                && mr_run_jiffies(&all[1], &idle[1]) == 0 && all[1] > all[0])
            {
                run->idle = (idle[1] - idle[0]) / (all[1] - all[0]);
            }
        }
    }

    for (i = 0; i < started; i++) {
        (void) pthread_join(threads[i].thread, NULL);
    }

    run->finished = mr_run_clock();

    free(threads);

    return rc ? -1 : 0;
}


static void *
mr_run_main(void *data)
{
    mr_run_thread_t *thread = data;

    mr_client_run(thread->run, thread->connections, thread->result);

    return NULL;
}


/* The first line of /proc/stat: user nice system idle iowait ... */
static int
mr_run_jiffies(double *ret_all, double *ret_idle)
{
    int i, n;
    FILE *file;
    double values[8];

    file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return -1;
    }

    n = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &values[0],
        &values[1], &values[2], &values[3], &values[4], &values[5], &values[6],
        &values[7]);

    (void) fclose(file);

    if (n != 8) {
        return -1;
    }

    *ret_all = 0;
    *ret_idle = values[3] + values[4];

    for (i = 0; i < 8; i++) {
        *ret_all += values[i];
    }

    return 0;
}
