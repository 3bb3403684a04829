#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bson/bson.h>

#include <common/mongo_columns.h>
#include <writer/flush.h>
#include <writer/span.h>

#include "check_writer.h"


#define EPOCH 3
#define PARTITION 5
#define FIRST 1000
#define MOST 100000 /* events of a test */


/* What was added, by its offset from FIRST on. */
typedef struct {
    int64_t time;
    char type[24];
    unsigned met; /* how often, in the blocks that were looked at */
} given_t;


static mr_parser_t *parser;
static mr_options_t options;
static mr_pool_t pool;
static mr_flush_t *flush;
static mr_plan_t plan;
static mr_buf_t buf;
static given_t *given;


static void
setup(void)
{
    parser = mr_parser_create();
    test_options(&options, 0);
    memset(&pool, 0, sizeof(mr_pool_t));
    memset(&plan, 0, sizeof(mr_plan_t));
    buf = (mr_buf_t) MR_BUF_INIT;
    flush = mr_flush_create(&options, &pool);
    given = calloc(MOST, sizeof(given_t));
}


static void
teardown(void)
{
    mr_flush_destroy(flush);
    mr_plan_free(&plan);
    mr_buf_free(&buf);
    mr_pool_free(&pool);
    mr_parser_destroy(parser);
    test_options_free(&options);
    free(given);
}


/* Add an event; its record's time is its timestamp and 7 ms. */
static void
add(const char *user, const char *type, int64_t time, size_t filler)
{
    char *json;
    given_t *one;
    mr_event_t event;

    ck_assert_uint_lt(flush->n, MOST);
    one = &given[flush->n];
    one->time = time;
    ck_assert_uint_lt(strlen(type), sizeof(one->type));
    (void) snprintf(one->type, sizeof(one->type), "%s", type);

    json = malloc(filler + 512);
    ck_assert_ptr_nonnull(json);

    (void) snprintf(json, filler + 512,
        "{\"event_id\":\"e%zu\",\"user_id\":\"%s\",\"event_type\":\"%s\","
        "\"timestamp\":%lld.%03lld,\"metadata\":{\"f\":\"%*s\"}}",
        flush->n, user, type, (long long) time / 1000, (long long) time % 1000,
        (int) filler, "");

    event = test_parse(parser, json);
    ck_assert_int_eq(event.timestamp, time);

    ck_assert_int_eq(
        mr_flush_event(flush, &event, FIRST + (int64_t) flush->n, time + 7), 0);

    free(json);
}


static int64_t
integer(const bson_t *document, const char *key)
{
    bson_iter_t iter;

    ck_assert_msg(bson_iter_init_find(&iter, document, key), "%s", key);

    return BSON_ITER_HOLDS_DATE_TIME(&iter) ? bson_iter_date_time(&iter)
                                            : bson_iter_as_int64(&iter);
}


static const uint8_t *
column(const bson_t *document, const char *key, uint32_t len)
{
    uint32_t got;
    bson_iter_t iter;
    const uint8_t *data;

    ck_assert_msg(bson_iter_init_find(&iter, document, key), "%s", key);
    ck_assert(BSON_ITER_HOLDS_BINARY(&iter));
    bson_iter_binary(&iter, NULL, &got, &data);
    ck_assert_uint_eq(got, len);

    return data;
}


/* The event's fields are these, in this order, and no other. */
static void
check_fields(const bson_t *event)
{
    size_t i;
    bson_iter_t iter;
    static const char *const fields[] = {"event_id", "metadata", "offset"};

    ck_assert(bson_iter_init(&iter, event));

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        ck_assert(bson_iter_next(&iter));
        ck_assert_str_eq(bson_iter_key(&iter), fields[i]);
    }

    ck_assert(!bson_iter_next(&iter));
}


/* The bits that the tests give a type. */
static uint8_t
bits_of(const char *type)
{
    return (uint8_t) (1 + (unsigned char) type[0] % 7 * 18);
}


/* The users, in order, and what is said of their types. */
static size_t
members(const bson_t *block, const char **ret, int32_t *ret_bits, size_t max)
{
    size_t n;
    bson_iter_t iter, child, field;

    ck_assert(bson_iter_init_find(&iter, block, "who"));
    ck_assert(BSON_ITER_HOLDS_ARRAY(&iter));
    ck_assert(bson_iter_recurse(&iter, &child));

    for (n = 0; bson_iter_next(&child); n++) {
        ck_assert_uint_lt(n, max);
        ck_assert(bson_iter_recurse(&child, &field));

        ck_assert(bson_iter_next(&field));
        ck_assert_str_eq(bson_iter_key(&field), "u");
        ret[n] = bson_iter_utf8(&field, NULL);

        ck_assert(bson_iter_next(&field));
        ck_assert_str_eq(bson_iter_key(&field), "t");
        ck_assert(BSON_ITER_HOLDS_INT32(&field));
        ret_bits[n] = bson_iter_int32(&field);
        ck_assert(!bson_iter_next(&field));

        if (n > 0) {
            ck_assert_int_lt(strcmp(ret[n - 1], ret[n]), 0);
        }
    }

    return n;
}


static size_t
strings(const bson_t *document, const char *key, const char **ret, size_t max)
{
    size_t n;
    bson_iter_t iter, child;

    ck_assert(bson_iter_init_find(&iter, document, key));
    ck_assert(BSON_ITER_HOLDS_ARRAY(&iter));
    ck_assert(bson_iter_recurse(&iter, &child));

    for (n = 0; bson_iter_next(&child); n++) {
        ck_assert_uint_lt(n, max);
        ret[n] = bson_iter_utf8(&child, NULL);

        if (n > 0) {
            ck_assert_int_lt(strcmp(ret[n - 1], ret[n]), 0);
        }
    }

    return n;
}


/* Everything that docs/data-model.md says of a block. */
static size_t
look(const bson_t *block, int32_t number)
{
    char key[24];
    uint32_t len;
    size_t i, n, n_users, n_types, user, end;
    int64_t tmin, tmax, received, time, offset, last_time, last_offset;
    uint16_t kind, count;
    given_t *one;
    mr_times_t times;
    bson_t id, event;
    bson_iter_t iter, mine, child;
    const uint8_t *data, *kinds, *counts;
    static const char *users[MR_BLOCK_EVENTS], *types[MR_BLOCK_EVENTS];
    static unsigned char used[MR_BLOCK_EVENTS];
    static int32_t bits[MR_BLOCK_EVENTS], found;

    ck_assert(bson_iter_init_find(&iter, block, "_id"));
    bson_iter_document(&iter, &len, &data);
    ck_assert(bson_init_static(&id, data, len));
    ck_assert_int_eq(integer(&id, "epoch"), EPOCH);
    ck_assert_int_eq(integer(&id, "partition"), PARTITION);
    ck_assert_int_eq(integer(&id, "offset"), FIRST);
    ck_assert_int_eq(integer(&id, "number"), number);

    n = (size_t) integer(block, "n");
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, MR_BLOCK_EVENTS);
    ck_assert(n == 1 || block->len <= MR_BLOCK_BYTES);

    tmin = INT64_MAX;
    tmax = INT64_MIN;
    received = INT64_MIN;

    n_users = members(block, users, bits, MR_BLOCK_EVENTS);
    n_types = strings(block, "types", types, MR_BLOCK_EVENTS);
    ck_assert_int_eq(mr_mongo_times(block, (uint32_t) n, &times), 0);
    ck_assert_uint_eq(times.width,
        mr_times_width(integer(block, "tmax") - integer(block, "tmin")));
    kinds = column(block, "kinds", (uint32_t) n * 2);
    counts = column(block, "counts", (uint32_t) n_users * 2);

    ck_assert_int_eq(integer(block, "layout"), 1);
    ck_assert(bson_iter_init_find(&iter, block, "events"));
    ck_assert(BSON_ITER_HOLDS_DOCUMENT(&iter));
    ck_assert(bson_iter_recurse(&iter, &mine));

    last_time = INT64_MIN;
    last_offset = -1;
    end = 0;
    memset(used, 0, sizeof(used));

    for (i = 0, user = 0; i < n; i++) {

        if (i == end) {
            ck_assert(bson_iter_next(&mine));
            ck_assert_str_eq(bson_iter_key(&mine), users[user]);
            ck_assert(BSON_ITER_HOLDS_DOCUMENT(&mine));
            ck_assert(bson_iter_recurse(&mine, &child));
            memcpy(&count, counts + 2 * user++, 2);
            ck_assert_uint_gt(count, 0);
            end += count;
            last_time = INT64_MIN;
            found = 0;
        }

        (void) snprintf(key, sizeof(key), "%zu", i);
        ck_assert(bson_iter_next(&child));
        ck_assert_str_eq(bson_iter_key(&child), key);

        bson_iter_document(&child, &len, &data);
        ck_assert(bson_init_static(&event, data, len));
        check_fields(&event);

        offset = integer(&event, "offset");
        ck_assert_int_ge(offset, FIRST);
        ck_assert_int_lt(offset, FIRST + (int64_t) flush->n);
        one = &given[offset - FIRST];
        ck_assert_uint_eq(one->met++, 0);

        memcpy(&kind, kinds + 2 * i, 2);
        ck_assert_uint_lt(kind, n_types);
        ck_assert_str_eq(types[kind], one->type);
        used[kind] = 1;
        found |= bits_of(one->type);

        time = mr_times_get(&times, (uint32_t) i);
        ck_assert_int_eq(time, one->time);
        ck_assert(
            time > last_time || (time == last_time && offset > last_offset));

        tmin = time < tmin ? time : tmin;
        tmax = time > tmax ? time : tmax;
        received = time + 7 > received ? time + 7 : received;
        last_time = time;
        last_offset = offset;

        if (i + 1 == end) {
            ck_assert(!bson_iter_next(&child));
            ck_assert_int_eq(found, bits[user - 1]);
        }
    }

    ck_assert(!bson_iter_next(&mine));
    ck_assert_uint_eq(user, n_users);
    ck_assert_uint_eq(end, n);
    ck_assert(n_types <= n && memchr(used, 0, n_types) == NULL);

    ck_assert_int_eq(integer(block, "tmin"), tmin);
    ck_assert_int_eq(integer(block, "tmax"), tmax);
    ck_assert_int_eq(integer(block, "received"), received);
    ck_assert_int_eq(integer(block, "span"), mr_span_class(tmax - tmin));

    return n;
}


/* Build every block, look at each, and see that no event is missing. */
static void
check_all(void)
{
    size_t i, sum;
    bson_t block;
    bson_error_t error;
    uint8_t *bits;
    mr_block_id_t id = {EPOCH, PARTITION, FIRST, 0};
    mr_block_types_t types;

    bits = malloc(flush->types.n + 1);
    ck_assert_ptr_nonnull(bits);

    for (i = 0; i < flush->types.n; i++) {
        bits[i] = bits_of(flush->types.names[i].data);
    }

    types.names = flush->types.names;
    types.bits = bits;

    ck_assert_int_eq(
        mr_plan_make(&plan, flush->entries, flush->n, flush->types.names), 0);

    sum = 0;

    for (i = 0; i < plan.n; i++) {
        id.number = (int32_t) i;
        mr_buf_reset(&buf);

        ck_assert_int_eq(
            mr_block_build(&buf, &plan, i, flush->entries, &types, &id), 0);
        ck_assert(
            bson_init_static(&block, (const uint8_t *) buf.data, buf.len));
        ck_assert_msg(bson_validate_with_error(
                          &block, BSON_VALIDATE_UTF8_ALLOW_NULL, &error),
            "%s", error.message);

        sum += look(&block, (int32_t) i);
    }

    ck_assert_uint_eq(sum, flush->n);
    free(bits);
}


START_TEST(one_event_is_one_block)
{
    add("u", "t", 1500, 0);
    check_all();
    ck_assert_uint_eq(plan.n, 1);
}
END_TEST


START_TEST(an_empty_flush_has_no_block)
{
    ck_assert_int_eq(mr_plan_make(&plan, NULL, 0, NULL), 0);
    ck_assert_uint_eq(plan.n, 0);
}
END_TEST


/* Users that differ late, early, or by being longer than another. */
START_TEST(users_are_in_bytewise_order)
{
    size_t i;
    static const char *const users[] = {"user-000000010", "user-00000001",
        "user-", "user-0", "user-\xc3\xbc", "user-Z", "user-a",
        "user-00000001000000000000002", "user-00000001000000000000001",
        "user-0"};

    for (i = 0; i < 100; i++) {
        add(users[i % 10], i % 3 == 0 ? "view" : "click",
            10000 - (int64_t) i * 50, 0);
    }

    check_all();
    ck_assert_uint_eq(plan.n, 1);
}
END_TEST


static const mr_entry_t *
planned(size_t block, size_t i)
{
    return &flush->entries[plan.order[plan.blocks[block].first + i]];
}


/* How far a block's timestamps lie apart, ms. */
static int64_t
width(size_t block)
{
    size_t i;
    int64_t low, high;

    low = INT64_MAX;
    high = 0;

    for (i = 0; i < plan.blocks[block].n; i++) {
        low = planned(block, i)->time < low ? planned(block, i)->time : low;
        high = planned(block, i)->time > high ? planned(block, i)->time : high;
    }

    return high - low;
}


/* Each user once, so that there are slices of time alone. */
static const struct {
    size_t events;
    size_t blocks;
} group_sizes[] = {{1, 1}, {383, 1}, {384, 2}, {767, 3}, {768, 4}, {4096, 16},
    {8000, 32}, {20000, 80}};


START_TEST(a_group_is_cut_into_slices_of_time)
{
    size_t i, slices;
    char user[16];

    for (i = 0; i < group_sizes[_i].events; i++) {
        (void) snprintf(user, sizeof(user), "u%zu", i * 7919 % 20011);
        add(user, "t", 5000 + (int64_t) i % 9000, 0);
    }

    check_all();
    ck_assert_uint_eq(plan.n, group_sizes[_i].blocks);

    slices = group_sizes[_i].events / MR_BLOCK_SLICE;

    for (i = 0; i < plan.n; i++) {
        ck_assert_uint_le(plan.blocks[i].n, 383);

        if (slices > 1) {
            ck_assert_int_le(width(i), 2 * 9000 / (int64_t) slices);
        }
    }
}
END_TEST


/* 4,000 events, one of `every` from so many users, "f0" and on, in turn. */
static void
add_with_frequent(size_t every, size_t users)
{
    size_t i;
    char user[24];

    for (i = 0; i < 4000; i++) {
        (void) snprintf(user, sizeof(user), i % every == 0 ? "f%zu" : "u%zu",
            i % every == 0 ? i / every % users : i);
        add(user, "t", 5000 + (int64_t) i, 0);
    }
}


/* 1,000 are of a hundred users: four blocks, not sliced. */
START_TEST(frequent_users_stay_together)
{
    size_t i, k, blocks, frequent;

    add_with_frequent(4, 100);
    check_all();
    blocks = 0;

    for (i = 0; i < plan.n; i++) {
        frequent = 0;

        for (k = 0; k < plan.blocks[i].n; k++) {
            frequent += mr_entry_user(planned(i, k)).data[0] == 'f';
        }

        if (frequent == 0) {
            ck_assert_int_lt(width(i), 1000);
            continue;
        }

        /* Ten events of a user, one in 400 ms. */
        ck_assert_uint_eq(frequent, plan.blocks[i].n);
        ck_assert_int_ge(width(i), 3600);
        blocks++;
    }

    ck_assert_uint_eq(blocks, 4);
}
END_TEST


/* They would not fill a block. */
START_TEST(few_events_of_frequent_users_are_sliced_as_well)
{
    size_t i;

    add_with_frequent(16, 20);
    check_all();

    for (i = 0; i < plan.n; i++) {
        ck_assert_int_lt(width(i), 1000);
    }
}
END_TEST


START_TEST(large_events_make_small_blocks)
{
    size_t i;

    for (i = 0; i < 12; i++) {
        add("u", "t", 5000, 900 * 1000);
    }

    check_all();
    ck_assert_uint_eq(plan.n, 3);
}
END_TEST


START_TEST(many_types_are_indexed)
{
    size_t i;
    char type[16];

    for (i = 0; i < 3000; i++) {
        (void) snprintf(type, sizeof(type), "type-%zu", i * 7919 % 3000);
        add(i % 2 ? "a" : "b", type, 5000, 0);
    }

    check_all();
}
END_TEST


START_TEST(late_events_get_blocks_of_their_own)
{
    size_t i, narrow;

    for (i = 0; i < 5000; i++) {
        add(i % 2 ? "a" : "b", "t",
            INT64_C(1700000000000) + (int64_t) i
                - (i % 100 == 0 ? (int64_t) i * 700 : 0),
            0);
    }

    check_all();
    narrow = 0;

    for (i = 0; i < plan.n; i++) {
        narrow += width(i) <= 10000 ? plan.blocks[i].n : 0;
    }

    ck_assert_uint_ge(narrow, 4950);
}
END_TEST


START_TEST(any_flush_is_stored_whole)
{
    char user[24];
    size_t n;
    static const char *const types[] = {"view", "click", "a", "zz"};
    static const uint64_t spread[] = {1000, 60000, 7200000, 9000000000};

    test_seed((uint64_t) _i);

    for (n = 1 + test_below(6000); n > 0; n--) {
        (void) snprintf(user, sizeof(user), "user-%07llu",
            (unsigned long long) test_below(1 + test_below(100000)));
        add(user, types[test_below(4)],
            INT64_C(1600000000000)
                + (int64_t) test_below(spread[test_below(4)]),
            test_below(300));
    }

    check_all();
}
END_TEST


Suite *
suite_block(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("block");
    tc = tcase_create("block");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);

    tcase_add_test(tc, one_event_is_one_block);
    tcase_add_test(tc, an_empty_flush_has_no_block);
    tcase_add_test(tc, users_are_in_bytewise_order);
    tcase_add_loop_test(tc, a_group_is_cut_into_slices_of_time, 0,
        sizeof(group_sizes) / sizeof(group_sizes[0]));
    tcase_add_test(tc, frequent_users_stay_together);
    tcase_add_test(tc, few_events_of_frequent_users_are_sliced_as_well);
    tcase_add_test(tc, large_events_make_small_blocks);
    tcase_add_test(tc, many_types_are_indexed);
    tcase_add_test(tc, late_events_get_blocks_of_their_own);
    tcase_add_loop_test(tc, any_flush_is_stored_whole, 0, 12);

    suite_add_tcase(suite, tc);

    return suite;
}
