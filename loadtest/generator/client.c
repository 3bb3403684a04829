#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"
#include "sentlog.h"


#define MR_CLIENT_EVENTS 256
#define MR_CLIENT_TICK 20000000       /* ns between two looks at all */
#define MR_CLIENT_RECONNECT 100000000 /* ns after a failure */


typedef struct {
    mr_run_t *run;
    mr_result_t *result;
    int epoll;
    mr_connection_t *connections;
    uint32_t n;
    uint32_t active;  /* that have a request */
    uint32_t *idle;   /* a ring of those that have none */
    uint32_t idle_at; /* its first */
    int64_t due;      /* of the next batch; INT64_MAX: there is none */
    int64_t tick;     /* next look at all connections */
    double cpu;       /* s of this thread when the measured time began */
    int marks;        /* 0 before the measured time, 1 within, 2 after */
    mr_sentlog_t log;
} mr_client_t;


static int mr_client_init(
    mr_client_t *client, mr_run_t *run, uint32_t n, mr_result_t *result);
static void mr_client_free(mr_client_t *client);
static void mr_client_loop(mr_client_t *client);
static void mr_client_wait(mr_client_t *client, int64_t now);
static void mr_client_fill(mr_client_t *client, int64_t now);
static void mr_client_begin(
    mr_client_t *client, mr_connection_t *c, uint64_t batch, int64_t due);
static void mr_client_try(mr_client_t *client, mr_connection_t *c);
static void mr_client_ready(
    mr_client_t *client, mr_connection_t *c, uint32_t events);
static void mr_client_answered(mr_client_t *client, mr_connection_t *c);
static void mr_client_lost(
    mr_client_t *client, mr_connection_t *c, mr_io_t how);
static void mr_client_again(
    mr_client_t *client, mr_connection_t *c, int64_t until);
static void mr_client_count(
    mr_client_t *client, mr_connection_t *c, unsigned status, int64_t now);
static void mr_client_charge(
    mr_client_t *client, mr_connection_t *c, unsigned status, int64_t now);
static void mr_client_count_answer(
    mr_client_t *client, mr_connection_t *c, int64_t now);
static void mr_client_finish(
    mr_client_t *client, mr_connection_t *c, unsigned status);
static void mr_client_look(mr_client_t *client, int64_t now);
static void mr_client_mark(mr_client_t *client, int64_t now);
static double mr_client_cpu(void);


void
mr_client_run(mr_run_t *run, uint32_t connections, mr_result_t *result)
{
    mr_client_t *client;

    client = calloc(1, sizeof(mr_client_t));

    if (client == NULL || mr_client_init(client, run, connections, result) != 0)
    {
        result->failed = errno;

    } else {
        mr_client_loop(client);
    }

    mr_client_free(client);
}


static int
mr_client_init(
    mr_client_t *client, mr_run_t *run, uint32_t n, mr_result_t *result)
{
    uint32_t i;

    client->run = run;
    client->result = result;
    mr_sentlog_init(&client->log, run->log_fd);

    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->idle = malloc(n * sizeof(uint32_t));
    client->connections = calloc(n, sizeof(mr_connection_t));

    if (client->epoll == -1 || client->idle == NULL
        || client->connections == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        if (mr_connection_init(&client->connections[i], run) != 0) {
            return -1;
        }

        client->idle[i] = i;
        client->n++;
    }

    return 0;
}


static void
mr_client_free(mr_client_t *client)
{
    uint32_t i;

    if (client == NULL) {
        return;
    }

    for (i = 0; i < client->n; i++) {
        mr_connection_free(&client->connections[i]);
    }

    if (client->epoll > 0) {
        (void) close(client->epoll);
    }

    free(client->connections);
    free(client->idle);
    free(client);
}


static void
mr_client_loop(mr_client_t *client)
{
    int i, n;
    int64_t now;
    struct timespec wait;
    struct epoll_event events[MR_CLIENT_EVENTS];

    for (;;) {
        now = mr_run_clock();

        mr_client_mark(client, now);

        if (now >= client->tick) {
            mr_client_look(client, now);
            client->tick = now + MR_CLIENT_TICK;
        }

        mr_client_fill(client, now);

        if (client->active == 0 && client->due == INT64_MAX) {
            break;
        }

        now =
            client->due < client->tick ? client->due - now : client->tick - now;
        wait.tv_sec = 0;
        wait.tv_nsec = now > 0 ? now : 0;

        n = epoll_pwait2(client->epoll, events, MR_CLIENT_EVENTS, &wait, NULL);

        for (i = 0; i < n; i++) {
            mr_client_ready(client, events[i].data.ptr, events[i].events);
        }
    }

    mr_client_wait(client, mr_run_clock());

    if (mr_sentlog_flush(&client->log) != 0) {
        client->result->log_errno = errno;
    }
}


/* Nothing is left to do before the measured time is over. */
static void
mr_client_wait(mr_client_t *client, int64_t now)
{
    struct timespec until;

    if (client->run->end != INT64_MAX && now < client->run->end
        && client->run->batches == UINT64_MAX
        && !atomic_load(&client->run->stop))
    {
        until.tv_sec = client->run->end / 1000000000;
        until.tv_nsec = client->run->end % 1000000000;
        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }

    mr_client_mark(client, INT64_MAX);
}


/* Give what is due to connections that have nothing to do. */
static void
mr_client_fill(mr_client_t *client, int64_t now)
{
    uint32_t slot;
    uint64_t batch;
    int64_t due;

    client->due = INT64_MAX;

    while (client->active < client->n) {

        if (!mr_run_claim(client->run, now, &batch, &due)) {
            client->due = due;
            return;
        }

        slot = client->idle[client->idle_at];
        client->idle_at = (client->idle_at + 1) % client->n;
        client->active++;

        mr_client_begin(client, &client->connections[slot], batch, due);
    }

    /* there may be more, but nobody to send it */

    if (mr_run_clock() < client->run->end) {
        client->due = client->tick;
    }
}


static void
mr_client_begin(
    mr_client_t *client, mr_connection_t *c, uint64_t batch, int64_t due)
{
    mr_connection_load(c, client->run, batch, due);

    c->deadline =
        mr_run_clock() + (int64_t) (client->run->options->timeout * 1e9);

    mr_client_try(client, c);
}


/* Send the request from its beginning. */
static void
mr_client_try(mr_client_t *client, mr_connection_t *c)
{
    c->state = MR_CONNECTION_BUSY;
    c->attempts++;
    client->result->sent++;

    mr_connection_rewind(c);

    if (c->fd == -1) {
        client->result->connects++;

        if (mr_connection_open(c, client->run, client->epoll) != 0) {
            client->result->connects_failed++;
            mr_client_again(client, c, mr_run_clock() + MR_CLIENT_RECONNECT);
            return;
        }
    }

    if (mr_connection_send(c, &client->result->bytes_sent) == MR_IO_CLOSED) {
        mr_client_lost(client, c, MR_IO_CLOSED);
    }
}


static void
mr_client_ready(mr_client_t *client, mr_connection_t *c, uint32_t events)
{
    mr_io_t rc;

    /* the answer may have come before the end, and it counts */

    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        c->ended = 1;
    }

    if (c->state != MR_CONNECTION_BUSY) {
        if (c->ended) {
            mr_connection_close(c);
        }
        return;
    }

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        rc = mr_connection_receive(c, &client->result->bytes_received);

        if (rc == MR_IO_DONE) {
            mr_client_answered(client, c);
            return;
        }

        if (rc != MR_IO_AGAIN) {
            mr_client_lost(client, c, rc);
            return;
        }
    }

    if (c->out < c->end
        && mr_connection_send(c, &client->result->bytes_sent) == MR_IO_CLOSED)
    {
        mr_client_lost(client, c, MR_IO_CLOSED);
    }
}


static void
mr_client_answered(mr_client_t *client, mr_connection_t *c)
{
    int64_t now, wait;
    const mr_load_options_t *options;

    options = client->run->options;
    now = mr_run_clock();
    c->used = 1;

    /* an answer ahead of the body's end: the rest would be out of step */

    if (c->ended || c->response.close || c->out < c->end) {
        mr_connection_close(c);
    }

    if (options->retry && c->response.status == 503) {
        wait = c->response.retry_after < 0
                   ? 1000000000
                   : (int64_t) c->response.retry_after * 1000000000;

        if (wait > (int64_t) (options->retry_wait * 1e9)) {
            wait = (int64_t) (options->retry_wait * 1e9);
        }

        if (now + wait < c->deadline) {
            client->result->retried_503++;
            mr_client_again(client, c, now + wait);
            return;
        }
    }

    mr_client_count_answer(client, c, now);
    mr_client_finish(client, c, c->response.status);
}


/* The connection has ended, and with it the request, unless it is retried. */
static void
mr_client_lost(mr_client_t *client, mr_connection_t *c, mr_io_t how)
{
    int fresh;
    mr_result_t *result;

    result = client->result;
    fresh = !c->used && c->out == c->begin;

    mr_connection_close(c);

    if (how == MR_IO_CLOSED && c->response.received == 0) {

        /* it never came to be: nothing was taken, so nothing was lost */

        if (fresh) {
            result->connects_failed++;
            mr_client_again(client, c, mr_run_clock() + MR_CLIENT_RECONNECT);
            return;
        }

        if (client->run->options->retry && !c->retried) {
            c->retried = 1;
            result->retried_closed++;
            mr_client_try(client, c);
            return;
        }

        result->closed++;

    } else if (how == MR_IO_CLOSED) {
        result->cut++;

    } else {
        result->broken++;
    }

    mr_client_count(client, c, 0, mr_run_clock());
    mr_client_finish(client, c, 0);
}


static void
mr_client_again(mr_client_t *client, mr_connection_t *c, int64_t until)
{
    c->state = MR_CONNECTION_WAITING;
    c->until = until;

    if (until < client->tick) {
        client->tick = until;
    }
}


static void
mr_client_count(
    mr_client_t *client, mr_connection_t *c, unsigned status, int64_t now)
{
    mr_result_t *result;

    result = client->result;

    result->all.requests[status]++;
    result->all.events[status] += c->count;

    if (now >= client->run->measure && now < client->run->end) {
        result->measured.requests[status]++;
        result->measured.events[status] += c->count;
    }

    mr_client_charge(client, c, status, now);
}


/* The latency of a request, if it is one of those that count. */
static void
mr_client_charge(
    mr_client_t *client, mr_connection_t *c, unsigned status, int64_t now)
{
    const mr_run_t *run;
    mr_result_t *result;

    run = client->run;
    result = client->result;

    if (run->options->rate > 0) {

        if (c->due < run->measure || c->due >= run->end) {
            return;
        }

        if (status == 0) {
            result->unanswered++;

        } else if (now >= run->end) {
            result->late++;
        }

    } else if (status == 0 || now < run->measure || now >= run->end) {
        return;
    }

    mr_histogram_add(&result->latency, (uint64_t) (now - c->due) / 1000);
}


static void
mr_client_count_answer(mr_client_t *client, mr_connection_t *c, int64_t now)
{
    int64_t second;
    unsigned status;
    mr_result_t *result;

    result = client->result;

    /* RFC 9110 has none beyond */
    status = c->response.status < MR_STATUS_MAX ? c->response.status : 0;

    mr_client_count(client, c, status, now);

    if (status == 202) {
        second = (now - client->run->start) / 1000000000;

        if (second < MR_RUN_SECONDS) {
            result->seconds[second] += c->count;
        }

        if (mr_response_number(&c->response, "accepted") != (int64_t) c->count)
        {
            result->miscounted++;
        }

    } else if (status != 204 && result->sample_status == 0) {
        result->sample_status = status;
        memcpy(result->sample, c->response.body, c->response.body_len);
    }
}


static void
mr_client_finish(mr_client_t *client, mr_connection_t *c, unsigned status)
{
    int64_t due;
    uint64_t batch;
    uint32_t slot;
    mr_sentlog_record_t record;

    record.first = c->first;
    record.count = c->count;
    record.status = (uint16_t) status;
    record.attempts = c->attempts;

    if (mr_sentlog_add(&client->log, &record) != 0) {
        client->result->log_errno = errno;
    }

    if (mr_run_claim(client->run, mr_run_clock(), &batch, &due)) {
        mr_client_begin(client, c, batch, due);
        return;
    }

    c->state = MR_CONNECTION_IDLE;
    client->active--;

    slot = (client->idle_at + (client->n - client->active) - 1) % client->n;
    client->idle[slot] = (uint32_t) (c - client->connections);
}


/* What no socket tells: the time is up, for waiting or for an answer. */
static void
mr_client_look(mr_client_t *client, int64_t now)
{
    uint32_t i;
    mr_connection_t *c;

    for (i = 0; i < client->n; i++) {
        c = &client->connections[i];

        if (c->state == MR_CONNECTION_IDLE) {
            continue;
        }

        if (now >= c->deadline) {
            client->result->timeouts++;
            mr_connection_close(c);
            mr_client_count(client, c, 0, now);
            mr_client_finish(client, c, 0);

        } else if (c->state == MR_CONNECTION_WAITING && now >= c->until) {
            mr_client_try(client, c);
        }
    }
}


static void
mr_client_mark(mr_client_t *client, int64_t now)
{
    if (client->marks == 0 && now >= client->run->measure) {
        client->cpu = mr_client_cpu();
        client->marks = 1;
    }

    if (client->marks == 1 && now >= client->run->end) {
        client->result->cpu = mr_client_cpu() - client->cpu;
        client->marks = 2;
    }
}


static double
mr_client_cpu(void)
{
    struct rusage usage;

    (void) getrusage(RUSAGE_THREAD, &usage);

    return (double) usage.ru_utime.tv_sec + (double) usage.ru_stime.tv_sec
           + ((double) usage.ru_utime.tv_usec + (double) usage.ru_stime.tv_usec)
                 / 1e6;
}
