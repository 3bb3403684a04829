#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listen.h"


#define MR_LISTEN_BACKLOG 511


static int mr_listen_port(const char *text, in_port_t *ret_port);


int
mr_listen_parse(
    const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
    char host[INET6_ADDRSTRLEN];
    size_t len;
    in_port_t port;
    const char *colon, *start;
    socklen_t size;
    struct sockaddr_in *in;
    struct sockaddr_in6 *in6;
    struct sockaddr_storage address;

    colon = strrchr(text, ':');

    if (colon == NULL || mr_listen_port(colon + 1, &port) == -1) {
        return -1;
    }

    start = text;
    len = (size_t) (colon - text);

    memset(&address, 0, sizeof(address));

    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
        address.ss_family = AF_INET6;

    } else {
        address.ss_family = AF_INET;
    }

    if (len == 0 || len >= sizeof(host)) {
        return -1;
    }

    memcpy(host, start, len);
    host[len] = '\0';

    if (address.ss_family == AF_INET6) {
        in6 = (struct sockaddr_in6 *) &address;
        in6->sin6_port = port;
        size = sizeof(struct sockaddr_in6);

        if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1) {
            return -1;
        }

    } else {
        in = (struct sockaddr_in *) &address;
        in->sin_port = port;
        size = sizeof(struct sockaddr_in);

        if (inet_pton(AF_INET, host, &in->sin_addr) != 1) {
            return -1;
        }
    }

    if (ret_address != NULL) {
        *ret_address = address;
    }

    if (ret_len != NULL) {
        *ret_len = size;
    }

    return 0;
}


int
mr_listen(const char *text, int *ret_fd, mr_error_t *err)
{
    int fd, one;
    socklen_t len;
    struct sockaddr_storage address;

    if (mr_listen_parse(text, &address, &len) == -1) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "\"%.64s\" is not an address:port such as 127.0.0.1:9101", text);
    }

    fd = socket(
        address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot create a socket for %s: %s", text, strerror(errno));
    }

    one = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1
        || bind(fd, (struct sockaddr *) &address, len) == -1
        || listen(fd, MR_LISTEN_BACKLOG) == -1)
    {
        (void) mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot listen on %s: %s", text, strerror(errno));
        close(fd);
        return -1;
    }

    *ret_fd = fd;

    return 0;
}


static int
mr_listen_port(const char *text, in_port_t *ret_port)
{
    char *end;
    unsigned long port;

    if (!isdigit((unsigned char) text[0]) || strlen(text) > 5) {
        return -1;
    }

    port = strtoul(text, &end, 10);

    if (*end != '\0' || port < 1 || port > 65535) {
        return -1;
    }

    *ret_port = htons((in_port_t) port);

    return 0;
}
