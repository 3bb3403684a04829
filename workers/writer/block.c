#include "block.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "../common/times.h"
#include "bson_write.h"
#include "span.h"


/* What is read off the entries before the first byte can be written. */
typedef struct {
    int64_t tmin;
    int64_t tmax;
    int64_t received;
    size_t users;
    size_t n_types;
    uint32_t types[MR_BLOCK_EVENTS]; /* numbers in the flush, by name */
} block_summary_t;

typedef struct {
    const mr_entry_t *entries;
    const uint32_t *order;
    const mr_block_types_t *types;
    size_t n;
} block_input_t;


static void block_summarise(const block_input_t *in, block_summary_t *summary);
static size_t block_find_type(
    const block_input_t *in, const block_summary_t *summary, uint32_t type);
static int block_id(mr_buf_t *buf, const mr_block_id_t *id);
static int block_header(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary);
static int block_types(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary);
static int block_who(mr_buf_t *buf, const block_input_t *in);
static int block_one(
    mr_buf_t *buf, unsigned place, mr_str_t user, int32_t bits);
static int block_columns(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary);
static int block_events(mr_buf_t *buf, const block_input_t *in);
static int block_users(mr_buf_t *buf, const block_input_t *in, mr_buf_t *key);


static inline const mr_entry_t *
block_entry(const block_input_t *in, size_t i)
{
    return &in->entries[in->order[i]];
}


static inline mr_str_t
block_user(const block_input_t *in, size_t i)
{
    return mr_entry_user(block_entry(in, i));
}


int
mr_block_build(mr_buf_t *buf, const mr_plan_t *plan, size_t i,
    const mr_entry_t *entries, const mr_block_types_t *types,
    const mr_block_id_t *id)
{
    size_t at;
    block_input_t in;
    block_summary_t summary;

    in.entries = entries;
    in.order = plan->order + plan->blocks[i].first;
    in.types = types;
    in.n = plan->blocks[i].n;

    block_summarise(&in, &summary);

    if (mr_bson_begin(buf, &at) != 0 || block_id(buf, id) != 0
        || block_header(buf, &in, &summary) != 0
        || block_types(buf, &in, &summary) != 0 || block_who(buf, &in) != 0
        || block_columns(buf, &in, &summary) != 0
        || block_events(buf, &in) != 0)
    {
        return -1;
    }

    return mr_bson_end(buf, at);
}


static void
block_summarise(const block_input_t *in, block_summary_t *summary)
{
    size_t i, place;
    const mr_entry_t *entry;

    entry = block_entry(in, 0);

    summary->tmin = entry->time;
    summary->tmax = entry->time;
    summary->received = entry->received;
    summary->users = 0;
    summary->n_types = 0;

    for (i = 0; i < in->n; i++) {
        entry = block_entry(in, i);

        if (entry->time < summary->tmin) {
            summary->tmin = entry->time;
        }

        if (entry->time > summary->tmax) {
            summary->tmax = entry->time;
        }

        if (entry->received > summary->received) {
            summary->received = entry->received;
        }

        if (i == 0 || !mr_str_eq(block_user(in, i), block_user(in, i - 1))) {
            summary->users++;
        }

        place = block_find_type(in, summary, entry->type);

        if (place == summary->n_types || summary->types[place] != entry->type) {
            memmove(summary->types + place + 1, summary->types + place,
                (summary->n_types - place) * sizeof(uint32_t));
            summary->types[place] = entry->type;
            summary->n_types++;
        }
    }
}


/* Where the type is among the block's types, or belongs, by name. */
static size_t
block_find_type(
    const block_input_t *in, const block_summary_t *summary, uint32_t type)
{
    int order;
    size_t low, high, middle;

    low = 0;
    high = summary->n_types;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (summary->types[middle] == type) {
            return middle;
        }

        order = mr_str_cmp(
            in->types->names[summary->types[middle]], in->types->names[type]);

        if (order < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


static int
block_id(mr_buf_t *buf, const mr_block_id_t *id)
{
    size_t at;

    if (mr_bson_begin_member(buf, mr_str("_id"), 0, &at) != 0
        || mr_bson_int64(buf, mr_str("epoch"), id->epoch) != 0
        || mr_bson_int32(buf, mr_str("partition"), id->partition) != 0
        || mr_bson_int64(buf, mr_str("offset"), id->offset) != 0
        || mr_bson_int32(buf, mr_str("number"), id->number) != 0)
    {
        return -1;
    }

    return mr_bson_end(buf, at);
}


static int
block_header(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary)
{
    int span;

    span = mr_span_class(summary->tmax - summary->tmin);

    if (mr_bson_int32(buf, mr_str("span"), span) != 0
        || mr_bson_date(buf, mr_str("tmin"), summary->tmin) != 0
        || mr_bson_date(buf, mr_str("tmax"), summary->tmax) != 0
        || mr_bson_date(buf, mr_str("received"), summary->received) != 0)
    {
        return -1;
    }

    if (mr_bson_int32(buf, mr_str("n"), (int32_t) in->n) != 0) {
        return -1;
    }

    return mr_bson_int32(buf, mr_str("layout"), MR_LAYOUT_USERS);
}


static int
block_types(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary)
{
    char space[12];
    size_t i, at;

    if (mr_bson_begin_member(buf, mr_str("types"), 1, &at) != 0) {
        return -1;
    }

    for (i = 0; i < summary->n_types; i++) {
        if (mr_bson_string(buf, mr_bson_index((unsigned) i, space),
                in->types->names[summary->types[i]])
            != 0)
        {
            return -1;
        }
    }

    return mr_bson_end(buf, at);
}


/* The users, and which types each has. */
static int
block_who(mr_buf_t *buf, const block_input_t *in)
{
    size_t i, at;
    int32_t bits;
    unsigned users;

    if (mr_bson_begin_member(buf, mr_str("who"), 1, &at) != 0) {
        return -1;
    }

    users = 0;
    bits = 0;

    for (i = 0; i < in->n; i++) {
        bits |= in->types->bits[block_entry(in, i)->type];

        if (i + 1 < in->n
            && mr_str_eq(block_user(in, i), block_user(in, i + 1))) {
            continue;
        }

        if (block_one(buf, users++, block_user(in, i), bits) != 0) {
            return -1;
        }

        bits = 0;
    }

    return mr_bson_end(buf, at);
}


static int
block_one(mr_buf_t *buf, unsigned place, mr_str_t user, int32_t bits)
{
    char space[12];
    size_t at;

    if (mr_bson_begin_member(buf, mr_bson_index(place, space), 0, &at) != 0
        || mr_bson_string(buf, mr_str("u"), user) != 0
        || mr_bson_int32(buf, mr_str("t"), bits) != 0)
    {
        return -1;
    }

    return mr_bson_end(buf, at);
}


static int
block_columns(
    mr_buf_t *buf, const block_input_t *in, const block_summary_t *summary)
{
    size_t i, first;
    uint16_t value;
    uint32_t width;
    unsigned char *p;

    width = mr_times_width(summary->tmax - summary->tmin);

    if (mr_bson_binary(buf, mr_str("since"), in->n * width, &p) != 0) {
        return -1;
    }

    for (i = 0; i < in->n; i++) {
        mr_times_put(p, (uint32_t) in->n, width, (uint32_t) i,
            block_entry(in, i)->time - summary->tmin);
    }

    if (mr_bson_binary(buf, mr_str("kinds"), in->n * 2, &p) != 0) {
        return -1;
    }

    for (i = 0; i < in->n; i++) {
        value =
            (uint16_t) block_find_type(in, summary, block_entry(in, i)->type);
        value = htole16(value);
        memcpy(p + 2 * i, &value, 2);
    }

    if (mr_bson_binary(buf, mr_str("counts"), summary->users * 2, &p) != 0) {
        return -1;
    }

    for (i = 0, first = 0; i < in->n; i++) {

        if (i + 1 < in->n
            && mr_str_eq(block_user(in, i), block_user(in, i + 1))) {
            continue;
        }

        value = htole16((uint16_t) (i + 1 - first));
        memcpy(p, &value, 2);
        p += 2;
        first = i + 1;
    }

    return 0;
}


static int
block_events(mr_buf_t *buf, const block_input_t *in)
{
    int rc;
    mr_buf_t key = MR_BUF_INIT;

    rc = block_users(buf, in, &key);
    mr_buf_free(&key);

    return rc;
}


/* { key of a user: { place in the block: event } } */
static int
block_users(mr_buf_t *buf, const block_input_t *in, mr_buf_t *key)
{
    char space[12];
    size_t i, at, user;
    mr_str_t document;
    const mr_entry_t *entry;

    if (mr_bson_begin_member(buf, mr_str("events"), 0, &at) != 0) {
        return -1;
    }

    user = 0;

    for (i = 0; i < in->n; i++) {
        entry = block_entry(in, i);
        document = (mr_str_t){entry->document, entry->length};

        if (i == 0 || !mr_str_eq(block_user(in, i), block_user(in, i - 1))) {

            mr_buf_reset(key);

            if ((i != 0 && mr_bson_end(buf, user) != 0)
                || mr_layout_key(key, block_user(in, i)) != 0
                || mr_bson_begin_member(
                       buf, (mr_str_t){key->data, key->len}, 0, &user)
                       != 0)
            {
                return -1;
            }
        }

        if (mr_bson_document(buf, mr_bson_index((unsigned) i, space), document)
            != 0) {
            return -1;
        }
    }

    if (mr_bson_end(buf, user) != 0) {
        return -1;
    }

    return mr_bson_end(buf, at);
}
