#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include <millrace/time.h>

#include "../common/listen.h"
#include "../common/log.h"
#include "../common/metrics.h"
#include "job.h"
#include "pool.h"
#include "server.h"
#include "watch.h"


/* Besides the listeners of the stream. */
#define MR_SERVER_CONNECTIONS 4096u
#define MR_SERVER_THREADS_MAX 2u

/* Seconds; longer than nginx keeps its idle connections (60 s). */
#define MR_SERVER_IDLE 75u

/*
 * Bytes a connection.  A request whose header does not fit is never answered by
 * libmicrohttpd 0.9.75, so there must be room for what nginx lets through,
 * and for a record of each line (about 64 bytes).  More than this costs time:
 * it is cleared with every request.
 */
#define MR_SERVER_MEMORY ((size_t) 128 * 1024)

/* ms that answers may take to be sent when stopping. */
#define MR_SERVER_LINGER 2000

/* ms between two warnings of connections that are not taken. */
#define MR_SERVER_WARNING 10000


struct mr_server_s {
    const mr_app_t *app;
    struct MHD_Daemon *daemon;
    mr_pool_t *pool;
    mr_watch_t *watch;
    atomic_int stopping;
    atomic_long active;  /* requests begun and not completed */
    atomic_llong warned; /* when it was last, monotonic; 0: never */
};


static void *mr_server_begin(
    void *ctx, const char *uri, struct MHD_Connection *connection);
static enum MHD_Result mr_server_handle(void *ctx,
    struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload_data, size_t *upload_data_size,
    void **request);
static enum MHD_Result mr_server_dispatch(mr_server_t *server, mr_job_t *job,
    struct MHD_Connection *connection, const char *method);
static int mr_server_prepare(mr_server_t *server, mr_job_t *job);
static int mr_server_request(mr_job_t *job, struct MHD_Connection *connection,
    const char *method, int64_t timeout);
static int mr_server_accept(mr_job_t *job, struct MHD_Connection *connection);
static enum MHD_Result mr_server_accept_one(
    void *ctx, enum MHD_ValueKind kind, const char *name, const char *value);
static char *mr_server_header(
    struct MHD_Connection *connection, const char *name, int *failed);
static enum MHD_Result mr_server_send(
    mr_job_t *job, struct MHD_Connection *connection);
static struct MHD_Response *mr_server_flow(
    mr_flow_t *flow, struct MHD_Connection *connection);
static ssize_t mr_server_read(
    void *flow, uint64_t position, char *buf, size_t size);
static void mr_server_close(void *flow);
static void mr_server_count(const mr_job_t *job);
static void mr_server_completed(void *ctx, struct MHD_Connection *connection,
    void **request, enum MHD_RequestTerminationCode code);
static void mr_server_resume(void *connection);
static void mr_server_log(void *ctx, const char *fmt, va_list args);
static int mr_server_warns(mr_server_t *server, const char *line);


int
mr_server_start(const mr_app_t *app, mr_server_t **ret_server, mr_error_t *err)
{
    int fd;
    long cores;
    unsigned threads, connections;
    mr_server_t *server;

    server = calloc(1, sizeof(mr_server_t));

    if (server == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    server->app = app;

    if (mr_listen(app->options->query.listen, &fd, err) == -1) {
        free(server);
        return -1;
    }

    if (mr_pool_start(app, &server->pool, err) == -1) {
        close(fd);
        free(server);
        return -1;
    }

    if (mr_watch_start(app, server->pool, &server->watch, err) == -1) {
        close(fd);
        mr_pool_stop(server->pool);
        mr_pool_free(server->pool);
        free(server);
        return -1;
    }

    cores = sysconf(_SC_NPROCESSORS_ONLN);
    threads = cores < (long) MR_SERVER_THREADS_MAX ? 1u : MR_SERVER_THREADS_MAX;

    connections =
        MR_SERVER_CONNECTIONS + (unsigned) app->options->query.stream_listeners;

    server->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD
                                          | MHD_ALLOW_SUSPEND_RESUME
                                          | MHD_USE_ERROR_LOG,
        0, NULL, NULL, mr_server_handle, server, MHD_OPTION_EXTERNAL_LOGGER,
        mr_server_log, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_URI_LOG_CALLBACK, mr_server_begin, server,
        MHD_OPTION_NOTIFY_COMPLETED, mr_server_completed, server,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT,
        connections, MHD_OPTION_CONNECTION_TIMEOUT, MR_SERVER_IDLE,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, MR_SERVER_MEMORY, MHD_OPTION_END);

    if (server->daemon == NULL) {
        close(fd);
        mr_watch_stop(server->watch);
        mr_pool_stop(server->pool);
        mr_watch_free(server->watch);
        mr_pool_free(server->pool);
        free(server);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "cannot start the HTTP server");
    }

    *ret_server = server;

    return 0;
}


void
mr_server_stop(mr_server_t *server)
{
    int64_t until;
    MHD_socket fd;
    struct timespec nap = {0, 5 * 1000000};

    atomic_store(&server->stopping, 1);
    fd = MHD_quiesce_daemon(server->daemon);

    /* No connection may be suspended when the HTTP server is stopped. */
    mr_watch_stop(server->watch);
    mr_pool_stop(server->pool);
    mr_stream_stop(server->app->stream);

    until = mr_time_monotonic() + MR_SERVER_LINGER;

    while (atomic_load(&server->active) > 0 && mr_time_monotonic() < until) {
        nanosleep(&nap, NULL);
    }

    MHD_stop_daemon(server->daemon);

    /* Until now a kept connection could bring another request. */
    mr_watch_free(server->watch);
    mr_pool_free(server->pool);

    if (fd != MHD_INVALID_SOCKET) {
        close(fd);
    }

    free(server);
}


/*
 * The only place where the query string is seen as it was sent.  The job has
 * it, and libmicrohttpd is to find none: it would make a record of each
 * argument in the connection's memory, and where these do not fit, some
 * 2,000, it closes the connection without an answer.
 */
static void *
mr_server_begin(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    char *mark;
    mr_job_t *job;
    mr_server_t *server;

    (void) connection;

    server = ctx;
    job = mr_job_create(uri);

    /* Its own buffer, and not parsed yet. */
    mark = strchr((char *) (uintptr_t) uri, '?');

    if (mark != NULL) {
        mark[1] = '\0';
    }

    if (job != NULL) {
        atomic_fetch_add(&server->active, 1);
    }

    return job;
}


static enum MHD_Result
mr_server_handle(void *ctx, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload_data,
    size_t *upload_data_size, void **request)
{
    int done;
    mr_job_t *job;

    (void) url;
    (void) version;
    (void) upload_data;

    job = *request;

    if (job == NULL) {
        return MHD_NO;
    }

    /*
     * An answer to the first call, before a body is read, would cost the
     * connection, and with it often the answer: what still comes in resets
     * it.  So a body that nobody wants is read, too.
     */
    if (!job->seen) {
        job->seen = 1;
        return MHD_YES;
    }

    if (*upload_data_size > 0) {
        *upload_data_size = 0;
        return MHD_YES;
    }

    pthread_mutex_lock(&job->mutex);
    done = job->state == MR_JOB_DONE;
    pthread_mutex_unlock(&job->mutex);

    if (done) {
        return mr_server_send(job, connection);
    }

    return mr_server_dispatch(ctx, job, connection, method);
}


static enum MHD_Result
mr_server_dispatch(mr_server_t *server, mr_job_t *job,
    struct MHD_Connection *connection, const char *method)
{
    int rc;
    mr_reply_t reply;

    if (mr_server_request(
            job, connection, method, server->app->options->query.timeout)
        == -1)
    {
        return MHD_NO;
    }

    job->route = mr_route_find(&job->request, &job->reply);

    if (job->route == NULL) {
        return mr_server_send(job, connection);
    }

    if (!job->route->blocking) {
        job->route->handler(server->app, &job->request, &job->reply);
        return mr_server_send(job, connection);
    }

    if (mr_server_prepare(server, job) == -1) {
        return mr_server_send(job, connection);
    }

    job->request.pool = server->pool;
    job->connection = connection;
    job->resume = mr_server_resume;
    job->fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
            ->connect_fd;

    mr_job_suspend(job);
    MHD_suspend_connection(connection);

    rc = job->after != NULL ? mr_watch_push(server->watch, job)
                            : mr_pool_push(server->pool, job, 0);

    if (rc == -1) {
        memset(&reply, 0, sizeof(reply));
        mr_reply_problem(&reply, 503, NULL, "%s; try again",
            atomic_load(&server->stopping) ? "the query daemon is being stopped"
                                           : "too many queries are waiting");
        (void) mr_job_answer(job, &reply);
    }

    return MHD_YES;
}


/* -1 with the job's reply made. */
static int
mr_server_prepare(mr_server_t *server, mr_job_t *job)
{
    int rc;
    mr_receipt_t after;

    if (job->route->prepare == NULL) {
        return 0;
    }

    rc = job->route->prepare(server->app, &job->request, &after, &job->reply);

    if (rc <= 0) {
        return rc;
    }

    job->after = malloc(sizeof(mr_receipt_t));

    if (job->after == NULL) {
        mr_reply_problem(&job->reply, 503, NULL, "out of memory; try again");
        return -1;
    }

    *job->after = after;

    return 0;
}


static int
mr_server_request(mr_job_t *job, struct MHD_Connection *connection,
    const char *method, int64_t timeout)
{
    int failed;

    failed = 0;

    job->method = strdup(method);
    job->ingest = mr_server_header(connection, "Millrace-Ingest", &failed);
    job->if_none_match = mr_server_header(connection, "If-None-Match", &failed);
    job->last_event_id = mr_server_header(connection, "Last-Event-ID", &failed);

    if (job->method == NULL || failed
        || mr_server_accept(job, connection) == -1) {
        return -1;
    }

    job->request.method = job->method;
    job->request.ingest = job->ingest;
    job->request.if_none_match = job->if_none_match;
    job->request.last_event_id = job->last_event_id;
    job->request.accept = job->accept;
    job->started = mr_time_monotonic();
    job->request.timeout = timeout;
    job->request.deadline = job->started + timeout;

    return 0;
}


/* A header that is a list may come in several lines. */
static int
mr_server_accept(mr_job_t *job, struct MHD_Connection *connection)
{
    mr_buf_t list = MR_BUF_INIT;

    if (MHD_get_connection_values(
            connection, MHD_HEADER_KIND, mr_server_accept_one, &list)
            < 0
        || (list.len > 0 && mr_buf_append(&list, "", 1) == -1))
    {
        mr_buf_free(&list);
        return -1;
    }

    job->accept = list.data;

    return 0;
}


static enum MHD_Result
mr_server_accept_one(
    void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
    mr_buf_t *list;

    (void) kind;

    list = ctx;

    if (strcasecmp(name, MHD_HTTP_HEADER_ACCEPT) != 0 || value == NULL) {
        return MHD_YES;
    }

    return mr_buf_printf(list, "%s%s", list->len > 0 ? ", " : "", value) == 0
               ? MHD_YES
               : MHD_NO;
}


/* A query thread may outlive the connection, so it gets a copy. */
static char *
mr_server_header(
    struct MHD_Connection *connection, const char *name, int *failed)
{
    char *copy;
    const char *value;

    value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);

    if (value == NULL) {
        return NULL;
    }

    copy = strdup(value);

    if (copy == NULL) {
        *failed = 1;
    }

    return copy;
}


static enum MHD_Result
mr_server_send(mr_job_t *job, struct MHD_Connection *connection)
{
    char held[16];
    size_t i;
    mr_reply_t *reply;
    enum MHD_Result result;
    struct MHD_Response *response;

    reply = &job->reply;

    if (reply->flow != NULL) {
        response = mr_server_flow(reply->flow, connection);

    } else if (reply->body.len > 0) {
        response = MHD_create_response_from_buffer(
            reply->body.len, reply->body.data, MHD_RESPMEM_MUST_FREE);

    } else {
        response =
            MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }

    if (response == NULL) {
        return MHD_NO;
    }

    if (reply->flow != NULL) {
        reply->flow = NULL;

        /*
         * libmicrohttpd 0.9.75 ends the body that HEAD does not get with a
         * last chunk, which would be taken for the next answer.
         */
        if (strcmp(job->request.method, "HEAD") == 0) {
            (void) MHD_set_response_options(
                response, MHD_RF_HTTP_VERSION_1_0_RESPONSE, MHD_RO_END);
        }

    } else if (reply->body.len > 0) {
        memset(&reply->body, 0, sizeof(mr_buf_t));
    }

    if (reply->type != NULL) {
        (void) MHD_add_response_header(
            response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    }

    /* Of this and Cache-Control, nginx 1.22 goes by the first. */
    if (reply->status >= 400 && job->route != NULL && job->route->held > 0) {
        (void) snprintf(held, sizeof(held), "%d", job->route->held);
        (void) MHD_add_response_header(response, "X-Accel-Expires", held);
    }

    for (i = 0; i < reply->n_headers; i++) {
        (void) MHD_add_response_header(
            response, reply->headers[i].name, reply->headers[i].value);
    }

    mr_server_count(job);

    result = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);

    return result;
}


/* The response owns the flow; on NULL it does not. */
static struct MHD_Response *
mr_server_flow(mr_flow_t *flow, struct MHD_Connection *connection)
{
    flow->connection = connection;
    flow->fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
            ->connect_fd;

    return MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, MR_FLOW_PIECE, mr_server_read, flow, mr_server_close);
}


static ssize_t
mr_server_read(void *ctx, uint64_t position, char *buf, size_t size)
{
    ssize_t n;
    mr_flow_t *flow;

    (void) position;

    flow = ctx;
    n = flow->type->read(
        flow, buf, size < MR_FLOW_PIECE ? size : MR_FLOW_PIECE);

    switch (n) {

    case MR_FLOW_END:
        return MHD_CONTENT_READER_END_OF_STREAM;

    case MR_FLOW_CUT:
        return MHD_CONTENT_READER_END_WITH_ERROR;

    default:
        return n;
    }
}


static void
mr_server_close(void *ctx)
{
    mr_flow_t *flow;

    flow = ctx;
    flow->type->close(flow);
}


static void
mr_server_count(const mr_job_t *job)
{
    char labels[128];
    char status[16];
    const char *path;

    path = job->route != NULL ? job->route->path : "other";

    (void) snprintf(status, sizeof(status), "%u", job->reply.status);
    labels[0] = '\0';

    if (mr_metric_label(labels, sizeof(labels), "path", path) == 0
        && mr_metric_label(labels, sizeof(labels), "status", status) == 0)
    {
        mr_metric_add(
            mr_metric(MR_METRIC_COUNTER, "millrace_query_requests_total",
                labels, "Requests answered, by path and status."),
            1);
    }

    labels[0] = '\0';

    if (mr_metric_label(labels, sizeof(labels), "path", path) == 0) {
        mr_metric_observe(
            mr_metric(MR_METRIC_HISTOGRAM, "millrace_query_request_seconds",
                labels, "Time from a request's first line to its answer."),
            mr_time_monotonic() - job->started);
    }
}


static void
mr_server_completed(void *ctx, struct MHD_Connection *connection,
    void **request, enum MHD_RequestTerminationCode code)
{
    mr_server_t *server;

    (void) connection;
    (void) code;

    server = ctx;

    if (*request != NULL) {
        mr_job_unref(*request);
        *request = NULL;
        atomic_fetch_sub(&server->active, 1);
    }
}


static void
mr_server_resume(void *connection)
{
    MHD_resume_connection(connection);
}


static void
mr_server_log(void *ctx, const char *fmt, va_list args)
{
    char line[512];
    size_t len;

    if (vsnprintf(line, sizeof(line), fmt, args) > 0) {
        len = strcspn(line, "\n");
        line[len] = '\0';

        mr_log(mr_server_warns(ctx, line) ? MR_LOG_WARN : MR_LOG_DEBUG,
            "http: %s", line);
    }
}


/*
 * Most messages are of clients that do wrong or have left.  That no more
 * connections are taken, by the limit of them or of open files, is for the
 * operator, but not each time.
 */
static int
mr_server_warns(mr_server_t *server, const char *line)
{
    long long now, last;

    if (strcasestr(line, "limit") == NULL && strcasestr(line, "accept") == NULL)
    {
        return 0;
    }

    now = mr_time_monotonic();
    last = atomic_load(&server->warned);

    return (last == 0 || now - last >= MR_SERVER_WARNING)
           && atomic_compare_exchange_strong(&server->warned, &last, now);
}
