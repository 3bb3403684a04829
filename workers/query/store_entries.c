#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * So many keys are asked for at most.  Where types are asked for, most of a
 * user's keys may be of others.
 */
#define MR_ENTRIES_MAX 512

/* Keys that are read for all courses together; most users have fewer. */
#define MR_ENTRIES_SCAN 256


/* What a key of the index says. */
typedef struct {
    mr_entry_t entry;
    int64_t types; /* a set, of ../common/layout.h */
} mr_entries_key_t;


static int mr_entries_keys(
    mr_session_t *session, mr_entries_key_t *keys, mr_error_t *err);
static mongoc_cursor_t *mr_entries_cursor(
    mr_session_t *session, mr_error_t *err);
static int mr_entries_course(mr_session_t *session, size_t course,
    const mr_entries_key_t *keys, size_t n, mr_error_t *err);
static int mr_entries_in(const mr_course_t *course, int span);
static int mr_entries_cmp_asc(const void *a, const void *b);
static int mr_entries_cmp_desc(const void *a, const void *b);
static size_t mr_entries_asked(const mr_session_t *session);
static int mr_entries_all(const mr_session_t *session, mongoc_cursor_t *cursor,
    mr_entries_t *entries, mr_error_t *err);
static int mr_entries_key(const bson_t *key, mr_entries_key_t *ret_key);


int
mr_entries_scan(mr_session_t *session, mr_error_t *err)
{
    int n;
    size_t course;
    mr_entries_key_t keys[MR_ENTRIES_SCAN];

    n = mr_entries_keys(session, keys, err);

    if (n == -1 || n == MR_ENTRIES_SCAN) {
        return n == -1 ? -1 : 0;
    }

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        if (mr_entries_course(session, course, keys, (size_t) n, err) == -1) {
            return -1;
        }
    }

    return 1;
}


/* How many there are of the user, MR_ENTRIES_SCAN at most, or -1. */
static int
mr_entries_keys(mr_session_t *session, mr_entries_key_t *keys, mr_error_t *err)
{
    int n, rc;
    const bson_t *key;
    mongoc_cursor_t *cursor;

    cursor = mr_entries_cursor(session, err);

    if (cursor == NULL) {
        return -1;
    }

    rc = 0;

    for (n = 0; n < MR_ENTRIES_SCAN && mongoc_cursor_next(cursor, &key); n++) {
        if (mr_entries_key(key, &keys[n]) == -1) {
            rc = mr_session_damaged(err);
            break;
        }
    }

    if (rc == 0) {
        rc = mr_session_cursor_end(cursor, "reading keys", err);
    }

    mongoc_cursor_destroy(cursor);

    return rc == -1 ? -1 : n;
}


/*
 * By the classes together, since a scan of each would cost more than it reads
 * less.  Where they end is then for each class to say.
 */
static mongoc_cursor_t *
mr_entries_cursor(mr_session_t *session, mr_error_t *err)
{
    int64_t from, to;
    bson_t filter, opts, child;
    mongoc_cursor_t *cursor;

    mr_plan_times(session->plan, &from, &to);
    bson_init(&filter);
    bson_init(&opts);

    mr_bson_append_text(&filter, "who.u", session->plan->user_id);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "tmax", &child);
    BSON_APPEND_DATE_TIME(&child, "$gte", from);
    bson_append_document_end(&filter, &child);

    BSON_APPEND_BOOL(&opts, "returnKey", true);
    BSON_APPEND_UTF8(&opts, "hint", MR_MONGO_WHO_TMAX);
    BSON_APPEND_INT64(&opts, "limit", MR_ENTRIES_SCAN);
    BSON_APPEND_INT64(&opts, "batchSize", MR_ENTRIES_SCAN);

    cursor = mr_session_limit(session, &opts, err) == -1
                 ? NULL
                 : mongoc_collection_find_with_opts(
                     session->blocks, &filter, &opts, NULL);

    bson_destroy(&filter);
    bson_destroy(&opts);

    return cursor;
}


/* Which of all of a user's keys a course walks, if its order can be told. */
static int
mr_entries_course(mr_session_t *session, size_t course,
    const mr_entries_key_t *keys, size_t n, mr_error_t *err)
{
    size_t i;
    mr_range_t range;
    mr_entries_t entries;
    const mr_course_t *about;

    about = mr_plan_course(session->plan, course);

    if (about->earlier) {
        return 0;
    }

    memset(&entries, 0, sizeof(entries));
    entries.all = 1;
    entries.list = malloc((n + 1) * sizeof(mr_entry_t));

    if (entries.list == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    for (i = 0; i < n; i++) {
        range = mr_plan_range(session->plan, keys[i].entry.span);

        if (mr_entries_in(about, keys[i].entry.span)
            && keys[i].entry.tmax >= range.tmax_from
            && keys[i].entry.tmax < range.tmax_to
            && (keys[i].types & session->known.bits) != 0)
        {
            entries.list[entries.n++] = keys[i].entry;
        }
    }

    if (about->by_tmin && entries.n > 0) {
        mr_entries_free(&entries);
        return 0;
    }

    qsort(entries.list, entries.n, sizeof(mr_entry_t),
        session->plan->order == MR_ORDER_ASC ? mr_entries_cmp_asc
                                             : mr_entries_cmp_desc);
    session->walks[course].entries = entries;

    return 0;
}


static int
mr_entries_in(const mr_course_t *course, int span)
{
    size_t i;

    for (i = 0; i < course->n; i++) {
        if (course->spans[i] == span) {
            return 1;
        }
    }

    return 0;
}


static int
mr_entries_cmp_asc(const void *a, const void *b)
{
    const mr_entry_t *left, *right;

    left = a;
    right = b;

    return (left->tmax > right->tmax) - (left->tmax < right->tmax);
}


static int
mr_entries_cmp_desc(const void *a, const void *b)
{
    return mr_entries_cmp_asc(b, a);
}


int
mr_entries_read(mr_session_t *session, size_t course,
    mongoc_collection_t *blocks, mr_entries_t *ret_entries, mr_error_t *err)
{
    int rc;
    mr_stretch_t stretch;
    mr_entries_t entries;

    memset(&stretch, 0, sizeof(stretch));
    stretch.to = INT64_MAX;
    stretch.blocks = blocks;
    stretch.asked = (uint32_t) mr_entries_asked(session);

    memset(&entries, 0, sizeof(entries));
    entries.list = malloc(stretch.asked * sizeof(mr_entry_t));

    if (entries.list == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (mr_blocks_keys(session, course, &stretch, err) == -1) {
        mr_entries_free(&entries);
        return -1;
    }

    rc = mr_entries_all(session, stretch.cursor, &entries, err);
    mongoc_cursor_destroy(stretch.cursor);

    if (rc == -1) {
        mr_entries_free(&entries);
        return -1;
    }

    entries.all = (size_t) rc < stretch.asked;
    *ret_entries = entries;

    return 0;
}


void
mr_entries_free(mr_entries_t *entries)
{
    free(entries->list);
    memset(entries, 0, sizeof(mr_entries_t));
}


/* A page has no use for more blocks than it has rows. */
static size_t
mr_entries_asked(const mr_session_t *session)
{
    if (session->known.bits != MR_LAYOUT_ALL_BITS
        || session->plan->limit >= MR_ENTRIES_MAX)
    {
        return MR_ENTRIES_MAX;
    }

    return session->plan->limit + 1;
}


/* How many keys there were, or -1. */
static int
mr_entries_all(const mr_session_t *session, mongoc_cursor_t *cursor,
    mr_entries_t *entries, mr_error_t *err)
{
    int n;
    const bson_t *doc;
    mr_entries_key_t key;

    for (n = 0; n < MR_ENTRIES_MAX && mongoc_cursor_next(cursor, &doc); n++) {

        if (mr_entries_key(doc, &key) == -1) {
            return mr_session_damaged(err);
        }

        if ((key.types & session->known.bits) != 0) {
            entries->list[entries->n++] = key.entry;
        }
    }

    return mr_session_cursor_end(cursor, "reading keys", err) == -1 ? -1 : n;
}


/* { "who.u": user, span, tmax, "who.t": set of types } */
static int
mr_entries_key(const bson_t *key, mr_entries_key_t *ret_key)
{
    int64_t span;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, key, "span")
        || mr_bson_int64(&iter, &span) == -1 || span < 0 || span >= MR_SPANS
        || !bson_iter_init_find(&iter, key, "tmax")
        || mr_bson_date(&iter, &ret_key->entry.tmax) == -1
        || !bson_iter_init_find(&iter, key, "who.t")
        || mr_bson_int64(&iter, &ret_key->types) == -1)
    {
        return -1;
    }

    ret_key->entry.span = (int) span;

    return 0;
}
