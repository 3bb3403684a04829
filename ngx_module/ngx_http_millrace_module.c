/* Directives, configuration and the hooks of the life cycle. */
#include "ngx_http_millrace.h"


#define NGX_HTTP_MILLRACE_ALL_CONF                                             \
    (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF)


static ngx_int_t ngx_http_millrace_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_millrace_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_millrace_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_millrace_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_millrace_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_millrace_merge_loc_conf(
    ngx_conf_t *cf, void *parent, void *child);
static void ngx_http_millrace_merge_place(
    ngx_http_millrace_place_t *child, ngx_http_millrace_place_t *parent);
static char *ngx_http_millrace_enable(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_millrace_event_size(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_millrace_inflated_size(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_millrace_batch(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_millrace_timeout(
    ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_conf_num_bounds_t ngx_http_millrace_queue_events_bounds = {
    ngx_conf_check_num_bounds, 1, 100000000};


/* clang-format off */

static ngx_command_t ngx_http_millrace_commands[] = {

    { ngx_string("millrace"),
      NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
      ngx_http_millrace_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, enable),
      NULL },

    { ngx_string("millrace_brokers"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE,
      ngx_http_millrace_brokers,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("millrace_kafka"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
      ngx_http_millrace_kafka,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("millrace_linger"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_millrace_main_conf_t, linger),
      NULL },

    { ngx_string("millrace_topic"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_topic,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("millrace_ack_timeout"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_timeout,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, ack_timeout),
      NULL },

    { ngx_string("millrace_body_timeout"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_timeout,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, body_timeout),
      NULL },

    { ngx_string("millrace_queue_wait"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, queue_wait),
      NULL },

    { ngx_string("millrace_max_future"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, max_future),
      NULL },

    { ngx_string("millrace_max_batch"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_batch,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, max_batch),
      NULL },

    { ngx_string("millrace_max_event_size"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_event_size,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, max_event_size),
      NULL },

    { ngx_string("millrace_max_inflated_size"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_TAKE1,
      ngx_http_millrace_inflated_size,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, max_inflated_size),
      NULL },

    { ngx_string("millrace_problems"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, problems),
      NULL },

    { ngx_string("millrace_beacon"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, beacon),
      NULL },

    { ngx_string("millrace_ignore_client_abort"),
      NGX_HTTP_MILLRACE_ALL_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_millrace_loc_conf_t, ignore_client_abort),
      NULL },

    { ngx_string("millrace_queue_events"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_millrace_main_conf_t, queue_events),
      &ngx_http_millrace_queue_events_bounds },

    { ngx_string("millrace_queue_size"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_millrace_main_conf_t, queue_size),
      NULL },

    { ngx_string("millrace_acknowledged"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_millrace_acknowledged,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("millrace_ready"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_millrace_ready,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("millrace_status"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_millrace_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};


static ngx_http_module_t ngx_http_millrace_module_ctx = {
    ngx_http_millrace_preconfiguration,   /* preconfiguration */
    ngx_http_millrace_postconfiguration,  /* postconfiguration */

    ngx_http_millrace_create_main_conf,   /* create main configuration */
    ngx_http_millrace_init_main_conf,     /* init main configuration */

    NULL,                                 /* create server configuration */
    NULL,                                 /* merge server configuration */

    ngx_http_millrace_create_loc_conf,    /* create location configuration */
    ngx_http_millrace_merge_loc_conf      /* merge location configuration */
};


ngx_module_t ngx_http_millrace_module = {
    NGX_MODULE_V1,
    &ngx_http_millrace_module_ctx,        /* module context */
    ngx_http_millrace_commands,           /* module directives */
    NGX_HTTP_MODULE,                      /* module type */
    NULL,                                 /* init master */
    NULL,                                 /* init module */
    ngx_http_millrace_worker_init,        /* init process */
    NULL,                                 /* init thread */
    NULL,                                 /* exit thread */
    ngx_http_millrace_worker_exit,        /* exit process */
    NULL,                                 /* exit master */
    NGX_MODULE_V1_PADDING
};

/* clang-format on */


static ngx_int_t
ngx_http_millrace_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_millrace_add_variables(cf);
}


static ngx_int_t
ngx_http_millrace_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_millrace_module);

    if (ngx_http_millrace_check_main(cf, mmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (mmcf->topics.nelts || mmcf->status) {
        mmcf->zone = ngx_http_millrace_counters_zone(cf);
        if (mmcf->zone == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_millrace_filter_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_millrace_precontent_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_millrace_rewrite_handler;

    return NGX_OK;
}


static void *
ngx_http_millrace_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_millrace_main_conf_t *mmcf;

    mmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_millrace_main_conf_t));
    if (mmcf == NULL) {
        return NULL;
    }

    mmcf->kafka = ngx_http_millrace_kafka_conf(cf);
    if (mmcf->kafka == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mmcf->properties, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK) {
        return NULL;
    }

    if (ngx_array_init(&mmcf->topics, cf->pool, 1, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NULL;
    }

    mmcf->queue_events = NGX_CONF_UNSET_UINT;
    mmcf->queue_size = NGX_CONF_UNSET_SIZE;
    mmcf->linger = NGX_CONF_UNSET_MSEC;
    mmcf->least_timeout = NGX_MAX_INT_T_VALUE;

    return mmcf;
}


static char *
ngx_http_millrace_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_millrace_main_conf_t *mmcf = conf;

    ngx_conf_init_uint_value(mmcf->queue_events, 200000);
    ngx_conf_init_size_value(mmcf->queue_size, 256 * 1024 * 1024);
    ngx_conf_init_msec_value(mmcf->linger, 5);

    return NGX_CONF_OK;
}


static void *
ngx_http_millrace_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_millrace_loc_conf_t *mlcf;

    mlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_millrace_loc_conf_t));
    if (mlcf == NULL) {
        return NULL;
    }

    mlcf->enable = NGX_CONF_UNSET;
    mlcf->problems = NGX_CONF_UNSET;
    mlcf->beacon = NGX_CONF_UNSET;
    mlcf->ignore_client_abort = NGX_CONF_UNSET;
    mlcf->ack_timeout = NGX_CONF_UNSET_MSEC;
    mlcf->body_timeout = NGX_CONF_UNSET_MSEC;
    mlcf->queue_wait = NGX_CONF_UNSET_MSEC;
    mlcf->max_future = NGX_CONF_UNSET_MSEC;
    mlcf->max_batch = NGX_CONF_UNSET_UINT;
    mlcf->max_event_size = NGX_CONF_UNSET_SIZE;
    mlcf->max_inflated_size = NGX_CONF_UNSET_SIZE;

    return mlcf;
}


static char *
ngx_http_millrace_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_millrace_loc_conf_t *prev = parent;
    ngx_http_millrace_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_value(conf->problems, prev->problems, 0);
    ngx_conf_merge_value(conf->beacon, prev->beacon, 1);
    ngx_conf_merge_value(
        conf->ignore_client_abort, prev->ignore_client_abort, 0);
    ngx_conf_merge_str_value(conf->topic, prev->topic, "events");
    ngx_conf_merge_msec_value(
        conf->ack_timeout, prev->ack_timeout, NGX_HTTP_MILLRACE_ACK_TIMEOUT);
    ngx_conf_merge_msec_value(conf->body_timeout, prev->body_timeout, 60000);
    ngx_conf_merge_msec_value(conf->queue_wait, prev->queue_wait, 4000);
    ngx_conf_merge_msec_value(conf->max_future, prev->max_future, 86400000);
    ngx_conf_merge_uint_value(conf->max_batch, prev->max_batch, 10000);
    ngx_conf_merge_size_value(
        conf->max_event_size, prev->max_event_size, 64 * 1024);
    ngx_conf_merge_size_value(
        conf->max_inflated_size, prev->max_inflated_size, MR_INFLATE_LIMIT);

    ngx_http_millrace_merge_place(&conf->enable_place, &prev->enable_place);
    ngx_http_millrace_merge_place(&conf->size_place, &prev->size_place);
    ngx_http_millrace_merge_place(&conf->batch_place, &prev->batch_place);

    if (!conf->enable && !conf->ready) {
        return NGX_CONF_OK;
    }

    return ngx_http_millrace_check_location(cf, conf);
}


static void
ngx_http_millrace_merge_place(
    ngx_http_millrace_place_t *child, ngx_http_millrace_place_t *parent)
{
    if (child->file.data == NULL) {
        *child = *parent;
    }
}


static char *
ngx_http_millrace_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    ngx_http_millrace_mark(cf, &mlcf->enable_place);

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}


static char *
ngx_http_millrace_event_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    char *rv;

    rv = ngx_conf_set_size_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (mlcf->max_event_size == 0 || mlcf->max_event_size > MR_EVENT_SIZE_MAX) {
        return "must be from 1 to 1m: what MongoDB stores as one document "
               "is bounded";
    }

    ngx_http_millrace_mark(cf, &mlcf->size_place);

    return NGX_CONF_OK;
}


static char *
ngx_http_millrace_inflated_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    char *rv;

    rv = ngx_conf_set_size_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (mlcf->max_inflated_size == 0) {
        return "must be more than 0";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_millrace_batch(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_millrace_loc_conf_t *mlcf = conf;

    char *rv;

    rv = ngx_conf_set_num_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (mlcf->max_batch == 0) {
        return "must be at least 1";
    }

    ngx_http_millrace_mark(cf, &mlcf->batch_place);

    return NGX_CONF_OK;
}


static char *
ngx_http_millrace_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *rv;
    ngx_msec_t *value;

    rv = ngx_conf_set_msec_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = (ngx_msec_t *) ((char *) conf + cmd->offset);

    if (*value == 0 || *value > 3600000) {
        return "must be more than 0 and at most 1h";
    }

    return NGX_CONF_OK;
}
