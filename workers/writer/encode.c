#include "encode.h"

#include <millrace/uuid.h>
#include <millrace/value.h>

#include "bson_write.h"


typedef struct {
    mr_buf_t *buf;
    size_t open[MR_METADATA_DEPTH]; /* documents that are not ended */
    unsigned depth;
} encode_t;


static int encode_id(mr_buf_t *buf, mr_str_t event_id);
static int encode_begin(void *ctx, mr_str_t key, int is_array);
static int encode_end(void *ctx);
static int encode_string(void *ctx, mr_str_t key, mr_str_t value);
static int encode_integer(void *ctx, mr_str_t key, int64_t value);
static int encode_real(void *ctx, mr_str_t key, double value);
static int encode_boolean(void *ctx, mr_str_t key, int value);
static int encode_null(void *ctx, mr_str_t key);


static const mr_value_visitor_t encode_visitor = {encode_begin, encode_end,
    encode_string, encode_integer, encode_real, encode_boolean, encode_null};


int
mr_encode_event(mr_buf_t *buf, const mr_event_t *event, int64_t offset)
{
    size_t at, metadata;
    encode_t encode;

    if (mr_bson_begin(buf, &at) != 0 || encode_id(buf, event->event_id) != 0
        || mr_bson_begin_member(buf, mr_str("metadata"), 0, &metadata) != 0)
    {
        return -1;
    }

    if (event->metadata != NULL) {
        encode.buf = buf;
        encode.depth = 0;

        if (mr_value_walk(event->metadata, &encode_visitor, &encode) != 0) {
            return -1;
        }
    }

    if (mr_bson_end(buf, metadata) != 0
        || mr_bson_int64(buf, mr_str("offset"), offset) != 0)
    {
        return -1;
    }

    return mr_bson_end(buf, at);
}


/* Half as many bytes, and nothing in them that could be compressed. */
static int
encode_id(mr_buf_t *buf, mr_str_t event_id)
{
    uint8_t uuid[MR_UUID_SIZE];

    if (mr_uuid_parse(event_id, uuid) == 0) {
        return mr_bson_uuid(buf, mr_str("event_id"), uuid);
    }

    return mr_bson_string(buf, mr_str("event_id"), event_id);
}


static int
encode_begin(void *ctx, mr_str_t key, int is_array)
{
    encode_t *encode = ctx;

    /* The format bounds the depth; the metadata object itself is not here. */
    if (encode->depth == MR_METADATA_DEPTH) {
        return -1;
    }

    return mr_bson_begin_member(
        encode->buf, key, is_array, &encode->open[encode->depth++]);
}


static int
encode_end(void *ctx)
{
    encode_t *encode = ctx;

    return mr_bson_end(encode->buf, encode->open[--encode->depth]);
}


static int
encode_string(void *ctx, mr_str_t key, mr_str_t value)
{
    return mr_bson_string(((encode_t *) ctx)->buf, key, value);
}


static int
encode_integer(void *ctx, mr_str_t key, int64_t value)
{
    encode_t *encode = ctx;

    if (value >= INT32_MIN && value <= INT32_MAX) {
        return mr_bson_int32(encode->buf, key, (int32_t) value);
    }

    return mr_bson_int64(encode->buf, key, value);
}


static int
encode_real(void *ctx, mr_str_t key, double value)
{
    return mr_bson_double(((encode_t *) ctx)->buf, key, value);
}


static int
encode_boolean(void *ctx, mr_str_t key, int value)
{
    return mr_bson_bool(((encode_t *) ctx)->buf, key, value);
}


static int
encode_null(void *ctx, mr_str_t key)
{
    return mr_bson_null(((encode_t *) ctx)->buf, key);
}
