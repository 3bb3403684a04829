/*
 * A body.  The first byte of the input chooses the format.  The slices must
 * tile the body but for separators, each must judge alone as it did in the
 * batch, and a JSON body must be whole exactly where yyjson alone says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include <millrace/batch.h>


#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mr_batch_status_t fuzz_read(
    mr_format_t format, mr_str_t body, size_t *ret_items);
static void fuzz_alone(mr_parser_t *parser, mr_batch_status_t status,
    mr_str_t slice, const mr_event_t *event, const mr_error_t *err);
static void fuzz_gap(mr_format_t format, const char *pos, const char *end);
static void fuzz_json(mr_str_t body, mr_batch_status_t status, size_t items);
static size_t fuzz_lines(mr_str_t body);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t items;
    mr_str_t body;
    mr_format_t format;
    mr_batch_status_t status;

    if (size == 0) {
        return 0;
    }

    /* A media type is as good a use of a body's bytes as any. */

    body.data = (const char *) data;
    body.len = size;
    (void) mr_format_find(body, &format);

    format = (data[0] & 1) ? MR_FORMAT_NDJSON : MR_FORMAT_JSON;
    body.data++;
    body.len--;

    status = fuzz_read(format, body, &items);

    if (format == MR_FORMAT_JSON) {
        fuzz_json(body, status, items);

    } else {
        fuzz_assert(items == fuzz_lines(body));
        fuzz_assert(status == (items > 0 ? MR_BATCH_DONE : MR_BATCH_BROKEN));
    }

    return 0;
}


static mr_batch_status_t
fuzz_read(mr_format_t format, mr_str_t body, size_t *ret_items)
{
    size_t items;
    mr_str_t slice;
    mr_batch_t batch;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT;
    mr_parser_t *parser, *alone;
    const char *end;
    mr_batch_status_t status;

    parser = mr_parser_create();
    alone = mr_parser_create();
    fuzz_assert(parser != NULL && alone != NULL);

    mr_batch_init(&batch, format, body);
    end = body.data;

    for (items = 0;; items++) {
        status = mr_batch_next(&batch, parser, &slice, &event, &err);

        if (status == MR_BATCH_DONE || status == MR_BATCH_BROKEN) {
            break;
        }

        fuzz_assert(batch.index == items);
        fuzz_assert(slice.data >= end && slice.len > 0);
        fuzz_assert(slice.len <= body.len);
        fuzz_gap(format, end, slice.data);

        end = slice.data + slice.len;
        fuzz_assert(end <= body.data + body.len);

        fuzz_alone(alone, status, slice, &event, &err);
    }

    if (status == MR_BATCH_DONE) {
        fuzz_gap(format, end, body.data + body.len);

    } else {
        fuzz_assert(err.code == MR_ERROR_SYNTAX && err.message[0] != '\0');
    }

    fuzz_assert(mr_batch_next(&batch, parser, &slice, &event, &err) == status);

    mr_parser_destroy(parser);
    mr_parser_destroy(alone);

    *ret_items = items;

    return status;
}


static void
fuzz_alone(mr_parser_t *parser, mr_batch_status_t status, mr_str_t slice,
    const mr_event_t *event, const mr_error_t *err)
{
    int rc;
    mr_event_t second;
    mr_error_t error = MR_ERROR_INIT;

    rc = mr_event_parse(parser, slice, &second, &error);
    fuzz_assert(rc == (status == MR_BATCH_EVENT ? 0 : -1));

    if (rc == 0) {
        fuzz_assert(mr_str_eq(event->event_id, second.event_id));
        fuzz_assert(mr_str_eq(event->user_id, second.user_id));
        fuzz_assert(mr_str_eq(event->event_type, second.event_type));
        fuzz_assert(event->timestamp == second.timestamp);
        return;
    }

    fuzz_assert(err->code == error.code && err->field == error.field);
}


/* Between two slices stand separators and nothing else. */

static void
fuzz_gap(mr_format_t format, const char *pos, const char *end)
{
    for (/* void */; pos < end; pos++) {
        fuzz_assert(memchr(format == MR_FORMAT_JSON ? " \t\r\n[,]" : " \t\r\n",
                        *pos, format == MR_FORMAT_JSON ? 7 : 4)
                    != NULL);
    }
}


static void
fuzz_json(mr_str_t body, mr_batch_status_t status, size_t items)
{
    char *copy;
    size_t expect;
    yyjson_doc *doc;
    yyjson_val *root;

    copy = malloc(body.len + 1);
    fuzz_assert(copy != NULL);
    memcpy(copy, body.data, body.len);

    doc =
        yyjson_read_opts(copy, body.len, YYJSON_READ_BIGNUM_AS_RAW, NULL, NULL);
    root = yyjson_doc_get_root(doc);
    expect = yyjson_is_arr(root) ? yyjson_arr_size(root) : yyjson_is_obj(root);

    fuzz_assert((status == MR_BATCH_DONE) == (expect > 0));

    if (status == MR_BATCH_DONE) {
        fuzz_assert(items == expect);
    }

    yyjson_doc_free(doc);
    free(copy);
}


/* Lines that are not empty. */

static size_t
fuzz_lines(mr_str_t body)
{
    int empty;
    size_t i, n;

    n = 0;
    empty = 1;

    for (i = 0; i < body.len; i++) {
        if (body.data[i] == '\n') {
            empty = 1;

        } else if (empty && memchr(" \t\r", body.data[i], 3) == NULL) {
            empty = 0;
            n++;
        }
    }

    return n;
}
