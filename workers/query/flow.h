/*
 * The body of an answer that is made while it is sent, piece by piece, and
 * as slowly as the client takes it.
 *
 * Whoever makes such a body embeds an mr_flow_t as the first member of its
 * own structure and hands it to the reply (mr_reply_t.flow), which owns it
 * from then on.  The server ends it with close(), once, whatever happens.
 */
#ifndef MILLRACE_QUERY_FLOW_H
#define MILLRACE_QUERY_FLOW_H

#include <stddef.h>
#include <sys/types.h>


/* What read() returns besides a number of bytes. */
#define MR_FLOW_WAIT 0   /* nothing now: mr_flow_suspend() was called */
#define MR_FLOW_END (-1) /* that was all */
#define MR_FLOW_CUT (-2) /* end the connection, so that the client sees it */

/* The most that read() is asked for at once. */
#define MR_FLOW_PIECE ((size_t) 64 * 1024)


typedef struct mr_flow_s mr_flow_t;

typedef struct {
    /*
     * Put up to `size` bytes into `buf` without ever blocking.  Called in a
     * thread of the HTTP server, when the client can take more.
     */
    ssize_t (*read)(mr_flow_t *flow, char *buf, size_t size);

    /* Release the flow; its connection may not be touched any more. */
    void (*close)(mr_flow_t *flow);
} mr_flow_type_t;

struct mr_flow_s {
    const mr_flow_type_t *type;
    void *connection; /* set by the server, before the first read() */
    int fd;           /* the client's socket: to be peeked at only */
};


/*
 * Do not call read() again before mr_flow_resume().  Only within read(),
 * which then returns MR_FLOW_WAIT; whoever may resume must be kept out until
 * this has returned (by a lock that both sides hold).
 */
void mr_flow_suspend(mr_flow_t *flow);

/* Once for each suspension; any thread. */
void mr_flow_resume(mr_flow_t *flow);

/*
 * Whether the client has closed its side.  The server does not notice while
 * a flow is suspended.  Any thread, while the flow is not closed.
 */
int mr_flow_left(const mr_flow_t *flow);

#endif /* MILLRACE_QUERY_FLOW_H */
