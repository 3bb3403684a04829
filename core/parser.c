/* The parser's memory, and yyjson over it. */
#include <stdint.h>
#include <stdlib.h>

#include "parser.h"


#define MR_PARSER_MIN (16 * 1024)

/* What yyjson's pool allocator itself takes, generously. */
#define MR_PARSER_POOL_SLACK 1024


static int mr_parser_reserve(mr_parser_t *parser, size_t len);
static void mr_parser_syntax(mr_str_t text, size_t base, const char *what,
    const yyjson_read_err *error, mr_error_t *err);


mr_parser_t *
mr_parser_create(void)
{
    mr_parser_t *parser;

    parser = calloc(1, sizeof(mr_parser_t));
    if (parser == NULL) {
        return NULL;
    }

    parser->pool = malloc(MR_PARSER_MIN);
    if (parser->pool == NULL) {
        free(parser);
        return NULL;
    }

    parser->pool_size = MR_PARSER_MIN;
    parser->event_id = mr_str("");

    return parser;
}


void
mr_parser_destroy(mr_parser_t *parser)
{
    if (parser == NULL) {
        return;
    }

    free(parser->pool);
    free(parser->keys);
    free(parser);
}


mr_str_t
mr_parser_event_id(const mr_parser_t *parser)
{
    return parser->event_id;
}


/* Make room for a text of `len` bytes. */

static int
mr_parser_reserve(mr_parser_t *parser, size_t len)
{
    char *pool;
    size_t need, size, max;

    need = yyjson_read_max_memory_usage(len, 0) + MR_PARSER_POOL_SLACK;

    if (need <= parser->pool_size) {
        return 0;
    }

    max = yyjson_read_max_memory_usage(MR_EVENT_SIZE_MAX, 0)
          + MR_PARSER_POOL_SLACK;
    size = parser->pool_size;

    while (size < need) {
        size *= 2;
    }

    if (size > max) {
        size = max;
    }

    /* The text parsed last is gone, so nothing is copied. */

    pool = malloc(size);
    if (pool == NULL) {
        return -1;
    }

    free(parser->pool);
    parser->pool = pool;
    parser->pool_size = size;

    return 0;
}


yyjson_val *
mr_parser_read(mr_parser_t *parser, mr_str_t text, size_t base,
    const char *what, mr_error_t *err)
{
    yyjson_alc alc;
    yyjson_doc *doc;
    yyjson_read_err error;

    if (mr_parser_reserve(parser, text.len) != 0
        || !yyjson_alc_pool_init(&alc, parser->pool, parser->pool_size))
    {
        (void) mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        return NULL;
    }

    /*
     * Without YYJSON_READ_INSITU the text is copied and not written to; the
     * cast is for the sake of that flag.  Numbers that neither an integer
     * nor a double can hold come back as they were written.
     */

    doc = yyjson_read_opts((char *) (uintptr_t) text.data, text.len,
        YYJSON_READ_BIGNUM_AS_RAW, &alc, &error);

    if (doc == NULL) {
        mr_parser_syntax(text, base, what, &error, err);
        return NULL;
    }

    return yyjson_doc_get_root(doc);
}


static void
mr_parser_syntax(mr_str_t text, size_t base, const char *what,
    const yyjson_read_err *error, mr_error_t *err)
{
    char excerpt[MR_EXCERPT_BUF];
    size_t pos;

    if (error->code == YYJSON_READ_ERROR_INVALID_PARAMETER
        || error->code == YYJSON_READ_ERROR_EMPTY_CONTENT)
    {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "the %s is empty; send a JSON object", what);
        return;
    }

    /*
     * The pool has room for every text that is JSON, so one that exhausts
     * it is not: it opens arrays or objects and does not close them.
     */

    if (error->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "not valid JSON: the %s ends inside deeply nested arrays or "
            "objects",
            what);
        return;
    }

    pos = error->pos;

    if (pos >= text.len) {
        (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
            "not valid JSON: the value that begins at byte %zu of the %s is "
            "incomplete",
            base + 1, what);
        return;
    }

    (void) mr_error_set(err, MR_ERROR_SYNTAX, NULL,
        "not valid JSON at byte %zu of the %s, near \"%s\": %s", base + pos + 1,
        what,
        mr_error_excerpt(excerpt, sizeof(excerpt), text.data + pos,
            text.len - pos, MR_EXCERPT / 2),
        error->msg);
}
