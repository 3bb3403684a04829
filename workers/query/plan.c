#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "cursor.h"
#include "plan.h"


/* One past the last millisecond that an event can have. */
#define MR_PLAN_END (MR_TIMESTAMP_MAX + 1)


static int mr_plan_read(const mr_params_t *params, int64_t limit_max,
    mr_plan_t *plan, mr_error_t *err);
static int mr_plan_times_read(
    const mr_params_t *params, mr_plan_t *plan, mr_error_t *err);
static int mr_plan_digest_add(mr_buf_t *buf, mr_str_t text);


int
mr_plan_create(const mr_params_t *params, int64_t limit_max,
    mr_plan_t *ret_plan, mr_error_t *err)
{
    mr_str_t cursor;
    mr_plan_t plan;

    memset(&plan, 0, sizeof(plan));

    if (mr_plan_read(params, limit_max, &plan, err) == -1) {
        mr_plan_free(&plan);
        return -1;
    }

    cursor = mr_params_get(params, "cursor");

    if (cursor.data != NULL
        && mr_cursor_read(
               cursor, mr_plan_digest(&plan), &plan.start, &plan.cursor, err)
               == -1)
    {
        mr_plan_free(&plan);
        return -1;
    }

    *ret_plan = plan;

    return 0;
}


void
mr_plan_free(mr_plan_t *plan)
{
    free(plan->types);
    free(plan->cursor);
    plan->types = NULL;
    plan->cursor = NULL;
}


uint64_t
mr_plan_digest(const mr_plan_t *plan)
{
    size_t i;
    int64_t numbers[3];
    uint64_t digest;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t all;

    numbers[0] = plan->order;
    numbers[1] = plan->from;
    numbers[2] = plan->to;

    /* Without memory the digest fits no cursor, which is an honest 400. */
    if (mr_buf_append(&buf, numbers, sizeof(numbers)) == -1
        || mr_plan_digest_add(&buf, plan->user_id) == -1
        || mr_plan_digest_add(&buf, plan->event_id) == -1)
    {
        mr_buf_free(&buf);
        return 0;
    }

    for (i = 0; i < plan->n_types; i++) {
        if (mr_plan_digest_add(&buf, plan->types[i]) == -1) {
            mr_buf_free(&buf);
            return 0;
        }
    }

    all.data = buf.data;
    all.len = buf.len;
    digest = mr_hash(all).lo;

    mr_buf_free(&buf);

    return digest;
}


void
mr_plan_times(const mr_plan_t *plan, int64_t *ret_from, int64_t *ret_to)
{
    int64_t from, to;

    from = plan->from;
    to = plan->to;

    /* The place's own millisecond may hold more events, so it is read. */
    if (plan->start.kind != MR_POSITION_START) {

        if (plan->order == MR_ORDER_ASC && from < plan->start.key.time) {
            from = plan->start.key.time;
        }

        if (plan->order == MR_ORDER_DESC && to > plan->start.key.time + 1) {
            to = plan->start.key.time + 1;
        }
    }

    *ret_from = from;
    *ret_to = to;
}


mr_range_t
mr_plan_range(const mr_plan_t *plan, int span)
{
    int64_t from, to, width;
    mr_range_t range;

    mr_plan_times(plan, &from, &to);
    width = mr_span_width(span);

    /*
     * A block holds an event in [from, to) only if tmin < to and
     * tmax >= from; with tmax <= tmin + width that bounds tmax above, and
     * tmin below.
     */
    range.span = span;
    range.tmax_from = from;
    range.tmin_from = width == -1 || from < width ? 0 : from - width;
    range.tmin_to = to;
    range.tmax_to =
        width == -1 || to + width > MR_PLAN_END ? MR_PLAN_END : to + width;

    return range;
}


size_t
mr_plan_courses(const mr_plan_t *plan)
{
    if (plan->user_id.data == NULL) {
        return 1;
    }

    return plan->order == MR_ORDER_ASC ? MR_COURSES : 2;
}


/* Without a user there is an index by tmin as well, of all classes. */
const mr_course_t *
mr_plan_course(const mr_plan_t *plan, size_t i)
{
    static const mr_course_t desc[] = {
        {MR_SPANS, {0, 5, 1, 2, 3, 4}, 0, 0, 0},
        {MR_SPANS, {0, 5, 1, 2, 3, 4}, 0, 0, 1},
    };
    static const mr_course_t asc = {MR_SPANS, {0, 5, 1, 2, 3, 4}, 1, 0, 0};
    static const mr_course_t user_asc[MR_COURSES] = {
        {1, {0}, 0, INT64_C(10) * 1000, 0},
        {2, {5, 1}, 0, INT64_C(600) * 1000, 0},
        {3, {2, 3, 4}, 1, 0, 0},
        {1, {0}, 0, INT64_C(10) * 1000, 1},
        {2, {5, 1}, 0, INT64_C(600) * 1000, 1},
        {3, {2, 3, 4}, 1, 0, 1},
    };

    if (plan->order == MR_ORDER_DESC) {
        return &desc[i];
    }

    return plan->user_id.data != NULL ? &user_asc[i] : &asc;
}


static int
mr_plan_read(const mr_params_t *params, int64_t limit_max, mr_plan_t *plan,
    mr_error_t *err)
{
    size_t i;
    int64_t limit;
    mr_str_t text;

    plan->user_id = mr_params_get(params, "user_id");
    plan->event_id = mr_params_get(params, "event_id");
    plan->start.kind = MR_POSITION_START;

    if (plan->user_id.data != NULL
        && mr_param_string("user_id", plan->user_id, MR_USER_ID_MAX, err) == -1)
    {
        return -1;
    }

    if (plan->event_id.data != NULL) {

        if (mr_param_string("event_id", plan->event_id, MR_EVENT_ID_MAX, err)
            == -1) {
            return -1;
        }

        if (plan->user_id.data == NULL) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, "event_id",
                "event_id needs user_id beside it: an event is identified "
                "by both");
        }
    }

    if (mr_params_set(params, "event_type", &plan->types, &plan->n_types, err)
        == -1)
    {
        return -1;
    }

    for (i = 0; i < plan->n_types; i++) {
        if (mr_param_string(
                "event_type", plan->types[i], MR_EVENT_TYPE_MAX, err)
            == -1) {
            return -1;
        }
    }

    text = mr_params_get(params, "order");

    if (text.data == NULL || mr_str_eq(text, mr_str("desc"))) {
        plan->order = MR_ORDER_DESC;

    } else if (mr_str_eq(text, mr_str("asc"))) {
        plan->order = MR_ORDER_ASC;

    } else {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "order",
            "order must be desc (newest first, the default) or asc");
    }

    text = mr_params_get(params, "limit");
    limit = MR_LIMIT_DEFAULT;

    if (text.data != NULL
        && mr_param_integer("limit", text, 1, limit_max, &limit, err) == -1)
    {
        return -1;
    }

    plan->limit = (size_t) limit;

    return mr_plan_times_read(params, plan, err);
}


static int
mr_plan_times_read(const mr_params_t *params, mr_plan_t *plan, mr_error_t *err)
{
    int64_t from, to;
    mr_str_t text_from, text_to;

    from = 0;
    to = MR_PLAN_END;

    text_from = mr_params_get(params, "from");
    text_to = mr_params_get(params, "to");

    if (text_from.data != NULL
        && mr_param_time("from", text_from, &from, err) == -1)
    {
        return -1;
    }

    if (text_to.data != NULL && mr_param_time("to", text_to, &to, err) == -1) {
        return -1;
    }

    if (text_from.data != NULL && text_to.data != NULL && from > to) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, "from",
            "from must not be later than to: the range is from <= timestamp "
            "< to");
    }

    /* No event lies outside of these, and the arithmetic is safe inside. */
    plan->from = from < 0 ? 0 : from > MR_PLAN_END ? MR_PLAN_END : from;
    plan->to = to < 0 ? 0 : to > MR_PLAN_END ? MR_PLAN_END : to;

    return 0;
}


static int
mr_plan_digest_add(mr_buf_t *buf, mr_str_t text)
{
    unsigned char head[5];

    /* Presence and length ahead of the bytes make the join unambiguous. */
    head[0] = text.data != NULL;
    head[1] = (unsigned char) (text.len & 0xff);
    head[2] = (unsigned char) (text.len >> 8 & 0xff);
    head[3] = (unsigned char) (text.len >> 16 & 0xff);
    head[4] = (unsigned char) (text.len >> 24 & 0xff);

    if (mr_buf_append(buf, head, sizeof(head)) == -1) {
        return -1;
    }

    return text.len > 0 ? mr_buf_append(buf, text.data, text.len) : 0;
}
