#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "../common/metrics.h"
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

/*
 * Of a user's whose blocks take long to come: few are asked for before the keys
 * are there.  Where these told too few, then up to so many times as many as
 * before, a few to spare.
 */
#define MR_BATCH_SLOW 8
#define MR_WALK_GROWTH 8
#define MR_WALK_SPARE 4

/* The class that most blocks of a backlog are of. */
#define MR_WALK_SPAN 5


/* What begins at the same time. */
typedef struct {
    mr_session_t *session;
    mr_stretch_t *stretches[MR_WALK_ALL];
    size_t courses[MR_WALK_ALL];
    size_t n;

    /* Of a user's that are divided: */
    mr_stretch_t *keys; /* that one is for reading them; may be NULL */
    mr_stretch_t ahead[MR_WALK_STRETCHES]; /* of one walk, begun then */
    size_t n_ahead;
    size_t ahead_course;
    size_t ahead_from; /* the entry */
    atomic_uint came;  /* 1 << course: its first batch is there */
} mr_walk_all_t;


static int mr_walk_known(mr_session_t *session, mr_error_t *err);
static int mr_walk_is_empty(const mr_session_t *session, size_t course);
static void mr_walk_open(mr_session_t *session, size_t course);
static int mr_walk_together(mr_session_t *session);
static int mr_walk_is_slow(const mr_session_t *session);
static int mr_walk_may_wait(const mr_session_t *session, size_t course);
static void mr_walk_plan(mr_session_t *session, size_t course, int slow);
static void mr_walk_whole(mr_walk_t *walk, uint32_t asked);
static uint32_t mr_walk_asked(const mr_plan_t *plan);
static int mr_walk_moment(const mr_session_t *session, int64_t *ret_moment);
static void mr_walk_ahead(mr_walk_all_t *all);
static void mr_walk_ahead_cut(mr_walk_all_t *all);
static size_t mr_walk_longest(const mr_session_t *session);
static void mr_walk_join(mr_walk_all_t *all);
static void mr_walk_untimed(mr_walk_t *walk);
static void mr_walk_divide(
    mr_walk_t *walk, const mr_plan_t *plan, int64_t moment);
static int mr_walk_gave(
    const mr_session_t *session, mr_walk_t *walk, const bson_t *doc);
static void mr_walk_go_on(mr_session_t *session, size_t course);
static void mr_walk_same(mr_stretch_t *stretch, const mr_stretch_t *old);
static size_t mr_walk_rest(const mr_session_t *session, const mr_walk_t *walk);
static void mr_walk_move(
    mr_session_t *session, mr_walk_t *walk, const mr_stretch_t *list, size_t n);
static void mr_walk_add(
    mr_walk_all_t *all, size_t course, mr_stretch_t *stretches, size_t n);
static int mr_walk_clients(mr_walk_all_t *all);
static void mr_walk_release(mr_session_t *session, mr_stretch_t *stretch);
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

    while (walk->at < walk->n) {

        if (walk->entries.list != NULL && walk->at == walk->n - 1
            && mr_stretch_used_up(session, &walk->stretches[walk->at]))
        {
            mr_walk_go_on(session, course);
        }

        rc = mr_stretch_next(session, &walk->stretches[walk->at], ret_doc, err);

        if (rc == -1 || (rc == 1 && mr_walk_gave(session, walk, *ret_doc))) {
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
    return session->walks[course].none
           || (!session->known.earlier
               && mr_plan_course(session->plan, course)->earlier);
}


int
mr_walk_unread(const mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        if (mr_stretch_unread(&walk->stretches[i])) {
            return 1;
        }
    }

    return mr_stretch_unread(&walk->past);
}


void
mr_walk_end(mr_session_t *session, mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        mr_walk_release(session, &walk->stretches[i]);
    }

    mr_walk_release(session, &walk->past);
    mr_entries_free(&walk->entries);
    walk->n = 0;
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

    walk = &session->walks[course];

    if (mr_walk_together(session) == 0 && (walk->begun || walk->none)) {
        return;
    }

    walk->begun = 1;
    mr_walk_whole(walk, mr_walk_asked(session->plan));
    walk->stretches[0].blocks = session->blocks;
    mr_stretch_begin(session, course, &walk->stretches[0]);
}


/* 0, or -1 and nothing has begun. */
static int
mr_walk_together(mr_session_t *session)
{
    int slow;
    size_t course;
    mr_walk_t *walk;
    mr_stretch_t keys;
    mr_walk_all_t all;

    if (session->apart) {
        return -1;
    }

    session->apart = 1;
    memset(&all, 0, sizeof(all));
    all.session = session;
    slow = mr_walk_is_slow(session);

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        if (!mr_walk_is_empty(session, course)
            && !(slow && mr_walk_may_wait(session, course)))
        {
            walk = &session->walks[course];
            mr_walk_plan(session, course, slow);
            mr_walk_add(&all, course, walk->stretches, walk->n);
        }
    }

    if (slow) {
        memset(&keys, 0, sizeof(keys));
        mr_walk_add(&all, 0, &keys, 1);
        all.keys = &keys;
    }

    if (mr_walk_clients(&all) == 0) {
        mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);

        if (slow) {
            mr_walk_join(&all);
            mr_walk_release(session, &keys);
            mr_metric_add(
                mr_metric(MR_METRIC_COUNTER, "millrace_query_divided_total", "",
                    "Pages of a user that were read on several "
                    "connections."),
                1);
        }

        return 0;
    }

    for (course = 0; course < MR_COURSES; course++) {
        memset(&session->walks[course], 0, sizeof(mr_walk_t));
    }

    return -1;
}


/* Is it worth to divide the walks of the user? */
static int
mr_walk_is_slow(const mr_session_t *session)
{
    return session->plan->user_id.data != NULL
           && session->plan->event_id.data == NULL
           && session->plan->limit > MR_BATCH_SLOW
           && mr_stretch_slow(session->store);
}


/*
 * Oldest first most users have no blocks but of the classes of minutes: of the
 * others the keys will tell.
 */
static int
mr_walk_may_wait(const mr_session_t *session, size_t course)
{
    const mr_course_t *about;

    about = mr_plan_course(session->plan, course);

    return session->plan->order == MR_ORDER_ASC && !about->earlier
           && about->spans[0] != MR_WALK_SPAN;
}


/* A walk's first stretches, of which none has begun. */
static void
mr_walk_plan(mr_session_t *session, size_t course, int slow)
{
    int64_t moment;
    mr_walk_t *walk;

    walk = &session->walks[course];
    walk->begun = 1;

    if (mr_walk_moment(session, &moment)) {
        mr_walk_divide(walk, session->plan, moment);

    } else {
        mr_walk_whole(
            walk, slow ? MR_BATCH_SLOW : mr_walk_asked(session->plan));
    }
}


/*
 * The keys are there.  Walks that have waited for them begin, and what else the
 * page is expected to need, on their connection and others.
 */
static void
mr_walk_ahead(mr_walk_all_t *all)
{
    size_t course, waited;
    mr_walk_t *walk;
    mr_session_t *session;
    mr_walk_all_t ahead;

    session = all->session;
    memset(&ahead, 0, sizeof(ahead));
    ahead.session = session;

    for (course = 0; course < mr_plan_courses(session->plan); course++) {
        walk = &session->walks[course];

        if (!walk->begun && !mr_walk_is_empty(session, course)) {
            mr_walk_plan(session, course, 1);
            mr_walk_add(&ahead, course, walk->stretches, 1);
        }
    }

    waited = ahead.n;
    mr_walk_ahead_cut(all);
    mr_walk_add(&ahead, all->ahead_course, all->ahead, all->n_ahead);

    if (ahead.n == 0) {
        return;
    }

    ahead.stretches[0]->client = all->keys->client;
    ahead.stretches[0]->blocks = all->keys->blocks;

    if (mr_walk_clients(&ahead) == 0) {
        memset(all->keys, 0, sizeof(mr_stretch_t));
        mr_crew_run(session->store->crew, mr_walk_begin, &ahead, ahead.n);

        while (waited-- > 0) {
            mr_walk_untimed(&session->walks[ahead.courses[waited]]);
        }

        return;
    }

    /* Not enough of them: each walk begins when it is come to. */
    all->n_ahead = 0;

    while (waited-- > 0) {
        walk = &session->walks[ahead.courses[waited]];
        memset(walk->stretches, 0, sizeof(walk->stretches));
        walk->begun = 0;
        walk->n = 0;
    }
}


/*
 * The first blocks, which take long, are not there yet: what the page is
 * expected to need of the others begins now.  Its first block is the last one
 * that was asked for already, so that it is clear where the first stretch ends,
 * whatever has been stored meanwhile.
 */
static void
mr_walk_ahead_cut(mr_walk_all_t *all)
{
    size_t i, from, course;
    const mr_session_t *session;
    const mr_entries_t *entries;

    session = all->session;
    course = mr_walk_longest(session);
    entries = &session->walks[course].entries;
    from = MR_BATCH_SLOW - 1;

    if (entries->need <= MR_BATCH_SLOW
        || ((atomic_load(&all->came) & 1U << course) != 0
            && session->store->slow_block > 0))
    {
        return;
    }

    while (from > 0 && entries->list[from].tmax == entries->list[from - 1].tmax)
    {
        from--;
    }

    if (from == 0) {
        return;
    }

    all->ahead_course = course;
    all->ahead_from = from;
    all->n_ahead = mr_entries_cut(
        entries, session->plan, from, entries->need - from, all->ahead);

    /* How large they are is not known yet. */
    for (i = 0; i < all->n_ahead; i++) {
        if (all->ahead[i].asked > MR_BATCH_USER) {
            all->ahead[i].asked = MR_BATCH_USER;
        }
    }
}


/* The walk of which the page is expected to need most blocks. */
static size_t
mr_walk_longest(const mr_session_t *session)
{
    size_t course, longest;

    for (course = 1, longest = 0; course < MR_COURSES; course++) {
        if (session->walks[course].entries.need
            > session->walks[longest].entries.need) {
            longest = course;
        }
    }

    return longest;
}


/* What began ahead follows the first stretch, which ends where it begins. */
static void
mr_walk_join(mr_walk_all_t *all)
{
    mr_walk_t *walk;

    if (all->n_ahead == 0) {
        return;
    }

    walk = &all->session->walks[all->ahead_course];

    mr_entries_end(&walk->entries, all->session->plan, all->ahead_from,
        &walk->stretches[0]);
    walk->stretches[0].ends = 1;

    memcpy(
        &walk->stretches[1], all->ahead, all->n_ahead * sizeof(mr_stretch_t));
    walk->n = 1 + all->n_ahead;

    mr_walk_untimed(walk);
}


/*
 * Its stretches began at the same time: what they took of each other's time
 * says nothing of MongoDB's.
 */
static void
mr_walk_untimed(mr_walk_t *walk)
{
    size_t i;

    for (i = 0; i < walk->n; i++) {
        walk->stretches[i].took = 0;
    }
}


/* One stretch. */
static void
mr_walk_whole(mr_walk_t *walk, uint32_t asked)
{
    memset(walk->stretches, 0, sizeof(walk->stretches));

    walk->n = 1;
    walk->stretches[0].to = INT64_MAX;
    walk->stretches[0].asked = asked;
}


/* A user's page of few rows needs few blocks, where each has some of them. */
static uint32_t
mr_walk_asked(const mr_plan_t *plan)
{
    size_t blocks;

    if (plan->user_id.data == NULL) {
        return MR_BATCH_FIRST;
    }

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

    memset(walk->stretches, 0, sizeof(walk->stretches));

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
 * A block of a walk is to be given, unless it lies behind the range of its
 * stretch, and then this is at its end.
 */
static int
mr_walk_gave(const mr_session_t *session, mr_walk_t *walk, const bson_t *doc)
{
    int64_t tmax;
    bson_iter_t iter;
    const mr_stretch_t *stretch;

    stretch = &walk->stretches[walk->at];

    /* One without is damaged, as whoever reads it will say. */
    if (walk->entries.list == NULL || !bson_iter_init_find(&iter, doc, "tmax")
        || mr_bson_date(&iter, &tmax) == -1)
    {
        return 1;
    }

    if (stretch->ends
        && (session->plan->order == MR_ORDER_ASC ? tmax >= stretch->to
                                                 : tmax < stretch->from))
    {
        return 0;
    }

    walk->last = tmax;

    return 1;
}


/*
 * The last stretch of a walk has had its batch.  It goes on up to some block,
 * and what the page is expected to need behind that is read at the same time,
 * as far as the keys tell where that is; if they do not, it goes on alone.
 */
static void
mr_walk_go_on(mr_session_t *session, size_t course)
{
    size_t n;
    mr_walk_t *walk;
    mr_stretch_t list[MR_WALK_STRETCHES];
    mr_walk_all_t all;

    walk = &session->walks[course];
    mr_entries_skip(&walk->entries, session->plan, walk->last);
    n = mr_entries_cut(&walk->entries, session->plan, walk->entries.next,
        mr_walk_rest(session, walk), list);

    if (n < 2) {
        return;
    }

    mr_walk_same(&list[0], &walk->stretches[walk->at]);
    memset(&all, 0, sizeof(all));
    all.session = session;
    mr_walk_add(&all, course, list, n);

    if (mr_walk_clients(&all) == -1) {
        return;
    }

    mr_walk_move(session, walk, list, n);

    all.n = 0;
    mr_walk_add(&all, course, walk->stretches, n);
    mr_crew_run(session->store->crew, mr_walk_begin, &all, all.n);

    mr_walk_untimed(walk);
}


/* A new stretch goes on with the cursor of one that is there already. */
static void
mr_walk_same(mr_stretch_t *stretch, const mr_stretch_t *old)
{
    mr_stretch_t next;

    next = *old;
    next.from = stretch->from;
    next.to = stretch->to;
    next.resume = stretch->asked;
    next.ends = 1;
    *stretch = next;
}


/* Of the next entries, how many the page is expected to need. */
static size_t
mr_walk_rest(const mr_session_t *session, const mr_walk_t *walk)
{
    size_t blocks;
    const mr_entries_t *entries;

    entries = &walk->entries;
    blocks = mr_stretch_expected(session, MR_WALK_SPARE);

    if (blocks > MR_WALK_GROWTH * session->headers) {
        blocks = MR_WALK_GROWTH * session->headers;
    }

    return blocks < entries->n - entries->next ? blocks
                                               : entries->n - entries->next;
}


/* New stretches, of which the first is the last one of before. */
static void
mr_walk_move(
    mr_session_t *session, mr_walk_t *walk, const mr_stretch_t *list, size_t n)
{
    size_t i;

    for (i = 0; i < walk->at; i++) {

        /* To tell MongoDB at once would be a round: one can wait. */
        if (mr_stretch_unread(&walk->stretches[i])) {
            mr_walk_release(session, &walk->past);
            walk->past = walk->stretches[i];

        } else {
            mr_walk_release(session, &walk->stretches[i]);
        }
    }

    memcpy(walk->stretches, list, n * sizeof(mr_stretch_t));
    walk->n = n;
    walk->at = 0;
}


/* A walk's stretches to what begins. */
static void
mr_walk_add(
    mr_walk_all_t *all, size_t course, mr_stretch_t *stretches, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        all->courses[all->n] = course;
        all->stretches[all->n++] = &stretches[i];
    }
}


/*
 * A connection for each that has none yet; -1 if there are not enough now.  The
 * first one has the session's own.
 */
static int
mr_walk_clients(mr_walk_all_t *all)
{
    size_t i;
    mr_mongo_t *mongo;
    mr_stretch_t *stretch;

    mongo = all->session->store->mongo;

    if (all->stretches[0]->blocks == NULL) {
        all->stretches[0]->blocks = all->session->blocks;
    }

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
    mongoc_cursor_destroy(stretch->cursor);

    if (stretch->client != NULL) {
        mongoc_collection_destroy(stretch->blocks);
        mr_mongo_push(session->store->mongo, stretch->client);
    }

    memset(stretch, 0, sizeof(mr_stretch_t));
}


/* An mr_crew_task_t.  What fails is told when the walk has come to it. */
static void
mr_walk_begin(void *ctx, size_t number)
{
    mr_walk_all_t *all;
    mr_stretch_t *stretch;

    all = ctx;
    stretch = all->stretches[number];

    if (stretch == all->keys) {
        mr_entries_read(all->session, stretch->blocks);
        mr_walk_ahead(all);

    } else if (stretch->resume > 0) {
        mr_stretch_resume(stretch);

    } else {
        mr_stretch_begin(all->session, all->courses[number], stretch);
    }

    if (stretch != all->keys) {
        atomic_fetch_or(&all->came, 1U << all->courses[number]);
    }
}
