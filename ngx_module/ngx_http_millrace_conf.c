/*
 * What the directives check and keep.  Everything that can be known without
 * a broker is checked here, so that it fails `nginx -t` with its line;
 * nothing here starts a thread: this runs in the master as well.
 */
#include "ngx_http_millrace.h"


#define NGX_HTTP_MILLRACE_TOPIC_MAX 249 /* characters, Kafka's limit */


typedef struct {
    const char *name;
    const char *text;
} ngx_http_millrace_pair_t;


static void ngx_http_millrace_kafka_cleanup(void *data);
static const char *ngx_http_millrace_refused(ngx_str_t *name);
static char *ngx_http_millrace_check_kafka(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf, ngx_str_t *name);
static ngx_int_t ngx_http_millrace_kafka_number(
    rd_kafka_conf_t *kafka, const char *name);
static ngx_int_t ngx_http_millrace_kafka_set(ngx_conf_t *cf,
    rd_kafka_conf_t *kafka, const char *name, const char *value);
static char *ngx_http_millrace_check_broker(ngx_str_t *broker);
static ngx_int_t ngx_http_millrace_topic_index(ngx_conf_t *cf,
    ngx_http_millrace_main_conf_t *mmcf, ngx_str_t *name,
    ngx_uint_t *ret_index);


/*
 * Our own defaults, where librdkafka's do not fit a server whose clients
 * wait for the answer.  millrace_kafka changes any of them.
 */
static ngx_http_millrace_pair_t ngx_http_millrace_defaults[] = {
    {"client.id", "millrace"}, {"compression.codec", "lz4"},
    /*
     * Events are collected by millrace_linger.  This is for those of a
     * partition that are handed over one after the other: without it the
     * first would go alone.
     */
    {"linger.ms", "1"}, {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    /* a broker that is back should be found well within the ack timeout */
    {"reconnect.backoff.max.ms", "1000"},
    {"topic.metadata.propagation.max.ms", "5000"}, {NULL, NULL}};


/* What cannot be set with millrace_kafka, and why. */
static ngx_http_millrace_pair_t ngx_http_millrace_refusals[] = {
    {"acks", "an answer of 202 means acks=all"},
    {"request.required.acks", "an answer of 202 means acks=all"},
    {"enable.idempotence",
        "it is always on, so that a retry of librdkafka stores no event "
        "twice"},
    {"enable.gapless.guarantee",
        "one lost event would stop the producer for good"},
    {"retries", "an event is tried until millrace_ack_timeout has passed"},
    {"message.send.max.retries",
        "an event is tried until millrace_ack_timeout has passed"},
    {"queuing.strategy", "idempotence needs fifo"},
    {"queue.buffering.backpressure.threshold", "idempotence needs 1"},
    {"transactional.id", "the module uses no transactions"},
    {"transaction.timeout.ms", "the module uses no transactions"},
    {"partitioner",
        "events of a user stay together only with murmur2_random, which is "
        "what Java's producers use"},
    {"bootstrap.servers", "use the \"millrace_brokers\" directive"},
    {"metadata.broker.list", "use the \"millrace_brokers\" directive"},
    {"message.timeout.ms", "it follows \"millrace_ack_timeout\""},
    {"delivery.timeout.ms", "it follows \"millrace_ack_timeout\""},
    {"queue.buffering.max.messages",
        "use the \"millrace_queue_events\" directive"},
    {"queue.buffering.max.kbytes", "use the \"millrace_queue_size\" directive"},
    {"delivery.report.only.error",
        "an answer of 202 needs the reports of success"},
    {"enabled_events", "the module sets it itself"},
    {"log.queue", "librdkafka's threads may not log by themselves in nginx"},
    {"allow.auto.create.topics",
        "a topic that a broker makes up by itself has neither the partitions "
        "nor the replicas that it needs; millrace-setup creates it"},
    {"test.mock.num.brokers",
        "brokers that only pretend would acknowledge what nobody keeps"},
    {"internal.termination.signal",
        "signals of nginx may not be used by librdkafka"},
    {"plugin.library.paths",
        "foreign code on librdkafka's threads could break the promise"},
    {"interceptors",
        "foreign code on librdkafka's threads could break the promise"},
    {"opaque", "it can be set by a program only"},
    {"default_topic_conf", "it can be set by a program only"},
    {"msg_order_cmp", "it can be set by a program only"}, {NULL, NULL}};


rd_kafka_conf_t *
ngx_http_millrace_kafka_conf(ngx_conf_t *cf)
{
    char errstr[256];
    rd_kafka_conf_t *kafka;
    ngx_pool_cleanup_t *cln;
    ngx_http_millrace_pair_t *pair;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    kafka = rd_kafka_conf_new();

    cln->handler = ngx_http_millrace_kafka_cleanup;
    cln->data = kafka;

    for (pair = ngx_http_millrace_defaults; pair->name; pair++) {
        if (ngx_http_millrace_kafka_set(cf, kafka, pair->name, pair->text)
            != NGX_OK) {
            return NULL;
        }
    }

    /* known from librdkafka 2.4 on: no telemetry unless asked for */
    (void) rd_kafka_conf_set(
        kafka, "enable.metrics.push", "false", errstr, sizeof(errstr));

    return kafka;
}


static void
ngx_http_millrace_kafka_cleanup(void *data)
{
    rd_kafka_conf_destroy(data);
}


static ngx_int_t
ngx_http_millrace_kafka_set(
    ngx_conf_t *cf, rd_kafka_conf_t *kafka, const char *name, const char *value)
{
    char errstr[256];

    if (rd_kafka_conf_set(kafka, name, value, errstr, sizeof(errstr))
        == RD_KAFKA_CONF_OK)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
        "millrace: this librdkafka (%s) does not take %s=%s: %s",
        rd_kafka_version_str(), name, value, errstr);

    return NGX_ERROR;
}


/* A number among the properties, or NGX_ERROR if it has none. */
static ngx_int_t
ngx_http_millrace_kafka_number(rd_kafka_conf_t *kafka, const char *name)
{
    char text[64], *dot;
    size_t size;

    size = sizeof(text);

    if (rd_kafka_conf_get(kafka, name, text, &size) != RD_KAFKA_CONF_OK) {
        return NGX_ERROR;
    }

    dot = strchr(text, '.');
    if (dot) {
        *dot = '\0';
    }

    return ngx_atoi((u_char *) text, ngx_strlen(text));
}


/* millrace_kafka <property> <value> */

char *
ngx_http_millrace_kafka(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_main_conf_t *mmcf = conf;

    char errstr[256];
    const char *why;
    ngx_str_t *value, *known;
    ngx_uint_t i;

    value = cf->args->elts;

    why = ngx_http_millrace_refused(&value[1]);
    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "\"millrace_kafka %V\" is not allowed: %s", &value[1], why);
        return NGX_CONF_ERROR;
    }

    known = mmcf->properties.elts;

    for (i = 0; i < mmcf->properties.nelts; i++) {
        if (known[i].len == value[1].len
            && ngx_strncmp(known[i].data, value[1].data, value[1].len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                "\"millrace_kafka %V\" is duplicate", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    known = ngx_array_push(&mmcf->properties);
    if (known == NULL) {
        return NGX_CONF_ERROR;
    }

    *known = value[1];

    switch (rd_kafka_conf_set(mmcf->kafka, (char *) value[1].data,
        (char *) value[2].data, errstr, sizeof(errstr)))
    {

    case RD_KAFKA_CONF_OK:
        return ngx_http_millrace_check_kafka(cf, mmcf, &value[1]);

    case RD_KAFKA_CONF_UNKNOWN:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "\"millrace_kafka %V\": librdkafka %s has no such property",
            &value[1], rd_kafka_version_str());
        return NGX_CONF_ERROR;

    default:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"millrace_kafka %V\": %s",
            &value[1], errstr);
        return NGX_CONF_ERROR;
    }
}


static const char *
ngx_http_millrace_refused(ngx_str_t *name)
{
    ngx_http_millrace_pair_t *pair;

    for (pair = ngx_http_millrace_refusals; pair->name; pair++) {
        if (ngx_strcmp(name->data, pair->name) == 0) {
            return pair->text;
        }
    }

    if (ngx_strncmp(name->data, "topic.", 6) == 0
        && ngx_strncmp(name->data, "topic.metadata.", 15) != 0
        && ngx_strncmp(name->data, "topic.blacklist", 15) != 0)
    {
        return "librdkafka would take it for the property without \"topic.\" "
               "in front";
    }

    if (ngx_strncmp(name->data, "ut_", 3) == 0) {
        return "it is for librdkafka's own tests";
    }

    if (name->len > 3 && ngx_strcmp(name->data + name->len - 3, "_cb") == 0) {
        return "a callback can be set by a program only";
    }

    return NULL;
}


/* What librdkafka itself would say only when the producer is created. */
static char *
ngx_http_millrace_check_kafka(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf, ngx_str_t *name)
{
    ngx_int_t n;

    if (ngx_strcmp(name->data, "max.in.flight") == 0
        || ngx_strcmp(name->data, "max.in.flight.requests.per.connection") == 0)
    {
        n = ngx_http_millrace_kafka_number(mmcf->kafka, "max.in.flight");

        if (n < 1 || n > 5) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                "\"millrace_kafka %V\" must be from 1 to 5: an idempotent "
                "producer keeps the order of no more",
                name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* millrace_brokers <host:port> ... */

char *
ngx_http_millrace_brokers(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_main_conf_t *mmcf = conf;

    char *rv;
    u_char *p;
    size_t len;
    ngx_str_t *value;
    ngx_uint_t i;

    if (mmcf->brokers.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    len = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_millrace_check_broker(&value[i]);

        if (rv) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                "\"millrace_brokers\": \"%V\" %s; a broker is host:port",
                &value[i], rv);
            return NGX_CONF_ERROR;
        }

        len += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    mmcf->brokers.data = p;
    mmcf->brokers.len = len - 1;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ',';
    }

    *(p - 1) = '\0';

    return NGX_CONF_OK;
}


/* NULL, or what is wrong. */
static char *
ngx_http_millrace_check_broker(ngx_str_t *broker)
{
    u_char *p, *last, *port;
    ngx_int_t n;

    last = broker->data + broker->len;
    port = NULL;

    for (p = broker->data; p < last; p++) {

        if (*p <= ' ' || *p == ',' || *p == '/') {
            return "has a character that no address has";
        }

        if (*p == ':') {
            port = p + 1;

        } else if (*p == ']') {
            port = NULL;
        }
    }

    if (port == NULL || port - 1 == broker->data) {
        return "has no host or no port";
    }

    n = ngx_atoi(port, (size_t) (last - port));

    if (n < 1 || n > 65535) {
        return "has a port that is none";
    }

    return NULL;
}


/* millrace_topic <name> */

char *
ngx_http_millrace_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    u_char ch;
    ngx_str_t *value;
    ngx_uint_t i;

    if (mlcf->topic.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_HTTP_MILLRACE_TOPIC_MAX) {
        return "must have 1 to 249 characters";
    }

    for (i = 0; i < value[1].len; i++) {
        ch = value[1].data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9') && ch != '.' && ch != '_' && ch != '-')
        {
            return "may have letters, digits, '.', '_' and '-' only";
        }
    }

    if (ngx_strcmp(value[1].data, ".") == 0
        || ngx_strcmp(value[1].data, "..") == 0) {
        return "may be neither \".\" nor \"..\"";
    }

    mlcf->topic = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_millrace_answers(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_millrace_loc_conf_t *mlcf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t *clcf;

    if (mlcf->answers.data == cmd->name.data) {
        return "is duplicate";
    }

    if (mlcf->answers.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "\"%V\" directive cannot stand beside \"%V\"", &cmd->name,
            &mlcf->answers);
        return NGX_CONF_ERROR;
    }

    mlcf->answers = cmd->name;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;

    return NGX_CONF_OK;
}


void
ngx_http_millrace_mark(ngx_conf_t *cf, ngx_http_millrace_place_t *place)
{
    if (cf->conf_file) {
        place->file = cf->conf_file->file.name;
        place->line = cf->conf_file->line;
    }
}


char *
ngx_http_millrace_check_location(
    ngx_conf_t *cf, ngx_http_millrace_loc_conf_t *mlcf)
{
    size_t max;
    ngx_int_t n;
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_millrace_module);

    if (ngx_http_millrace_topic_index(
            cf, mmcf, &mlcf->topic, &mlcf->topic_index)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!mlcf->enable) {
        return NGX_CONF_OK;
    }

    if (mmcf->brokers.data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace on\" in %V:%ui needs \"millrace_brokers\"",
            &mlcf->enable_place.file, mlcf->enable_place.line);
        return NGX_CONF_ERROR;
    }

    mmcf->ack_timeout = ngx_max(mmcf->ack_timeout, mlcf->ack_timeout);
    mmcf->least_timeout = ngx_min(mmcf->least_timeout, mlcf->ack_timeout);

    n = ngx_http_millrace_kafka_number(mmcf->kafka, "message.max.bytes");
    max = (n > NGX_HTTP_MILLRACE_FRAMING)
              ? (size_t) n - NGX_HTTP_MILLRACE_FRAMING
              : 0;

    if (mlcf->max_event_size > max) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_max_event_size\" of %uz in %V:%ui is more than %uz: "
            "what message.max.bytes (%i) leaves beside the key and the "
            "framing",
            mlcf->max_event_size, &mlcf->size_place.file, mlcf->size_place.line,
            max, n);
        return NGX_CONF_ERROR;
    }

    if (mlcf->max_batch > mmcf->queue_events) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_max_batch\" of %ui in %V:%ui is more than "
            "\"millrace_queue_events\", %ui: such a batch could never be "
            "taken",
            mlcf->max_batch, &mlcf->batch_place.file, mlcf->batch_place.line,
            mmcf->queue_events);
        return NGX_CONF_ERROR;
    }

    max = mlcf->max_event_size + MR_USER_ID_MAX
          + NGX_HTTP_MILLRACE_MESSAGE_OVERHEAD;

    if (mmcf->queue_size < max) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_queue_size\" of %uz is less than the %uz that an event "
            "of \"millrace_max_event_size\" (%V:%ui) needs: it could never be "
            "taken",
            mmcf->queue_size, max, &mlcf->enable_place.file,
            mlcf->enable_place.line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_millrace_topic_index(ngx_conf_t *cf,
    ngx_http_millrace_main_conf_t *mmcf, ngx_str_t *name, ngx_uint_t *ret_index)
{
    ngx_str_t *topic;
    ngx_uint_t i;

    topic = mmcf->topics.elts;

    for (i = 0; i < mmcf->topics.nelts; i++) {
        if (topic[i].len == name->len
            && ngx_strncmp(topic[i].data, name->data, name->len) == 0)
        {
            *ret_index = i;
            return NGX_OK;
        }
    }

    topic = ngx_array_push(&mmcf->topics);
    if (topic == NULL) {
        return NGX_ERROR;
    }

    *topic = *name;
    *ret_index = i;

    return NGX_OK;
}


ngx_int_t
ngx_http_millrace_check_main(
    ngx_conf_t *cf, ngx_http_millrace_main_conf_t *mmcf)
{
    char timeout[32], events[32], size[32];
    ngx_int_t linger;
    ngx_http_millrace_pair_t *pair;
    ngx_http_millrace_pair_t forced[] = {
        {"bootstrap.servers", (char *) mmcf->brokers.data}, {"acks", "all"},
        {"enable.idempotence", "true"}, {"partitioner", "murmur2_random"},
        {"delivery.report.only.error", "false"}, {"log.queue", "true"},
        {"allow.auto.create.topics", "false"}, {"message.timeout.ms", timeout},
        {"queue.buffering.max.messages", events},
        {"queue.buffering.max.kbytes", size}, {NULL, NULL}};

    if (mmcf->topics.nelts == 0) {
        return NGX_OK;
    }

    if (mmcf->brokers.data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_ready\" needs \"millrace_brokers\"");
        return NGX_ERROR;
    }

    linger = ngx_http_millrace_kafka_number(mmcf->kafka, "linger.ms");

    if (linger < 0 || (ngx_msec_t) linger + mmcf->linger >= mmcf->least_timeout)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "\"millrace_linger\" and \"millrace_kafka linger.ms\" must "
            "together be less than \"millrace_ack_timeout\" (%M ms)",
            mmcf->least_timeout);
        return NGX_ERROR;
    }

    /*
     * What nobody waits for any more need not stay in memory: an event is
     * given up when the longest of the waits for it is over.  Where there is
     * none (only millrace_ready), there is no event either.
     */
    if (mmcf->ack_timeout == 0) {
        mmcf->ack_timeout = NGX_HTTP_MILLRACE_ACK_TIMEOUT;
    }

    (void) ngx_snprintf((u_char *) timeout, sizeof(timeout), "%M%Z",
        ngx_min(mmcf->ack_timeout, (ngx_msec_t) NGX_MAX_INT32_VALUE));

    /*
     * The bound is ours, by reservation before producing.  librdkafka still
     * counts messages whose reports are being read, so its own must be
     * higher: it is there for the case that ours is wrong.
     */
    (void) ngx_snprintf((u_char *) events, sizeof(events), "%ui%Z",
        ngx_min(2 * mmcf->queue_events, NGX_MAX_INT32_VALUE));
    (void) ngx_snprintf((u_char *) size, sizeof(size), "%uz%Z",
        ngx_min(2 * (mmcf->queue_size / 1024) + 1, NGX_MAX_INT32_VALUE));

    for (pair = forced; pair->name; pair++) {
        if (ngx_http_millrace_kafka_set(cf, mmcf->kafka, pair->name, pair->text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_millrace_check_security(cf, mmcf);
}
