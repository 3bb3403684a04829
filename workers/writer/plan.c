#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "block.h"
#include "span.h"


/*
 * What an event costs in its block at most, beside its document and the
 * strings of its user, which are two, and type: their lengths, keys and packed
 * columns.
 */
#define PLAN_EVENT_OVERHEAD 88
#define PLAN_BLOCK_OVERHEAD 512

/* Of an event of a frequent user: added to the number of its section. */
#define PLAN_FREQUENT UINT32_C(0x80000000)


typedef struct {
    int64_t time;
    uint32_t index;
} plan_time_t;

/* Sorted by section, user, time and offset; `prefix` decides most of it. */
typedef struct {
    uint64_t prefix;
    uint32_t section;
    uint32_t index;
} plan_key_t;

/* A section's parts: its frequent users, if they are one, and its slices. */
struct mr_section_s {
    uint32_t events;
    uint32_t frequent; /* events of frequent users */
    uint32_t slices;
    uint32_t sliced; /* events that have their slice already */
    uint32_t part;   /* the first one's number */
};


static int plan_reserve(mr_plan_t *plan, size_t n);
static int plan_sections(mr_plan_t *plan, const mr_entry_t *entries, size_t n);
static int plan_sections_number(
    mr_plan_t *plan, uint32_t *by_time, size_t n, uint32_t groups);
static int plan_time_cmp(const void *one, const void *two);
static void plan_sort(mr_plan_t *plan, const mr_entry_t *entries, size_t n);
static size_t plan_common_prefix(const mr_entry_t *entries, size_t n);
static uint64_t plan_prefix(mr_str_t user, size_t skip);
static int plan_key_cmp(const void *one, const void *two, void *ctx);
static void plan_frequent(mr_plan_t *plan, const mr_entry_t *entries, size_t n);
static uint32_t plan_parts(mr_plan_t *plan);
static int plan_slice(mr_plan_t *plan, size_t n, uint32_t parts);
static int plan_divide(mr_plan_t *plan, const mr_entry_t *entries,
    const mr_str_t *types, size_t first, size_t n);
static int plan_add(mr_plan_t *plan, size_t first, size_t n);


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

    if (plan_sections(plan, entries, n) != 0) {
        return -1;
    }

    plan_sort(plan, entries, n);
    plan_frequent(plan, entries, n);

    if (plan_slice(plan, n, plan_parts(plan)) != 0) {
        return -1;
    }

    first = 0;

    for (i = 1; i <= n; i++) {

        if (i < n
            && plan->parts[plan->order[i]] == plan->parts[plan->order[first]]) {
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
    free(plan->parts);
    free(plan->by_time);
    free(plan->keys);
    free(plan->times);
    free(plan->scratch);
    free(plan->sections);
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
    free(plan->parts);
    free(plan->by_time);
    free(plan->keys);
    free(plan->times);
    free(plan->scratch);

    plan->order = malloc(cap * sizeof(uint32_t));
    plan->parts = malloc(cap * sizeof(uint32_t));
    plan->by_time = malloc(cap * sizeof(uint32_t));
    plan->keys = malloc(cap * sizeof(plan_key_t));
    plan->times = malloc(cap * sizeof(int64_t));
    plan->scratch = malloc(2 * cap * sizeof(uint32_t));
    plan->cap = cap;

    if (plan->order == NULL || plan->parts == NULL || plan->by_time == NULL
        || plan->keys == NULL || plan->times == NULL || plan->scratch == NULL)
    {
        plan->cap = 0;
        return -1;
    }

    return 0;
}


/* Order by time, and give each entry its section instead of a part. */
static int
plan_sections(mr_plan_t *plan, const mr_entry_t *entries, size_t n)
{
    size_t i;
    uint32_t groups, *by_time;
    plan_time_t *times;

    _Static_assert(sizeof(plan_time_t) <= sizeof(plan_key_t), "room");
    times = plan->keys;

    for (i = 0; i < n; i++) {
        times[i].time = entries[i].time;
        times[i].index = (uint32_t) i;
    }

    qsort(times, n, sizeof(plan_time_t), plan_time_cmp);

    for (i = 0; i < n; i++) {
        plan->times[i] = times[i].time;
        plan->by_time[i] = times[i].index;
    }

    by_time = plan->scratch + n;
    groups = mr_span_cut(plan->times, n, plan->scratch, by_time);

    if (plan_sections_number(plan, by_time, n, groups) != 0) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        plan->parts[plan->by_time[i]] = by_time[i];
    }

    return 0;
}


/*
 * Divide each group into sections of about equal number, whose numbers take
 * its place in `by_time`.  A group is divided as its events pass by, so that
 * those of others may lie between them.
 */
static int
plan_sections_number(
    mr_plan_t *plan, uint32_t *by_time, size_t n, uint32_t groups)
{
    size_t i;
    uint32_t k, group, *events, *seen, *first;
    mr_section_t *sections;

    /* A group has at least one event, so there is room. */
    events = plan->order;
    seen = plan->scratch;
    first = calloc(groups + (size_t) 1, sizeof(uint32_t));

    if (first == NULL) {
        return -1;
    }

    memset(events, 0, groups * sizeof(uint32_t));
    memset(seen, 0, groups * sizeof(uint32_t));

    for (i = 0; i < n; i++) {
        events[by_time[i]]++;
    }

    for (group = 0; group < groups; group++) {
        k = (events[group] + MR_BLOCK_SECTION / 2) / MR_BLOCK_SECTION;
        first[group + 1] = first[group] + (k != 0 ? k : 1);
    }

    plan->n_sections = first[groups];
    sections = realloc(plan->sections, plan->n_sections * sizeof(mr_section_t));

    if (sections == NULL) {
        free(first);
        return -1;
    }

    plan->sections = sections;
    memset(sections, 0, plan->n_sections * sizeof(mr_section_t));

    for (i = 0; i < n; i++) {
        group = by_time[i];
        k = first[group + 1] - first[group];
        k = (uint32_t) ((uint64_t) seen[group]++ * k / events[group]);
        by_time[i] = first[group] + k;
        sections[by_time[i]].events++;
    }

    free(first);

    return 0;
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
        keys[i].prefix = plan_prefix(mr_entry_user(&entries[i]), skip);
        keys[i].section = plan->parts[i];
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

    first = mr_entry_user(&entries[0]);
    common = first.len;

    for (i = 1; i < n && common != 0; i++) {
        user = mr_entry_user(&entries[i]);

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

    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }

    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }

    order = mr_str_cmp(
        mr_entry_user(&entries[a->index]), mr_entry_user(&entries[b->index]));

    if (order != 0) {
        return order;
    }

    if (entries[a->index].time != entries[b->index].time) {
        return entries[a->index].time < entries[b->index].time ? -1 : 1;
    }

    return entries[a->index].offset < entries[b->index].offset ? -1 : 1;
}


/*
 * Mark the events of each section's frequent users, in the order of plan_sort,
 * by PLAN_FREQUENT above the number of their section.
 */
static void
plan_frequent(mr_plan_t *plan, const mr_entry_t *entries, size_t n)
{
    size_t i, first;
    mr_str_t user;
    uint32_t section;

    first = 0;

    for (i = 1; i <= n; i++) {
        section = plan->parts[plan->order[first]];
        user = mr_entry_user(&entries[plan->order[first]]);

        if (i < n && plan->parts[plan->order[i]] == section
            && mr_str_eq(mr_entry_user(&entries[plan->order[i]]), user))
        {
            continue;
        }

        if (i - first >= MR_BLOCK_FREQUENT) {
            plan->sections[section].frequent += (uint32_t) (i - first);

            for (/* void */; first < i; first++) {
                plan->parts[plan->order[first]] |= PLAN_FREQUENT;
            }
        }

        first = i;
    }
}


/* Number the parts of all sections; returns how many there are. */
static uint32_t
plan_parts(mr_plan_t *plan)
{
    size_t i;
    uint32_t part, rest;
    mr_section_t *section;

    part = 0;

    for (i = 0; i < plan->n_sections; i++) {
        section = &plan->sections[i];
        rest = section->events - section->frequent;

        /* What would not fill a block is no part of its own. */
        if (section->frequent < MR_BLOCK_FEW) {
            section->frequent = 0;
            rest = section->events;
        }

        section->part = part;
        section->slices = (rest + MR_BLOCK_SLICE / 2) / MR_BLOCK_SLICE;

        if (section->slices == 0 && rest != 0) {
            section->slices = 1;
        }

        part += section->slices + (section->frequent != 0);
    }

    return part;
}


/*
 * Give each entry its part, those to be sliced in the order of time, and bring
 * the parts together, without another change to the order.
 */
static int
plan_slice(mr_plan_t *plan, size_t n, uint32_t parts)
{
    size_t i;
    uint32_t *part, *ends, *order, rest, slice;
    mr_section_t *section;

    ends = calloc(parts + (size_t) 1, sizeof(uint32_t));

    if (ends == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        part = &plan->parts[plan->by_time[i]];
        section = &plan->sections[*part & ~PLAN_FREQUENT];

        if ((*part & PLAN_FREQUENT) != 0 && section->frequent != 0) {
            *part = section->part + section->slices;

        } else {
            rest = section->events - section->frequent;
            slice = (uint32_t) ((uint64_t) section->sliced++ * section->slices
                                / rest);
            *part = section->part + slice;
        }

        ends[*part + 1]++;
    }

    for (i = 1; i < parts; i++) {
        ends[i] += ends[i - 1];
    }

    order = plan->scratch;

    for (i = 0; i < n; i++) {
        order[ends[plan->parts[plan->order[i]]]++] = plan->order[i];
    }

    memcpy(plan->order, order, n * sizeof(uint32_t));
    free(ends);

    return 0;
}


/* Divide one part into blocks of about equal number. */
static int
plan_divide(mr_plan_t *plan, const mr_entry_t *entries, const mr_str_t *types,
    size_t first, size_t n)
{
    size_t i, begin, bytes, cost, blocks, most;
    const mr_entry_t *entry;

    blocks = (n + MR_BLOCK_FEW / 2) / MR_BLOCK_FEW;

    if (blocks == 0) {
        blocks = 1;
    }

    most = (n + blocks - 1) / blocks;

    begin = first;
    bytes = PLAN_BLOCK_OVERHEAD;

    for (i = first; i < first + n; i++) {
        entry = &entries[plan->order[i]];
        cost = entry->length
               + (1 + MR_LAYOUT_KEY_GROWTH) * (size_t) entry->user_length
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
