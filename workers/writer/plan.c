#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "span.h"


/*
 * What an event costs in its block at most, beside its document and the
 * strings of its user and type: their lengths, keys and packed columns.
 */
#define PLAN_EVENT_OVERHEAD 64
#define PLAN_BLOCK_OVERHEAD 512


typedef struct {
    int64_t time;
    uint32_t index;
} plan_time_t;

/* Sorted by group, user, time and offset; `prefix` decides most of it. */
typedef struct {
    uint64_t prefix;
    uint32_t group;
    uint32_t index;
} plan_key_t;


static int plan_reserve(mr_plan_t *plan, size_t n);
static uint32_t plan_group(
    mr_plan_t *plan, const mr_entry_t *entries, size_t n);
static int plan_time_cmp(const void *one, const void *two);
static void plan_sort(mr_plan_t *plan, const mr_entry_t *entries, size_t n);
static size_t plan_common_prefix(const mr_entry_t *entries, size_t n);
static uint64_t plan_prefix(mr_str_t user, size_t skip);
static int plan_key_cmp(const void *one, const void *two, void *ctx);
static int plan_divide(mr_plan_t *plan, const mr_entry_t *entries,
    const mr_str_t *types, size_t first, size_t n);
static int plan_add(mr_plan_t *plan, size_t first, size_t n);


static inline mr_str_t
plan_user(const mr_entry_t *entry)
{
    return (mr_str_t){entry->document + entry->user, entry->user_length};
}


int
mr_plan_make(
    mr_plan_t *plan, const mr_entry_t *entries, size_t n, const mr_str_t *types)
{
    size_t i, first;

    plan->n = 0;

    if (n == 0) {
        return 0;
    }

    if (plan_reserve(plan, n) != 0) {
        return -1;
    }

    (void) plan_group(plan, entries, n);
    plan_sort(plan, entries, n);

    first = 0;

    for (i = 1; i <= n; i++) {

        if (i < n
            && plan->groups[plan->order[i]] == plan->groups[plan->order[first]])
        {
            continue;
        }

        if (plan_divide(plan, entries, types, first, i - first) != 0) {
            return -1;
        }

        first = i;
    }

    return 0;
}


void
mr_plan_free(mr_plan_t *plan)
{
    free(plan->blocks);
    free(plan->order);
    free(plan->groups);
    free(plan->keys);
    free(plan->times);
    free(plan->scratch);
    memset(plan, 0, sizeof(mr_plan_t));
}


static int
plan_reserve(mr_plan_t *plan, size_t n)
{
    size_t cap;

    if (n <= plan->cap) {
        return 0;
    }

    cap = plan->cap != 0 ? plan->cap : 1024;

    while (cap < n) {
        cap *= 2;
    }

    /* Nothing in them outlives a call. */
    free(plan->order);
    free(plan->groups);
    free(plan->keys);
    free(plan->times);
    free(plan->scratch);

    plan->order = malloc(cap * sizeof(uint32_t));
    plan->groups = malloc(cap * sizeof(uint32_t));
    plan->keys = malloc(cap * sizeof(plan_key_t));
    plan->times = malloc(cap * sizeof(int64_t));
    plan->scratch = malloc(2 * cap * sizeof(uint32_t));
    plan->cap = cap;

    if (plan->order == NULL || plan->groups == NULL || plan->keys == NULL
        || plan->times == NULL || plan->scratch == NULL)
    {
        plan->cap = 0;
        return -1;
    }

    return 0;
}


/* Give each entry its group of span.h; returns how many there are. */
static uint32_t
plan_group(mr_plan_t *plan, const mr_entry_t *entries, size_t n)
{
    size_t i;
    int64_t low, high;
    uint32_t groups, *by_time;
    plan_time_t *times;

    low = entries[0].time;
    high = low;

    for (i = 1; i < n; i++) {
        low = entries[i].time < low ? entries[i].time : low;
        high = entries[i].time > high ? entries[i].time : high;
    }

    if (mr_span_class(high - low) == 0) {
        memset(plan->groups, 0, n * sizeof(uint32_t));
        return 1;
    }

    _Static_assert(sizeof(plan_time_t) <= sizeof(plan_key_t), "room");
    times = plan->keys;

    for (i = 0; i < n; i++) {
        times[i].time = entries[i].time;
        times[i].index = (uint32_t) i;
    }

    qsort(times, n, sizeof(plan_time_t), plan_time_cmp);

    for (i = 0; i < n; i++) {
        plan->times[i] = times[i].time;
    }

    by_time = plan->scratch + n;
    groups = mr_span_cut(plan->times, n, plan->scratch, by_time);

    for (i = 0; i < n; i++) {
        plan->groups[times[i].index] = by_time[i];
    }

    return groups;
}


static int
plan_time_cmp(const void *one, const void *two)
{
    const plan_time_t *a = one, *b = two;

    if (a->time != b->time) {
        return a->time < b->time ? -1 : 1;
    }

    return a->index < b->index ? -1 : 1;
}


static void
plan_sort(mr_plan_t *plan, const mr_entry_t *entries, size_t n)
{
    size_t i, skip;
    plan_key_t *keys;

    keys = plan->keys;
    skip = plan_common_prefix(entries, n);

    for (i = 0; i < n; i++) {
        keys[i].prefix = plan_prefix(plan_user(&entries[i]), skip);
        keys[i].group = plan->groups[i];
        keys[i].index = (uint32_t) i;
    }

    qsort_r(keys, n, sizeof(plan_key_t), plan_key_cmp, (void *) entries);

    for (i = 0; i < n; i++) {
        plan->order[i] = keys[i].index;
    }
}


/*
 * How many bytes all users begin with alike ("user-0"): behind them eight
 * bytes tell nearly all users apart.
 */
static size_t
plan_common_prefix(const mr_entry_t *entries, size_t n)
{
    size_t i, k, common;
    mr_str_t first, user;

    first = plan_user(&entries[0]);
    common = first.len;

    for (i = 1; i < n && common != 0; i++) {
        user = plan_user(&entries[i]);

        for (k = 0; k < common; k++) {
            if (k == user.len || user.data[k] != first.data[k]) {
                common = k;
            }
        }
    }

    return common;
}


/* A user_id holds no NUL, so that padding with it keeps the order. */
static uint64_t
plan_prefix(mr_str_t user, size_t skip)
{
    size_t i;
    uint64_t prefix;

    prefix = 0;

    for (i = 0; i < 8; i++) {
        prefix <<= 8;

        if (skip + i < user.len) {
            prefix |= (unsigned char) user.data[skip + i];
        }
    }

    return prefix;
}


static int
plan_key_cmp(const void *one, const void *two, void *ctx)
{
    int order;
    const plan_key_t *a = one, *b = two;
    const mr_entry_t *entries = ctx;

    if (a->group != b->group) {
        return a->group < b->group ? -1 : 1;
    }

    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }

    order = mr_str_cmp(
        plan_user(&entries[a->index]), plan_user(&entries[b->index]));

    if (order != 0) {
        return order;
    }

    if (entries[a->index].time != entries[b->index].time) {
        return entries[a->index].time < entries[b->index].time ? -1 : 1;
    }

    return entries[a->index].offset < entries[b->index].offset ? -1 : 1;
}


/* Divide one group into blocks of about equal number. */
static int
plan_divide(mr_plan_t *plan, const mr_entry_t *entries, const mr_str_t *types,
    size_t first, size_t n)
{
    size_t i, begin, bytes, cost, blocks, least, most;
    const mr_entry_t *entry;

    most = n / MR_BLOCK_DIVISION;

    if (most < MR_BLOCK_FEW) {
        most = MR_BLOCK_FEW;

    } else if (most > MR_BLOCK_EVENTS) {
        most = MR_BLOCK_EVENTS;
    }

    blocks = (n + most / 2) / most;
    least = (n + MR_BLOCK_EVENTS - 1) / MR_BLOCK_EVENTS;

    if (blocks < least) {
        blocks = least;
    }

    most = (n + blocks - 1) / blocks;

    begin = first;
    bytes = PLAN_BLOCK_OVERHEAD;

    for (i = first; i < first + n; i++) {
        entry = &entries[plan->order[i]];
        cost = entry->length + (size_t) entry->user_length
               + types[entry->type].len + PLAN_EVENT_OVERHEAD;

        if (i > begin && (i - begin == most || bytes + cost > MR_BLOCK_BYTES)) {
            if (plan_add(plan, begin, i - begin) != 0) {
                return -1;
            }

            begin = i;
            bytes = PLAN_BLOCK_OVERHEAD;
        }

        bytes += cost;
    }

    return plan_add(plan, begin, i - begin);
}


static int
plan_add(mr_plan_t *plan, size_t first, size_t n)
{
    size_t cap;
    mr_block_range_t *blocks;

    if (plan->n == plan->blocks_cap) {
        cap = plan->blocks_cap != 0 ? 2 * plan->blocks_cap : 64;

        blocks = realloc(plan->blocks, cap * sizeof(mr_block_range_t));
        if (blocks == NULL) {
            return -1;
        }

        plan->blocks = blocks;
        plan->blocks_cap = cap;
    }

    plan->blocks[plan->n].first = (uint32_t) first;
    plan->blocks[plan->n].n = (uint32_t) n;
    plan->n++;

    return 0;
}
