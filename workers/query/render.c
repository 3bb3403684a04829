#include <math.h>
#include <string.h>

#include <bson/bson.h>

#include <millrace/json.h>
#include <millrace/limits.h>

#include "render.h"


#define MR_RENDER_BROKEN (-2)


static int mr_render_next(mr_buf_t *buf, mr_str_t cursor);
static int mr_render_fields(mr_buf_t *buf, const mr_row_t *row);
static int mr_render_metadata(mr_buf_t *buf, mr_str_t data);
static int mr_render_name(mr_buf_t *buf, const char *name);
static int mr_render_members(
    mr_buf_t *buf, bson_iter_t *iter, int is_array, int depth);
static int mr_render_value(mr_buf_t *buf, const bson_iter_t *iter, int depth);


int
mr_render_event(mr_buf_t *buf, const mr_row_t *row, mr_error_t *err)
{
    int rc;
    size_t len;

    len = buf->len;
    rc = mr_render_fields(buf, row);

    if (rc == 0) {
        return 0;
    }

    buf->len = len;

    if (rc == MR_RENDER_BROKEN) {
        return mr_error_set(err, MR_ERROR_EVENT, NULL,
            "an event in MongoDB is not as docs/data-model.md says");
    }

    return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}


int
mr_render_page(
    mr_buf_t *buf, const mr_page_t *page, mr_str_t cursor, mr_error_t *err)
{
    int rc;
    size_t i;

    rc = mr_buf_append(buf, "{\"events\":[", 11);

    for (i = 0; rc == 0 && i < page->n; i++) {

        if (i > 0) {
            rc = mr_buf_append(buf, ",", 1);
        }

        if (rc == 0 && mr_render_event(buf, &page->rows[i], err) == -1) {
            return -1;
        }
    }

    if (rc == 0) {
        rc = mr_buf_append(buf, "],", 2);
    }

    if (rc == 0) {
        rc = mr_render_next(buf, cursor);
    }

    if (rc == -1) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


int
mr_render_cursor(mr_buf_t *buf, mr_str_t cursor)
{
    if (mr_buf_append(buf, "{", 1) == -1) {
        return -1;
    }

    return mr_render_next(buf, cursor);
}


static int
mr_render_next(mr_buf_t *buf, mr_str_t cursor)
{
    if (mr_buf_append(buf, "\"next_cursor\":", 14) == -1
        || (cursor.data != NULL ? mr_json_string(buf, cursor)
                                : mr_buf_append(buf, "null", 4))
               == -1)
    {
        return -1;
    }

    return mr_buf_append(buf, "}\n", 2);
}


static int
mr_render_fields(mr_buf_t *buf, const mr_row_t *row)
{
    int rc;

    if (mr_buf_append(buf, "{\"event_id\":", 12) == -1
        || mr_json_string(buf, row->key.event_id) == -1
        || mr_buf_append(buf, ",\"user_id\":", 11) == -1
        || mr_json_string(buf, row->key.user_id) == -1
        || mr_buf_append(buf, ",\"event_type\":", 14) == -1
        || mr_json_string(buf, row->type) == -1
        || mr_buf_append(buf, ",\"timestamp\":", 13) == -1
        || mr_json_time(buf, row->key.time) == -1
        || mr_buf_append(buf, ",\"metadata\":", 12) == -1)
    {
        return -1;
    }

    rc = mr_render_metadata(buf, row->data);

    return rc != 0 ? rc : mr_buf_append(buf, "}", 1);
}


static int
mr_render_metadata(mr_buf_t *buf, mr_str_t data)
{
    bson_t event;
    bson_iter_t iter;

    if (!bson_init_static(&event, (const uint8_t *) data.data, data.len)
        || !bson_iter_init_find(&iter, &event, "metadata"))
    {
        return MR_RENDER_BROKEN;
    }

    return mr_render_value(buf, &iter, 0);
}


static int
mr_render_name(mr_buf_t *buf, const char *name)
{
    mr_str_t key;

    key.data = name;
    key.len = strlen(name);

    if (mr_json_string(buf, key) == -1) {
        return -1;
    }

    return mr_buf_append(buf, ":", 1);
}


static int
mr_render_members(mr_buf_t *buf, bson_iter_t *iter, int is_array, int depth)
{
    int rc, first;

    if (depth > MR_METADATA_DEPTH) {
        return MR_RENDER_BROKEN;
    }

    if (mr_buf_append(buf, is_array ? "[" : "{", 1) == -1) {
        return -1;
    }

    for (first = 1; bson_iter_next(iter); first = 0) {

        if (!first && mr_buf_append(buf, ",", 1) == -1) {
            return -1;
        }

        if (!is_array && mr_render_name(buf, bson_iter_key(iter)) == -1) {
            return -1;
        }

        rc = mr_render_value(buf, iter, depth);

        if (rc != 0) {
            return rc;
        }
    }

    return mr_buf_append(buf, is_array ? "]" : "}", 1);
}


/* 0, -1 out of memory, or MR_RENDER_BROKEN. */
static int
mr_render_value(mr_buf_t *buf, const bson_iter_t *iter, int depth)
{
    double real;
    uint32_t len;
    mr_str_t text;
    bson_iter_t child;

    switch (bson_iter_type(iter)) {

    case BSON_TYPE_UTF8:
        text.data = bson_iter_utf8(iter, &len);
        text.len = len;
        return mr_json_string(buf, text);

    case BSON_TYPE_INT32:
        return mr_json_integer(buf, bson_iter_int32(iter));

    case BSON_TYPE_INT64:
        return mr_json_integer(buf, bson_iter_int64(iter));

    case BSON_TYPE_DOUBLE:
        real = bson_iter_double(iter);

        return isfinite(real) ? mr_json_real(buf, real) : MR_RENDER_BROKEN;

    case BSON_TYPE_BOOL:
        return bson_iter_bool(iter) ? mr_buf_append(buf, "true", 4)
                                    : mr_buf_append(buf, "false", 5);

    case BSON_TYPE_NULL:
        return mr_buf_append(buf, "null", 4);

    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:

        if (!bson_iter_recurse(iter, &child)) {
            return MR_RENDER_BROKEN;
        }

        return mr_render_members(
            buf, &child, BSON_ITER_HOLDS_ARRAY(iter), depth + 1);

    default:
        return MR_RENDER_BROKEN;
    }
}
