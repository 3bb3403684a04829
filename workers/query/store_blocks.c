#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * MongoDB merges at most 200 scans of an index, here one a class and event
 * type; with more types every block of the range is looked at.
 */
#define MR_TYPES_SCANNED (200 / MR_SPANS)


/* What a walk asks for. */
typedef struct {
    const mr_plan_t *plan;
    const mr_course_t *course;
    int keys;      /* those of the index, and no blocks */
    int bits;      /* as in mr_known_t */
    mr_str_t path; /* to the events of the plan's user, if it has one */
} mr_ask_t;


static int mr_blocks_ask(mr_session_t *session, const mr_course_t *course,
    int keys, mr_stretch_t *stretch, mr_error_t *err);
static int mr_blocks_next(void *ctx, size_t course, size_t lacking,
    mr_header_t *ret_header, mr_error_t *err);
static void mr_blocks_any(
    const mr_ask_t *ask, const mr_stretch_t *stretch, bson_t *filter);
static mr_range_t mr_blocks_range(
    const mr_ask_t *ask, int span, const mr_stretch_t *stretch);
static void mr_blocks_filter(
    const mr_ask_t *ask, const mr_range_t *range, bson_t *filter);
static int mr_blocks_by_types(const mr_plan_t *plan);
static void mr_blocks_types(const mr_plan_t *plan, bson_t *filter);
static void mr_blocks_user(const mr_ask_t *ask, bson_t *filter);
static void mr_blocks_event(const mr_ask_t *ask, bson_t *filter);
static void mr_blocks_projection(const mr_ask_t *ask, bson_t *opts);
static void mr_blocks_order(const mr_ask_t *ask, bson_t *opts);


mr_source_t
mr_session_blocks(mr_session_t *session, const mr_plan_t *plan)
{
    mr_source_t source;

    session->plan = plan;
    session->blocks = mr_mongo_collection(
        session->store->mongo, session->client, MR_MONGO_BLOCKS);

    source.next = mr_blocks_next;
    source.rows = mr_header_rows;
    source.user = mr_header_user;
    source.fetch = mr_session_fetch;
    source.ctx = session;

    return source;
}


int
mr_blocks_find(mr_session_t *session, size_t course, mr_stretch_t *stretch,
    mr_error_t *err)
{
    return mr_blocks_ask(
        session, mr_plan_course(session->plan, course), 0, stretch, err);
}


int
mr_blocks_keys(mr_session_t *session, const mr_course_t *course,
    mr_stretch_t *stretch, mr_error_t *err)
{
    return mr_blocks_ask(session, course, 1, stretch, err);
}


static int
mr_blocks_ask(mr_session_t *session, const mr_course_t *course, int keys,
    mr_stretch_t *stretch, mr_error_t *err)
{
    int rc;
    bson_t filter, opts;
    mr_ask_t ask;
    mr_buf_t path = MR_BUF_INIT;

    ask.plan = session->plan;
    ask.course = course;
    ask.keys = keys;
    ask.bits = keys ? MR_LAYOUT_ALL_BITS : session->known.bits;

    if (ask.plan->user_id.data != NULL
        && mr_layout_path(&path, ask.plan->user_id) == -1)
    {
        mr_buf_free(&path);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    ask.path = (mr_str_t){path.data, path.len};
    bson_init(&filter);
    bson_init(&opts);

    mr_blocks_any(&ask, stretch, &filter);
    mr_blocks_order(&ask, &opts);

    /* libmongoc changes it later only where it is one of 64 bits. */
    BSON_APPEND_INT64(&opts, "batchSize", stretch->asked);

    if (keys) {
        BSON_APPEND_BOOL(&opts, "returnKey", true);
        BSON_APPEND_INT64(&opts, "limit", stretch->asked);

    } else {
        mr_blocks_projection(&ask, &opts);
    }

    rc = mr_session_limit(session, &opts, err);

    if (rc == 0) {
        stretch->cursor = mongoc_collection_find_with_opts(
            stretch->blocks, &filter, &opts, NULL);
        stretch->left = stretch->asked;
    }

    bson_destroy(&filter);
    bson_destroy(&opts);
    mr_buf_free(&path);

    return rc;
}


static int
mr_blocks_next(void *ctx, size_t course, size_t lacking,
    mr_header_t *ret_header, mr_error_t *err)
{
    int rc;
    const bson_t *doc;
    mr_session_t *session;

    session = ctx;
    session->lacking = lacking;
    rc = mr_walk_next(session, course, &doc, err);

    if (rc == 1 && mr_header_read(session, doc, ret_header) == -1) {
        return mr_session_damaged(err);
    }

    return rc;
}


/*
 * The blocks of a course's classes, or of those that a stretch has, each with
 * its own range.
 */
static void
mr_blocks_any(const mr_ask_t *ask, const mr_stretch_t *stretch, bson_t *filter)
{
    int n;
    size_t i, last;
    bson_t list, one;
    mr_range_t range;
    const mr_course_t *course;
    static const char *const keys[MR_SPANS] = {"0", "1", "2", "3", "4", "5"};

    course = ask->course;
    last = course->n - 1;

    while (!mr_stretch_has(stretch, course->spans[last])) {
        last--;
    }

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &list);

    for (i = 0, n = 0; i <= last; i++) {

        if (!mr_stretch_has(stretch, course->spans[i])) {
            continue;
        }

        range = mr_blocks_range(ask, course->spans[i], stretch);

        /* There has to be one; the last, the widest, reaches the farthest. */
        if ((range.tmax_from >= range.tmax_to
                || range.tmin_from >= range.tmin_to)
            && (n > 0 || i < last))
        {
            continue;
        }

        BSON_APPEND_DOCUMENT_BEGIN(&list, keys[n], &one);
        mr_blocks_filter(ask, &range, &one);
        bson_append_document_end(&list, &one);
        n++;
    }

    bson_append_array_end(filter, &list);
}


/* What a class has in a stretch. */
static mr_range_t
mr_blocks_range(const mr_ask_t *ask, int span, const mr_stretch_t *stretch)
{
    int64_t *from, *to;
    mr_range_t range;

    range = mr_plan_range(ask->plan, span);

    if (ask->course->by_tmin) {
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
mr_blocks_filter(const mr_ask_t *ask, const mr_range_t *range, bson_t *filter)
{
    bson_t child;
    const mr_plan_t *plan;

    plan = ask->plan;

    if (plan->user_id.data != NULL) {
        mr_blocks_user(ask, filter);
    }

    BSON_APPEND_INT32(filter, "span", range->span);

    BSON_APPEND_DOCUMENT_BEGIN(filter, "tmax", &child);
    BSON_APPEND_DATE_TIME(&child, "$gte", range->tmax_from);
    BSON_APPEND_DATE_TIME(&child, "$lt", range->tmax_to);
    bson_append_document_end(filter, &child);

    /* For all else MongoDB would have to read the blocks. */
    if (ask->keys) {
        return;
    }

    /*
     * And where no index has them, that many would be left out unseen.  Of a
     * user's the index has sets of types, which the user is asked for with.
     */
    if (mr_blocks_by_types(plan)) {
        mr_blocks_types(plan, filter);
    }

    /* Left out where it says nothing: an index without tmin has to fetch. */
    if (ask->course->by_tmin || range->tmin_to <= MR_TIMESTAMP_MAX) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "tmin", &child);

        if (ask->course->by_tmin) {
            BSON_APPEND_DATE_TIME(&child, "$gte", range->tmin_from);
        }

        BSON_APPEND_DATE_TIME(&child, "$lt", range->tmin_to);
        bson_append_document_end(filter, &child);
    }

    /*
     * Of blocks in which the event is not MongoDB would say nothing, for as
     * long as it takes.  So it is looked for in the rows, but for blocks with
     * `users`: the rows of some do not come along.
     */
    if (plan->event_id.data != NULL && ask->course->earlier) {
        mr_blocks_event(ask, filter);
    }
}


/* Is it the index by types? */
static int
mr_blocks_by_types(const mr_plan_t *plan)
{
    return plan->user_id.data == NULL && plan->n_types > 0
           && plan->n_types <= MR_TYPES_SCANNED;
}


static void
mr_blocks_types(const mr_plan_t *plan, bson_t *filter)
{
    char digits[16];
    bson_t child, list;
    size_t i;
    const char *key;

    if (plan->n_types == 1) {
        mr_bson_append_text(filter, "types", plan->types[0]);
        return;
    }

    BSON_APPEND_DOCUMENT_BEGIN(filter, "types", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);

    for (i = 0; i < plan->n_types; i++) {
        bson_uint32_to_string((uint32_t) i, &key, digits, sizeof(digits));
        mr_bson_append_text(&list, key, plan->types[i]);
    }

    bson_append_array_end(&child, &list);
    bson_append_document_end(filter, &child);
}


/*
 * The user is in the block, with one of the types that are asked for:
 *
 *   who: { $elemMatch: { u: user, t: { $in: [ sets with one of them ] } } }
 *
 * The index has both, so that other blocks need not be looked at.
 */
static void
mr_blocks_user(const mr_ask_t *ask, bson_t *filter)
{
    int set;
    char digits[16];
    bson_t who, match, types, list;
    uint32_t n;
    const char *key;
    const mr_plan_t *plan;

    plan = ask->plan;

    if (ask->course->earlier) {
        mr_bson_append_text(filter, "users", plan->user_id);
        return;
    }

    if (ask->bits == MR_LAYOUT_ALL_BITS) {
        mr_bson_append_text(filter, "who.u", plan->user_id);
        return;
    }

    BSON_APPEND_DOCUMENT_BEGIN(filter, "who", &who);
    BSON_APPEND_DOCUMENT_BEGIN(&who, "$elemMatch", &match);
    mr_bson_append_text(&match, "u", plan->user_id);
    BSON_APPEND_DOCUMENT_BEGIN(&match, "t", &types);
    BSON_APPEND_ARRAY_BEGIN(&types, "$in", &list);

    for (set = 1, n = 0; set <= MR_LAYOUT_ALL_BITS; set++) {
        if ((set & ask->bits) != 0) {
            bson_uint32_to_string(n++, &key, digits, sizeof(digits));
            BSON_APPEND_INT32(&list, key, set);
        }
    }

    bson_append_array_end(&types, &list);
    bson_append_document_end(&match, &types);
    bson_append_document_end(&who, &match);
    bson_append_document_end(filter, &who);
}


/*
 * A block with `users` holds the plan's event:
 *
 *   $or: [ { events: { $elemMatch: { user_id, event_id } } },
 *     { $expr: { $let: { vars: { mine: { $getField: ... } },
 *       in: { $in: [ event_id, { $map: {
 *         input: { $objectToArray: { $ifNull: [ "$$mine", {} ] } },
 *         in: "$$this.v.event_id" } } ] } } } } ]
 *
 * first by the layout of 0.1.0.
 */
static void
mr_blocks_event(const mr_ask_t *ask, bson_t *filter)
{
    bson_t *match, *name, *field, *events;
    mr_str_t key;

    key.data = ask->path.data + strlen(MR_LAYOUT_EVENTS);
    key.len = ask->path.len - strlen(MR_LAYOUT_EVENTS);

    match = bson_new();
    mr_bson_append_text(match, "user_id", ask->plan->user_id);
    mr_bson_append_text(match, "event_id", ask->plan->event_id);

    name = bson_new();
    mr_bson_append_text(name, "$literal", ask->plan->event_id);

    field = bson_new();
    mr_bson_append_text(field, "$literal", key);

    events = BCON_NEW("mine", "{", "$getField", "{", "field",
        BCON_DOCUMENT(field), "input", BCON_UTF8("$events"), "}", "}");

    BCON_APPEND(filter, "$or", "[", "{", "events", "{", "$elemMatch",
        BCON_DOCUMENT(match), "}", "}", "{", "$expr", "{", "$let", "{", "vars",
        BCON_DOCUMENT(events), "in", "{", "$in", "[", BCON_DOCUMENT(name), "{",
        "$map", "{", "input", "{", "$objectToArray", "{", "$ifNull", "[",
        BCON_UTF8("$$mine"), "{", "}", "]", "}", "}", "in",
        BCON_UTF8("$$this.v.event_id"), "}", "}", "]", "}", "}", "}", "}", "]");

    bson_destroy(match);
    bson_destroy(name);
    bson_destroy(field);
    bson_destroy(events);
}


/*
 * With a user, the user's rows come along with the header.  A plain path costs
 * MongoDB less than anything that is computed: for that it copies the events of
 * all users first.
 */
static void
mr_blocks_projection(const mr_ask_t *ask, bson_t *opts)
{
    bson_t fields;
    const mr_plan_t *plan;

    plan = ask->plan;

    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &fields);
    BSON_APPEND_INT32(&fields, "tmin", 1);
    BSON_APPEND_INT32(&fields, "tmax", 1);
    BSON_APPEND_INT32(&fields, "n", 1);
    BSON_APPEND_INT32(&fields, "layout", 1);
    BSON_APPEND_INT32(&fields, "since", 1);
    BSON_APPEND_INT32(&fields, "times", 1);

    if (plan->user_id.data != NULL) {
        bson_append_int32(&fields, ask->path.data, (int) ask->path.len, 1);

    } else {
        BSON_APPEND_INT32(&fields, "who", 1);
        BSON_APPEND_INT32(&fields, "users", 1);
        BSON_APPEND_INT32(&fields, "counts", 1);
        BSON_APPEND_INT32(&fields, "ends", 1);
    }

    if (plan->user_id.data != NULL || plan->n_types > 0) {
        BSON_APPEND_INT32(&fields, "types", 1);
        BSON_APPEND_INT32(&fields, "kinds", 1);
    }

    bson_append_document_end(opts, &fields);
}


/* The index is named, so that no query is ever tried with another one. */
static void
mr_blocks_order(const mr_ask_t *ask, bson_t *opts)
{
    bson_t fields;
    const char *key;
    const mr_plan_t *plan;

    plan = ask->plan;
    key = ask->course->by_tmin ? "tmin" : "tmax";

    BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &fields);
    BSON_APPEND_INT32(&fields, key, plan->order == MR_ORDER_ASC ? 1 : -1);
    bson_append_document_end(opts, &fields);

    BSON_APPEND_DOCUMENT_BEGIN(opts, "hint", &fields);

    if (plan->user_id.data != NULL) {
        BSON_APPEND_INT32(&fields, ask->course->earlier ? "users" : "who.u", 1);

    } else if (mr_blocks_by_types(plan)) {
        BSON_APPEND_INT32(&fields, "types", 1);
    }

    BSON_APPEND_INT32(&fields, "span", 1);
    BSON_APPEND_INT32(&fields, key, 1);

    /* Which blocks lie too late or early is to be seen from the index. */
    if (ask->course->by_tmin) {
        BSON_APPEND_INT32(&fields, "tmax", 1);

    } else if (plan->user_id.data == NULL) {
        BSON_APPEND_INT32(&fields, "tmin", 1);
    }

    if (plan->user_id.data != NULL && !ask->course->earlier) {
        BSON_APPEND_INT32(&fields, "who.t", 1);
    }

    bson_append_document_end(opts, &fields);
}
