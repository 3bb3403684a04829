#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/json.h>

#include "../common/log.h"
#include "reply.h"


/* Seconds after which a client may try again. */
#define MR_RETRY_AFTER 2


typedef struct {
    unsigned status;
    const char *title;
} mr_title_t;


static int mr_reply_member(mr_buf_t *buf, const char *name, const char *value);
static const char *mr_reply_title(unsigned status);


static const mr_title_t mr_reply_titles[] = {
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};


void
mr_reply_free(mr_reply_t *reply)
{
    size_t i;

    for (i = 0; i < reply->n_headers; i++) {
        free(reply->headers[i].value);
    }

    if (reply->flow != NULL) {
        reply->flow->type->close(reply->flow);
    }

    mr_buf_free(&reply->body);
    memset(reply, 0, sizeof(mr_reply_t));
}


int
mr_reply_header(mr_reply_t *reply, const char *name, const char *fmt, ...)
{
    int len;
    char *value;
    va_list args;

    if (reply->n_headers == MR_REPLY_HEADERS) {
        return -1;
    }

    va_start(args, fmt);
    len = vasprintf(&value, fmt, args);
    va_end(args);

    if (len == -1) {
        return -1;
    }

    reply->headers[reply->n_headers].name = name;
    reply->headers[reply->n_headers].value = value;
    reply->n_headers++;

    return 0;
}


void
mr_reply_problem(mr_reply_t *reply, unsigned status, const char *parameter,
    const char *fmt, ...)
{
    int len;
    char detail[MR_ERROR_MESSAGE_SIZE * 2];
    mr_buf_t *body;
    va_list args;

    mr_reply_free(reply);

    reply->status = status;
    reply->type = MR_TYPE_PROBLEM;

    va_start(args, fmt);
    len = vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);

    if (len < 0) {
        detail[0] = '\0';
    }

    if (status == 503) {
        (void) mr_reply_header(reply, "Retry-After", "%d", MR_RETRY_AFTER);
    }

    (void) mr_reply_header(reply, "Cache-Control", "no-store");

    body = &reply->body;

    if (mr_buf_printf(body, "{\"type\":\"about:blank\"") == -1
        || mr_reply_member(body, "title", mr_reply_title(status)) == -1
        || mr_buf_printf(body, ",\"status\":%u", status) == -1
        || mr_reply_member(body, "detail", detail) == -1
        || (parameter != NULL
            && mr_reply_member(body, "parameter", parameter) == -1)
        || mr_buf_append(body, "}\n", 2) == -1)
    {
        mr_buf_free(body);
        reply->type = NULL;
    }
}


void
mr_reply_extend(mr_reply_t *reply, const char *name, const char *value)
{
    size_t len;
    mr_buf_t *body;

    body = &reply->body;
    len = body->len;

    if (len < 2) {
        return;
    }

    /* Before the last brace and newline. */
    body->len -= 2;

    if (mr_reply_member(body, name, value) == -1
        || mr_buf_append(body, "}\n", 2) == -1)
    {
        body->len = len;
        memcpy(body->data + len - 2, "}\n", 2);
    }
}


void
mr_reply_error(mr_reply_t *reply, const mr_error_t *err)
{
    switch (err->code) {

    case MR_ERROR_ARGUMENT:
        mr_reply_problem(reply, 400, err->field, "%s", err->message);
        return;

    case MR_ERROR_TIMEOUT:
        mr_reply_problem(reply, 503, NULL,
            "the answer was not ready in time: %s; narrow the range or the "
            "filters, or try again",
            err->message);
        return;

    case MR_ERROR_MONGODB:
        /* The message may name hosts, which is for the log alone. */
        mr_log_warn("%s", err->message);
        mr_reply_problem(
            reply, 503, NULL, "MongoDB is away or did not answer; try again");
        return;

    case MR_ERROR_MEMORY:
        mr_reply_problem(reply, 503, NULL, "out of memory; try again");
        return;

    default:
        mr_log_error("%s", err->message);
        mr_reply_problem(reply, 500, NULL, "%s", err->message);
        return;
    }
}


static int
mr_reply_member(mr_buf_t *buf, const char *name, const char *value)
{
    mr_str_t text;

    text.data = value;
    text.len = strlen(value);

    if (mr_buf_printf(buf, ",\"%s\":", name) == -1) {
        return -1;
    }

    return mr_json_string(buf, text);
}


static const char *
mr_reply_title(unsigned status)
{
    size_t i;

    for (i = 0; i < sizeof(mr_reply_titles) / sizeof(mr_reply_titles[0]); i++) {
        if (mr_reply_titles[i].status == status) {
            return mr_reply_titles[i].title;
        }
    }

    return "Error";
}
