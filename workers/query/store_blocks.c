#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "store_session.h"


/*
 * MongoDB merges at most 200 scans of an index, here one a class and event
 * type; with more types every block of the range is looked at.
 */
#define MR_TYPES_SCANNED (200 / MR_SPANS)


static int mr_blocks_next(
    void *ctx, size_t course, mr_header_t *ret_header, mr_error_t *err);
static void mr_blocks_any(const mr_plan_t *plan, const mr_course_t *course,
    const mr_stretch_t *stretch, bson_t *filter);
static mr_range_t mr_blocks_range(const mr_plan_t *plan,
    const mr_course_t *course, int span, const mr_stretch_t *stretch);
static void mr_blocks_filter(const mr_plan_t *plan, const mr_course_t *course,
    const mr_range_t *range, bson_t *filter);
static void mr_blocks_projection(const mr_plan_t *plan, bson_t *opts);
static void mr_blocks_order(
    const mr_plan_t *plan, const mr_course_t *course, bson_t *opts);
static int mr_blocks_header(
    mr_session_t *session, const bson_t *doc, mr_header_t *ret_header);
static int mr_blocks_user(
    bson_iter_t *users, mr_str_t user_id, int64_t *ret_index);
static int mr_blocks_wanted(mr_session_t *session, bson_iter_t *types);


mr_source_t
mr_session_blocks(mr_session_t *session, const mr_plan_t *plan)
{
    mr_source_t source;

    session->plan = plan;
    session->blocks = mr_mongo_collection(
        session->store->mongo, session->client, MR_MONGO_BLOCKS);

    source.next = mr_blocks_next;
    source.fetch = mr_session_fetch;
    source.ctx = session;

    return source;
}


int
mr_blocks_find(mr_session_t *session, size_t course, mr_stretch_t *stretch,
    mr_error_t *err)
{
    bson_t filter, opts;
    const mr_course_t *about;

    bson_init(&filter);
    bson_init(&opts);

    about = mr_plan_course(session->plan, course);
    mr_blocks_any(session->plan, about, stretch, &filter);
    mr_blocks_projection(session->plan, &opts);
    mr_blocks_order(session->plan, about, &opts);

    /* libmongoc changes it later only where it is one of 64 bits. */
    BSON_APPEND_INT64(&opts, "batchSize", stretch->asked);

    if (mr_session_limit(session, &opts, err) == -1) {
        bson_destroy(&filter);
        bson_destroy(&opts);
        return -1;
    }

    stretch->cursor =
        mongoc_collection_find_with_opts(stretch->blocks, &filter, &opts, NULL);
    stretch->left = stretch->asked;

    bson_destroy(&filter);
    bson_destroy(&opts);

    return 0;
}


static int
mr_blocks_next(
    void *ctx, size_t course, mr_header_t *ret_header, mr_error_t *err)
{
    int rc;
    const bson_t *doc;
    mr_session_t *session;

    session = ctx;
    rc = mr_walk_next(session, course, &doc, err);

    if (rc == 1 && mr_blocks_header(session, doc, ret_header) == -1) {
        return mr_session_damaged(err);
    }

    return rc;
}


/* The blocks of a course's classes, each with its own range. */
static void
mr_blocks_any(const mr_plan_t *plan, const mr_course_t *course,
    const mr_stretch_t *stretch, bson_t *filter)
{
    int n;
    size_t i;
    bson_t list, one;
    mr_range_t range;
    static const char *const keys[MR_SPANS] = {"0", "1", "2", "3", "4", "5"};

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &list);

    for (i = 0, n = 0; i < course->n; i++) {
        range = mr_blocks_range(plan, course, course->spans[i], stretch);

        /* There has to be one; the last, the widest, reaches the farthest. */
        if ((range.tmax_from >= range.tmax_to
                || range.tmin_from >= range.tmin_to)
            && (n > 0 || i < course->n - 1))
        {
            continue;
        }

        BSON_APPEND_DOCUMENT_BEGIN(&list, keys[n], &one);
        mr_blocks_filter(plan, course, &range, &one);
        bson_append_document_end(&list, &one);
        n++;
    }

    bson_append_array_end(filter, &list);
}


/* What a class has in a stretch. */
static mr_range_t
mr_blocks_range(const mr_plan_t *plan, const mr_course_t *course, int span,
    const mr_stretch_t *stretch)
{
    int64_t *from, *to;
    mr_range_t range;

    range = mr_plan_range(plan, span);

    if (course->by_tmin) {
        from = &range.tmin_from;
        to = &range.tmin_to;

    } else {
        from = &range.tmax_from;
        to = &range.tmax_to;
    }

    if (*from < stretch->from) {
        *from = stretch->from;
    }

    if (*to > stretch->to) {
        *to = stretch->to;
    }

    return range;
}


static void
mr_blocks_filter(const mr_plan_t *plan, const mr_course_t *course,
    const mr_range_t *range, bson_t *filter)
{
    char digits[16];
    bson_t child, list;
    size_t i;
    const char *key;

    if (plan->user_id.data != NULL) {
        mr_bson_append_text(filter, "users", plan->user_id);
    }

    if (plan->n_types == 1) {
        mr_bson_append_text(filter, "types", plan->types[0]);

    } else if (plan->n_types > 1) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "types", &child);
        BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);

        for (i = 0; i < plan->n_types; i++) {
            bson_uint32_to_string((uint32_t) i, &key, digits, sizeof(digits));
            mr_bson_append_text(&list, key, plan->types[i]);
        }

        bson_append_array_end(&child, &list);
        bson_append_document_end(filter, &child);
    }

    BSON_APPEND_INT32(filter, "span", range->span);

    BSON_APPEND_DOCUMENT_BEGIN(filter, "tmax", &child);
    BSON_APPEND_DATE_TIME(&child, "$gte", range->tmax_from);
    BSON_APPEND_DATE_TIME(&child, "$lt", range->tmax_to);
    bson_append_document_end(filter, &child);

    /* Left out where it says nothing: an index without tmin has to fetch. */
    if (course->by_tmin || range->tmin_to <= MR_TIMESTAMP_MAX) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "tmin", &child);

        if (course->by_tmin) {
            BSON_APPEND_DATE_TIME(&child, "$gte", range->tmin_from);
        }

        BSON_APPEND_DATE_TIME(&child, "$lt", range->tmin_to);
        bson_append_document_end(filter, &child);
    }

    if (plan->event_id.data != NULL) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "events", &child);
        BSON_APPEND_DOCUMENT_BEGIN(&child, "$elemMatch", &list);
        mr_bson_append_text(&list, "user_id", plan->user_id);
        mr_bson_append_text(&list, "event_id", plan->event_id);
        bson_append_document_end(&child, &list);
        bson_append_document_end(filter, &child);
    }
}


static void
mr_blocks_projection(const mr_plan_t *plan, bson_t *opts)
{
    bson_t fields;

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &fields);
    BSON_APPEND_INT32(&fields, "tmin", 1);
    BSON_APPEND_INT32(&fields, "tmax", 1);
    BSON_APPEND_INT32(&fields, "n", 1);
    BSON_APPEND_INT32(&fields, "times", 1);

    if (plan->n_types > 0) {
        BSON_APPEND_INT32(&fields, "types", 1);
        BSON_APPEND_INT32(&fields, "kinds", 1);
    }

    /* To have MongoDB look for the user costs more than to send all. */
    if (plan->user_id.data != NULL) {
        BSON_APPEND_INT32(&fields, "users", 1);
        BSON_APPEND_INT32(&fields, "ends", 1);
    }

    bson_append_document_end(opts, &fields);
}


/* The index is named, so that no query is ever tried with another one. */
static void
mr_blocks_order(
    const mr_plan_t *plan, const mr_course_t *course, bson_t *opts)
{
    bson_t fields;
    const char *key;

    key = course->by_tmin ? "tmin" : "tmax";

    BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &fields);
    BSON_APPEND_INT32(&fields, key, plan->order == MR_ORDER_ASC ? 1 : -1);
    bson_append_document_end(opts, &fields);

    BSON_APPEND_DOCUMENT_BEGIN(opts, "hint", &fields);

    if (plan->user_id.data != NULL) {
        BSON_APPEND_INT32(&fields, "users", 1);

    } else if (plan->n_types > 0 && plan->n_types <= MR_TYPES_SCANNED) {
        BSON_APPEND_INT32(&fields, "types", 1);
    }

    BSON_APPEND_INT32(&fields, "span", 1);
    BSON_APPEND_INT32(&fields, key, 1);

    /* Which blocks lie too late or early is to be seen from the index. */
    if (course->by_tmin) {
        BSON_APPEND_INT32(&fields, "tmax", 1);

    } else if (plan->user_id.data == NULL) {
        BSON_APPEND_INT32(&fields, "tmin", 1);
    }

    bson_append_document_end(opts, &fields);
}


static int
mr_blocks_header(
    mr_session_t *session, const bson_t *doc, mr_header_t *ret_header)
{
    int64_t n, user;
    uint32_t len;
    bson_iter_t iter;
    mr_header_t header;
    const char *key;
    uint16_t end;
    uint32_t ends_len, kinds_len, times_len;
    const uint8_t *ends;
    bson_subtype_t subtype;
    const mr_plan_t *plan;

    plan = session->plan;
    memset(&header, 0, sizeof(header));
    n = user = -1;
    ends = NULL;
    ends_len = kinds_len = times_len = 0;

    if (!bson_iter_init(&iter, doc)) {
        return -1;
    }

    while (bson_iter_next(&iter)) {
        key = bson_iter_key(&iter);

        if (strcmp(key, "_id") == 0) {
            if (mr_session_block_id(&iter, &header.id) == -1) {
                return -1;
            }

        } else if (strcmp(key, "tmin") == 0) {
            if (mr_bson_date(&iter, &header.tmin) == -1) {
                return -1;
            }

        } else if (strcmp(key, "tmax") == 0) {
            if (mr_bson_date(&iter, &header.tmax) == -1) {
                return -1;
            }

        } else if (strcmp(key, "n") == 0) {
            if (mr_bson_int64(&iter, &n) == -1) {
                return -1;
            }

        } else if (strcmp(key, "users") == 0) {
            if (mr_blocks_user(&iter, plan->user_id, &user) == -1) {
                return -1;
            }

        } else if (strcmp(key, "types") == 0) {
            if (mr_blocks_wanted(session, &iter) == -1) {
                return -1;
            }

            header.wanted = session->wanted;
            header.n_kinds = session->n_wanted;

        } else if (BSON_ITER_HOLDS_BINARY(&iter)) {

            if (strcmp(key, "times") == 0) {
                bson_iter_binary(&iter, &subtype, &times_len, &header.times);

            } else if (strcmp(key, "kinds") == 0) {
                bson_iter_binary(&iter, &subtype, &kinds_len, &header.kinds);

            } else if (strcmp(key, "ends") == 0) {
                bson_iter_binary(&iter, &subtype, &ends_len, &ends);
            }
        }
    }

    if (n < 1 || n > UINT16_MAX || times_len != (uint64_t) n * 8
        || (plan->n_types > 0
            && (kinds_len != (uint64_t) n * 2 || header.wanted == NULL)))
    {
        return -1;
    }

    header.n = (uint32_t) n;
    header.first = 0;
    header.end = header.n;

    if (plan->user_id.data != NULL) {

        if (user < 0 || user >= ends_len / 2) {
            return -1;
        }

        len = (uint32_t) user * 2;
        memcpy(&end, ends + len, 2);
        header.end = BSON_UINT16_FROM_LE(end);

        if (user > 0) {
            memcpy(&end, ends + len - 2, 2);
            header.first = BSON_UINT16_FROM_LE(end);
        }
    }

    session->headers++;
    session->rows += header.n;
    *ret_header = header;

    return 0;
}


/* Where the user is among the block's users, in bytewise order. */
static int
mr_blocks_user(bson_iter_t *users, mr_str_t user_id, int64_t *ret_index)
{
    int64_t i;
    mr_str_t user;
    bson_iter_t child;

    if (!BSON_ITER_HOLDS_ARRAY(users) || !bson_iter_recurse(users, &child)) {
        return -1;
    }

    for (i = 0; bson_iter_next(&child); i++) {

        if (mr_bson_text(&child, &user) == -1) {
            return -1;
        }

        if (mr_str_eq(user, user_id)) {
            *ret_index = i;
            return 0;
        }
    }

    return -1;
}


/* Which of the block's types the plan asks for, both in bytewise order. */
static int
mr_blocks_wanted(mr_session_t *session, bson_iter_t *types)
{
    size_t i, n, cap;
    uint8_t *wanted;
    mr_str_t type;
    bson_iter_t child;
    const mr_plan_t *plan;

    plan = session->plan;
    cap = UINT16_MAX + 1;

    if (session->wanted == NULL) {
        session->wanted = malloc(cap);

        if (session->wanted == NULL) {
            return -1;
        }
    }

    wanted = session->wanted;

    if (!BSON_ITER_HOLDS_ARRAY(types) || !bson_iter_recurse(types, &child)) {
        return -1;
    }

    i = 0;

    for (n = 0; bson_iter_next(&child); n++) {

        if (n == cap || mr_bson_text(&child, &type) == -1) {
            return -1;
        }

        while (i < plan->n_types && mr_str_cmp(plan->types[i], type) < 0) {
            i++;
        }

        wanted[n] = i < plan->n_types && mr_str_eq(plan->types[i], type);
    }

    session->n_wanted = n;

    return 0;
}
