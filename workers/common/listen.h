/*
 * Listening sockets from "address:port": 127.0.0.1:9101, [::1]:9101.
 * Addresses are numbers, so that a start never waits for a name server.
 */
#ifndef MILLRACE_LISTEN_H
#define MILLRACE_LISTEN_H

#include <sys/socket.h>

#include <millrace/error.h>


/*
 * Parse `text`; -1 if it is no address with a port from 1 to 65535.  Both
 * outputs may be NULL.  Any thread.
 */
int mr_listen_parse(
    const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len);

/*
 * A bound, listening, non-blocking socket.  The caller closes it.  Fails
 * with MR_ERROR_ARGUMENT (no address) or MR_ERROR_SYSTEM (the port is taken
 * or may not be used).  Any thread.
 */
int mr_listen(const char *text, int *ret_fd, mr_error_t *err);

#endif /* MILLRACE_LISTEN_H */
