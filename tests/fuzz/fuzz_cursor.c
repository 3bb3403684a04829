/*
 * A cursor, from both sides.  As a client's text: what is taken must be what
 * would be given out for the place that it names.  As a place made of the
 * bytes: its token must be read back equal, and not once one of its
 * characters is another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "query/cursor.h"


#define FUZZ_DIGEST UINT64_C(0x0123456789abcdef)

#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_text(mr_str_t text);
static void fuzz_place(const uint8_t *data, size_t size);
static void fuzz_altered(mr_buf_t *token, size_t at);
static uint64_t fuzz_number(const uint8_t **pos, const uint8_t *end);
static mr_str_t fuzz_string(
    const uint8_t **pos, const uint8_t *end, size_t max);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mr_str_t text;

    text.data = (const char *) data;
    text.len = size;

    fuzz_text(text);
    fuzz_place(data, size);

    return 0;
}


static void
fuzz_text(mr_str_t text)
{
    char *memory;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t again;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t place;

    if (mr_cursor_read(text, FUZZ_DIGEST, &place, &memory, &err) == -1) {
        fuzz_assert(err.code == MR_ERROR_ARGUMENT);
        fuzz_assert(strcmp(err.field, "cursor") == 0);
        return;
    }

    fuzz_assert(mr_cursor_write(&buf, FUZZ_DIGEST, &place) == 0);
    again.data = buf.data;
    again.len = buf.len;
    fuzz_assert(mr_str_eq(text, again));

    mr_buf_free(&buf);
    free(memory);
}


static void
fuzz_place(const uint8_t *data, size_t size)
{
    char *memory;
    size_t at;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t token;
    mr_error_t err = MR_ERROR_INIT;
    const uint8_t *pos, *end;
    mr_position_t place, read;

    memset(&place, 0, sizeof(place));
    pos = data;
    end = data + size;

    at = (size_t) fuzz_number(&pos, end);
    place.key.time =
        (int64_t) (fuzz_number(&pos, end) % ((uint64_t) MR_TIMESTAMP_MAX + 1));
    place.kind = MR_POSITION_FRONTIER;

    if (pos < end && *pos++ % 4 != 0) {
        place.kind = MR_POSITION_EVENT;
        place.key.partition = (int32_t) fuzz_number(&pos, end);
        place.key.offset = (int64_t) fuzz_number(&pos, end);
        place.key.epoch = (int64_t) fuzz_number(&pos, end);
        place.key.event_id = fuzz_string(&pos, end, MR_EVENT_ID_MAX);
        place.key.user_id = fuzz_string(&pos, end, MR_USER_ID_MAX);
    }

    fuzz_assert(mr_cursor_write(&buf, FUZZ_DIGEST, &place) == 0);
    token.data = buf.data;
    token.len = buf.len;

    fuzz_assert(mr_cursor_read(token, FUZZ_DIGEST, &read, &memory, &err) == 0);
    fuzz_assert(read.kind == place.kind);
    fuzz_assert(mr_key_cmp(&read.key, &place.key, MR_ORDER_ASC) == 0);
    free(memory);

    fuzz_assert(
        mr_cursor_read(token, FUZZ_DIGEST + 1, &read, &memory, &err) == -1);
    fuzz_altered(&buf, at % buf.len);

    mr_buf_free(&buf);
}


static void
fuzz_altered(mr_buf_t *token, size_t at)
{
    char *memory;
    mr_str_t text;
    mr_error_t err = MR_ERROR_INIT;
    mr_position_t place;

    token->data[at] = token->data[at] == 'A' ? 'B' : 'A';
    text.data = token->data;
    text.len = token->len;

    fuzz_assert(mr_cursor_read(text, FUZZ_DIGEST, &place, &memory, &err) == -1);
    fuzz_assert(err.code == MR_ERROR_ARGUMENT);
}


/* Up to eight bytes, little-endian; what is missing is 0. */
static uint64_t
fuzz_number(const uint8_t **pos, const uint8_t *end)
{
    unsigned i;
    uint64_t value;

    value = 0;

    for (i = 0; i < 8 && *pos < end; i++) {
        value |= (uint64_t) * (*pos)++ << 8 * i;
    }

    return value;
}


/* A byte that says how long it is, and as many as there are of it. */
static mr_str_t
fuzz_string(const uint8_t **pos, const uint8_t *end, size_t max)
{
    size_t len;
    mr_str_t text;

    len = *pos < end ? *(*pos)++ : 0;
    len = len < max ? len : max;
    len = len < (size_t) (end - *pos) ? len : (size_t) (end - *pos);

    text.data = (const char *) *pos;
    text.len = len;
    *pos += len;

    return text;
}
