#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#include "listen.h"
#include "log.h"
#include "metrics.h"


#define MR_METRICS_CONNECTIONS 32
#define MR_METRICS_TIMEOUT 30 /* s without traffic */


static enum MHD_Result mr_metrics_handler(void *cls,
    struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size,
    void **con_cls);
static enum MHD_Result mr_metrics_answer(struct MHD_Connection *connection,
    unsigned status, const char *type, const char *allow, const void *body,
    size_t len);


static struct MHD_Daemon *mr_metrics_daemon;


int
mr_metrics_start(const char *listen, mr_error_t *err)
{
    int fd;

    /* Our own socket: libmicrohttpd would not say why it failed. */
    if (mr_listen(listen, &fd, err) == -1) {
        return -1;
    }

    mr_metrics_daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0,
            NULL, NULL, mr_metrics_handler, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned) MR_METRICS_CONNECTIONS,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) MR_METRICS_TIMEOUT,
            MHD_OPTION_END);

    if (mr_metrics_daemon == NULL) {
        close(fd);
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot serve metrics on %s: %s", listen, strerror(errno));
    }

    mr_log_info("metrics on http://%s/metrics", listen);

    return 0;
}


void
mr_metrics_stop(void)
{
    if (mr_metrics_daemon != NULL) {
        MHD_stop_daemon(mr_metrics_daemon);
        mr_metrics_daemon = NULL;
    }
}


static enum MHD_Result
mr_metrics_handler(void *cls, struct MHD_Connection *connection,
    const char *url, const char *method, const char *version,
    const char *upload, size_t *upload_size, void **con_cls)
{
    static int seen;

    mr_buf_t buf = MR_BUF_INIT;
    enum MHD_Result result;

    (void) cls;
    (void) version;
    (void) upload;

    /* The first call has the headers only; a body is read and dropped. */
    if (*con_cls == NULL) {
        *con_cls = &seen;
        return MHD_YES;
    }

    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }

    if (strcmp(url, "/metrics") != 0 && strcmp(url, "/healthz") != 0) {
        return mr_metrics_answer(connection, MHD_HTTP_NOT_FOUND, "text/plain",
            NULL, "there are /metrics and /healthz\n", 32);
    }

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0
        && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
    {
        return mr_metrics_answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
            "text/plain", "GET, HEAD", "GET and HEAD are allowed\n", 25);
    }

    if (strcmp(url, "/healthz") == 0) {
        return mr_metrics_answer(
            connection, MHD_HTTP_OK, "text/plain", NULL, "ok\n", 3);
    }

    mr_metrics_process();

    if (mr_metrics_write(&buf) == -1) {
        mr_buf_free(&buf);
        return MHD_NO;
    }

    result = mr_metrics_answer(connection, MHD_HTTP_OK,
        "text/plain; version=0.0.4; charset=utf-8", NULL, buf.data, buf.len);

    mr_buf_free(&buf);

    return result;
}


/* The body is copied.  `allow` may be NULL. */
static enum MHD_Result
mr_metrics_answer(struct MHD_Connection *connection, unsigned status,
    const char *type, const char *allow, const void *body, size_t len)
{
    enum MHD_Result result;
    struct MHD_Response *response;

    response = MHD_create_response_from_buffer(
        len, (void *) body, MHD_RESPMEM_MUST_COPY);

    if (response == NULL) {
        return MHD_NO;
    }

    result =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);

    if (result == MHD_YES && allow != NULL) {
        result =
            MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    }

    if (result == MHD_YES) {
        result = MHD_queue_response(connection, status, response);
    }

    MHD_destroy_response(response);

    return result;
}
