#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/* A block as its header says it. */
typedef struct {
    int64_t n;
    int64_t layout;
    bson_iter_t users;   /* or who */
    uint32_t counts_len; /* bytes, of each: */
    uint32_t kinds_len;
    const uint8_t *counts; /* or, in blocks of earlier versions, ends */
    int are_ends;
    int has_users;
} mr_header_fields_t;


static int mr_header_fields(mr_session_t *session, const bson_t *doc,
    mr_header_fields_t *fields, mr_header_t *header);
static int mr_header_field(mr_session_t *session, const bson_iter_t *iter,
    mr_header_fields_t *fields, mr_header_t *header);
static int mr_header_name(const bson_iter_t *user, mr_str_t *ret_name);
static int mr_header_listed(mr_session_t *session, mr_row_observer_t *observer,
    void *observer_ctx, mr_error_t *err);
static int mr_header_wanted(mr_session_t *session, const bson_iter_t *types);


int
mr_header_read(
    mr_session_t *session, const bson_t *doc, mr_header_t *ret_header)
{
    mr_header_t header;
    const mr_plan_t *plan;
    mr_header_fields_t fields;

    plan = session->plan;
    memset(&header, 0, sizeof(header));
    memset(&fields, 0, sizeof(fields));
    fields.n = -1;

    if (mr_header_fields(session, doc, &fields, &header) == -1 || fields.n < 1
        || fields.n > UINT16_MAX || header.tmax < 0
        || mr_mongo_times(doc, (uint32_t) fields.n, &header.times) == -1
        || (plan->n_types > 0
            && (fields.kinds_len != (uint64_t) fields.n * 2
                || header.wanted == NULL)))
    {
        return -1;
    }

    header.n = (uint32_t) fields.n;
    header.layout = (int) fields.layout;

    session->doc = doc;
    session->header = header;
    session->users = fields.users;
    session->counts = fields.counts;
    session->are_ends = fields.are_ends;
    session->n_users = fields.has_users ? fields.counts_len / 2 : 0;
    session->next_user = 0;
    session->user_end = 0;

    session->headers++;
    session->rows += header.n;
    session->bytes += doc->len;
    *ret_header = header;

    return 0;
}


mr_str_t
mr_header_user(void *ctx, uint32_t row)
{
    uint16_t count;
    mr_session_t *session;

    session = ctx;

    while (session->user_end <= row) {

        if (session->next_user == session->n_users
            || !bson_iter_next(&session->users)) {
            return (mr_str_t){NULL, 0};
        }

        memcpy(&count, session->counts + (size_t) session->next_user++ * 2, 2);
        count = BSON_UINT16_FROM_LE(count);
        session->user_end =
            session->are_ends ? count : session->user_end + count;

        if (mr_header_name(&session->users, &session->user) == -1) {
            return (mr_str_t){NULL, 0};
        }
    }

    return session->user;
}


/* Of an element of `who`, or of `users` in blocks of earlier versions. */
static int
mr_header_name(const bson_iter_t *user, mr_str_t *ret_name)
{
    bson_iter_t field;

    if (!BSON_ITER_HOLDS_DOCUMENT(user)) {
        return mr_bson_text(user, ret_name);
    }

    return bson_iter_recurse(user, &field) && bson_iter_next(&field)
                   && strcmp(bson_iter_key(&field), "u") == 0
               ? mr_bson_text(&field, ret_name)
               : -1;
}


int
mr_header_rows(
    void *ctx, mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    int rc;
    size_t n;
    mr_row_t row;
    mr_events_t events;
    mr_session_t *session;

    session = ctx;

    if (session->header.layout != MR_LAYOUT_USERS) {
        return mr_header_listed(session, observer, observer_ctx, err);
    }

    if (mr_events_open(&events, session->doc, &session->types, err) == -1) {
        return -1;
    }

    for (n = 0; (rc = mr_events_next(&events)) == 1; n++) {

        if (mr_events_row(
                &events, &session->header.id, session->plan->user_id, &row)
            == -1)
        {
            return mr_session_damaged(err);
        }

        if (observer(observer_ctx, &row, err) != 0) {
            return -1;
        }
    }

    /* Of the user's, who is one of the block's, there is one at least. */
    return rc == 0 && n > 0 ? 0 : mr_session_damaged(err);
}


static int
mr_header_fields(mr_session_t *session, const bson_t *doc,
    mr_header_fields_t *fields, mr_header_t *header)
{
    bson_iter_t iter;

    if (!bson_iter_init(&iter, doc)) {
        return -1;
    }

    while (bson_iter_next(&iter)) {
        if (mr_header_field(session, &iter, fields, header) == -1) {
            return -1;
        }
    }

    return 0;
}


static int
mr_header_field(mr_session_t *session, const bson_iter_t *iter,
    mr_header_fields_t *fields, mr_header_t *header)
{
    const char *key;
    bson_subtype_t subtype;

    key = bson_iter_key(iter);

    if (strcmp(key, "_id") == 0) {
        return mr_session_block_id(iter, &header->id);
    }

    if (strcmp(key, "tmin") == 0) {
        return mr_bson_date(iter, &header->tmin);
    }

    if (strcmp(key, "tmax") == 0) {
        return mr_bson_date(iter, &header->tmax);
    }

    if (strcmp(key, "n") == 0) {
        return mr_bson_int64(iter, &fields->n);
    }

    if (strcmp(key, "layout") == 0) {
        return mr_bson_int64(iter, &fields->layout);
    }

    if (strcmp(key, "who") == 0 || strcmp(key, "users") == 0) {
        fields->has_users = BSON_ITER_HOLDS_ARRAY(iter)
                            && bson_iter_recurse(iter, &fields->users);
        return 0;
    }

    if (strcmp(key, "types") == 0 && session->plan->n_types > 0) {
        if (mr_header_wanted(session, iter) == -1) {
            return -1;
        }

        header->wanted = session->wanted;
        header->n_kinds = session->n_wanted;
        return 0;
    }

    if (!BSON_ITER_HOLDS_BINARY(iter)) {
        return 0;
    }

    if (strcmp(key, "kinds") == 0 && session->plan->n_types > 0) {
        bson_iter_binary(iter, &subtype, &fields->kinds_len, &header->kinds);

    } else if (strcmp(key, "counts") == 0 || strcmp(key, "ends") == 0) {
        bson_iter_binary(iter, &subtype, &fields->counts_len, &fields->counts);
        fields->are_ends = *key == 'e';
    }

    return 0;
}


/*
 * The rows of a block of MR_LAYOUT_LIST.  Only its events say whose they
 * are, so it is read whole, unless none of it can be wanted.
 */
static int
mr_header_listed(mr_session_t *session, mr_row_observer_t *observer,
    void *observer_ctx, mr_error_t *err)
{
    int rc;
    size_t n;
    int64_t time, from, to;
    uint32_t i;
    mr_ref_t *refs;
    const mr_header_t *header;

    header = &session->header;
    refs = calloc(header->n, sizeof(mr_ref_t));

    if (refs == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    mr_plan_times(session->plan, &from, &to);

    for (i = 0, n = 0; i < header->n; i++) {

        time = mr_times_get(&header->times, i);

        if (time >= from && time < to && mr_header_wants(header, i)) {
            refs[n].id = header->id;
            refs[n].n = header->n;
            refs[n++].row = i;
        }
    }

    rc = n == 0
             ? 0
             : mr_session_fetch(session, refs, n, observer, observer_ctx, err);

    free(refs);

    return rc;
}


/* Which of the block's types the plan asks for, both in bytewise order. */
static int
mr_header_wanted(mr_session_t *session, const bson_iter_t *types)
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
