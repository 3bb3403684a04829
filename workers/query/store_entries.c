#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * So many keys are asked for at most.  Where types are asked for, most of a
 * user's keys may be of others.
 */
#define MR_ENTRIES_MAX 512


static size_t mr_entries_asked(const mr_session_t *session);
static int mr_entries_all(const mr_session_t *session, mongoc_cursor_t *cursor,
    mr_entries_t *entries, mr_error_t *err);
static int mr_entries_key(const bson_t *key, mr_entry_t *entry, int64_t *types);


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
    int64_t types;
    const bson_t *key;

    for (n = 0; n < MR_ENTRIES_MAX && mongoc_cursor_next(cursor, &key); n++) {

        if (mr_entries_key(key, &entries->list[entries->n], &types) == -1) {
            return mr_session_damaged(err);
        }

        if ((types & session->known.bits) != 0) {
            entries->n++;
        }
    }

    return mr_session_cursor_end(cursor, "reading keys", err) == -1 ? -1 : n;
}


/* { "who.u": user, span, tmax, "who.t": set of types } */
static int
mr_entries_key(const bson_t *key, mr_entry_t *entry, int64_t *types)
{
    int64_t span;
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, key, "span")
        || mr_bson_int64(&iter, &span) == -1 || span < 0 || span >= MR_SPANS
        || !bson_iter_init_find(&iter, key, "tmax")
        || mr_bson_date(&iter, &entry->tmax) == -1
        || !bson_iter_init_find(&iter, key, "who.t")
        || mr_bson_int64(&iter, types) == -1)
    {
        return -1;
    }

    entry->span = (int) span;

    return 0;
}
