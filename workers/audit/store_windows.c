#include <string.h>

#include "../common/mongo_columns.h"
#include "../common/span_class.h"
#include "store_private.h"


typedef struct {
    mr_audit_t *audit;
    int merged; /* reading windows, not partials */
    int found;
    char type[1024];
    size_t type_len;
} windows_t;


static int windows_registry(void *ctx, const bson_t *document);
static int windows_register(void *ctx, const bson_t *document);
static int windows_block(void *ctx, const bson_t *document);
static int windows_event(mr_audit_t *audit, int32_t partition, int64_t time,
    uint32_t type, uint32_t all);
static int windows_types(mr_store_t *store, windows_t *windows,
    const char *collection, mr_error_t *err);
static int windows_next_type(mr_store_t *store, windows_t *windows,
    const char *collection, mr_error_t *err);
static int windows_type(void *ctx, const bson_t *document);
static int windows_take(void *ctx, const bson_t *document);


int
mr_store_types(mr_store_t *store, mr_audit_t *audit, mr_error_t *err)
{
    int found;

    found = 0;

    if (mr_store_find(store, MR_MONGO_STATE,
            BCON_NEW("_id", BCON_UTF8("types")), NULL, windows_registry, &found,
            err)
        != 0)
    {
        return -1;
    }

    /* A database of before: every type has windows. */
    if (!found) {
        return 0;
    }

    if (mr_store_find(store, MR_MONGO_TYPES, bson_new(), NULL, windows_register,
            audit, err)
        != 0)
    {
        return -1;
    }

    return mr_tally_fold(audit->tally) == 0
               ? 0
               : mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}


static int
windows_registry(void *ctx, const bson_t *document)
{
    int *found = ctx;

    (void) document;
    *found = 1;

    return 0;
}


static int
windows_register(void *ctx, const bson_t *document)
{
    uint32_t len, type;
    mr_str_t name;
    bson_iter_t iter;
    mr_audit_t *audit = ctx;

    if (!bson_iter_init_find(&iter, document, "_id")
        || !BSON_ITER_HOLDS_UTF8(&iter)
        || (audit->other_max != 0
            && mr_store_int64(document, "max") > audit->other_max))
    {
        return 0;
    }

    name.data = bson_iter_utf8(&iter, &len);
    name.len = len;

    return mr_tally_type(audit->tally, name, &type);
}


int
mr_store_events(mr_store_t *store, mr_audit_t *audit, mr_error_t *err)
{
    int32_t span;
    bson_t *filter, *opts, bounds;

    for (span = 0; span < MR_SPANS; span++) {
        filter = BCON_NEW("span", BCON_INT32(span));

        BSON_APPEND_DOCUMENT_BEGIN(filter, "tmax", &bounds);
        BSON_APPEND_DATE_TIME(&bounds, "$gte", audit->from);

        if (span != MR_SPAN_ANY) {
            BSON_APPEND_DATE_TIME(
                &bounds, "$lt", audit->to + mr_span_width(span));
        }

        bson_append_document_end(filter, &bounds);

        opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "tmin",
            BCON_INT32(1), "types", BCON_INT32(1), "since", BCON_INT32(1),
            "times", BCON_INT32(1), "kinds", BCON_INT32(1), "}");

        if (mr_store_find(
                store, MR_MONGO_BLOCKS, filter, opts, windows_block, audit, err)
            != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
windows_block(void *ctx, const bson_t *document)
{
    uint32_t i, n, all, n_kinds, n_types, kind;
    uint32_t types[1024];
    uint16_t index;
    int32_t partition;
    mr_str_t name;
    mr_times_t times;
    bson_iter_t iter, list;
    const uint8_t *kinds;
    mr_audit_t *audit = ctx;

    partition = (int32_t) mr_store_int64(document, "_id.partition");
    n_types = 0;

    if (mr_tally_type(audit->tally, mr_str(""), &all) != 0) {
        return -1;
    }

    if (bson_iter_init_find(&iter, document, "types")
        && bson_iter_recurse(&iter, &list))
    {
        while (bson_iter_next(&list) && n_types < 1024) {
            n = 0;
            name.data = bson_iter_utf8(&list, &n);
            name.len = n;

            if (mr_tally_type(audit->tally, name, &types[n_types++]) != 0) {
                return -1;
            }
        }
    }

    if (mr_mongo_column(document, "kinds", &kinds, &n_kinds) != 0
        || mr_mongo_times(document, n_kinds / 2, &times) != 0)
    {
        return 0;
    }

    for (i = 0; i < n_kinds / 2; i++) {
        memcpy(&index, kinds + 2 * (size_t) i, 2);
        kind = BSON_UINT16_FROM_LE(index);

        if (kind < n_types
            && windows_event(
                   audit, partition, mr_times_get(&times, i), types[kind], all)
                   != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
windows_event(mr_audit_t *audit, int32_t partition, int64_t time, uint32_t type,
    uint32_t all)
{
    uint32_t minute;
    mr_tally_cell_t *cell;

    if (time < audit->from || time >= audit->to) {
        return 0;
    }

    minute = (uint32_t) ((time - audit->from) / MR_AUDIT_MINUTE);

    cell = mr_tally_cell(audit->tally, partition, minute, type);
    if (cell == NULL) {
        return -1;
    }

    cell->events++;

    cell = mr_tally_cell(audit->tally, partition, minute, all);
    if (cell == NULL) {
        return -1;
    }

    cell->events++;

    return 0;
}


int
mr_store_windows(mr_store_t *store, mr_audit_t *audit, mr_error_t *err)
{
    windows_t windows;

    windows = (windows_t){.audit = audit};

    if (windows_types(store, &windows, MR_MONGO_PARTIALS, err) != 0) {
        return -1;
    }

    windows.merged = 1;

    return windows_types(store, &windows, MR_MONGO_WINDOWS, err);
}


/*
 * There is no index by start alone: _id is searched type by type, each found
 * from the one before it.
 */
static int
windows_types(mr_store_t *store, windows_t *windows, const char *collection,
    mr_error_t *err)
{
    bson_t *filter, low, high;

    windows->type_len = 0;
    windows->found = 0;

    if (windows_next_type(store, windows, collection, err) != 0) {
        return -1;
    }

    while (windows->found) {
        filter = bson_new();

        BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &low);
        BSON_APPEND_DOCUMENT_BEGIN(&low, "$gte", &high);
        BSON_APPEND_INT32(&high, "width", 60);
        bson_append_utf8(
            &high, "event_type", -1, windows->type, (int) windows->type_len);
        BSON_APPEND_DATE_TIME(&high, "start", windows->audit->from);
        bson_append_document_end(&low, &high);
        BSON_APPEND_DOCUMENT_BEGIN(&low, "$lt", &high);
        BSON_APPEND_INT32(&high, "width", 60);
        bson_append_utf8(
            &high, "event_type", -1, windows->type, (int) windows->type_len);
        BSON_APPEND_DATE_TIME(&high, "start", windows->audit->to);
        bson_append_document_end(&low, &high);
        bson_append_document_end(filter, &low);

        if (mr_store_find(store, collection, filter,
                BCON_NEW("projection", "{", "_id", BCON_INT32(1), "count",
                    BCON_INT32(1), "flush", BCON_INT32(1), "}"),
                windows_take, windows, err)
                != 0
            || windows_next_type(store, windows, collection, err) != 0)
        {
            return -1;
        }
    }

    return 0;
}


/* The type that follows; the first one where none was found yet. */
static int
windows_next_type(mr_store_t *store, windows_t *windows, const char *collection,
    mr_error_t *err)
{
    bson_t *filter, bounds, bound;

    filter = bson_new();

    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &bounds);
    BSON_APPEND_DOCUMENT_BEGIN(&bounds, "$gt", &bound);
    BSON_APPEND_INT32(&bound, "width", 60);

    if (windows->found) {
        bson_append_utf8(
            &bound, "event_type", -1, windows->type, (int) windows->type_len);
        BSON_APPEND_MAXKEY(&bound, "start");
    }

    bson_append_document_end(&bounds, &bound);
    BSON_APPEND_DOCUMENT_BEGIN(&bounds, "$lt", &bound);
    BSON_APPEND_INT32(&bound, "width", 61);
    bson_append_document_end(&bounds, &bound);
    bson_append_document_end(filter, &bounds);

    windows->found = 0;

    return mr_store_find(store, collection, filter,
        BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "limit", BCON_INT64(1),
            "projection", "{", "_id", BCON_INT32(1), "}"),
        windows_type, windows, err);
}


static int
windows_type(void *ctx, const bson_t *document)
{
    uint32_t len;
    const char *text;
    bson_iter_t iter, field;
    windows_t *windows = ctx;

    if (bson_iter_init(&iter, document)
        && bson_iter_find_descendant(&iter, "_id.event_type", &field)
        && BSON_ITER_HOLDS_UTF8(&field))
    {
        text = bson_iter_utf8(&field, &len);

        if (len <= sizeof(windows->type)) {
            memcpy(windows->type, text, len);
            windows->type_len = len;
            windows->found = 1;
        }
    }

    return 0;
}


static int
windows_take(void *ctx, const bson_t *document)
{
    uint32_t type, minute;
    int32_t partition;
    int64_t start, count;
    mr_tally_cell_t *cell;
    windows_t *windows = ctx;

    start = mr_store_int64(document, "_id.start");
    count = mr_store_int64(document, "count");
    partition = (int32_t) mr_store_int64(document, "_id.partition");
    minute = (uint32_t) ((start - windows->audit->from) / MR_AUDIT_MINUTE);

    if (mr_tally_type(windows->audit->tally,
            (mr_str_t){windows->type, windows->type_len}, &type)
        != 0)
    {
        return -1;
    }

    if (!windows->merged) {
        cell = mr_tally_cell(windows->audit->tally, partition, minute, type);
        if (cell == NULL) {
            return -1;
        }

        cell->counted += count;
    }

    cell = mr_tally_cell(windows->audit->tally, -1, minute, type);
    if (cell == NULL) {
        return -1;
    }

    if (windows->merged) {
        cell->counted += count;

    } else {
        cell->events += count;
        cell->unmerged |= mr_store_int64(document, "flush")
                          > mr_audit_merged(windows->audit, partition);
    }

    return 0;
}
