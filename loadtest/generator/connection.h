/*
 * A client's connection and the request that it carries: memory, socket,
 * bytes out and in.  What to do about any of it is client.c's to decide.
 */
#ifndef MR_LOAD_CONNECTION_H
#define MR_LOAD_CONNECTION_H

#include "response.h"
#include "run.h"


typedef enum {
    MR_CONNECTION_IDLE,    /* no request */
    MR_CONNECTION_WAITING, /* it has one, which waits for `until` */
    MR_CONNECTION_BUSY     /* connecting, sending or waiting for an answer */
} mr_connection_state_t;


typedef enum {
    MR_IO_AGAIN,  /* the socket has to be waited for */
    MR_IO_DONE,   /* all sent; the answer is complete */
    MR_IO_CLOSED, /* by the other side, or broken */
    MR_IO_BAD     /* not an HTTP answer */
} mr_io_t;


typedef struct {
    mr_connection_state_t state;
    int fd;      /* -1: not connected */
    int used;    /* this socket has brought an answer before */
    int ended;   /* the server has closed its side */
    char *buf;   /* the whole request, head and body */
    char *out;   /* what is still to be sent */
    char *end;   /* of the request */
    char *begin; /* of the request, in buf */
    uint64_t batch;
    uint64_t first; /* event */
    uint32_t count; /* events */
    uint16_t attempts;
    int retried;      /* after a connection that closed */
    int64_t due;      /* ns */
    int64_t deadline; /* for the answer */
    int64_t until;    /* WAITING: send then */
    mr_response_t response;
} mr_connection_t;


/* -1 on out of memory. */
int mr_connection_init(mr_connection_t *c, const mr_run_t *run);
void mr_connection_free(mr_connection_t *c);

/* Make the request that carries `batch`; nothing of it is sent yet. */
void mr_connection_load(
    mr_connection_t *c, mr_run_t *run, uint64_t batch, int64_t due);

/* Begin to connect and watch the socket with `epoll`; -1 with errno. */
int mr_connection_open(mr_connection_t *c, const mr_run_t *run, int epoll);
void mr_connection_close(mr_connection_t *c);

/* Start to send from the beginning. */
void mr_connection_rewind(mr_connection_t *c);

mr_io_t mr_connection_send(mr_connection_t *c, uint64_t *sum);
mr_io_t mr_connection_receive(mr_connection_t *c, uint64_t *sum);

#endif /* MR_LOAD_CONNECTION_H */
