#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * So many keys are asked for at most.  Where types are asked for, most of a
 * user's keys may be of others.
 */
#define MR_ENTRIES_MAX 512


/* What a key of the index says. */
typedef struct {
    mr_entry_t entry;
    int64_t types; /* a set, of ../common/layout.h */
} mr_entries_key_t;


static const mr_course_t *mr_entries_course(const mr_plan_t *plan);
static uint32_t mr_entries_asked(const mr_session_t *session);
static int mr_entries_keys(
    mongoc_cursor_t *cursor, mr_entries_key_t *keys, mr_error_t *err);
static int mr_entries_key(const bson_t *doc, mr_entries_key_t *ret_key);
static void mr_entries_give(
    mr_session_t *session, const mr_entries_key_t *keys, size_t n, int all);
static int mr_entries_has(const mr_course_t *course, int span);


void
mr_entries_read(mr_session_t *session, mongoc_collection_t *blocks)
{
    int n;
    mr_error_t err = MR_ERROR_INIT;
    mr_stretch_t stretch;
    mr_entries_key_t *keys;

    memset(&stretch, 0, sizeof(stretch));
    stretch.to = INT64_MAX;
    stretch.blocks = blocks;
    stretch.asked = mr_entries_asked(session);

    keys = malloc(stretch.asked * sizeof(mr_entries_key_t));

    if (keys == NULL) {
        return;
    }

    if (mr_blocks_keys(
            session, mr_entries_course(session->plan), &stretch, &err)
        == 0)
    {
        n = mr_entries_keys(stretch.cursor, keys, &err);
        mongoc_cursor_destroy(stretch.cursor);

        if (n >= 0) {
            mr_entries_give(
                session, keys, (size_t) n, (uint32_t) n < stretch.asked);
        }
    }

    free(keys);
}


void
mr_entries_free(mr_entries_t *entries)
{
    free(entries->list);
    memset(entries, 0, sizeof(mr_entries_t));
}


/* All classes that are walked by tmax. */
static const mr_course_t *
mr_entries_course(const mr_plan_t *plan)
{
    static const mr_course_t asc = {3, {0, 5, 1}, 0, 0, 0};

    return plan->order == MR_ORDER_ASC ? &asc : mr_plan_course(plan, 0);
}


/* A page has no use for more blocks than it has rows. */
static uint32_t
mr_entries_asked(const mr_session_t *session)
{
    if (session->known.bits != MR_LAYOUT_ALL_BITS
        || session->plan->limit >= MR_ENTRIES_MAX)
    {
        return MR_ENTRIES_MAX;
    }

    return (uint32_t) session->plan->limit + 1;
}


/* How many there are, MR_ENTRIES_MAX at most, or -1. */
static int
mr_entries_keys(
    mongoc_cursor_t *cursor, mr_entries_key_t *keys, mr_error_t *err)
{
    int n;
    const bson_t *doc;

    for (n = 0; mongoc_cursor_next(cursor, &doc); n++) {
        if (mr_entries_key(doc, &keys[n]) == -1) {
            return mr_session_damaged(err);
        }
    }

    return mr_session_cursor_end(cursor, "reading keys", err) == -1 ? -1 : n;
}


/* { "who.u": user, span, tmax, "who.t": set of types } */
static int
mr_entries_key(const bson_t *doc, mr_entries_key_t *ret_key)
{
    int64_t span;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, doc, "span")
        || mr_bson_int64(&iter, &span) == -1 || span < 0 || span >= MR_SPANS
        || !bson_iter_init_find(&iter, doc, "tmax")
        || mr_bson_date(&iter, &ret_key->entry.tmax) == -1
        || !bson_iter_init_find(&iter, doc, "who.t")
        || mr_bson_int64(&iter, &ret_key->types) == -1)
    {
        return -1;
    }

    ret_key->entry.span = (int) span;

    return 0;
}


/* To each course the keys of its classes, which have one of the types. */
static void
mr_entries_give(
    mr_session_t *session, const mr_entries_key_t *keys, size_t n, int all)
{
    size_t i, course;
    mr_entries_t entries;
    const mr_course_t *about;

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        about = mr_plan_course(session->plan, course);

        if (about->earlier || about->by_tmin) {
            continue;
        }

        memset(&entries, 0, sizeof(entries));
        entries.all = all;
        entries.list = malloc((n + 1) * sizeof(mr_entry_t));

        if (entries.list == NULL) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if ((keys[i].types & session->known.bits) != 0
                && mr_entries_has(about, keys[i].entry.span))
            {
                entries.list[entries.n++] = keys[i].entry;
            }
        }

        session->walks[course].entries = entries;
    }
}


static int
mr_entries_has(const mr_course_t *course, int span)
{
    size_t i;

    for (i = 0; i < course->n; i++) {
        if (course->spans[i] == span) {
            return 1;
        }
    }

    return 0;
}
