#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "crew.h"
#include "store_session.h"


/*
 * Headers of a first batch.  A user's newest events mostly lie in a few blocks.
 * A page without a user needs all blocks that a moment lies within: of a
 * backlog from eight partitions some 60, about ten in each stretch of a walk
 * but the last, which has the rest and a few more.  Earlier versions had 110.
 * Ten headers that are not needed cost a round.
 */
#define MR_BATCH_FIRST 128
#define MR_BATCH_USER 32
#define MR_BATCH_LAST 48
#define MR_BATCH_SPARE 4 /* for a page of less than MR_BATCH_USER rows */

/* A stretch of a user's walk with less would not be worth its command. */
#define MR_WALK_SHARE 6

/* The class that most blocks of a backlog are of. */
#define MR_WALK_SPAN 5


/* What begins at the same time. */
typedef struct {
    mr_session_t *session;
    mr_stretch_t *stretches[MR_WALK_ALL];
    size_t courses[MR_WALK_ALL];
    size_t n;
    int keys; /* of the index, before the stretches */
} mr_walk_all_t;


static int mr_walk_known(mr_session_t *session, mr_error_t *err);
static int mr_walk_is_empty(const mr_session_t *session, size_t course);
static void mr_walk_open(mr_session_t *session, size_t course);
static int mr_walk_more(mr_session_t *session, size_t course);
static int mr_walk_together(mr_session_t *session);
static void mr_walk_plan(mr_session_t *session, size_t course);
static void mr_walk_whole(mr_walk_t *walk, const mr_plan_t *plan);
static uint32_t mr_walk_user(const mr_plan_t *plan);
static int mr_walk_moment(const mr_session_t *session, int64_t *ret_moment);
static void mr_walk_divide(
    mr_walk_t *walk, const mr_plan_t *plan, int64_t moment);
static void mr_walk_keys(mr_session_t *session);
static void mr_walk_share(
    const mr_plan_t *plan, mr_walk_t *walk, size_t most, size_t blocks);
static size_t mr_walk_tie(const mr_entries_t *entries, size_t end);
static void mr_walk_cut(
    const mr_plan_t *plan, mr_walk_t *walk, size_t first, size_t end);
static void mr_walk_add(mr_walk_all_t *all, size_t course);
static int mr_walk_clients(mr_walk_all_t *all);
static void mr_walk_release(mr_session_t *session, mr_stretch_t *stretch);
static void mr_walk_clear(mr_session_t *session, mr_walk_t *walk);
static void mr_walk_begin(void *ctx, size_t number);


int
mr_walk_next(mr_session_t *session, size_t course, const bson_t **ret_doc,
    mr_error_t *err)
{
    int rc;
    mr_walk_t *walk;

    if (!session->begun && mr_walk_known(session, err) == -1) {
        return -1;
    }

    walk = &session->walks[course];

    if (mr_walk_is_empty(session, course)) {
        return 0;
    }

    if (!walk->begun) {
        mr_walk_open(session, course);
    }

    do {
        while (walk->at < walk->n) {
            rc = mr_stretch_next(
                session, &walk->stretches[walk->at], ret_doc, err);

            if (rc != 0) {
                return rc;
            }

            walk->at++;
        }
    } while (mr_walk_more(session, course));

    return 0;
}


/* Before the first walk. */
static int
mr_walk_known(mr_session_t *session, mr_error_t *err)
{
    if (session->plan->user_id.data != NULL
        && mr_session_known(session, &session->known, err) == -1)
    {
        return -1;
    }

    session->begun = 1;

    return 0;
}


static int
mr_walk_is_empty(const mr_session_t *session, size_t course)
{
    return !session->known.earlier
           && mr_plan_course(session->plan, course)->earlier;
}


int
mr_walk_unread(const mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        if (walk->stretches[i].cursor != NULL
            && mongoc_cursor_get_id(walk->stretches[i].cursor) != 0)
        {
            return 1;
        }
    }

    return 0;
}


void
mr_walk_end(mr_session_t *session, mr_walk_t *walk)
{
    mr_walk_clear(session, walk);
    mr_entries_free(&walk->entries);
}


/*
 * A page needs the first blocks of all walks before it can give anything, and
 * one that begins at a moment needs all blocks that it lies within: these are
 * asked for in stretches.  All of them on as many connections, at the
 * same time, if there are so many; if not, one after the other.
 */
static void
mr_walk_open(mr_session_t *session, size_t course)
{
    mr_walk_t *walk;

    if (mr_walk_together(session) == 0) {
        return;
    }

    walk = &session->walks[course];
    walk->begun = 1;
    mr_walk_whole(walk, session->plan);
    walk->stretches[0].blocks = session->blocks;
    mr_stretch_begin(session, course, &walk->stretches[0]);
}


/*
 * The next stretches of a walk whose last ones have ended: of the blocks that
 * the page still needs, as far as their keys are known; behind these, of all.
 */
static int
mr_walk_more(mr_session_t *session, size_t course)
{
    size_t most, next;
    mr_walk_t *walk;
    mr_walk_all_t all;

    walk = &session->walks[course];
    next = walk->entries.next;

    if (walk->entries.list == NULL
        || (next == walk->entries.n && walk->entries.all))
    {
        return 0;
    }

    mr_walk_clear(session, walk);
    most = MR_WALK_STRETCHES;

    /* A single one needs no connection but the session's own. */
    for (;;) {
        mr_walk_share(session->plan, walk, most, mr_stretch_expected(session));

        memset(&all, 0, sizeof(all));
        all.session = session;
        mr_walk_add(&all, course);

        if (mr_walk_clients(&all) == 0) {
            break;
        }

        walk->entries.next = next;
        most = 1;
    }

    mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);

    return 1;
}


/* 0, or -1 and nothing has begun. */
static int
mr_walk_together(mr_session_t *session)
{
    size_t course;
    mr_walk_all_t all;

    if (session->apart) {
        return -1;
    }

    if (session->plan->user_id.data != NULL
        && session->plan->event_id.data == NULL
        && mr_stretch_slow(session->store))
    {
        mr_walk_keys(session);
    }

    memset(&all, 0, sizeof(all));
    all.session = session;

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        if (!mr_walk_is_empty(session, course)) {
            mr_walk_plan(session, course);
            mr_walk_add(&all, course);
        }
    }

    if (mr_walk_clients(&all) == 0) {
        mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);
        return 0;
    }

    for (course = 0; course < MR_COURSES; course++) {
        memset(&session->walks[course].stretches, 0,
            sizeof(session->walks[course].stretches));
        session->walks[course].n = 0;
        session->walks[course].begun = 0;
        mr_entries_free(&session->walks[course].entries);
    }

    session->apart = 1;

    return -1;
}


/*
 * Read which blocks there are, of each walk of a user that can be divided.
 * Where that fails the walk is left undivided, and meets itself what it was.
 */
static void
mr_walk_keys(mr_session_t *session)
{
    size_t i, course;
    mr_error_t err = MR_ERROR_INIT;
    mr_walk_all_t all;
    mr_stretch_t stretches[MR_COURSES];
    const mr_course_t *about;

    if (mr_entries_scan(session, &err) != 0) {
        return;
    }

    memset(stretches, 0, sizeof(stretches));
    memset(&all, 0, sizeof(all));
    all.session = session;
    all.keys = 1;

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        about = mr_plan_course(session->plan, course);

        if (!about->earlier && !about->by_tmin) {
            all.courses[all.n] = course;
            all.stretches[all.n] = &stretches[all.n];
            all.n++;
        }
    }

    if (mr_walk_clients(&all) == -1) {
        return;
    }

    mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);

    for (i = 0; i < all.n; i++) {
        mr_walk_release(session, all.stretches[i]);
    }
}


/* A walk's first stretches, of which none has begun. */
static void
mr_walk_plan(mr_session_t *session, size_t course)
{
    int64_t moment;
    mr_walk_t *walk;

    walk = &session->walks[course];
    walk->begun = 1;

    if (walk->entries.list != NULL) {
        mr_walk_share(session->plan, walk, MR_WALK_STRETCHES,
            mr_walk_user(session->plan));

    } else if (mr_walk_moment(session, &moment)) {
        mr_walk_divide(walk, session->plan, moment);

    } else {
        mr_walk_whole(walk, session->plan);
    }
}


/* One stretch. */
static void
mr_walk_whole(mr_walk_t *walk, const mr_plan_t *plan)
{
    walk->n = 1;
    walk->stretches[0].to = INT64_MAX;
    walk->stretches[0].asked =
        plan->user_id.data != NULL ? mr_walk_user(plan) : MR_BATCH_FIRST;
}


/* A page of few rows needs few blocks, where each has some of them. */
static uint32_t
mr_walk_user(const mr_plan_t *plan)
{
    size_t blocks;

    blocks = plan->limit + MR_BATCH_SPARE;

    if (plan->n_types > 0 || plan->event_id.data != NULL
        || blocks > MR_BATCH_USER) {
        return MR_BATCH_USER;
    }

    return (uint32_t) blocks;
}


/* Does the page begin at a moment, and do many blocks lie around it? */
static int
mr_walk_moment(const mr_session_t *session, int64_t *ret_moment)
{
    int64_t from, to;

    if (session->plan->user_id.data != NULL) {
        return 0;
    }

    mr_plan_times(session->plan, &from, &to);

    if (session->plan->order == MR_ORDER_ASC) {
        *ret_moment = from;
        return from > 0;
    }

    *ret_moment = to;

    return to <= MR_TIMESTAMP_MAX;
}


/*
 * In the order of the walk: quarters of the class' width on the side of the
 * moment that the blocks reach over, the first and the last without an end.
 */
static void
mr_walk_divide(mr_walk_t *walk, const mr_plan_t *plan, int64_t moment)
{
    int asc;
    size_t i, place;
    int64_t width, step, base;
    mr_stretch_t *stretch;

    asc = plan->order == MR_ORDER_ASC;
    width = mr_span_width(MR_WALK_SPAN);
    step = width / MR_WALK_STRETCHES;
    base = asc ? moment - width : moment;
    walk->n = MR_WALK_STRETCHES;

    for (i = 0; i < MR_WALK_STRETCHES; i++) {
        place = asc ? i : MR_WALK_STRETCHES - 1 - i;

        stretch = &walk->stretches[i];
        stretch->from = place == 0 ? 0 : base + (int64_t) place * step;
        stretch->to = place == MR_WALK_STRETCHES - 1
                          ? INT64_MAX
                          : base + (int64_t) (place + 1) * step;
        stretch->asked =
            i == MR_WALK_STRETCHES - 1 ? MR_BATCH_LAST : MR_BATCH_FIRST;
    }
}


/*
 * Up to `most` stretches with as many blocks each, of the next ones in a
 * user's walk.  A tmax is in one stretch only, which may have more for it.
 */
static void
mr_walk_share(
    const mr_plan_t *plan, mr_walk_t *walk, size_t most, size_t blocks)
{
    size_t i, n, first, last, end;
    mr_entries_t *entries;

    entries = &walk->entries;
    first = entries->next;
    last = entries->n - first < blocks ? entries->n : first + blocks;
    last = mr_walk_tie(entries, last);
    n = (last - first) / MR_WALK_SHARE;
    n = n < 1 ? 1 : n < most ? n : most;
    walk->n = 0;

    if (first == entries->n) {

        if (!entries->all) {
            mr_walk_cut(plan, walk, first, first);
            walk->stretches[0].asked = (uint32_t) blocks;
            entries->all = 1;
        }

        return;
    }

    for (i = 1; i <= n; i++) {
        end = mr_walk_tie(
            entries, entries->next + (last - entries->next) * i / n);

        if (end > first) {
            mr_walk_cut(plan, walk, first, end);
            first = end;
        }
    }

    entries->next = last;
}


/* `end`, or behind it, where the next entry has another tmax. */
static size_t
mr_walk_tie(const mr_entries_t *entries, size_t end)
{
    while (end > 0 && end < entries->n
           && entries->list[end].tmax == entries->list[end - 1].tmax)
    {
        end++;
    }

    return end;
}


/*
 * The stretch of the entries from `first` up to `end`, from those before them
 * on; none: of all that is behind the entries.
 */
static void
mr_walk_cut(const mr_plan_t *plan, mr_walk_t *walk, size_t first, size_t end)
{
    int open;
    size_t i;
    mr_stretch_t *stretch;
    const mr_entry_t *list;

    list = walk->entries.list;
    stretch = &walk->stretches[walk->n++];
    memset(stretch, 0, sizeof(mr_stretch_t));

    for (i = first; i < end; i++) {
        stretch->spans |= 1U << list[i].span;
    }

    /* One more: then MongoDB sees at once that there is none. */
    stretch->asked = (uint32_t) (end - first) + 1;

    open = first == end || (end == walk->entries.n && walk->entries.all);

    if (plan->order == MR_ORDER_ASC) {
        stretch->from = first == 0 ? 0 : list[first - 1].tmax + 1;
        stretch->to = open ? INT64_MAX : list[end - 1].tmax + 1;

    } else {
        stretch->from = open ? 0 : list[end - 1].tmax;
        stretch->to = first == 0 ? INT64_MAX : list[first - 1].tmax;
    }
}


/* A walk's stretches to what begins. */
static void
mr_walk_add(mr_walk_all_t *all, size_t course)
{
    size_t i;
    mr_walk_t *walk;

    walk = &all->session->walks[course];

    for (i = 0; i < walk->n; i++) {
        all->courses[all->n] = course;
        all->stretches[all->n++] = &walk->stretches[i];
    }
}


/* A connection for each; -1 if there are not enough now. */
static int
mr_walk_clients(mr_walk_all_t *all)
{
    size_t i;
    mr_mongo_t *mongo;
    mr_stretch_t *stretch;

    mongo = all->session->store->mongo;

    if (all->n == 0) {
        return 0;
    }

    /* The first one has the session's own. */
    all->stretches[0]->blocks = all->session->blocks;

    for (i = 1; i < all->n; i++) {
        stretch = all->stretches[i];
        stretch->client = mr_mongo_try_pop(mongo);

        if (stretch->client == NULL) {
            break;
        }

        stretch->blocks =
            mr_mongo_collection(mongo, stretch->client, MR_MONGO_BLOCKS);
    }

    if (i == all->n) {
        return 0;
    }

    while (--i > 0) {
        mr_walk_release(all->session, all->stretches[i]);
    }

    return -1;
}


static void
mr_walk_release(mr_session_t *session, mr_stretch_t *stretch)
{
    if (stretch->client != NULL) {
        mongoc_collection_destroy(stretch->blocks);
        mr_mongo_push(session->store->mongo, stretch->client);
        stretch->client = NULL;
    }
}


static void
mr_walk_clear(mr_session_t *session, mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        mongoc_cursor_destroy(walk->stretches[i].cursor);
        mr_walk_release(session, &walk->stretches[i]);
    }

    memset(walk->stretches, 0, sizeof(walk->stretches));
    walk->n = 0;
    walk->at = 0;
}


/* An mr_crew_task_t.  What fails is told when the walk has come to it. */
static void
mr_walk_begin(void *ctx, size_t number)
{
    size_t course;
    mr_error_t err = MR_ERROR_INIT;
    mr_session_t *session;
    mr_walk_all_t *all;

    all = ctx;
    session = all->session;
    course = all->courses[number];

    if (all->keys) {
        (void) mr_entries_read(session, course, all->stretches[number]->blocks,
            &session->walks[course].entries, &err);

    } else {
        mr_stretch_begin(session, course, all->stretches[number]);
    }
}
