#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>
#include <millrace/uuid.h>

#include "../common/layout.h"
#include "store_session.h"


static int mr_events_fields(mr_events_t *events, const bson_t *doc,
    mr_types_list_t *types, mr_error_t *err);
static int mr_events_types(
    mr_types_list_t *types, const bson_iter_t *field, mr_error_t *err);
static int mr_events_place(mr_events_t *events);
static int mr_events_columns(const mr_events_t *events, mr_row_t *row);
static int mr_events_key(const bson_iter_t *event, mr_row_t *row);
static int mr_events_id(const bson_iter_t *field, mr_row_t *row);


int
mr_events_open(mr_events_t *events, const bson_t *doc, mr_types_list_t *types,
    mr_error_t *err)
{
    bson_iter_t field, *iter;

    memset(events, 0, sizeof(mr_events_t));

    if (mr_events_fields(events, doc, types, err) == -1) {
        return -1;
    }

    if (!bson_iter_init_find(&field, doc, "events")) {
        return mr_session_damaged(err);
    }

    if (BSON_ITER_HOLDS_ARRAY(&field)) {
        events->kind = MR_EVENTS_LIST;
        iter = &events->iter;

    } else if (BSON_ITER_HOLDS_DOCUMENT(&field)) {
        events->kind = MR_EVENTS_USERS;
        iter = &events->users;

    } else {
        return mr_session_damaged(err);
    }

    return bson_iter_recurse(&field, iter) ? 0 : mr_session_damaged(err);
}


int
mr_events_next(mr_events_t *events)
{
    if (events->kind == MR_EVENTS_LIST) {
        events->row = events->next++;
        return bson_iter_next(&events->iter);
    }

    while (!events->in_user || !bson_iter_next(&events->iter)) {

        if (!bson_iter_next(&events->users)) {
            return 0;
        }

        if (!BSON_ITER_HOLDS_DOCUMENT(&events->users)
            || !bson_iter_recurse(&events->users, &events->iter))
        {
            return -1;
        }

        events->in_user = 1;
    }

    return mr_events_place(events);
}


int
mr_events_is_of(const mr_events_t *events, mr_str_t user)
{
    mr_str_t key;

    if (events->kind != MR_EVENTS_USERS) {
        return 1;
    }

    key.data = bson_iter_key(&events->users);
    key.len = bson_iter_key_len(&events->users);

    return mr_layout_is_key(key, user);
}


int
mr_events_row(const mr_events_t *events, const mr_block_id_t *id, mr_str_t user,
    mr_row_t *row)
{
    uint32_t len;
    const uint8_t *data;

    memset(row, 0, sizeof(mr_row_t));
    row->key.epoch = id->epoch;
    row->key.partition = id->partition;
    row->key.user_id = user;

    if (events->row >= events->n || mr_events_columns(events, row) == -1
        || !BSON_ITER_HOLDS_DOCUMENT(&events->iter))
    {
        return -1;
    }

    bson_iter_document(&events->iter, &len, &data);
    row->data.data = (const char *) data;
    row->data.len = len;

    /* Who keeps them has room for no more. */
    return mr_events_key(&events->iter, row) == 0
                   && row->key.event_id.len <= MR_EVENT_ID_MAX
                   && row->key.user_id.len <= MR_USER_ID_MAX
               ? 0
               : -1;
}


static int
mr_events_fields(mr_events_t *events, const bson_t *doc, mr_types_list_t *types,
    mr_error_t *err)
{
    int64_t n;
    uint32_t kinds;
    bson_iter_t iter;

    events->types = types;

    if (!bson_iter_init_find(&iter, doc, "types")) {
        return mr_session_damaged(err);
    }

    if (mr_events_types(types, &iter, err) == -1) {
        return -1;
    }

    if (mr_mongo_column(doc, "kinds", &events->kinds, &kinds) == -1
        || !bson_iter_init_find(&iter, doc, "n")
        || mr_bson_int64(&iter, &n) == -1 || kinds != (uint64_t) n * 2)
    {
        return mr_session_damaged(err);
    }

    events->n = kinds / 2;

    return mr_mongo_times(doc, events->n, &events->times) == 0
               ? 0
               : mr_session_damaged(err);
}


static int
mr_events_types(
    mr_types_list_t *types, const bson_iter_t *field, mr_error_t *err)
{
    size_t cap;
    mr_str_t *list;
    bson_iter_t names;

    if (!BSON_ITER_HOLDS_ARRAY(field) || !bson_iter_recurse(field, &names)) {
        return mr_session_damaged(err);
    }

    types->n = 0;

    while (bson_iter_next(&names)) {

        if (types->n == types->cap) {
            cap = types->cap == 0 ? 16 : types->cap * 2;
            list = realloc(types->list, cap * sizeof(mr_str_t));

            if (list == NULL) {
                return mr_error_set(
                    err, MR_ERROR_MEMORY, NULL, "out of memory");
            }

            types->list = list;
            types->cap = cap;
        }

        if (mr_bson_text(&names, &types->list[types->n++]) == -1) {
            return mr_session_damaged(err);
        }
    }

    return 0;
}


/* The name of an event is its place. */
static int
mr_events_place(mr_events_t *events)
{
    char *end;
    unsigned long row;
    const char *key;

    key = bson_iter_key(&events->iter);
    row = strtoul(key, &end, 10);

    if (end == key || *end != '\0' || row > UINT16_MAX) {
        return -1;
    }

    events->row = (uint32_t) row;

    return 1;
}


/* What the columns say of a row: when, and of which type. */
static int
mr_events_columns(const mr_events_t *events, mr_row_t *row)
{
    uint16_t kind;

    row->key.time = mr_times_get(&events->times, events->row);

    memcpy(&kind, events->kinds + (size_t) events->row * 2, 2);
    kind = BSON_UINT16_FROM_LE(kind);

    if (kind >= events->types->n) {
        return -1;
    }

    row->type = events->types->list[kind];

    return 0;
}


/* What the event itself says of its key. */
static int
mr_events_key(const bson_iter_t *event, mr_row_t *row)
{
    int found;
    bson_iter_t field;
    const char *key;

    if (!bson_iter_recurse(event, &field)) {
        return -1;
    }

    for (found = row->key.user_id.data != NULL; bson_iter_next(&field);
        /* void */)
    {
        key = bson_iter_key(&field);

        /* Most names are told apart by their first letter. */
        switch (key[0]) {

        case 'e':
            if (strcmp(key, "event_id") == 0) {
                found += mr_events_id(&field, row) == 0;
            }

            break;

        case 'u':
            if (strcmp(key, "user_id") == 0) {
                found += mr_bson_text(&field, &row->key.user_id) == 0;
            }

            break;

        case 'o':
            if (strcmp(key, "offset") == 0) {
                found += mr_bson_int64(&field, &row->key.offset) == 0;
            }

            break;

        default:
            break;
        }
    }

    return found == 3 ? 0 : -1;
}


/* A string, or a UUID. */
static int
mr_events_id(const bson_iter_t *field, mr_row_t *row)
{
    uint32_t len;
    const uint8_t *uuid;
    bson_subtype_t subtype;

    if (!BSON_ITER_HOLDS_BINARY(field)) {
        return mr_bson_text(field, &row->key.event_id);
    }

    bson_iter_binary(field, &subtype, &len, &uuid);

    if (subtype != BSON_SUBTYPE_UUID || len != MR_UUID_SIZE) {
        return -1;
    }

    mr_uuid_format(uuid, row->uuid);
    row->key.event_id = (mr_str_t){row->uuid, MR_UUID_TEXT};

    return 0;
}
