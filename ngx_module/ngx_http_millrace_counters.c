/* The shared-memory zone of the counters. */
#include "ngx_http_millrace.h"


#define NGX_HTTP_MILLRACE_MAGIC 0x6d696c6c72616365 /* "millrace" */
#define NGX_HTTP_MILLRACE_LAYOUT 3
/* Two cache lines: processors fetch them in pairs. */
#define NGX_HTTP_MILLRACE_LINE 128


typedef struct {
    ngx_http_millrace_counts_t counts;
    uint64_t last; /* index of the minute that was counted in last, and */
    uint64_t next; /* of the row that the next new one takes */
    ngx_http_millrace_minute_t minutes[NGX_HTTP_MILLRACE_MINUTES];
} __attribute__((aligned(NGX_HTTP_MILLRACE_LINE))) ngx_http_millrace_slot_t;


typedef struct {
    uint64_t magic;
    uint64_t layout;
    uint64_t size;
    uint64_t used; /* slots from this one on were never used */
    ngx_http_millrace_slot_t slots[NGX_MAX_PROCESSES];
} ngx_http_millrace_table_t;


static ngx_int_t ngx_http_millrace_counters_init(
    ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_http_millrace_counters_check(
    ngx_shm_zone_t *zone, ngx_http_millrace_table_t *table);
static ngx_http_millrace_counts_t *ngx_http_millrace_counters_own(
    ngx_shm_zone_t *zone);
static uint64_t ngx_http_millrace_counters_find(
    ngx_http_millrace_slot_t *slot, uint64_t minute, uint64_t topic);
static ngx_http_millrace_minute_t *ngx_http_millrace_counters_place(
    ngx_http_millrace_minute_t *minutes, ngx_uint_t *n, uint64_t minute,
    uint64_t topic);
static void ngx_http_millrace_counters_set(uint64_t *counter, uint64_t value);
static void ngx_http_millrace_counters_add(uint64_t *counter, uint64_t n);
static uint64_t ngx_http_millrace_counters_get(uint64_t *counter);
static ngx_uint_t ngx_http_millrace_counters_alive(uint64_t pid);


const uint64_t ngx_http_millrace_bounds[NGX_HTTP_MILLRACE_BUCKETS] = {1000,
    2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
    5000000, 10000000};

static ngx_str_t ngx_http_millrace_zone_name = ngx_string("millrace");


ngx_shm_zone_t *
ngx_http_millrace_counters_zone(ngx_conf_t *cf)
{
    size_t size;
    ngx_shm_zone_t *zone;

    /* the size must not change, or a reload would start with a new zone */

    size = ngx_align(sizeof(ngx_http_millrace_table_t), ngx_pagesize)
           + 8 * ngx_pagesize;

    zone = ngx_shared_memory_add(
        cf, &ngx_http_millrace_zone_name, size, &ngx_http_millrace_module);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_http_millrace_counters_init;

    return zone;
}


static ngx_int_t
ngx_http_millrace_counters_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t *pool;
    ngx_http_millrace_table_t *table;

    if (data) {
        return ngx_http_millrace_counters_check(zone, data);
    }

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        return ngx_http_millrace_counters_check(zone, pool->data);
    }

    /* whole pages, so it is aligned as the slots want it */

    table = ngx_slab_calloc(pool, sizeof(ngx_http_millrace_table_t));
    if (table == NULL) {
        return NGX_ERROR;
    }

    table->magic = NGX_HTTP_MILLRACE_MAGIC;
    table->layout = NGX_HTTP_MILLRACE_LAYOUT;
    table->size = sizeof(ngx_http_millrace_table_t);

    pool->data = table;
    zone->data = table;

    return NGX_OK;
}


static ngx_int_t
ngx_http_millrace_counters_check(
    ngx_shm_zone_t *zone, ngx_http_millrace_table_t *table)
{
    if (table == NULL || table->magic != NGX_HTTP_MILLRACE_MAGIC
        || table->layout != NGX_HTTP_MILLRACE_LAYOUT
        || table->size != sizeof(ngx_http_millrace_table_t))
    {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
            "the shared memory zone \"%V\" is of another version of the "
            "module: nginx must be stopped and started",
            &zone->shm.name);
        return NGX_ERROR;
    }

    zone->data = table;

    return NGX_OK;
}


void
ngx_http_millrace_counters_enter(ngx_shm_zone_t *zone)
{
    uint64_t used, wanted;
    ngx_http_millrace_table_t *table;
    ngx_http_millrace_counts_t *own;

    table = zone->data;
    own = ngx_http_millrace_counters_own(zone);

    /* what a predecessor that was killed had reserved is gone */
    ngx_http_millrace_count_queue(zone, 0, 0);
    ngx_http_millrace_counters_set(&own->workers, (uint64_t) ngx_pid);

    wanted = (uint64_t) ngx_process_slot + 1;
    used = __atomic_load_n(&table->used, __ATOMIC_RELAXED);

    while (used < wanted
           && !__atomic_compare_exchange_n(&table->used, &used, wanted, 0,
               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    {
        /* another process was faster: `used` is its value now */
    }
}


void
ngx_http_millrace_counters_leave(ngx_shm_zone_t *zone)
{
    ngx_http_millrace_count_queue(zone, 0, 0);
    ngx_http_millrace_counters_set(
        &ngx_http_millrace_counters_own(zone)->workers, 0);
}


void
ngx_http_millrace_count(
    ngx_shm_zone_t *zone, ngx_http_millrace_counter_t counter, uint64_t n)
{
    ngx_http_millrace_counters_add(
        &ngx_http_millrace_counters_own(zone)->counters[counter], n);
}


void
ngx_http_millrace_count_ack(ngx_shm_zone_t *zone, uint64_t time)
{
    ngx_uint_t i;
    ngx_http_millrace_counts_t *own;

    for (i = 0; i < NGX_HTTP_MILLRACE_BUCKETS; i++) {
        if (time <= ngx_http_millrace_bounds[i]) {
            break;
        }
    }

    own = ngx_http_millrace_counters_own(zone);

    ngx_http_millrace_counters_add(&own->buckets[i], 1);
    ngx_http_millrace_counters_add(&own->ack_time, time);
}


void
ngx_http_millrace_count_queue(
    ngx_shm_zone_t *zone, uint64_t events, uint64_t bytes)
{
    ngx_http_millrace_counts_t *own;

    own = ngx_http_millrace_counters_own(zone);

    ngx_http_millrace_counters_set(&own->queue_events, events);
    ngx_http_millrace_counters_set(&own->queue_bytes, bytes);
}


void
ngx_http_millrace_count_minute(
    ngx_shm_zone_t *zone, uint64_t topic, int64_t time)
{
    uint64_t minute;
    ngx_http_millrace_slot_t *slot;
    ngx_http_millrace_table_t *table;
    ngx_http_millrace_minute_t *row;

    table = zone->data;
    slot = &table->slots[ngx_process_slot];
    minute = (uint64_t) time / 60000;
    row = &slot->minutes[slot->last];

    if (row->minute != minute || row->topic != topic) {
        slot->last = ngx_http_millrace_counters_find(slot, minute, topic);
        row = &slot->minutes[slot->last];
    }

    ngx_http_millrace_counters_add(&row->events, 1);
}


/*
 * The row of the minute; else the one that was begun longest ago makes room
 * for it.  Not that of the earliest minute: a clock that was ahead for a while
 * would leave rows that never do.
 */
static uint64_t
ngx_http_millrace_counters_find(
    ngx_http_millrace_slot_t *slot, uint64_t minute, uint64_t topic)
{
    uint64_t i;
    ngx_http_millrace_minute_t *row;

    for (i = 0; i < NGX_HTTP_MILLRACE_MINUTES; i++) {
        row = &slot->minutes[i];

        if (row->minute == minute && row->topic == topic) {
            return i;
        }
    }

    i = slot->next;
    slot->next = (i + 1) % NGX_HTTP_MILLRACE_MINUTES;
    row = &slot->minutes[i];

    /* whoever reads meanwhile sees that the minute was not the same */

    ngx_http_millrace_counters_set(&row->minute, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    ngx_http_millrace_counters_set(&row->topic, topic);
    ngx_http_millrace_counters_set(&row->events, 0);
    __atomic_store_n(&row->minute, minute, __ATOMIC_RELEASE);

    return i;
}


ngx_uint_t
ngx_http_millrace_counters_minutes(ngx_shm_zone_t *zone, uint64_t topic,
    ngx_http_millrace_minute_t *ret_minutes)
{
    uint64_t used, n, minute, events;
    ngx_uint_t i, count;
    ngx_http_millrace_minute_t *row, *sum;
    ngx_http_millrace_table_t *table;

    table = zone->data;
    used = __atomic_load_n(&table->used, __ATOMIC_RELAXED);
    count = 0;

    for (n = 0; n < used; n++) {
        for (i = 0; i < NGX_HTTP_MILLRACE_MINUTES; i++) {
            row = &table->slots[n].minutes[i];
            minute = __atomic_load_n(&row->minute, __ATOMIC_ACQUIRE);

            if (minute == 0
                || ngx_http_millrace_counters_get(&row->topic) != topic) {
                continue;
            }

            events = ngx_http_millrace_counters_get(&row->events);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);

            if (events == 0
                || ngx_http_millrace_counters_get(&row->minute) != minute) {
                continue;
            }

            sum = ngx_http_millrace_counters_place(
                ret_minutes, &count, minute, topic);

            if (sum) {
                sum->events += events;
            }
        }
    }

    return count;
}


/*
 * The minute among `n` that ascend, with a new one where it belongs; NULL if
 * it is earlier than as many as there is room for.
 */
static ngx_http_millrace_minute_t *
ngx_http_millrace_counters_place(ngx_http_millrace_minute_t *minutes,
    ngx_uint_t *n, uint64_t minute, uint64_t topic)
{
    ngx_uint_t i;

    for (i = *n; i > 0 && minutes[i - 1].minute > minute; i--) {
        /* void */
    }

    if (i > 0 && minutes[i - 1].minute == minute) {
        return &minutes[i - 1];
    }

    if (*n == NGX_HTTP_MILLRACE_MINUTES_ALL) {

        if (i == 0) {
            return NULL;
        }

        i--;
        ngx_memmove(minutes, minutes + 1, i * sizeof(*minutes));

    } else {
        ngx_memmove(minutes + i + 1, minutes + i, (*n - i) * sizeof(*minutes));
        (*n)++;
    }

    minutes[i].minute = minute;
    minutes[i].topic = topic;
    minutes[i].events = 0;

    return &minutes[i];
}


void
ngx_http_millrace_counters_sum(
    ngx_shm_zone_t *zone, ngx_http_millrace_counts_t *ret_counts)
{
    uint64_t used, n;
    ngx_uint_t i;
    ngx_http_millrace_table_t *table;
    ngx_http_millrace_counts_t *slot;

    ngx_memzero(ret_counts, sizeof(ngx_http_millrace_counts_t));

    table = zone->data;
    used = __atomic_load_n(&table->used, __ATOMIC_RELAXED);

    for (n = 0; n < used; n++) {
        slot = &table->slots[n].counts;

        for (i = 0; i < NGX_HTTP_MILLRACE_COUNTERS; i++) {
            ret_counts->counters[i] +=
                ngx_http_millrace_counters_get(&slot->counters[i]);
        }

        for (i = 0; i <= NGX_HTTP_MILLRACE_BUCKETS; i++) {
            ret_counts->buckets[i] +=
                ngx_http_millrace_counters_get(&slot->buckets[i]);
        }

        ret_counts->ack_time += ngx_http_millrace_counters_get(&slot->ack_time);

        if (!ngx_http_millrace_counters_alive(
                ngx_http_millrace_counters_get(&slot->workers)))
        {
            continue;
        }

        ret_counts->workers++;
        ret_counts->queue_events +=
            ngx_http_millrace_counters_get(&slot->queue_events);
        ret_counts->queue_bytes +=
            ngx_http_millrace_counters_get(&slot->queue_bytes);
    }
}


/* A worker that was killed, and has no successor, could not say so. */
static ngx_uint_t
ngx_http_millrace_counters_alive(uint64_t pid)
{
    return pid != 0
           && (kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}


static ngx_http_millrace_counts_t *
ngx_http_millrace_counters_own(ngx_shm_zone_t *zone)
{
    ngx_http_millrace_table_t *table;

    table = zone->data;

    return &table->slots[ngx_process_slot].counts;
}


static void
ngx_http_millrace_counters_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}


/* There is one writer, so this needs no locked instruction. */
static void
ngx_http_millrace_counters_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(
        counter, ngx_http_millrace_counters_get(counter) + n, __ATOMIC_RELAXED);
}


static uint64_t
ngx_http_millrace_counters_get(uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
