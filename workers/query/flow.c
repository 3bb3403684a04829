#include <errno.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "flow.h"


void
mr_flow_suspend(mr_flow_t *flow)
{
    MHD_suspend_connection(flow->connection);
}


void
mr_flow_resume(mr_flow_t *flow)
{
    MHD_resume_connection(flow->connection);
}


int
mr_flow_left(const mr_flow_t *flow)
{
    char byte;
    ssize_t n;

    n = recv(flow->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
}
