#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * So many keys are asked for at most.  Where types are asked for, most of a
 * user's keys may be of others.
 */
#define MR_ENTRIES_MAX 512

/*
 * A few more than the page needs by their rows, to be sure of its order.  A
 * stretch with fewer than a share is not worth its command beside another one,
 * with fewer than the least not even by itself.
 */
#define MR_ENTRIES_SPARE 4
#define MR_ENTRIES_SHARE 8
#define MR_ENTRIES_LEAST 4


/* What a key of the index says. */
typedef struct {
    mr_entry_t entry;
    int64_t types; /* a set, of ../common/layout.h */
} mr_entries_key_t;


static size_t mr_entries_tie(const mr_entries_t *entries, size_t end);
static void mr_entries_begin(const mr_entries_t *entries, const mr_plan_t *plan,
    size_t first, mr_stretch_t *stretch);
static void mr_entries_spans(
    const mr_entries_t *entries, size_t end, mr_stretch_t *stretch);
static const mr_course_t *mr_entries_course(const mr_plan_t *plan);
static uint32_t mr_entries_asked(const mr_session_t *session);
static int mr_entries_keys(mongoc_cursor_t *cursor, mr_entries_key_t *keys,
    size_t cap, mr_error_t *err);
static int mr_entries_key(const bson_t *doc, mr_entries_key_t *ret_key);
static void mr_entries_give(
    mr_session_t *session, const mr_entries_key_t *keys, size_t n, int all);
static size_t mr_entries_need(
    const mr_session_t *session, const mr_entries_key_t *keys, size_t n);
static size_t mr_entries_rows(int64_t types, int bits);
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

    keys = calloc(stretch.asked, sizeof(mr_entries_key_t));

    if (keys == NULL) {
        return;
    }

    if (mr_blocks_keys(
            session, mr_entries_course(session->plan), &stretch, &err)
        == 0)
    {
        n = mr_entries_keys(stretch.cursor, keys, stretch.asked, &err);
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


void
mr_entries_skip(mr_entries_t *entries, const mr_plan_t *plan, int64_t last)
{
    int64_t tmax;

    for (; entries->next < entries->n; entries->next++) {
        tmax = entries->list[entries->next].tmax;

        if (plan->order == MR_ORDER_ASC ? tmax > last : tmax < last) {
            break;
        }
    }
}


size_t
mr_entries_cut(const mr_entries_t *entries, const mr_plan_t *plan, size_t first,
    size_t n, mr_stretch_t *list)
{
    size_t i, count, shares, begin, end;

    shares = n / MR_ENTRIES_SHARE;

    if (shares == 0 && n >= MR_ENTRIES_LEAST) {
        shares = 1;

    } else if (shares > MR_WALK_STRETCHES) {
        shares = MR_WALK_STRETCHES;
    }

    begin = first;

    for (i = 0, count = 0; i < shares; i++) {
        end = mr_entries_tie(entries, first + n * (i + 1) / shares);

        if (end == begin) {
            continue;
        }

        memset(&list[count], 0, sizeof(mr_stretch_t));
        /* One more, and MongoDB sees at once that there is none. */
        list[count].asked = (uint32_t) (end - begin) + 1;
        mr_entries_begin(entries, plan, begin, &list[count]);

        if (count > 0) {
            mr_entries_end(entries, plan, begin, &list[count - 1]);
        }

        count++;
        begin = end;
    }

    return count;
}


/* `end`, or behind it, where the next entry has another tmax. */
static size_t
mr_entries_tie(const mr_entries_t *entries, size_t end)
{
    while (end > 0 && end < entries->n
           && entries->list[end].tmax == entries->list[end - 1].tmax)
    {
        end++;
    }

    return end;
}


/* The stretch has all from an entry on, */
static void
mr_entries_begin(const mr_entries_t *entries, const mr_plan_t *plan,
    size_t first, mr_stretch_t *stretch)
{
    stretch->from = 0;
    stretch->to = INT64_MAX;

    if (first > 0 && plan->order == MR_ORDER_ASC) {
        stretch->from = entries->list[first - 1].tmax + 1;

    } else if (first > 0) {
        stretch->to = entries->list[first - 1].tmax;
    }

    if (entries->all) {
        mr_entries_spans(entries, entries->n, stretch);
    }
}


/* and all before one. */
void
mr_entries_end(const mr_entries_t *entries, const mr_plan_t *plan, size_t end,
    mr_stretch_t *stretch)
{
    if (plan->order == MR_ORDER_ASC) {
        stretch->to = entries->list[end - 1].tmax + 1;

    } else {
        stretch->from = entries->list[end - 1].tmax;

        if (!entries->all) {
            mr_entries_spans(entries, end, stretch);
        }
    }
}


/*
 * Only their classes.  Of a block that millrace-erase has rewritten meanwhile
 * the tmax is less than its key says, so what counts are all before the end.
 */
static void
mr_entries_spans(const mr_entries_t *entries, size_t end, mr_stretch_t *stretch)
{
    size_t i;

    stretch->spans = 0;

    for (i = 0; i < end; i++) {
        stretch->spans |= 1U << entries->list[i].span;
    }
}


/* All classes, also those that are walked by tmin. */
static const mr_course_t *
mr_entries_course(const mr_plan_t *plan)
{
    static const mr_course_t asc = {MR_SPANS, {0, 5, 1, 2, 3, 4}, 0, 0, 0};

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


/* How many there are, or -1. */
static int
mr_entries_keys(mongoc_cursor_t *cursor, mr_entries_key_t *keys, size_t cap,
    mr_error_t *err)
{
    int n;
    const bson_t *doc;

    for (n = 0; (size_t) n < cap && mongoc_cursor_next(cursor, &doc); n++) {
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


/*
 * To each course the keys of its classes, which have one of the types.  One by
 * tmin is not divided: it only learns whether it has any.
 */
static void
mr_entries_give(
    mr_session_t *session, const mr_entries_key_t *keys, size_t n, int all)
{
    size_t i, need, course;
    mr_walk_t *walk;
    mr_entries_t entries;
    const mr_course_t *about;

    need = mr_entries_need(session, keys, n);

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        walk = &session->walks[course];
        about = mr_plan_course(session->plan, course);

        if (about->earlier) {
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
                entries.need += i < need;
            }
        }

        walk->none = !walk->begun && all && entries.n == 0;

        if (about->by_tmin) {
            mr_entries_free(&entries);

        } else {
            walk->entries = entries;
        }
    }
}


/* So many of the keys have the page's rows. */
static size_t
mr_entries_need(
    const mr_session_t *session, const mr_entries_key_t *keys, size_t n)
{
    size_t i, rows;

    for (i = 0, rows = 0; i < n && rows <= session->plan->limit; i++) {
        rows += mr_entries_rows(keys[i].types, session->known.bits);
    }

    i += i / 8 + MR_ENTRIES_SPARE;

    return i < n ? i : n;
}


/*
 * A user who has many events in a block has them of many types.  Rather too
 * few, of six types that are not equally frequent.
 */
static size_t
mr_entries_rows(int64_t types, int bits)
{
    int n, wanted;
    static const int rows[] = {1, 1, 2, 6, 12, 30, 100, 100};

    n = __builtin_popcountll((uint64_t) types & MR_LAYOUT_ALL_BITS);
    wanted = __builtin_popcountll((uint64_t) (types & bits));

    return wanted == 0 ? 0 : (size_t) ((rows[n] * wanted + n - 1) / n);
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
