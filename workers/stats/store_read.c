#include <stdlib.h>
#include <string.h>

#include <millrace/hll.h>

#include "store_private.h"


/* Ids of one query: well within a 16 MiB document. */
#define IDS_MAX 8192

/*
 * Documents of one answer of a walk.  16 MiB of small ones, which the server
 * gives otherwise, may be so many that it reads from its disk for longer than
 * a command may take; and they are in memory twice.
 */
#define WALK_BATCH 256

/* The server's code: it has taken maxTimeMS for a command. */
#define MAX_TIME_EXPIRED 50


struct mr_changes_s {
    mr_store_t *store;
    mongoc_cursor_t *cursor;
    int64_t since;
    bool bounded; /* in time */
    bool inside;  /* `seconds` has some of the document that was read last */
    mr_seconds_t seconds;
};


typedef struct {
    bson_t filter;
    bson_t in;
    bson_t array;
    uint32_t n;
} ids_t;


typedef int (*read_pt)(const mr_slice_t *slice, const bson_t *doc, int lean);


static int64_t changes_patience(const mr_store_t *store);
static void changes_age(bson_t *filter, mr_age_t age, int64_t since);
static int read_others(mr_store_t *store, const mr_slice_t *slice,
    const mr_progress_list_t *partitions, int lean, mr_error_t *err);
static void read_other(mr_store_t *store, const mr_slice_t *slice, size_t i,
    int32_t partition, ids_t *ids);
static int read_lean(const mr_entry_t *entry);
static int read_batch(mr_store_t *store, mongoc_collection_t *collection,
    ids_t *ids, int lean, const mr_slice_t *slice, read_pt handler,
    mr_error_t *err);
static int read_partial(const mr_slice_t *slice, const bson_t *doc, int lean);
static void read_users(mr_merged_t *window);
static int read_window(const mr_slice_t *slice, const bson_t *doc, int lean);
static void read_unreadable(const mr_slice_t *slice, const bson_t *doc);
static int read_list(mr_store_t *store, const bson_t *filter, bson_t *opts,
    mr_arena_t *arena, mr_merged_list_t *windows, mr_error_t *err);
static void ids_init(ids_t *ids);
static void ids_add(ids_t *ids, const mr_window_key_t *key, int32_t partition);
static const bson_t *ids_end(ids_t *ids);


int
mr_store_changes(mr_store_t *store, const mr_progress_t *merged, mr_age_t age,
    int64_t since, mr_changes_t **ret_changes, mr_error_t *err)
{
    bson_t *filter, opts, index;
    mr_changes_t *changes;

    /* A bson_iter_t wants to be aligned more than malloc() does. */
    changes = aligned_alloc(_Alignof(mr_changes_t), sizeof(mr_changes_t));
    if (changes == NULL) {
        return mr_store_memory(err);
    }

    if (mr_store_opts(store, &opts, err) != 0) {
        free(changes);
        return -1;
    }

    changes->store = store;
    changes->since = merged->seconds;
    changes->bounded = age == MR_AGE_RECENT;
    changes->inside = false;

    filter = BCON_NEW("_id.partition", BCON_INT32(merged->partition), "flush",
        "{", "$gt", BCON_INT64(merged->flush), "}");

    if (age != MR_AGE_ANY) {
        changes_age(filter, age, since);
    }

    bson_init(&index);
    BSON_APPEND_INT32(&index, "_id.partition", 1);
    BSON_APPEND_INT32(&index, "flush", 1);

    /* By this index, rather than by one walk for each width. */
    BSON_APPEND_DOCUMENT(&opts, "sort", &index);
    BSON_APPEND_DOCUMENT(&opts, "hint", &index);
    BSON_APPEND_INT32(&opts, "batchSize", WALK_BATCH);

    if (changes->bounded) {
        BSON_APPEND_INT64(&opts, "maxTimeMS", changes_patience(store));
    }

    changes->cursor =
        mongoc_collection_find_with_opts(store->partials, filter, &opts, NULL);

    bson_destroy(filter);
    bson_destroy(&index);
    bson_destroy(&opts);

    *ret_changes = changes;

    return 0;
}


/* ms of the server's time, over all answers; 1 at least. */
static int64_t
changes_patience(const mr_store_t *store)
{
    int64_t wire, lease;

    wire = mongoc_uri_get_option_as_int32(
        mongoc_client_get_uri(store->client), MONGOC_URI_SOCKETTIMEOUTMS, 0);
    lease = store->options->stats.lease;

    if (wire > 0 && wire < lease) {
        return wire / 2 + wire % 2;
    }

    return lease / 2;
}


/* Those of a width that end later begin no earlier than one that holds it. */
static void
changes_age(bson_t *filter, mr_age_t age, int64_t since)
{
    int width;
    char text[16];
    bson_t list, item, start;
    const char *key;

    bson_append_array_begin(
        filter, age == MR_AGE_RECENT ? "$or" : "$nor", -1, &list);

    for (width = 0; width < MR_WIDTHS; width++) {
        bson_uint32_to_string((uint32_t) width, &key, text, sizeof(text));
        bson_append_document_begin(&list, key, -1, &item);
        BSON_APPEND_INT32(
            &item, "_id.width", mr_width_seconds((mr_width_t) width));
        BSON_APPEND_DOCUMENT_BEGIN(&item, "_id.start", &start);
        BSON_APPEND_DATE_TIME(
            &start, "$gte", mr_window_start((mr_width_t) width, since));
        bson_append_document_end(&item, &start);
        bson_append_document_end(&list, &item);
    }

    bson_append_array_end(filter, &list);
}


int
mr_changes_next(mr_changes_t *changes, mr_arena_t *arena,
    mr_window_key_t *ret_key, mr_partial_t **ret_partial, mr_error_t *err)
{
    int rc;
    const bson_t *doc;
    bson_error_t error;

    if (changes->inside
        && mr_seconds_next(&changes->seconds, changes->since, ret_key))
    {
        return mr_seconds_read(&changes->seconds, ret_key, arena, ret_partial)
                       == 0
                   ? 0
                   : mr_store_memory(err);
    }

    changes->inside = false;

    while (mongoc_cursor_next(changes->cursor, &doc)) {
        rc = mr_bson_partial(doc, arena, ret_key, ret_partial);

        if (rc == -1) {
            return mr_store_memory(err);
        }

        if (rc == 0) {
            changes->inside = mr_seconds_begin(doc, &changes->seconds) == 0;

            if (ret_key->width == MR_WIDTH_SECOND) {
                changes->store->alone = true;
            }

            return 0;
        }
    }

    if (mongoc_cursor_error(changes->cursor, &error)) {

        if (changes->bounded && error.code == MAX_TIME_EXPIRED) {
            return mr_error_set(err, MR_ERROR_TIMEOUT, NULL,
                "there are too many changes to look for recent ones alone");
        }

        return mr_mongo_error(err, "cannot read the changes", &error);
    }

    *ret_partial = NULL;

    return 0;
}


void
mr_changes_close(mr_changes_t *changes)
{
    if (changes != NULL) {
        mongoc_cursor_destroy(changes->cursor);
        free(changes);
    }
}


int
mr_store_read(mr_store_t *store, const mr_slice_t *slice,
    const mr_progress_list_t *partitions, mr_error_t *err)
{
    size_t i;
    ids_t ids;

    ids_init(&ids);

    for (i = slice->first; i < slice->first + slice->n; i++) {
        ids_add(&ids, &mr_chunk_at(slice->chunk, i)->key, -1);
    }

    if (read_batch(store, store->windows, &ids, 0, slice, read_window, err) != 0
        || read_others(store, slice, partitions, 1, err) != 0)
    {
        return -1;
    }

    return read_others(store, slice, partitions, 0, err);
}


/* The partials that are not there, of the windows that are lean or not. */
static int
read_others(mr_store_t *store, const mr_slice_t *slice,
    const mr_progress_list_t *partitions, int lean, mr_error_t *err)
{
    int rc;
    size_t i, p;
    ids_t ids;

    rc = 0;
    ids_init(&ids);

    for (i = slice->first; i < slice->first + slice->n && rc == 0; i++) {

        if (read_lean(mr_chunk_at(slice->chunk, i)) != lean) {
            continue;
        }

        for (p = 0; p < partitions->n && rc == 0; p++) {
            read_other(store, slice, i, partitions->list[p].partition, &ids);

            if (ids.n >= IDS_MAX) {
                rc = read_batch(store, store->partials, &ids, lean, slice,
                    read_partial, err);
                ids_init(&ids);
            }
        }
    }

    if (rc != 0) {
        bson_destroy((bson_t *) ids_end(&ids));
        return -1;
    }

    return read_batch(
        store, store->partials, &ids, lean, slice, read_partial, err);
}


/*
 * Ask for a partition's part of a window.  The windows of a minute stand
 * together in a sorted chunk: one document is for all.
 */
static void
read_other(mr_store_t *store, const mr_slice_t *slice, size_t i,
    int32_t partition, ids_t *ids)
{
    bool inside;
    mr_entry_t *entry, *before;
    mr_window_key_t key, other;

    entry = mr_chunk_at(slice->chunk, i);
    inside = entry->key.width == MR_WIDTH_SECOND;

    if (inside && store->alone && !mr_entry_has(entry, partition, false)) {
        ids_add(ids, &entry->key, partition);
    }

    if (mr_entry_has(entry, partition, inside)) {
        return;
    }

    key = mr_entry_document(entry);

    if (i > slice->first) {
        before = mr_chunk_at(slice->chunk, i - 1);
        other = mr_entry_document(before);

        if (read_lean(before) == read_lean(entry) && other.width == key.width
            && other.start == key.start
            && mr_str_eq(other.event_type, key.event_type)
            && !mr_entry_has(
                before, partition, before->key.width == MR_WIDTH_SECOND))
        {
            return;
        }
    }

    ids_add(ids, &key, partition);
}


/* Whether no users are needed: it has none, or they are merged. */
static int
read_lean(const mr_entry_t *entry)
{
    return entry->key.width == MR_WIDTH_SECOND
           || (entry->stored != NULL && entry->stored->scalars.users.len > 0);
}


/* Ends the ids.  `lean`: without users. */
static int
read_batch(mr_store_t *store, mongoc_collection_t *collection, ids_t *ids,
    int lean, const mr_slice_t *slice, read_pt handler, mr_error_t *err)
{
    int rc;
    bson_t opts, projection;
    const bson_t *doc, *filter;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    filter = ids_end(ids);

    if (ids->n == 0) {
        bson_destroy(&ids->filter);
        return 0;
    }

    if (mr_store_opts(store, &opts, err) != 0) {
        bson_destroy(&ids->filter);
        return -1;
    }

    if (lean) {
        BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &projection);
        BSON_APPEND_INT32(&projection, "sketches.users", 0);
        BSON_APPEND_INT32(&projection, "sketches.tail", 0);
        bson_append_document_end(&opts, &projection);
    }

    /* All in one answer as a rule, rather than 101 documents first. */
    BSON_APPEND_INT32(&opts, "batchSize", (int32_t) ids->n + 1);

    cursor = mongoc_collection_find_with_opts(collection, filter, &opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {

        if (handler(slice, doc, lean) == -1) {
            rc = mr_store_memory(err);
        }
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the windows", &error);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&opts);
    bson_destroy(&ids->filter);

    return rc;
}


/*
 * The document's own part and its seconds, whoever of them asked for it, of
 * this slice: what is not there yet, and not without users what needs them.
 */
static int
read_partial(const mr_slice_t *slice, const bson_t *doc, int lean)
{
    int rc;
    mr_entry_t *entry;
    mr_partial_t *part;
    mr_seconds_t seconds;
    mr_window_key_t key;

    rc = mr_seconds_begin(doc, &seconds);
    if (rc != 0) {
        return rc;
    }

    entry = mr_slice_find(slice, &seconds.key);

    if (entry != NULL && !mr_entry_has(entry, seconds.partition, false)
        && (!lean || read_lean(entry)))
    {
        rc = mr_bson_partial(doc, slice->arena, &key, &part);

        if (rc != 0) {
            return rc;
        }

        mr_entry_link(entry, part);
    }

    while (mr_seconds_next(&seconds, 0, &key)) {
        entry = mr_slice_find(slice, &key);

        if (entry == NULL || mr_entry_has(entry, seconds.partition, true)) {
            continue;
        }

        rc = mr_seconds_read(&seconds, &key, slice->arena, &part);
        if (rc != 0) {
            return rc;
        }

        mr_entry_link(entry, part);
    }

    return 0;
}


/* Damaged users are none: then the partials come with theirs. */
static void
read_users(mr_merged_t *window)
{
    if (window->scalars.users.len > 0
        && mr_hll_check(window->scalars.users) != 0) {
        window->scalars.users = mr_str("");
        window->damaged = true;
    }
}


static int
read_window(const mr_slice_t *slice, const bson_t *doc, int lean)
{
    int rc;
    mr_entry_t *entry;
    mr_merged_t *window;

    (void) lean;

    rc = mr_bson_window(doc, slice->arena, &window);

    if (rc == 1) {
        read_unreadable(slice, doc);

    } else if (rc == 0) {
        entry = mr_slice_find(slice, &window->key);

        if (entry != NULL) {
            read_users(window);
            entry->stored = window;
        }
    }

    return rc;
}


/* It is there all the same: another cannot take its place. */
static void
read_unreadable(const mr_slice_t *slice, const bson_t *doc)
{
    int32_t partition;
    bson_iter_t iter;
    mr_entry_t *entry;
    mr_window_key_t key;

    if (!bson_iter_init_find(&iter, doc, "_id")
        || mr_bson_key(&iter, NULL, &key, &partition) != 0)
    {
        return;
    }

    entry = mr_slice_find(slice, &key);

    if (entry != NULL) {
        entry->unreadable = true;
    }
}


int
mr_store_dirty(mr_store_t *store, mr_arena_t *arena, mr_merged_list_t *windows,
    mr_error_t *err)
{
    int rc;
    bson_t *filter, opts;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("dirty", BCON_BOOL(true));
    rc = read_list(store, filter, &opts, arena, windows, err);

    bson_destroy(filter);
    bson_destroy(&opts);

    return rc;
}


int
mr_store_closing(mr_store_t *store, mr_arena_t *arena, int64_t now,
    mr_merged_list_t *windows, mr_error_t *err)
{
    int rc;
    bson_t *filter, opts, sort;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    filter = BCON_NEW("final", BCON_BOOL(false), "closes", "{", "$lte",
        BCON_DATE_TIME(now), "}");

    BSON_APPEND_DOCUMENT_BEGIN(&opts, "sort", &sort);
    BSON_APPEND_INT32(&sort, "closes", 1);
    bson_append_document_end(&opts, &sort);

    rc = read_list(store, filter, &opts, arena, windows, err);

    bson_destroy(filter);
    bson_destroy(&opts);

    return rc;
}


static int
read_list(mr_store_t *store, const bson_t *filter, bson_t *opts,
    mr_arena_t *arena, mr_merged_list_t *windows, mr_error_t *err)
{
    int rc;
    size_t n, max;
    const bson_t *doc;
    bson_error_t error;
    mongoc_cursor_t *cursor;

    n = 0;
    max = windows->n;

    BSON_APPEND_INT64(opts, "limit", (int64_t) max);
    BSON_APPEND_INT32(opts, "batchSize", (int32_t) max + 1);

    cursor =
        mongoc_collection_find_with_opts(store->windows, filter, opts, NULL);

    rc = 0;

    while (n < max && mongoc_cursor_next(cursor, &doc)) {
        rc = mr_bson_window(doc, arena, &windows->list[n]);

        if (rc == -1) {
            rc = mr_store_memory(err);
            break;
        }

        if (rc == 0) {
            n++;
        }

        rc = 0;
    }

    if (rc == 0 && mongoc_cursor_error(cursor, &error)) {
        rc = mr_mongo_error(err, "cannot read the windows", &error);
    }

    mongoc_cursor_destroy(cursor);

    if (rc == 0) {
        windows->n = n;
    }

    return rc;
}


static void
ids_init(ids_t *ids)
{
    ids->n = 0;
    bson_init(&ids->filter);
    BSON_APPEND_DOCUMENT_BEGIN(&ids->filter, "_id", &ids->in);
    BSON_APPEND_ARRAY_BEGIN(&ids->in, "$in", &ids->array);
}


static void
ids_add(ids_t *ids, const mr_window_key_t *key, int32_t partition)
{
    char text[16];
    const char *name;

    bson_uint32_to_string(ids->n, &name, text, sizeof(text));
    mr_bson_append_id(&ids->array, name, key, partition);
    ids->n++;
}


static const bson_t *
ids_end(ids_t *ids)
{
    bson_append_array_end(&ids->in, &ids->array);
    bson_append_document_end(&ids->filter, &ids->in);

    return &ids->filter;
}
