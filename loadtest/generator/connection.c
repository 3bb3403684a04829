#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"


#define MR_CONNECTION_READ 16384
#define MR_CONNECTION_LENGTH 32 /* bytes of a number and two line ends */


static char *mr_connection_put_length(char *end, size_t length);
static int64_t mr_connection_wall_clock(void);


int
mr_connection_init(mr_connection_t *c, const mr_run_t *run)
{
    memset(c, 0, sizeof(mr_connection_t));
    c->fd = -1;

    /* an event, its separator; the brackets of an array */

    c->buf = malloc(MR_CLIENT_HEAD_MAX + MR_CONNECTION_LENGTH
                    + (size_t) run->options->batch * (MR_WORKLOAD_EVENT_MAX + 1)
                    + 2);

    return c->buf ? 0 : -1;
}


void
mr_connection_free(mr_connection_t *c)
{
    mr_connection_close(c);
    free(c->buf);
}


void
mr_connection_load(
    mr_connection_t *c, mr_run_t *run, uint64_t batch, int64_t due)
{
    char *p, *body;
    uint32_t i;
    int64_t now;

    mr_run_batch(run, batch, &c->first, &c->count);

    now = mr_connection_wall_clock();
    body = c->buf + MR_CLIENT_HEAD_MAX + MR_CONNECTION_LENGTH;
    p = body;

    if (run->options->format == MR_LOAD_ARRAY) {
        *p++ = '[';
    }

    for (i = 0; i < c->count; i++) {
        p += mr_workload_event(run->workload, c->first + i, now, p);

        if (run->options->format == MR_LOAD_NDJSON) {
            *p++ = '\n';

        } else if (run->options->format == MR_LOAD_ARRAY) {
            *p++ = i + 1 < c->count ? ',' : ']';
        }
    }

    c->begin = mr_connection_put_length(body, (size_t) (p - body));
    c->begin -= run->head_len;
    memcpy(c->begin, run->head, run->head_len);

    c->end = p;
    c->batch = batch;
    c->attempts = 0;
    c->retried = 0;
    c->due = due;

    mr_connection_rewind(c);
}


/* Content-Length's number and the head's end, before `end`. */
static char *
mr_connection_put_length(char *end, size_t length)
{
    end -= 4;
    memcpy(end, "\r\n\r\n", 4);

    do {
        *--end = (char) ('0' + length % 10);
        length /= 10;
    } while (length);

    return end;
}


int
mr_connection_open(mr_connection_t *c, const mr_run_t *run, int epoll)
{
    int fd, on, err;
    struct epoll_event event;

    fd = socket(
        run->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    on = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    memset(&event, 0, sizeof(event));
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = c;

    if ((connect(fd, (const struct sockaddr *) &run->address, run->address_len)
                == -1
            && errno != EINPROGRESS)
        || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1)
    {
        err = errno;
        (void) close(fd);
        errno = err;
        return -1;
    }

    c->fd = fd;
    c->used = 0;
    c->ended = 0;

    return 0;
}


void
mr_connection_close(mr_connection_t *c)
{
    if (c->fd != -1) {
        (void) close(c->fd);
        c->fd = -1;
    }
}


void
mr_connection_rewind(mr_connection_t *c)
{
    c->out = c->begin;
    mr_response_init(&c->response);
}


mr_io_t
mr_connection_send(mr_connection_t *c, uint64_t *sum)
{
    ssize_t n;

    while (c->out < c->end) {
        n = send(c->fd, c->out, (size_t) (c->end - c->out), MSG_NOSIGNAL);

        if (n == -1) {
            /* not connected yet is EAGAIN as well */
            return errno == EAGAIN || errno == EINTR ? MR_IO_AGAIN
                                                     : MR_IO_CLOSED;
        }

        c->out += n;
        *sum += (uint64_t) n;
    }

    return MR_IO_DONE;
}


mr_io_t
mr_connection_receive(mr_connection_t *c, uint64_t *sum)
{
    ssize_t n;
    int64_t taken;
    char data[MR_CONNECTION_READ];

    for (;;) {
        n = recv(c->fd, data, sizeof(data), 0);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return MR_IO_AGAIN;
        }

        if (n <= 0) {
            c->ended = 1;

            if (n == 0 && mr_response_end(&c->response) == 0) {
                return MR_IO_DONE;
            }

            return MR_IO_CLOSED;
        }

        *sum += (uint64_t) n;

        taken = mr_response_feed(&c->response, data, (size_t) n);

        if (taken < 0) {
            return MR_IO_BAD;
        }

        if (c->response.state == MR_RESPONSE_DONE) {
            /* more than was asked for: this connection is out of step */
            return taken == n ? MR_IO_DONE : MR_IO_BAD;
        }

        if ((size_t) n < sizeof(data)) {
            return MR_IO_AGAIN;
        }
    }
}


static int64_t
mr_connection_wall_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
