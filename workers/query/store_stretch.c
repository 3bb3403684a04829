#include <string.h>

#include "store_session.h"


/*
 * Blocks of a batch after the first: as many as before it, or of a user's as
 * the page is expected to need.
 */
#define MR_BATCH_LEAST 16
#define MR_BATCH_MAX 512
#define MR_BATCH_BYTES (4 * 1024 * 1024) /* about; of a user's */

/*
 * Whether blocks take long is told by the first batches that have so many, less
 * what a command takes without any, us.
 */
#define MR_SLOW_BLOCKS 6
#define MR_SLOW_COMMAND 500

/*
 * Slow ones less twice the others: three will do, six are the most.  Reading
 * makes nearly all of them slow; waiting for a core, where others have it now
 * and then, does not.  One that is slow and took so long, us, counts as three:
 * a user's page is not to take much longer.
 */
#define MR_SLOW_FROM 3
#define MR_SLOW_MOST 6
#define MR_SLOW_OTHERS 2
#define MR_SLOW_LONG 15000

/*
 * A server that was just found may have been started just now: it is thought to
 * be slow until a first batch tells, or so many walks did not: they had few
 * blocks, or a rest that began at the same time.
 */
#define MR_SLOW_UNSURE 32

#define MR_SLOW_NEVER 1000000 /* us */


static void mr_stretch_first(mr_stretch_t *stretch);
static void mr_stretch_batch(mr_stretch_t *stretch, size_t n);
static void mr_stretch_told(mr_session_t *session, mr_stretch_t *stretch);


void
mr_stretch_begin(mr_session_t *session, size_t course, mr_stretch_t *stretch)
{
    int64_t start;

    start = bson_get_monotonic_time();
    stretch->begun = 1;
    stretch->err = (mr_error_t) MR_ERROR_INIT;

    if (mr_blocks_find(session, course, stretch, &stretch->err) == -1) {
        return;
    }

    mr_stretch_first(stretch);
    stretch->took = bson_get_monotonic_time() - start;
}


void
mr_stretch_resume(mr_stretch_t *stretch)
{
    mr_stretch_batch(stretch, stretch->resume);
    stretch->resume = 0;
    stretch->begun = 1;
    mr_stretch_first(stretch);
}


/* What is asked for comes with the first of it. */
static void
mr_stretch_first(mr_stretch_t *stretch)
{
    if (!mongoc_cursor_next(stretch->cursor, &stretch->first)) {
        stretch->first = NULL;
    }
}


/* The size counts from the next getMore on. */
static void
mr_stretch_batch(mr_stretch_t *stretch, size_t n)
{
    mongoc_cursor_set_batch_size(stretch->cursor, (uint32_t) n);
    stretch->left = (uint32_t) n;
    stretch->asked += (uint32_t) n;
}


int
mr_stretch_unread(const mr_stretch_t *stretch)
{
    return stretch->cursor != NULL
           && mongoc_cursor_get_id(stretch->cursor) != 0;
}


int
mr_stretch_unanswered(const mr_stretch_t *stretch)
{
    bson_error_t error;

    return stretch->cursor != NULL
           && mongoc_cursor_error(stretch->cursor, &error)
           && (error.domain == MONGOC_ERROR_STREAM
               || error.domain == MONGOC_ERROR_SERVER_SELECTION);
}


int
mr_stretch_used_up(mr_session_t *session, mr_stretch_t *stretch)
{
    if (stretch->cursor == NULL || stretch->begun || stretch->left > 0) {
        return 0;
    }

    mr_stretch_told(session, stretch);

    return 1;
}


int
mr_stretch_next(mr_session_t *session, mr_stretch_t *stretch,
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

    if (stretch->left == 0) {
        mr_stretch_told(session, stretch);
        batch = mr_stretch_expected(session, MR_BATCH_LEAST);

        if (batch > 2 * (size_t) stretch->asked) {
            batch = 2 * (size_t) stretch->asked;
        }

        mr_stretch_batch(stretch, batch);
    }

    if (!mongoc_cursor_next(stretch->cursor, ret_doc)) {
        mr_stretch_told(session, stretch);
        return mr_session_cursor_end(stretch->cursor, "reading blocks", err);
    }

    stretch->left--;

    return 1;
}


/*
 * The rest of a user's will be as large as those before and have as many rows
 * each.  Some are to spare, and the more the longer the walk already is: a page
 * that has its rows may have to look at many blocks still, to be sure of their
 * order.
 */
size_t
mr_stretch_expected(const mr_session_t *session, size_t spare)
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
    blocks += session->headers / 4 + spare;

    return blocks < most ? blocks : most;
}


int
mr_stretch_slow(mr_store_t *store)
{
    int slow;

    if (store->slow_block >= MR_SLOW_NEVER) {
        return 0;
    }

    pthread_mutex_lock(&store->mutex);
    slow = store->slow_block == 0 || store->slow >= MR_SLOW_FROM;
    pthread_mutex_unlock(&store->mutex);

    if (!slow && atomic_load(&store->unsure) > 0) {
        atomic_fetch_sub(&store->unsure, 1);
        slow = 1;
    }

    return slow;
}


void
mr_stretch_unsure(void *ctx)
{
    mr_store_t *store = ctx;

    atomic_store(&store->unsure, MR_SLOW_UNSURE);
}


/* The first batch was all read, or the stretch has ended with it. */
static void
mr_stretch_told(mr_session_t *session, mr_stretch_t *stretch)
{
    int slow, unsure;
    int64_t took, blocks;
    mr_store_t *store;

    took = stretch->took;
    blocks = (int64_t) stretch->asked - stretch->left;
    stretch->took = 0;

    if (took == 0 || blocks < MR_SLOW_BLOCKS
        || session->plan->user_id.data == NULL
        || session->plan->event_id.data != NULL)
    {
        return;
    }

    store = session->store;
    slow = took - MR_SLOW_COMMAND > store->slow_block * blocks;
    unsure = atomic_exchange(&store->unsure, 0) > 0;

    pthread_mutex_lock(&store->mutex);

    store->slow += !slow                           ? -MR_SLOW_OTHERS
                   : unsure || took > MR_SLOW_LONG ? MR_SLOW_FROM
                                                   : 1;
    store->slow = store->slow < 0              ? 0
                  : store->slow > MR_SLOW_MOST ? MR_SLOW_MOST
                                               : store->slow;

    pthread_mutex_unlock(&store->mutex);
}
