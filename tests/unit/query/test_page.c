#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_query.h"
#include "fake_source.h"
#include "query/cursor.h"
#include "query/page.h"


#define UNBOUNDED ((size_t) 1 << 30)


static fake_t *fake;


static void
setup(void)
{
    fake = malloc(sizeof(fake_t));
    ck_assert_ptr_nonnull(fake);
}


static void
teardown(void)
{
    free(fake);
}


/* The place of the next page, through a token as a client gives it back. */
static void
turn(mr_plan_t *plan, const mr_page_t *page)
{
    char *memory;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t next;

    ck_assert_int_eq(
        mr_cursor_write(&buf, mr_plan_digest(plan), &page->next), 0);
    token.data = buf.data;
    token.len = buf.len;
    ck_assert_int_eq(
        mr_cursor_read(token, mr_plan_digest(plan), &next, &memory, &err), 0);
    mr_buf_free(&buf);

    free(plan->cursor);
    plan->cursor = memory;
    plan->start = next;
}


/* Read to the end, in pages, and compare with the model. */
static void
check(const char *query, const mr_budget_t *budget, int changing)
{
    size_t i, n, seen, pages;
    uint32_t state;
    mr_key_t want;
    mr_page_t page;
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_source_t source;
    mr_params_t params;
    const fake_event_t *list[FAKE_EVENTS];

    test_plan(query, &params, &plan);
    n = fake_model(fake, &plan, list);
    seen = 0;
    pages = 0;
    state = 1;

    for (;;) {
        if (changing) {
            plan.limit = 1 + test_random(&state) % 90;
        }

        source = fake_source(fake, &plan);
        ck_assert_msg(mr_page_read(&plan, &source, budget, &page, &err) == 0,
            "%s: %s", query, err.message);

        ck_assert_uint_le(page.n, plan.limit);
        ck_assert_uint_le(page.blocks, fake->headers);
        pages++;

        for (i = 0; i < page.n; i++) {
            ck_assert_msg(seen < n, "%s: more than %zu events", query, n);
            want = fake_key(list[seen++]);
            ck_assert_msg(mr_key_cmp(&page.rows[i].key, &want, plan.order) == 0,
                "%s: event %zu of %zu is not the one that ought to be there",
                query, seen - 1, n);
            ck_assert_mem_eq(
                page.rows[i].data.data, list[seen - 1], sizeof(fake_event_t));
            ck_assert(mr_str_eq(
                page.rows[i].type, test_str(fake_kinds[list[seen - 1]->kind])));
        }

        if (!page.more) {
            mr_page_free(&page);
            break;
        }

        ck_assert(page.n == plan.limit || budget->blocks < UNBOUNDED
                  || budget->bytes < UNBOUNDED || budget->until != 0);
        ck_assert(page.n > 0 || page.next.kind == MR_POSITION_FRONTIER);
        ck_assert_uint_lt(pages, FAKE_EVENTS * 4);

        turn(&plan, &page);
        mr_page_free(&page);
    }

    ck_assert_msg(seen == n, "%s: %zu of %zu events", query, seen, n);

    mr_plan_free(&plan);
    mr_params_free(&params);
}


/* The first page, which the caller frees, by a budget that bounds nothing. */
static void
read_first(const char *query, mr_page_t *ret_page)
{
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_source_t source;
    mr_params_t params;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};

    test_plan(query, &params, &plan);
    source = fake_source(fake, &plan);
    ck_assert_int_eq(mr_page_read(&plan, &source, &budget, ret_page, &err), 0);

    mr_plan_free(&plan);
    mr_params_free(&params);
}


static const char *const filters[] = {
    "",
    "user_id=u1",
    "event_type=a",
    "event_type=a&event_type=c",
    "event_type=never",
    "user_id=u2&event_type=b",
    "user_id=u3&event_id=e5",
    "user_id=nobody",
    "from=1699999990&to=1700000000",
    "from=1690000000&to=1699999000&event_type=b",
    "to=1699990000&user_id=u4",
    "from=1699999999.991",
    "from=5&to=5",
};

#define FILTERS ((int) (sizeof(filters) / sizeof(filters[0])))


static void
check_filter(int index, const char *more, const mr_budget_t *budget)
{
    char query[256];
    uint32_t seed;

    for (seed = 1; seed <= 2; seed++) {
        fake_fill(fake, seed, more[0] != '\0' && seed == 2 ? 1200 : 500);

        (void) snprintf(
            query, sizeof(query), "%s&order=asc%s", filters[index], more);
        check(query, budget, more[0] == '\0');

        (void) snprintf(
            query, sizeof(query), "%s&order=desc%s", filters[index], more);
        check(query, budget, more[0] == '\0');
    }
}


START_TEST(pages_are_those_of_a_simple_model)
{
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};

    check_filter(_i, "", &budget);
    check_filter(_i, "&limit=1000", &budget);
    check_filter(_i, "&limit=100000", &budget);
}
END_TEST


START_TEST(a_scan_budget_changes_no_answer)
{
    mr_budget_t budget = {1, UNBOUNDED, 0, NULL, NULL, 0};

    check_filter(_i, "", &budget);
    budget.blocks = 7;
    check_filter(_i, "&limit=40", &budget);
}
END_TEST


START_TEST(a_deadline_that_is_half_over_changes_no_answer)
{
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 1, NULL, NULL, 0};

    check_filter(_i, "&limit=40", &budget);
}
END_TEST


START_TEST(a_budget_of_bytes_changes_no_answer)
{
    mr_budget_t budget = {
        UNBOUNDED, 5 * sizeof(fake_event_t), 0, NULL, NULL, 0};

    check_filter(_i, "&limit=40", &budget);
    budget.bytes = 0;
    check_filter(_i, "", &budget);
}
END_TEST


/* More candidates of one millisecond than are kept as such. */
START_TEST(one_millisecond_with_everything_in_it)
{
    size_t i;
    uint32_t state;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};

    fake_fill(fake, 9, 0);
    fake->n_events = FAKE_EVENTS;
    state = 3;

    for (i = 0; i < FAKE_EVENTS; i++) {
        fake_event_t *event = &fake->events[i];
        fake_block_t *block = &fake->blocks[i / FAKE_ROWS];
        uint64_t time = htole64(UINT64_C(1700000000000));
        uint32_t row = (uint32_t) (i % FAKE_ROWS);

        event->time = INT64_C(1700000000000);
        event->offset = (int64_t) i;
        (void) snprintf(event->event_id, sizeof(event->event_id), "%06u",
            test_random(&state) % 999983);
        (void) snprintf(event->user_id, sizeof(event->user_id), "u%u",
            (unsigned) (i / 16 % 4));

        block->id.epoch = 1;
        block->id.number = (int32_t) (i / FAKE_ROWS);
        block->tmin = block->tmax = event->time;
        block->n = row + 1;
        block->events[row] = event;
        memcpy(block->times + row * 8, &time, 8);
        memset(block->kinds + row * 2, 0, 2);
        fake->n_blocks = i / FAKE_ROWS + 1;
    }

    check("limit=450&order=asc", &budget, 0);
    check("limit=450&order=desc", &budget, 0);
    check("limit=1&order=desc&user_id=u1&event_id=000000", &budget, 0);
    budget.blocks = 3;
    check("limit=450&order=asc", &budget, 0);
    check("limit=450&order=desc", &budget, 0);
}
END_TEST


/* Only what a page needs is read: the newest do not cost the oldest. */
START_TEST(reading_stops_early)
{
    mr_page_t page;

    fake_fill(fake, 5, FAKE_EVENTS);
    read_first("limit=5&to=1699999995", &page);
    ck_assert_uint_eq(page.n, 5);
    ck_assert_uint_le(page.fetched, 64);
    ck_assert_uint_lt(page.blocks, fake->n_blocks / 2);
    mr_page_free(&page);
}
END_TEST


/* A block of one event each: hardly more of them than events are asked for. */
START_TEST(a_scattered_user_costs_what_the_page_needs)
{
    mr_page_t page;
    static const char *const queries[] = {
        "user_id=u1&limit=104", "user_id=u1&limit=104&order=asc"};

    fake_scatter(fake, 400);
    read_first(queries[_i], &page);
    ck_assert_uint_eq(page.n, 104);
    ck_assert_uint_ge(page.blocks, 104);
    ck_assert_uint_le(page.blocks, 108);
    mr_page_free(&page);
}
END_TEST


/* What vanishes while a page is read is left out, and nothing else is. */
START_TEST(blocks_that_pass_their_retention)
{
    size_t i, n, kept, seen;
    mr_page_t page;
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_source_t source;
    mr_params_t params;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};
    const fake_event_t *list[FAKE_EVENTS];

    fake_fill(fake, 6, 1500);
    test_plan(_i ? "limit=30&order=asc" : "limit=30", &params, &plan);
    n = fake_model(fake, &plan, list);
    kept = n;

    for (i = 0; i < fake->n_blocks; i += 3) {
        fake->blocks[i].gone = 1;
        kept -= fake->blocks[i].n;
    }

    ck_assert_uint_lt(kept, n);
    seen = 0;

    for (;;) {
        source = fake_source(fake, &plan);
        ck_assert_int_eq(mr_page_read(&plan, &source, &budget, &page, &err), 0);
        seen += page.n;

        if (!page.more) {
            break;
        }

        turn(&plan, &page);
        mr_page_free(&page);
    }

    ck_assert_uint_eq(seen, kept);

    mr_page_free(&page);
    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


/* What has moved up in a block meanwhile is not taken for what was there. */
START_TEST(blocks_that_are_rewritten)
{
    size_t i, n, known, strange;
    mr_page_t page;
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_source_t source;
    mr_params_t params;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};
    const fake_event_t *list[FAKE_EVENTS];
    static const char *const queries[] = {
        "user_id=u1&limit=1000",
        "event_type=b&limit=1000",
        "from=1699999990&limit=1000",
        "user_id=u2&event_type=a&order=asc&limit=1000",
    };
    fake_event_t event;

    fake_fill(fake, 11, 900);
    test_plan(queries[_i], &params, &plan);
    n = fake_model(fake, &plan, list);

    for (i = 0; i < fake->n_blocks; i++) {
        fake->blocks[i].moved = 1;
    }

    source = fake_source(fake, &plan);
    ck_assert_int_eq(mr_page_read(&plan, &source, &budget, &page, &err), 0);

    /* Whatever is given is of what was asked for, and some was not given. */
    strange = 0;

    for (i = 0; i < page.n; i++) {
        for (known = 0; known < n; known++) {
            memcpy(&event, page.rows[i].data.data, sizeof(fake_event_t));

            if (event.partition == list[known]->partition
                && event.offset == list[known]->offset
                && event.time == list[known]->time
                && event.kind == list[known]->kind
                && strcmp(event.event_id, list[known]->event_id) == 0
                && strcmp(event.user_id, list[known]->user_id) == 0)
            {
                break;
            }
        }

        strange += known == n;
    }

    ck_assert_uint_eq(strange, 0);
    ck_assert_uint_lt(page.n, n);

    mr_page_free(&page);
    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(failures_are_passed_on)
{
    int calls;
    mr_page_t page;
    mr_plan_t plan;
    mr_error_t err;
    mr_source_t source;
    mr_params_t params;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, NULL, NULL, 0};

    fake_fill(fake, 7, 1500);
    test_plan("limit=1000", &params, &plan);

    for (calls = 1;; calls++) {
        source = fake_source(fake, &plan);
        fake->fail = calls;
        memset(&err, 0, sizeof(err));

        if (mr_page_read(&plan, &source, &budget, &page, &err) == 0) {
            break;
        }

        ck_assert_int_eq(err.code, MR_ERROR_MONGODB);
    }

    ck_assert_int_gt(calls, 10);
    mr_page_free(&page);
    fake->fail = 0;

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


static int
stop_after(void *ctx, mr_error_t *err)
{
    int *left;

    left = ctx;

    if ((*left)-- > 0) {
        return 0;
    }

    (void) mr_error_set(err, MR_ERROR_TIMEOUT, NULL, "stopped");

    return 1;
}


START_TEST(nobody_waits_any_more)
{
    int left, calls;
    mr_page_t page;
    mr_plan_t plan;
    mr_error_t err = MR_ERROR_INIT;
    mr_source_t source;
    mr_params_t params;
    mr_budget_t budget = {UNBOUNDED, UNBOUNDED, 0, stop_after, &left, 0};

    fake_fill(fake, 8, 1500);
    test_plan("limit=1000", &params, &plan);

    for (calls = 0; calls < 10; calls++) {
        left = calls;
        source = fake_source(fake, &plan);
        ck_assert_int_eq(
            mr_page_read(&plan, &source, &budget, &page, &err), -1);
        ck_assert_int_eq(err.code, MR_ERROR_TIMEOUT);
        ck_assert_uint_le(fake->headers, (size_t) calls);
    }

    mr_plan_free(&plan);
    mr_params_free(&params);
}
END_TEST


START_TEST(descending_is_ascending_reversed)
{
    size_t i, j;
    mr_key_t a, b;

    fake_fill(fake, 9, 300);

    for (i = 0; i < 300; i++) {
        for (j = 0; j < 300; j++) {
            a = fake_key(&fake->events[i]);
            b = fake_key(&fake->events[j]);
            ck_assert_int_eq(mr_key_cmp(&a, &b, MR_ORDER_ASC) < 0,
                mr_key_cmp(&b, &a, MR_ORDER_DESC) < 0);
            ck_assert_int_eq(mr_key_cmp(&a, &b, MR_ORDER_ASC) == 0, i == j);
        }
    }
}
END_TEST


Suite *
suite_page(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("page");
    tcase = tcase_create("page");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);

    tcase_add_loop_test(tcase, pages_are_those_of_a_simple_model, 0, FILTERS);
    tcase_add_loop_test(tcase, a_scan_budget_changes_no_answer, 0, FILTERS);
    tcase_add_loop_test(
        tcase, a_deadline_that_is_half_over_changes_no_answer, 0, FILTERS);
    tcase_add_loop_test(tcase, a_budget_of_bytes_changes_no_answer, 0, FILTERS);
    tcase_add_test(tcase, one_millisecond_with_everything_in_it);
    tcase_add_test(tcase, reading_stops_early);
    tcase_add_loop_test(
        tcase, a_scattered_user_costs_what_the_page_needs, 0, 2);
    tcase_add_loop_test(tcase, blocks_that_pass_their_retention, 0, 2);
    tcase_add_loop_test(tcase, blocks_that_are_rewritten, 0, 4);
    tcase_add_test(tcase, failures_are_passed_on);
    tcase_add_test(tcase, nobody_waits_any_more);
    tcase_add_test(tcase, descending_is_ascending_reversed);

    return suite;
}
