/*
 * One event.  What is accepted must survive being written by visitor and
 * JSON writer and parsed again, and must be what yyjson alone reads of it;
 * what is refused as no JSON must be refused by yyjson alone as well.
 */
#include <stdio.h>
#include <stdlib.h>

#include <millrace/hash.h>
#include <millrace/utf8.h>

#include "rewrite.h"


/* Beyond so many members the pairwise search for repeated keys is skipped. */
#define FUZZ_PAIRWISE 500

#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_accepted(const mr_event_t *event, yyjson_val *root);
static void fuzz_unique(yyjson_val *value, int depth);
static void fuzz_refused(const mr_error_t *err, yyjson_doc *doc);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int rc;
    char *copy;
    mr_str_t text;
    mr_event_t event;
    mr_error_t err = MR_ERROR_INIT, again = MR_ERROR_INIT;
    yyjson_doc *doc;
    mr_parser_t *parser;

    static const mr_policy_t policy = {100, 1000};

    parser = mr_parser_create();
    fuzz_assert(parser != NULL);

    text.data = (const char *) data;
    text.len = size;

    copy = malloc(size + 1);
    fuzz_assert(copy != NULL);

    if (size > 0) {
        memcpy(copy, data, size);
    }

    doc = yyjson_read_opts(copy, size, YYJSON_READ_BIGNUM_AS_RAW, NULL, NULL);

    rc = mr_event_parse(parser, text, &event, &err);

    if (rc == 0) {
        fuzz_assert(doc != NULL);
        fuzz_accepted(&event, yyjson_doc_get_root(doc));
        fuzz_assert(mr_str_eq(mr_parser_event_id(parser), event.event_id));
        (void) mr_event_admit(&event, size, &policy, event.timestamp, NULL);

    } else {
        fuzz_refused(&err, doc);

        /* The same again, from memory that has been used. */

        fuzz_assert(mr_event_parse(parser, text, &event, &again) == -1);
        fuzz_assert(err.code == again.code && err.field == again.field);
        fuzz_assert(strcmp(err.message, again.message) == 0);
    }

    yyjson_doc_free(doc);
    free(copy);
    mr_parser_destroy(parser);

    return 0;
}


static void
fuzz_accepted(const mr_event_t *event, yyjson_val *root)
{
    mr_str_t text;
    mr_buf_t buf = MR_BUF_INIT, members = MR_BUF_INIT;
    mr_event_t second;
    mr_error_t err = MR_ERROR_INIT;
    yyjson_doc *doc;
    yyjson_val *metadata;
    mr_parser_t *parser;

    fuzz_assert(yyjson_is_obj(root));
    fuzz_assert(yyjson_obj_size(root) == (event->metadata ? 5 : 4));
    fuzz_assert(event->timestamp >= 0);
    fuzz_assert(event->timestamp <= MR_TIMESTAMP_MAX);

    fuzz_unique(root, 0);

    fuzz_assert(mr_rewrite_event(&buf, event) == 0);

    parser = mr_parser_create();
    fuzz_assert(parser != NULL);

    text.data = buf.data;
    text.len = buf.len;

    /* Only a text near the limit can grow beyond it. */

    if (text.len <= MR_EVENT_SIZE_MAX) {
        fuzz_assert(mr_event_parse(parser, text, &second, &err) == 0);
        fuzz_assert(mr_str_eq(event->event_id, second.event_id));
        fuzz_assert(mr_str_eq(event->user_id, second.user_id));
        fuzz_assert(mr_str_eq(event->event_type, second.event_type));
        fuzz_assert(event->timestamp == second.timestamp);
        fuzz_assert((event->metadata == NULL) == (second.metadata == NULL));
    }

    metadata = yyjson_obj_get(root, "metadata");

    if (metadata != NULL) {
        fuzz_assert(mr_rewrite_object(&members, event->metadata) == 0);

        doc = yyjson_read(members.data, members.len, 0);
        fuzz_assert(doc != NULL);
        fuzz_assert(mr_rewrite_same(metadata, yyjson_doc_get_root(doc)));
        yyjson_doc_free(doc);
    }

    mr_parser_destroy(parser);
    mr_buf_free(&buf);
    mr_buf_free(&members);
}


/* What the format promises of every level; the metadata object is level 1. */

static void
fuzz_unique(yyjson_val *value, int depth)
{
    size_t i, j, n;
    yyjson_val *child, *key, *keys[FUZZ_PAIRWISE];

    fuzz_assert(!yyjson_is_raw(value));
    fuzz_assert(!yyjson_is_uint(value) || yyjson_get_uint(value) <= INT64_MAX);

    if (!yyjson_is_ctn(value)) {
        return;
    }

    fuzz_assert(depth <= MR_METADATA_DEPTH);

    n = yyjson_get_len(value);
    child = unsafe_yyjson_get_first(value);

    for (i = 0; i < n; i++) {
        if (yyjson_is_obj(value)) {
            key = child++;
            fuzz_assert(
                memchr(yyjson_get_str(key), 0, yyjson_get_len(key)) == NULL);

            for (j = 0; j < i && n <= FUZZ_PAIRWISE; j++) {
                fuzz_assert(yyjson_get_len(keys[j]) != yyjson_get_len(key)
                            || memcmp(yyjson_get_str(keys[j]),
                                   yyjson_get_str(key), yyjson_get_len(key))
                                   != 0);
            }

            if (n <= FUZZ_PAIRWISE) {
                keys[i] = key;
            }
        }

        fuzz_unique(child, depth + 1);
        child = unsafe_yyjson_get_next(child);
    }
}


static void
fuzz_refused(const mr_error_t *err, yyjson_doc *doc)
{
    size_t i, n, len;

    fuzz_assert(err->code == MR_ERROR_SYNTAX || err->code == MR_ERROR_EVENT);
    fuzz_assert((err->code == MR_ERROR_SYNTAX) == (doc == NULL));

    /* A message is text that can be shown and put into JSON as it is. */

    len = strnlen(err->message, sizeof(err->message));
    fuzz_assert(len > 0 && len < sizeof(err->message));

    for (i = 0; i < len; i += n) {
        n = mr_utf8_len(err->message + i, len - i);
        fuzz_assert(n > 0);
        fuzz_assert(!mr_utf8_control(err->message + i, n));
    }
}
