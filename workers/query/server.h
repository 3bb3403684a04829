/*
 * The HTTP side: libmicrohttpd with epoll in its own threads, which read
 * requests and send answers and never wait for anything else.
 */
#ifndef MILLRACE_QUERY_SERVER_H
#define MILLRACE_QUERY_SERVER_H

#include <millrace/error.h>

#include "route.h"


typedef struct mr_server_s mr_server_t;

/*
 * Listen on query.listen of the app's options; `app` must outlive the
 * server.  Fails with MR_ERROR_SYSTEM or MR_ERROR_MEMORY.  Main thread.
 */
int mr_server_start(
    const mr_app_t *app, mr_server_t **ret_server, mr_error_t *err);

/* Takes no more connections, answers what has been asked, and ends. */
void mr_server_stop(mr_server_t *server);

#endif /* MILLRACE_QUERY_SERVER_H */
