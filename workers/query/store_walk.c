#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "crew.h"
#include "store_session.h"


/*
 * Headers of a first batch; each further one has up to twice as many as all
 * before it, of a user's as many as the page is expected to need.  A user's
 * newest events mostly lie in a few blocks.  A page without a user needs all
 * blocks that a moment lies within: of a backlog from eight partitions some
 * 60, about ten in each stretch of a walk but the last, which has the rest and
 * a few more.  Earlier versions had 110.  Ten headers that are not needed cost
 * a round.
 */
#define MR_BATCH_FIRST 128
#define MR_BATCH_USER 32
#define MR_BATCH_LAST 48
#define MR_BATCH_LEAST 16
#define MR_BATCH_SPARE 4 /* for a page of less than MR_BATCH_USER rows */
#define MR_BATCH_MAX 512
#define MR_BATCH_BYTES (4 * 1024 * 1024) /* about; of a user's */

/* The class that most blocks of a backlog are of. */
#define MR_WALK_SPAN 5


/* What begins at the same time. */
typedef struct {
    mr_session_t *session;
    mr_stretch_t *stretches[MR_WALK_ALL];
    size_t courses[MR_WALK_ALL];
    size_t n;
} mr_walk_all_t;


_Static_assert(MR_COURSES <= MR_WALK_ALL && MR_WALK_STRETCHES <= MR_WALK_ALL,
    "room for all walks");


static int mr_walk_known(mr_session_t *session, mr_error_t *err);
static int mr_walk_is_empty(const mr_session_t *session, size_t course);
static int mr_walk_open(mr_session_t *session, size_t course, mr_error_t *err);
static void mr_walk_plan(mr_session_t *session, size_t course);
static void mr_walk_whole(mr_walk_t *walk, const mr_plan_t *plan);
static uint32_t mr_walk_user(const mr_plan_t *plan);
static int mr_walk_moment(const mr_session_t *session, int64_t *ret_moment);
static void mr_walk_divide(
    mr_session_t *session, mr_walk_t *walk, int64_t moment);
static int mr_walk_together(mr_session_t *session);
static int mr_walk_clients(mr_walk_all_t *all);
static void mr_walk_release(mr_session_t *session, mr_walk_t *walk);
static void mr_walk_begin(void *ctx, size_t number);
static int mr_stretch_next(const mr_session_t *session, mr_stretch_t *stretch,
    const bson_t **ret_doc, mr_error_t *err);
static size_t mr_stretch_expected(const mr_session_t *session);


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

    if (walk->n == 0 && mr_walk_open(session, course, err) == -1) {
        return -1;
    }

    while (walk->at < walk->n) {
        rc = mr_stretch_next(session, &walk->stretches[walk->at], ret_doc, err);

        if (rc != 0) {
            return rc;
        }

        walk->at++;
    }

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
    size_t i;

    for (i = 0; i < walk->n; i++) {
        mongoc_cursor_destroy(walk->stretches[i].cursor);
    }

    mr_walk_release(session, walk);
    walk->n = 0;
}


/*
 * A page needs the first blocks of all walks before it can give anything, and
 * one that begins at a moment needs all blocks that it lies within: these are
 * asked for in stretches.  All of them on as many connections, at the
 * same time, if there are so many; if not, one after the other.
 */
static int
mr_walk_open(mr_session_t *session, size_t course, mr_error_t *err)
{
    mr_walk_t *walk;

    if (mr_walk_together(session) == 0) {
        return 0;
    }

    walk = &session->walks[course];
    mr_walk_whole(walk, session->plan);
    walk->stretches[0].blocks = session->blocks;

    return mr_blocks_find(session, course, &walk->stretches[0], err);
}


/* 0, or -1 and nothing has begun. */
static int
mr_walk_together(mr_session_t *session)
{
    size_t i, course;
    mr_walk_t *walk;
    mr_walk_all_t all;

    if (session->apart) {
        return -1;
    }

    all.session = session;
    all.n = 0;

    for (course = 0; course < mr_plan_courses(session->plan); course++) {

        if (mr_walk_is_empty(session, course)) {
            continue;
        }

        walk = &session->walks[course];
        mr_walk_plan(session, course);

        for (i = 0; i < walk->n; i++) {
            all.courses[all.n] = course;
            all.stretches[all.n++] = &walk->stretches[i];
        }
    }

    if (all.n > 1 && mr_walk_clients(&all) == 0) {
        mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);
        return 0;
    }

    for (course = 0; course < MR_COURSES; course++) {
        session->walks[course].n = 0;
    }

    session->apart = 1;

    return -1;
}


/* A walk's stretches, of which none has begun. */
static void
mr_walk_plan(mr_session_t *session, size_t course)
{
    int64_t moment;
    mr_walk_t *walk;

    walk = &session->walks[course];

    if (mr_walk_moment(session, &moment)) {
        mr_walk_divide(session, walk, moment);

    } else {
        mr_walk_whole(walk, session->plan);
    }
}


/* One stretch. */
static void
mr_walk_whole(mr_walk_t *walk, const mr_plan_t *plan)
{
    memset(walk, 0, sizeof(mr_walk_t));

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
mr_walk_divide(mr_session_t *session, mr_walk_t *walk, int64_t moment)
{
    int asc;
    size_t i, place;
    int64_t width, step, base;
    mr_stretch_t *stretch;

    memset(walk, 0, sizeof(mr_walk_t));

    asc = session->plan->order == MR_ORDER_ASC;
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


/* A connection for each; -1 if there are not enough now. */
static int
mr_walk_clients(mr_walk_all_t *all)
{
    size_t i;
    mr_mongo_t *mongo;
    mr_stretch_t *stretch;

    mongo = all->session->store->mongo;

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
        mongoc_collection_destroy(all->stretches[i]->blocks);
        mr_mongo_push(mongo, all->stretches[i]->client);
    }

    return -1;
}


static void
mr_walk_release(mr_session_t *session, mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        if (walk->stretches[i].client != NULL) {
            mongoc_collection_destroy(walk->stretches[i].blocks);
            mr_mongo_push(session->store->mongo, walk->stretches[i].client);
        }
    }
}


/* An mr_crew_task_t.  What fails is told when the walk has come to it. */
static void
mr_walk_begin(void *ctx, size_t number)
{
    mr_walk_all_t *all;
    mr_stretch_t *stretch;

    all = ctx;
    stretch = all->stretches[number];
    stretch->begun = 1;
    stretch->err = (mr_error_t) MR_ERROR_INIT;

    if (mr_blocks_find(
            all->session, all->courses[number], stretch, &stretch->err)
        == -1)
    {
        return;
    }

    if (!mongoc_cursor_next(stretch->cursor, &stretch->first)) {
        stretch->first = NULL;
    }
}


static int
mr_stretch_next(const mr_session_t *session, mr_stretch_t *stretch,
    const bson_t **ret_doc, mr_error_t *err)
{
    size_t batch;

    if (stretch->cursor == NULL) {
        *err = stretch->err;
        return -1;
    }

    if (stretch->begun) {
        stretch->begun = 0;

        if (stretch->first == NULL) {
            return mr_session_cursor_end(
                stretch->cursor, "reading blocks", err);
        }

        stretch->left--;
        *ret_doc = stretch->first;
        return 1;
    }

    /* The size counts from the next getMore on. */
    if (stretch->left == 0) {
        batch = mr_stretch_expected(session);

        if (batch > 2 * (size_t) stretch->asked) {
            batch = 2 * (size_t) stretch->asked;
        }

        mongoc_cursor_set_batch_size(stretch->cursor, (uint32_t) batch);
        stretch->left = (uint32_t) batch;
        stretch->asked += (uint32_t) batch;
    }

    if (!mongoc_cursor_next(stretch->cursor, ret_doc)) {
        return mr_session_cursor_end(stretch->cursor, "reading blocks", err);
    }

    stretch->left--;

    return 1;
}


/*
 * Blocks that the page still needs, as many at most as may come at once: the
 * rest of a user's will be as large as those before and have as many rows
 * each.  Some are to spare, and the more the longer the walk already is: a page
 * that has its rows may have to look at many blocks still, to be sure of their
 * order.
 */
static size_t
mr_stretch_expected(const mr_session_t *session)
{
    size_t found, blocks, most;

    if (session->plan->user_id.data == NULL || session->headers == 0) {
        return MR_BATCH_MAX;
    }

    most = MR_BATCH_BYTES / (session->bytes / session->headers + 1) + 1;

    if (most > MR_BATCH_MAX) {
        most = MR_BATCH_MAX;
    }

    found = session->plan->limit + 1 - session->lacking;

    if (found == 0) {
        return most;
    }

    blocks = session->headers * session->lacking / found;
    blocks += session->headers / 4 + MR_BATCH_LEAST;

    return blocks < most ? blocks : most;
}
