/*
 * TLS and SASL of the connection to Kafka: what can be wrong with them
 * without a broker.  librdkafka reads certificates and looks for mechanisms
 * only when a producer is created, and that starts threads; so a child
 * process creates one, and tells what librdkafka had to say.
 */
#include "ngx_http_millrace.h"

#include <poll.h>


#define NGX_HTTP_MILLRACE_TRIAL 10000 /* ms for the child */


static ngx_uint_t ngx_http_millrace_given(
    ngx_http_millrace_main_conf_t *mmcf, const char *prefix, ngx_str_t *ret);
static ngx_uint_t ngx_http_millrace_is_set(
    rd_kafka_conf_t *kafka, const char *name, const char *value);
static ngx_int_t ngx_http_millrace_try(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf);
static void ngx_http_millrace_try_child(rd_kafka_conf_t *kafka, int fd);
static ssize_t ngx_http_millrace_try_read(int fd, char *text, size_t size);


ngx_int_t
ngx_http_millrace_check_security(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf)
{
    char protocol[64];
    size_t size;
    ngx_str_t name;
    ngx_uint_t sasl, ssl;

    if (!ngx_http_millrace_given(mmcf, "sasl.", &name)
        && !ngx_http_millrace_given(mmcf, "ssl.", &name)
        && !ngx_http_millrace_given(mmcf, "enable.ssl.", &name)
        && !ngx_http_millrace_given(mmcf, "security.", &name))
    {
        return NGX_OK;
    }

    size = sizeof(protocol);

    if (rd_kafka_conf_get(mmcf->kafka, "security.protocol", protocol, &size)
        != RD_KAFKA_CONF_OK)
    {
        return NGX_ERROR;
    }

    sasl = ngx_strncasecmp((u_char *) protocol, (u_char *) "sasl", 4) == 0;
    ssl = strcasestr(protocol, "ssl") != NULL;

    /* librdkafka would go on without them, and in the clear */

    if (!sasl && ngx_http_millrace_given(mmcf, "sasl.", &name)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_kafka %V\" has no effect with security.protocol %s; "
            "use sasl_ssl or sasl_plaintext",
            &name, protocol);
        return NGX_ERROR;
    }

    if (!ssl && ngx_http_millrace_given(mmcf, "ssl.", &name)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_kafka %V\" has no effect with security.protocol %s; "
            "use ssl or sasl_ssl",
            &name, protocol);
        return NGX_ERROR;
    }

    /* librdkafka would ask its program for a token, and wait for ever */

    if (sasl
        && ngx_http_millrace_is_set(
            mmcf->kafka, "sasl.mechanism", "OAUTHBEARER")
        && !ngx_http_millrace_is_set(
            mmcf->kafka, "sasl.oauthbearer.method", "oidc")
        && !ngx_http_millrace_is_set(
            mmcf->kafka, "enable.sasl.oauthbearer.unsecure.jwt", "true"))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_kafka sasl.mechanism OAUTHBEARER\" needs "
            "sasl.oauthbearer.method oidc: nginx has no token of its own "
            "to give");
        return NGX_ERROR;
    }

    return ngx_http_millrace_try(cf, mmcf);
}


/* Whether a property that begins with `prefix` was given: the first one. */
static ngx_uint_t
ngx_http_millrace_given(
    ngx_http_millrace_main_conf_t *mmcf, const char *prefix, ngx_str_t *ret)
{
    size_t len;
    ngx_str_t *name;
    ngx_uint_t i;

    len = ngx_strlen(prefix);
    name = mmcf->properties.elts;

    for (i = 0; i < mmcf->properties.nelts; i++) {
        if (name[i].len > len && ngx_strncmp(name[i].data, prefix, len) == 0) {
            *ret = name[i];
            return 1;
        }
    }

    return 0;
}


/* Not so either where this librdkafka does not have the property. */
static ngx_uint_t
ngx_http_millrace_is_set(
    rd_kafka_conf_t *kafka, const char *name, const char *value)
{
    char text[64];
    size_t size;

    size = sizeof(text);

    return rd_kafka_conf_get(kafka, name, text, &size) == RD_KAFKA_CONF_OK
           && ngx_strcasecmp((u_char *) text, (u_char *) value) == 0;
}


static ngx_int_t
ngx_http_millrace_try(ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf)
{
    int fds[2];
    char text[512];
    pid_t pid;
    ssize_t n;

    if (pipe(fds) == -1) {
        ngx_log_error(
            NGX_LOG_EMERG, cf->log, ngx_errno, "millrace: pipe() failed");
        return NGX_ERROR;
    }

    pid = fork();

    if (pid == 0) {
        ngx_http_millrace_try_child(mmcf->kafka, fds[1]);
        _exit(0);
    }

    (void) close(fds[1]);

    if (pid == -1) {
        ngx_log_error(
            NGX_LOG_EMERG, cf->log, ngx_errno, "millrace: fork() failed");
        (void) close(fds[0]);
        return NGX_ERROR;
    }

    n = ngx_http_millrace_try_read(fds[0], text, sizeof(text));

    (void) close(fds[0]);
    (void) kill(pid, SIGKILL);

    /* a master's handler of SIGCHLD may have been there first */
    (void) waitpid(pid, NULL, 0);

    if (n < 0) {

        /* not known to be wrong: a worker will say it in its log */

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
            "millrace: whether librdkafka takes the security settings could "
            "not be found out");
        return NGX_OK;
    }

    if (n > 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_kafka\": librdkafka cannot use these security "
            "settings: %*s",
            (size_t) n, text);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Says '+', or '-' and what is wrong. */
static void
ngx_http_millrace_try_child(rd_kafka_conf_t *kafka, int fd)
{
    char text[512];
    size_t len;
    rd_kafka_t *rk;
    rd_kafka_conf_t *conf;

    conf = rd_kafka_conf_dup(kafka);
    len = 1;
    text[0] = '+';

    /* it must reach no broker, and stderr belongs to nginx */
    (void) rd_kafka_conf_set(
        conf, "bootstrap.servers", "", text + 1, sizeof(text) - 1);
    rd_kafka_conf_set_log_cb(conf, NULL);

    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text + 1, sizeof(text) - 1);

    if (rk == NULL) {
        text[0] = '-';
        len = 1 + ngx_strlen(text + 1);
    }

    while (write(fd, text, len) == -1 && ngx_errno == NGX_EINTR) {
        /* again */
    }
}


/* How long the text is, 0: nothing is wrong; -1: the child said nothing. */
static ssize_t
ngx_http_millrace_try_read(int fd, char *text, size_t size)
{
    ssize_t n;
    int64_t deadline, left;
    struct pollfd pollfd;

    pollfd.fd = fd;
    pollfd.events = POLLIN;
    deadline = mr_time_monotonic() + NGX_HTTP_MILLRACE_TRIAL;

    for (;;) {
        left = deadline - mr_time_monotonic();

        if (left <= 0) {
            return -1;
        }

        n = poll(&pollfd, 1, (int) left);

        if (n > 0) {
            n = read(fd, text, size);
        }

        if (n > 0) {
            break;
        }

        if (n == 0 || ngx_errno != NGX_EINTR) {
            return -1;
        }
    }

    if (text[0] == '+') {
        return 0;
    }

    ngx_memmove(text, text + 1, (size_t) n - 1);

    return n - 1;
}
