#include <string.h>

#include "../common/layout.h"
#include "../common/mongo_columns.h"
#include "rewrite.h"


/* As in a block's packed columns. */
#define KIND_SIZE 2
#define COUNT_SIZE 2
#define ROWS_MAX 65535


typedef struct {
    const uint8_t *data;
    uint32_t len; /* bytes */
} column_t;


/* The fields of a block, in their order. */
enum {
    ID,
    SPAN,
    TMIN,
    TMAX,
    RECEIVED,
    N,
    LAYOUT, /* absent: MR_LAYOUT_LIST */
    TYPES,
    WHO,
    USERS, /* instead of WHO in blocks of earlier versions */
    SINCE,
    TIMES, /* instead of SINCE, as above */
    KINDS,
    COUNTS,
    ENDS, /* instead of COUNTS */
    EVENTS,
    FIELDS
};


typedef struct {
    const bson_t *source;
    int has[FIELDS];
    int users;    /* WHO or USERS: which it has */
    int per_user; /* COUNTS or ENDS */
    uint32_t n;
    uint32_t user;  /* its place in who or users */
    uint32_t first; /* its rows: first to end - 1 */
    uint32_t end;
    int64_t tmin; /* of what is left */
    int64_t tmax;
    mr_times_t times;
    column_t kinds;
    column_t counts;                /* or ends */
    uint16_t numbers[ROWS_MAX + 1]; /* of a type: old to new */
} rewrite_t;


static int rewrite_read(rewrite_t *work, const bson_t *source);
static int rewrite_fields(rewrite_t *work);
static int rewrite_user(rewrite_t *work, mr_str_t user, int *ret_found);
static uint32_t rewrite_end(
    const rewrite_t *work, uint32_t user, uint32_t first);
static int rewrite_name(
    const rewrite_t *work, const bson_iter_t *item, mr_str_t *ret_name);
static int rewrite_who(const bson_iter_t *item, bson_iter_t *ret_user);
static int rewrite_bounds(rewrite_t *work, bson_t *block);
static int rewrite_types(rewrite_t *work, bson_t *block);
static int rewrite_users(rewrite_t *work, bson_t *block);
static int rewrite_columns(rewrite_t *work, bson_t *block);
static int rewrite_times(rewrite_t *work, bson_t *block);
static int rewrite_events(rewrite_t *work, bson_t *block);
static int rewrite_listed(rewrite_t *work, bson_t *block);
static int rewrite_by_user(rewrite_t *work, bson_t *block);
static int rewrite_moved(const rewrite_t *work, uint32_t user,
    const bson_iter_t *source, uint32_t *row, uint32_t *left, bson_t *events);
static int rewrite_copy(rewrite_t *work, int field, bson_t *block);
static int rewrite_list(rewrite_t *work, int field, bson_iter_t *ret_items);
static int rewrite_column(rewrite_t *work, int field, column_t *ret_column);
static int rewrite_mine(const rewrite_t *work, uint32_t row);
static uint32_t rewrite_get(const uint8_t *p, size_t size);
static void rewrite_put(uint8_t *p, uint32_t value);


static const char *const names[FIELDS] = {
    [ID] = "_id",
    [SPAN] = "span",
    [TMIN] = "tmin",
    [TMAX] = "tmax",
    [RECEIVED] = "received",
    [N] = "n",
    [LAYOUT] = "layout",
    [TYPES] = "types",
    [WHO] = "who",
    [USERS] = "users",
    [SINCE] = "since",
    [TIMES] = "times",
    [KINDS] = "kinds",
    [COUNTS] = "counts",
    [ENDS] = "ends",
    [EVENTS] = "events",
};


static const int may_lack[FIELDS] = {
    [LAYOUT] = 1,
    [WHO] = 1,
    [USERS] = 1,
    [SINCE] = 1,
    [TIMES] = 1,
    [COUNTS] = 1,
    [ENDS] = 1,
};


int
mr_rewrite(const bson_t *source, mr_str_t user, bson_t *block,
    mr_rewrite_t *ret_result, mr_error_t *err)
{
    int found;
    rewrite_t *work;
    mr_rewrite_t result = {0, 0};

    work = bson_malloc0(sizeof(rewrite_t));
    found = 0;

    if (rewrite_read(work, source) != 0
        || rewrite_user(work, user, &found) != 0) {
        goto damaged;
    }

    if (found) {
        result.removed = work->end - work->first;
    }

    result.left = work->n - result.removed;

    if (result.removed != 0 && result.left != 0
        && (rewrite_copy(work, ID, block) != 0
            || rewrite_copy(work, SPAN, block) != 0
            || rewrite_bounds(work, block) != 0
            || rewrite_types(work, block) != 0
            || rewrite_users(work, block) != 0
            || rewrite_columns(work, block) != 0
            || rewrite_events(work, block) != 0))
    {
        goto damaged;
    }

    bson_free(work);
    *ret_result = result;

    return 0;

damaged:

    bson_free(work);

    return mr_error_set(err, MR_ERROR_MONGODB, NULL,
        "a block is damaged, or was written by another version");
}


static int
rewrite_read(rewrite_t *work, const bson_t *source)
{
    bson_iter_t iter;

    work->source = source;

    if (rewrite_fields(work) != 0
        || !bson_iter_init_find(&iter, source, names[N])
        || !BSON_ITER_HOLDS_INT32(&iter) || bson_iter_int32(&iter) < 1
        || bson_iter_int32(&iter) > ROWS_MAX
        || rewrite_column(work, KINDS, &work->kinds) != 0
        || rewrite_column(work, work->per_user, &work->counts) != 0)
    {
        return -1;
    }

    work->n = (uint32_t) bson_iter_int32(&iter);

    return mr_mongo_times(source, work->n, &work->times) == 0
                   && work->kinds.len == work->n * KIND_SIZE
               ? 0
               : -1;
}


/* Every field is there once, and no other; of those with two forms, one is. */
static int
rewrite_fields(rewrite_t *work)
{
    int field;
    const char *key;
    bson_iter_t iter;

    if (!bson_iter_init(&iter, work->source)) {
        return -1;
    }

    for (field = 0; bson_iter_next(&iter); field++) {
        key = bson_iter_key(&iter);

        while (field < FIELDS && strcmp(key, names[field]) != 0) {
            if (!may_lack[field++]) {
                return -1;
            }
        }

        if (field == FIELDS) {
            return -1;
        }

        if (field == LAYOUT && bson_iter_as_int64(&iter) != MR_LAYOUT_USERS) {
            return -1;
        }

        work->has[field] = 1;
    }

    work->users = work->has[WHO] ? WHO : USERS;
    work->per_user = work->has[COUNTS] ? COUNTS : ENDS;

    return work->has[EVENTS] && work->has[WHO] != work->has[USERS]
                   && work->has[SINCE] != work->has[TIMES]
                   && work->has[COUNTS] != work->has[ENDS]
               ? 0
               : -1;
}


/* Where the user's rows are; users and their counts belong together. */
static int
rewrite_user(rewrite_t *work, mr_str_t user, int *ret_found)
{
    uint32_t i, first, end;
    mr_str_t name;
    bson_iter_t users;

    if (rewrite_list(work, work->users, &users) != 0) {
        return -1;
    }

    first = 0;

    for (i = 0; bson_iter_next(&users); i++) {

        if (rewrite_name(work, &users, &name) != 0
            || (i + 1) * COUNT_SIZE > work->counts.len)
        {
            return -1;
        }

        end = rewrite_end(work, i, first);

        if (end <= first || end > work->n) {
            return -1;
        }

        if (mr_str_eq(user, name)) {
            *ret_found = 1;
            work->user = i;
            work->first = first;
            work->end = end;
        }

        first = end;
    }

    return i * COUNT_SIZE == work->counts.len && first == work->n ? 0 : -1;
}


/* The row after the last one of a user whose first one is known. */
static uint32_t
rewrite_end(const rewrite_t *work, uint32_t user, uint32_t first)
{
    uint32_t count;

    count = rewrite_get(work->counts.data + user * COUNT_SIZE, COUNT_SIZE);

    return work->per_user == ENDS ? count : first + count;
}


/* Of an element of who or users; lives in the source. */
static int
rewrite_name(const rewrite_t *work, const bson_iter_t *item, mr_str_t *ret_name)
{
    uint32_t len;
    const char *name;
    bson_iter_t user;

    user = *item;

    if ((work->users == WHO && rewrite_who(item, &user) != 0)
        || !BSON_ITER_HOLDS_UTF8(&user))
    {
        return -1;
    }

    name = bson_iter_utf8(&user, &len);
    *ret_name = (mr_str_t){name, len};

    return 0;
}


/* { u, t }, and no other field. */
static int
rewrite_who(const bson_iter_t *item, bson_iter_t *ret_user)
{
    bson_iter_t iter, user;

    if (!BSON_ITER_HOLDS_DOCUMENT(item) || !bson_iter_recurse(item, &iter)
        || !bson_iter_next(&iter) || strcmp(bson_iter_key(&iter), "u") != 0)
    {
        return -1;
    }

    user = iter;

    if (!bson_iter_next(&iter) || strcmp(bson_iter_key(&iter), "t") != 0
        || !BSON_ITER_HOLDS_INT32(&iter) || bson_iter_int32(&iter) < 1
        || bson_iter_int32(&iter) > MR_LAYOUT_ALL_BITS || bson_iter_next(&iter))
    {
        return -1;
    }

    *ret_user = user;

    return 0;
}


static int
rewrite_bounds(rewrite_t *work, bson_t *block)
{
    int64_t time;
    uint32_t row;

    work->tmin = INT64_MAX;
    work->tmax = INT64_MIN;

    for (row = 0; row < work->n; row++) {

        if (rewrite_mine(work, row)) {
            continue;
        }

        time = mr_times_get(&work->times, row);
        work->tmin = time < work->tmin ? time : work->tmin;
        work->tmax = time > work->tmax ? time : work->tmax;
    }

    return BSON_APPEND_DATE_TIME(block, names[TMIN], work->tmin)
                   && BSON_APPEND_DATE_TIME(block, names[TMAX], work->tmax)
                   && rewrite_copy(work, RECEIVED, block) == 0
                   && BSON_APPEND_INT32(block, names[N],
                       (int32_t) (work->n - (work->end - work->first)))
                   && (!work->has[LAYOUT]
                       || BSON_APPEND_INT32(
                           block, names[LAYOUT], MR_LAYOUT_USERS))
               ? 0
               : -1;
}


/* The types that are left, and their new numbers. */
static int
rewrite_types(rewrite_t *work, bson_t *block)
{
    char digits[16];
    bson_t types;
    uint32_t row, kind, old, new;
    const char *key;
    bson_iter_t iter;
    uint8_t *used;

    if (rewrite_list(work, TYPES, &iter) != 0) {
        return -1;
    }

    used = bson_malloc0(ROWS_MAX + 1);

    for (row = 0; row < work->n; row++) {
        if (!rewrite_mine(work, row)) {
            kind = rewrite_get(work->kinds.data + row * KIND_SIZE, KIND_SIZE);
            used[kind] = 1;
        }
    }

    BSON_APPEND_ARRAY_BEGIN(block, names[TYPES], &types);

    for (old = 0, new = 0; bson_iter_next(&iter); old++) {

        if (old > ROWS_MAX || !used[old]) {
            continue;
        }

        used[old] = 0;
        work->numbers[old] = (uint16_t) new;
        bson_uint32_to_string(new ++, &key, digits, sizeof(digits));
        bson_append_iter(&types, key, -1, &iter);
    }

    bson_append_array_end(block, &types);

    /* A number without a type. */
    kind = memchr(used, 1, ROWS_MAX + 1) != NULL;

    bson_free(used);

    return kind ? -1 : 0;
}


static int
rewrite_users(rewrite_t *work, bson_t *block)
{
    char digits[16];
    bson_t users;
    uint32_t i, k;
    const char *key;
    bson_iter_t iter;

    if (rewrite_list(work, work->users, &iter) != 0) {
        return -1;
    }

    BSON_APPEND_ARRAY_BEGIN(block, names[work->users], &users);

    for (i = 0, k = 0; bson_iter_next(&iter); i++) {

        if (i == work->user) {
            continue;
        }

        bson_uint32_to_string(k++, &key, digits, sizeof(digits));
        bson_append_iter(&users, key, -1, &iter);
    }

    bson_append_array_end(block, &users);

    return 0;
}


static int
rewrite_columns(rewrite_t *work, bson_t *block)
{
    int rc;
    uint8_t *kinds, *counts;
    uint32_t row, left, user, kept, count;

    kinds = bson_malloc(work->kinds.len);
    counts = bson_malloc(work->counts.len);

    for (row = 0, left = 0; row < work->n; row++) {

        if (rewrite_mine(work, row)) {
            continue;
        }

        rewrite_put(kinds + left++ * KIND_SIZE,
            work->numbers[rewrite_get(
                work->kinds.data + row * KIND_SIZE, KIND_SIZE)]);
    }

    for (user = 0, kept = 0; user * COUNT_SIZE < work->counts.len; user++) {

        if (user == work->user) {
            continue;
        }

        count = rewrite_get(work->counts.data + user * COUNT_SIZE, COUNT_SIZE);

        if (work->per_user == ENDS && user > work->user) {
            count -= work->end - work->first;
        }

        rewrite_put(counts + kept++ * COUNT_SIZE, count);
    }

    rc = rewrite_times(work, block) == 0
                 && BSON_APPEND_BINARY(block, names[KINDS], BSON_SUBTYPE_BINARY,
                     kinds, left * KIND_SIZE)
                 && BSON_APPEND_BINARY(block, names[work->per_user],
                     BSON_SUBTYPE_BINARY, counts, kept * COUNT_SIZE)
             ? 0
             : -1;

    bson_free(kinds);
    bson_free(counts);

    return rc;
}


/* In the form in which they were. */
static int
rewrite_times(rewrite_t *work, bson_t *block)
{
    int rc;
    int64_t time;
    uint8_t *times;
    uint32_t row, left, n, width;

    n = work->n - (work->end - work->first);
    width = work->has[TIMES] ? sizeof(int64_t)
                             : mr_times_width(work->tmax - work->tmin);
    times = bson_malloc((size_t) n * width);

    for (row = 0, left = 0; row < work->n; row++) {

        if (rewrite_mine(work, row)) {
            continue;
        }

        time = mr_times_get(&work->times, row);

        if (work->has[TIMES]) {
            time = (int64_t) BSON_UINT64_TO_LE((uint64_t) time);
            memcpy(times + left++ * sizeof(time), &time, sizeof(time));

        } else {
            mr_times_put(times, n, width, left++, time - work->tmin);
        }
    }

    rc = BSON_APPEND_BINARY(block, names[work->has[TIMES] ? TIMES : SINCE],
             BSON_SUBTYPE_BINARY, times, n * width)
             ? 0
             : -1;

    bson_free(times);

    return rc;
}


static int
rewrite_events(rewrite_t *work, bson_t *block)
{
    return work->has[LAYOUT] ? rewrite_by_user(work, block)
                             : rewrite_listed(work, block);
}


/* As they are: a value that is copied stays equal. */
static int
rewrite_listed(rewrite_t *work, bson_t *block)
{
    int rc;
    char digits[16];
    bson_t events;
    uint32_t row, left;
    const char *key;
    bson_iter_t iter;

    if (rewrite_list(work, EVENTS, &iter) != 0) {
        return -1;
    }

    rc = 0;
    BSON_APPEND_ARRAY_BEGIN(block, names[EVENTS], &events);

    for (row = 0, left = 0; bson_iter_next(&iter); row++) {

        if (rewrite_mine(work, row)) {
            continue;
        }

        bson_uint32_to_string(left++, &key, digits, sizeof(digits));

        if (!bson_append_iter(&events, key, -1, &iter)) {
            rc = -1;
        }
    }

    bson_append_array_end(block, &events);

    return row == work->n ? rc : -1;
}


/* Without the user, and those behind have moved up. */
static int
rewrite_by_user(rewrite_t *work, bson_t *block)
{
    int rc;
    bson_t events;
    uint32_t user, row, left;
    bson_iter_t iter, users;

    if (!bson_iter_init_find(&iter, work->source, names[EVENTS])
        || !BSON_ITER_HOLDS_DOCUMENT(&iter)
        || !bson_iter_recurse(&iter, &users))
    {
        return -1;
    }

    rc = 0;
    row = 0;
    left = 0;
    BSON_APPEND_DOCUMENT_BEGIN(block, names[EVENTS], &events);

    for (user = 0; rc == 0 && bson_iter_next(&users); user++) {
        rc = rewrite_moved(work, user, &users, &row, &left, &events);
    }

    bson_append_document_end(block, &events);

    return row == work->n && user * COUNT_SIZE == work->counts.len ? rc : -1;
}


/* The events of one user, who is in this place among the block's users. */
static int
rewrite_moved(const rewrite_t *work, uint32_t user, const bson_iter_t *source,
    uint32_t *row, uint32_t *left, bson_t *events)
{
    int rc;
    char digits[16];
    bson_t mine;
    uint32_t first;
    const char *key;
    bson_iter_t iter;

    if (!BSON_ITER_HOLDS_DOCUMENT(source) || !bson_iter_recurse(source, &iter)
        || (user + 1) * COUNT_SIZE > work->counts.len)
    {
        return -1;
    }

    rc = 0;
    first = *row;
    bson_init(&mine);

    while (rc == 0 && bson_iter_next(&iter)) {
        bson_uint32_to_string(*row, &key, digits, sizeof(digits));

        if (strcmp(bson_iter_key(&iter), key) != 0) {
            rc = -1;
            break;
        }

        if (!rewrite_mine(work, (*row)++)) {
            bson_uint32_to_string((*left)++, &key, digits, sizeof(digits));

            if (!bson_append_iter(&mine, key, -1, &iter)) {
                rc = -1;
            }
        }
    }

    /* The columns have to say the same. */
    if (*row != rewrite_end(work, user, first)
        || (user != work->user
            && !bson_append_document(events, bson_iter_key(source), -1, &mine)))
    {
        rc = -1;
    }

    bson_destroy(&mine);

    return rc;
}


static int
rewrite_copy(rewrite_t *work, int field, bson_t *block)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, work->source, names[field])
                   && bson_append_iter(block, NULL, 0, &iter)
               ? 0
               : -1;
}


static int
rewrite_list(rewrite_t *work, int field, bson_iter_t *ret_items)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, work->source, names[field])
                   && BSON_ITER_HOLDS_ARRAY(&iter)
                   && bson_iter_recurse(&iter, ret_items)
               ? 0
               : -1;
}


static int
rewrite_column(rewrite_t *work, int field, column_t *ret_column)
{
    return mr_mongo_column(
        work->source, names[field], &ret_column->data, &ret_column->len);
}


static int
rewrite_mine(const rewrite_t *work, uint32_t row)
{
    return row >= work->first && row < work->end;
}


/* Little-endian, as the columns are. */
static uint32_t
rewrite_get(const uint8_t *p, size_t size)
{
    size_t i;
    uint32_t value;

    value = 0;

    for (i = 0; i < size; i++) {
        value |= (uint32_t) p[i] << (8 * i);
    }

    return value;
}


static void
rewrite_put(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t) value;
    p[1] = (uint8_t) (value >> 8);
}
