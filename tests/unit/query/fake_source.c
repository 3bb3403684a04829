#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <common/layout.h>

#include "fake_source.h"


static void fake_cut(fake_t *fake, uint32_t *state, int32_t partition,
    fake_event_t **list, size_t n);
static void fake_times(fake_block_t *block, mr_times_t *ret_times);
static int fake_span(int64_t width);
static int fake_next(void *ctx, size_t course, size_t lacking,
    mr_header_t *ret_header, mr_error_t *err);
static void fake_walk(fake_t *fake, size_t course);
static int fake_rows(void *ctx, mr_row_observer_t *observer, void *observer_ctx,
    mr_error_t *err);
static mr_str_t fake_user(void *ctx, uint32_t row);
static int fake_fetch(void *ctx, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);
static int fake_hand(fake_t *fake, const fake_event_t *event,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err);
static int fake_matches(
    const fake_t *fake, const fake_block_t *block, const mr_range_t *range);
static int fake_type(const mr_plan_t *plan, uint16_t kind);
static int fake_by_user(const void *a, const void *b);
static int fake_by_time(const void *a, const void *b);
static int fake_by_walk(const void *a, const void *b);
static int fake_by_key(const void *a, const void *b);


const char *const fake_kinds[FAKE_KINDS] = {"a", "b", "c"};

/* qsort() has no context. */
static const mr_course_t *fake_course;
static mr_order_t fake_order;


void
fake_fill(fake_t *fake, uint32_t seed, size_t events)
{
    size_t i, n;
    int64_t reach, step;
    uint32_t state;
    fake_event_t *event, *list[FAKE_EVENTS];
    static const int64_t reaches[] = {1, 20, 9000, 500000, 80000000,
        INT64_C(2000000000), INT64_C(90000000000)};

    memset(fake, 0, sizeof(fake_t));
    state = seed;
    fake->n_events = events;

    for (i = 0; i < events; i++) {
        event = &fake->events[i];
        reach = reaches[test_random(&state) % 7];
        step = test_random(&state) % 2 ? 1 : 1000;

        event->time =
            INT64_C(1700000000000)
            - (((int64_t) test_random(&state) << 20) + test_random(&state))
                  % reach;
        event->time = event->time / step * step;
        event->kind = (uint16_t) (test_random(&state) % FAKE_KINDS);
        event->partition = (int32_t) (test_random(&state) % 3);
        event->offset = (int64_t) i;

        (void) snprintf(event->event_id, sizeof(event->event_id), "e%u",
            test_random(&state) % 30);
        (void) snprintf(event->user_id, sizeof(event->user_id), "u%u",
            test_random(&state) % 9);
    }

    for (i = 0; i < 3; i++) {
        int32_t partition = (int32_t) i;
        size_t k;

        n = 0;

        for (k = 0; k < events; k++) {
            if (fake->events[k].partition == partition) {
                list[n++] = &fake->events[k];
            }
        }

        fake_cut(fake, &state, partition, list, n);
    }
}


void
fake_scatter(fake_t *fake, size_t events)
{
    size_t i;
    uint32_t state;
    fake_event_t *event;

    memset(fake, 0, sizeof(fake_t));
    state = 1;
    fake->n_events = events;

    for (i = 0; i < events; i++) {
        event = &fake->events[i];
        event->time = INT64_C(1700000000000) + (int64_t) i * 20000;
        event->offset = (int64_t) i;

        (void) snprintf(event->event_id, sizeof(event->event_id), "e%u",
            (unsigned) (i % FAKE_EVENTS));
        (void) snprintf(event->user_id, sizeof(event->user_id), "u1");

        fake_cut(fake, &state, 0, &event, 1);
    }
}


mr_source_t
fake_source(fake_t *fake, const mr_plan_t *plan)
{
    uint16_t kind;
    mr_source_t source;

    fake->plan = plan;
    fake->headers = 0;
    fake->rows = 0;
    memset(fake->seen, 0, sizeof(fake->seen));
    memset(fake->begun, 0, sizeof(fake->begun));

    for (kind = 0; kind < FAKE_KINDS; kind++) {
        fake->wanted[kind] = (uint8_t) fake_type(plan, kind);
    }

    source.next = fake_next;
    source.rows = fake_rows;
    source.user = fake_user;
    source.fetch = fake_fetch;
    source.ctx = fake;

    return source;
}


size_t
fake_model(const fake_t *fake, const mr_plan_t *plan, const fake_event_t **list)
{
    size_t i, n;
    const fake_event_t *event;

    n = 0;

    for (i = 0; i < fake->n_events; i++) {
        event = &fake->events[i];

        if (event->time < plan->from || event->time >= plan->to
            || !fake_type(plan, event->kind)
            || (plan->user_id.data != NULL
                && !mr_str_eq(plan->user_id, test_str(event->user_id)))
            || (plan->event_id.data != NULL
                && !mr_str_eq(plan->event_id, test_str(event->event_id))))
        {
            continue;
        }

        list[n++] = event;
    }

    fake_order = plan->order;
    qsort(list, n, sizeof(fake_event_t *), fake_by_key);

    return n;
}


mr_key_t
fake_key(const fake_event_t *event)
{
    mr_key_t key;

    key.time = event->time;
    key.event_id = test_str(event->event_id);
    key.user_id = test_str(event->user_id);
    key.partition = event->partition;
    key.offset = event->offset;
    key.epoch = 1;

    return key;
}


static void
fake_cut(fake_t *fake, uint32_t *state, int32_t partition, fake_event_t **list,
    size_t n)
{
    int span;
    size_t i, flush, most, size;
    int64_t width;
    uint32_t row;
    uint64_t time;
    uint16_t kind;
    int32_t number;
    fake_block_t *block;

    while (n > 0) {
        flush = 1 + test_random(state) % 200;
        flush = flush < n ? flush : n;

        if (test_random(state) % 4 > 0) {
            qsort(list, flush, sizeof(list[0]), fake_by_time);
        }

        number = 0;

        for (i = 0; i < flush; i += size) {
            span = (int) (test_random(state) % MR_SPANS);
            width = mr_span_width(span);
            most = 1 + test_random(state) % FAKE_ROWS;

            ck_assert_uint_lt(fake->n_blocks, FAKE_BLOCKS);
            block = &fake->blocks[fake->n_blocks++];
            block->id.epoch = 1;
            block->id.partition = partition;
            block->id.offset = list[0]->offset;
            block->id.number = number++;
            block->tmin = block->tmax = list[i]->time;

            for (size = 0; size < most && i + size < flush; size++) {
                int64_t tmin = block->tmin, tmax = block->tmax;
                int64_t t = list[i + size]->time;

                tmin = t < tmin ? t : tmin;
                tmax = t > tmax ? t : tmax;

                if (width != -1 && tmax - tmin > width) {
                    break;
                }

                block->tmin = tmin;
                block->tmax = tmax;
                block->events[size] = list[i + size];
            }

            block->n = (uint32_t) size;
            block->span = fake_span(block->tmax - block->tmin);
            block->layout =
                test_random(state) % 2 ? MR_LAYOUT_USERS : MR_LAYOUT_LIST;

            qsort(block->events, size, sizeof(block->events[0]), fake_by_user);

            for (row = 0; row < block->n; row++) {
                time = htole64((uint64_t) block->events[row]->time);
                memcpy(block->times + row * 8, &time, 8);
                kind = htole16(block->events[row]->kind);
                memcpy(block->kinds + row * 2, &kind, 2);
            }
        }

        list += flush;
        n -= flush;
    }
}


/* In one form or the other. */
static void
fake_times(fake_block_t *block, mr_times_t *ret_times)
{
    int64_t time;
    uint32_t row, width;

    if (block->id.number % 2 == 0) {
        ck_assert_int_eq(mr_times_open_plain(
                             block->times, block->n * 8, block->n, ret_times),
            0);
        return;
    }

    width = mr_times_width(block->tmax - block->tmin);

    for (row = 0; row < block->n; row++) {
        memcpy(&time, block->times + row * 8, 8);
        time = (int64_t) le64toh((uint64_t) time);
        mr_times_put(block->since, block->n, width, row, time - block->tmin);
    }

    ck_assert_int_eq(mr_times_open_since(block->since, block->n * width,
                         block->n, block->tmin, ret_times),
        0);
}


/* The narrowest class that has room for it. */
static int
fake_span(int64_t width)
{
    int span, best;

    best = MR_SPAN_ANY;

    for (span = 0; span < MR_SPANS; span++) {
        if (span != MR_SPAN_ANY && width <= mr_span_width(span)
            && (best == MR_SPAN_ANY
                || mr_span_width(span) < mr_span_width(best)))
        {
            best = span;
        }
    }

    return best;
}


static int
fake_next(void *ctx, size_t course, size_t lacking, mr_header_t *ret_header,
    mr_error_t *err)
{
    fake_t *fake;
    mr_range_t range;
    fake_block_t *block;

    fake = ctx;
    ck_assert_uint_le(lacking, fake->plan->limit + 1);

    if (fake->fail > 0 && --fake->fail == 0) {
        return mr_error_set(err, MR_ERROR_MONGODB, NULL, "made to fail");
    }

    if (!fake->begun[course]) {
        fake->begun[course] = 1;
        fake_walk(fake, course);
    }

    while (fake->seen[course] < fake->n_walk[course]) {
        block = fake->walks[course][fake->seen[course]++];
        range = mr_plan_range(fake->plan, block->span);

        if (!fake_matches(fake, block, &range)) {
            continue;
        }

        fake->headers++;
        fake->last = block;
        memset(ret_header, 0, sizeof(mr_header_t));
        ret_header->id = block->id;
        ret_header->layout = block->layout;
        ret_header->tmin = block->tmin;
        ret_header->tmax = block->tmax;
        ret_header->n = block->n;
        fake_times(block, &ret_header->times);

        if (fake->plan->n_types > 0) {
            ret_header->kinds = block->kinds;
            ret_header->wanted = fake->wanted;
            ret_header->n_kinds = FAKE_KINDS;
        }

        return 1;
    }

    return 0;
}


static int
fake_rows(
    void *ctx, mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    fake_t *fake;
    uint32_t row;
    const fake_block_t *block;

    fake = ctx;
    block = fake->last;

    row = block->moved && block->layout != MR_LAYOUT_USERS;

    for (/* void */; row < block->n; row++) {

        /* What is read whole brings the rows of others along. */
        if ((block->layout != MR_LAYOUT_USERS
                || mr_str_eq(
                    test_str(block->events[row]->user_id), fake->plan->user_id))
            && fake_hand(fake, block->events[row], observer, observer_ctx, err)
                   != 0)
        {
            return -1;
        }
    }

    return 0;
}


static mr_str_t
fake_user(void *ctx, uint32_t row)
{
    const fake_t *fake;

    fake = ctx;
    ck_assert_uint_lt(row, fake->last->n);

    return test_str(fake->last->events[row]->user_id);
}


static int
fake_fetch(void *ctx, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    size_t i, k;
    fake_t *fake;
    uint32_t row_number;
    const fake_block_t *block;
    const fake_event_t *event;

    fake = ctx;

    if (fake->fail > 0 && --fake->fail == 0) {
        return mr_error_set(err, MR_ERROR_MONGODB, NULL, "made to fail");
    }

    /* Any order will do. */
    for (i = n; i-- > 0; /* void */) {

        for (k = 0; k < fake->n_blocks; k++) {
            block = &fake->blocks[k];

            if (memcmp(&block->id, &refs[i].id, sizeof(mr_block_id_t)) == 0) {
                break;
            }
        }

        ck_assert_uint_lt(k, fake->n_blocks);
        block = &fake->blocks[k];

        if (block->gone) {
            continue;
        }

        ck_assert_uint_lt(refs[i].row, block->n);
        ck_assert_int_eq(refs[i].layout, block->layout);

        if (block->layout == MR_LAYOUT_USERS) {
            ck_assert(mr_str_eq(
                refs[i].user, test_str(block->events[refs[i].row]->user_id)));

        } else {
            ck_assert_ptr_null(refs[i].user.data);
        }

        row_number = refs[i].row + (block->moved ? 1 : 0);

        if (row_number == block->n) {
            continue;
        }

        event = block->events[row_number];

        if (block->layout == MR_LAYOUT_USERS
            && !mr_str_eq(refs[i].user, test_str(event->user_id)))
        {
            continue;
        }

        if (fake_hand(fake, event, observer, observer_ctx, err) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
fake_hand(fake_t *fake, const fake_event_t *event, mr_row_observer_t *observer,
    void *observer_ctx, mr_error_t *err)
{
    mr_row_t row;

    fake->rows++;

    row.key = fake_key(event);
    row.data.data = (const char *) event;
    row.data.len = sizeof(fake_event_t);
    row.type = test_str(fake_kinds[event->kind]);

    return observer(observer_ctx, &row, err);
}


/* As the filters of store_blocks.c do it in MongoDB. */
static int
fake_matches(
    const fake_t *fake, const fake_block_t *block, const mr_range_t *range)
{
    int types, users;
    uint32_t row;

    if (block->span != range->span || block->tmax < range->tmax_from
        || block->tmax >= range->tmax_to || block->tmin < range->tmin_from
        || block->tmin >= range->tmin_to)
    {
        return 0;
    }

    types = 0;
    users = fake->plan->user_id.data == NULL;

    for (row = 0; row < block->n; row++) {
        types |= fake->wanted[block->events[row]->kind];
        users |= mr_str_eq(
            test_str(block->events[row]->user_id), fake->plan->user_id);
    }

    return types && users;
}


static int
fake_type(const mr_plan_t *plan, uint16_t kind)
{
    size_t i;

    for (i = 0; i < plan->n_types; i++) {
        if (mr_str_eq(plan->types[i], test_str(fake_kinds[kind]))) {
            return 1;
        }
    }

    return plan->n_types == 0;
}


static int
fake_by_user(const void *a, const void *b)
{
    int rc;
    const fake_event_t *left, *right;

    left = *(fake_event_t *const *) a;
    right = *(fake_event_t *const *) b;
    rc = strcmp(left->user_id, right->user_id);

    return rc != 0 ? rc : fake_by_time(a, b);
}


static int
fake_by_time(const void *a, const void *b)
{
    const fake_event_t *left, *right;

    left = *(fake_event_t *const *) a;
    right = *(fake_event_t *const *) b;

    if (left->time != right->time) {
        return left->time < right->time ? -1 : 1;
    }

    return (left->offset > right->offset) - (left->offset < right->offset);
}


/* The blocks of a course's classes, in its order. */
static void
fake_walk(fake_t *fake, size_t course)
{
    size_t i, k, n;
    const mr_course_t *about;

    about = mr_plan_course(fake->plan, course);
    n = 0;

    for (i = 0; i < fake->n_blocks; i++) {

        /* Of a user's, some are of an earlier version. */
        if (fake->plan->user_id.data != NULL
            && about->earlier != (fake->blocks[i].layout == MR_LAYOUT_LIST))
        {
            continue;
        }

        for (k = 0; k < about->n; k++) {
            if (fake->blocks[i].span == about->spans[k]) {
                fake->walks[course][n++] = &fake->blocks[i];
            }
        }
    }

    fake->n_walk[course] = n;
    fake_course = about;
    fake_order = fake->plan->order;
    qsort(fake->walks[course], n, sizeof(fake_block_t *), fake_by_walk);
}


static int
fake_by_walk(const void *a, const void *b)
{
    const fake_block_t *left, *right;

    left = *(fake_block_t *const *) (fake_order == MR_ORDER_DESC ? b : a);
    right = *(fake_block_t *const *) (fake_order == MR_ORDER_DESC ? a : b);

    if (fake_course->by_tmin) {
        return (left->tmin > right->tmin) - (left->tmin < right->tmin);
    }

    return (left->tmax > right->tmax) - (left->tmax < right->tmax);
}


static int
fake_by_key(const void *a, const void *b)
{
    mr_key_t left, right;

    left = fake_key(*(fake_event_t *const *) a);
    right = fake_key(*(fake_event_t *const *) b);

    return mr_key_cmp(&left, &right, fake_order);
}
