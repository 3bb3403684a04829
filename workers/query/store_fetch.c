#include <pthread.h>

#include "crew.h"
#include "store_session.h"


/*
 * Connections on which one fetch reads at the same time, each so many blocks
 * at least: fewer are not worth a command of their own.
 */
#define MR_FETCH_PARTS 4
#define MR_FETCH_BLOCKS 16

/*
 * The share of a block's rows, one in so many, from which on it costs less to
 * send all of the block's events than to have MongoDB pick those wanted.
 */
#define MR_FETCH_WHOLE 21


/* What one connection reads. */
typedef struct {
    const mr_ref_t *refs;
    size_t n;
    int rc;
    mr_error_t err;
} mr_fetch_part_t;


typedef struct {
    mr_rows_t rows;
    mr_fetch_part_t parts[MR_FETCH_PARTS];
    size_t n_parts;
} mr_fetch_t;


static size_t mr_fetch_blocks(const mr_ref_t *refs, size_t n);
static void mr_fetch_divide(
    mr_fetch_t *fetch, const mr_ref_t *refs, size_t n, size_t blocks);
static void mr_fetch_part(void *ctx, size_t number);


int
mr_session_fetch(void *ctx, const mr_ref_t *refs, size_t n,
    mr_row_observer_t *observer, void *observer_ctx, mr_error_t *err)
{
    size_t i, blocks;
    mr_fetch_t fetch;
    mr_session_t *session;
    pthread_mutex_t mutex;

    session = ctx;
    blocks = mr_fetch_blocks(refs, n);

    pthread_mutex_init(&mutex, NULL);

    fetch.rows.session = session;
    fetch.rows.mutex = &mutex;
    fetch.rows.observer = observer;
    fetch.rows.ctx = observer_ctx;

    /* A block is taken to have as many rows as those that were looked at. */
    fetch.rows.whole =
        n * MR_FETCH_WHOLE * session->headers >= blocks * session->rows;

    mr_fetch_divide(&fetch, refs, n, blocks);
    mr_crew_run(session->store->crew, mr_fetch_part, &fetch, fetch.n_parts);

    pthread_mutex_destroy(&mutex);

    for (i = 0; i < fetch.n_parts; i++) {
        if (fetch.parts[i].rc == -1) {
            *err = fetch.parts[i].err;
            session->away |= err->code == MR_ERROR_MONGODB;
            return -1;
        }
    }

    return 0;
}


static size_t
mr_fetch_blocks(const mr_ref_t *refs, size_t n)
{
    size_t i, blocks;

    blocks = 0;

    for (i = 0; i < n; i += mr_rows_same(refs, n, i)) {
        blocks++;
    }

    return blocks;
}


/* Into parts of about as many blocks each. */
static void
mr_fetch_divide(
    mr_fetch_t *fetch, const mr_ref_t *refs, size_t n, size_t blocks)
{
    size_t i, k, first, share;
    mr_fetch_part_t *part;

    share = (blocks + MR_FETCH_PARTS - 1) / MR_FETCH_PARTS;

    if (share < MR_FETCH_BLOCKS) {
        share = MR_FETCH_BLOCKS;
    }

    fetch->n_parts = 0;

    for (i = 0; i < n; /* void */) {
        first = i;

        for (k = 0; k < share && i < n; k++) {
            i += mr_rows_same(refs, n, i);
        }

        part = &fetch->parts[fetch->n_parts++];
        part->refs = refs + first;
        part->n = i - first;
        part->err = (mr_error_t) MR_ERROR_INIT;
    }
}


/* An mr_crew_task_t. */
static void
mr_fetch_part(void *ctx, size_t number)
{
    mr_rows_t rows;
    mr_mongo_t *mongo;
    mr_fetch_t *fetch;
    mongoc_client_t *client;
    mr_fetch_part_t *part;

    fetch = ctx;
    part = &fetch->parts[number];
    rows = fetch->rows;

    /* A client is one thread's: only one part can have the session's own. */
    if (number == 0) {
        rows.blocks = rows.session->blocks;
        part->rc = mr_rows_read(&rows, part->refs, part->n, &part->err);
        return;
    }

    mongo = rows.session->store->mongo;
    client = mr_mongo_pop(mongo);
    rows.blocks = mr_mongo_collection(mongo, client, MR_MONGO_BLOCKS);

    part->rc = mr_rows_read(&rows, part->refs, part->n, &part->err);

    mongoc_collection_destroy(rows.blocks);
    mr_mongo_push(mongo, client);
}
