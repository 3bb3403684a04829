#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "stream_message.h"


#define MR_STREAM_DEPTH 16


typedef struct {
    mr_buf_t *buf;
    const char *p;
    const char *end;
    int depth;
} mr_stream_cut_t;


static int mr_stream_window(
    const mr_options_t *options, mr_str_t value, mr_stream_message_t *message);
static int mr_stream_cut_value(mr_stream_cut_t *cut);
static int mr_stream_cut_members(mr_stream_cut_t *cut);
static int mr_stream_cut_token(mr_stream_cut_t *cut);
static mr_str_t mr_stream_cut_string(mr_stream_cut_t *cut);
static void mr_stream_cut_space(mr_stream_cut_t *cut);


mr_stream_message_t *
mr_stream_message_create(const mr_options_t *options, mr_str_t value,
    mr_str_t id, int *ret_malformed)
{
    int malformed;
    mr_buf_t text = MR_BUF_INIT;
    mr_stream_message_t about, *message;

    memset(&about, 0, sizeof(about));
    message = NULL;
    malformed = mr_stream_window(options, value, &about) != 0;

    if (!malformed && mr_buf_printf(&text, "event: window\ndata: ") == 0
        && mr_stream_cut(&text, value) == 0
        && mr_buf_printf(&text, "\nid: ") == 0
        && mr_buf_append(&text, id.data, id.len) == 0
        && mr_buf_append(&text, "\n\n", 2) == 0)
    {
        message = malloc(sizeof(mr_stream_message_t) + text.len);
    }

    if (message != NULL) {
        memcpy(message, &about, sizeof(about));
        atomic_init(&message->refs, 1);
        message->len = text.len;
        memcpy(message->text, text.data, text.len);
    }

    mr_buf_free(&text);
    *ret_malformed = malformed;

    return message;
}


void
mr_stream_message_ref(mr_stream_message_t *message)
{
    atomic_fetch_add(&message->refs, 1);
}


void
mr_stream_message_unref(mr_stream_message_t *message)
{
    if (message != NULL && atomic_fetch_sub(&message->refs, 1) == 1) {
        free(message);
    }
}


int
mr_stream_cut(mr_buf_t *buf, mr_str_t json)
{
    mr_stream_cut_t cut;

    cut.buf = buf;
    cut.p = json.data;
    cut.end = json.data + json.len;
    cut.depth = 0;

    return mr_stream_cut_value(&cut);
}


/* Anybody may write to the topic: what is no window is left out. */
static int
mr_stream_window(
    const mr_options_t *options, mr_str_t value, mr_stream_message_t *message)
{
    int found;
    size_t i;
    json_t *root, *type, *width, *measures;
    mr_str_t text;
    mr_width_t w;

    root = json_loadb(value.data, value.len, JSON_REJECT_DUPLICATES, NULL);

    type = json_object_get(root, "event_type");
    width = json_object_get(root, "width");
    measures = json_object_get(root, "measures");
    found = 0;

    if (json_is_string(type) && json_is_string(width)
        && json_is_integer(json_object_get(root, "start"))
        && json_is_integer(json_object_get(root, "count")))
    {
        for (w = MR_WIDTH_SECOND; w < MR_WIDTHS; w++) {
            if (strcmp(mr_width_name(w), json_string_value(width)) == 0) {
                message->width = w;
                found = 1;
            }
        }

        text.data = json_string_value(type);
        text.len = json_string_length(type);
        message->event_type = mr_hash(text);

        for (i = 0; i < options->measures.n; i++) {
            if (json_object_get(measures, options->measures.list[i].name)
                != NULL) {
                message->measures |= UINT32_C(1) << i;
            }
        }
    }

    json_decref(root);

    return found ? 0 : -1;
}


static int
mr_stream_cut_value(mr_stream_cut_t *cut)
{
    int rc;
    char open;

    mr_stream_cut_space(cut);

    open = cut->p < cut->end ? *cut->p : '\0';

    if (open != '{' && open != '[') {
        return mr_stream_cut_token(cut);
    }

    if (cut->depth == MR_STREAM_DEPTH
        || mr_buf_append(cut->buf, cut->p++, 1) == -1) {
        return -1;
    }

    cut->depth++;
    rc = mr_stream_cut_members(cut);
    cut->depth--;

    return rc;
}


/* Up to and with the bracket that closes what was opened. */
static int
mr_stream_cut_members(mr_stream_cut_t *cut)
{
    char close;
    size_t len, kept;
    mr_str_t name;

    /* What opened it was appended last. */
    close = cut->buf->data[cut->buf->len - 1] == '{' ? '}' : ']';
    kept = 0;

    for (;;) {
        mr_stream_cut_space(cut);

        if (cut->p >= cut->end) {
            return -1;
        }

        if (*cut->p == close) {
            return mr_buf_append(cut->buf, cut->p++, 1);
        }

        if (*cut->p == ',') {
            cut->p++;
            continue;
        }

        len = cut->buf->len;

        if (kept > 0 && mr_buf_append(cut->buf, ",", 1) == -1) {
            return -1;
        }

        name.len = 0;

        if (close == '}') {
            name = mr_stream_cut_string(cut);
            mr_stream_cut_space(cut);

            if (cut->p >= cut->end || *cut->p++ != ':'
                || mr_buf_append(cut->buf, name.data, name.len) == -1
                || mr_buf_append(cut->buf, ":", 1) == -1)
            {
                return -1;
            }
        }

        if (mr_stream_cut_value(cut) == -1) {
            return -1;
        }

        if (name.len > 0 && mr_str_eq(name, mr_str("\"sketches\""))) {
            cut->buf->len = len;

        } else {
            kept++;
        }
    }
}


static int
mr_stream_cut_token(mr_stream_cut_t *cut)
{
    const char *start;
    mr_str_t text;

    if (cut->p < cut->end && *cut->p == '"') {
        text = mr_stream_cut_string(cut);
        return mr_buf_append(cut->buf, text.data, text.len);
    }

    start = cut->p;

    while (cut->p < cut->end && strchr(",]} \t\r\n", *cut->p) == NULL) {
        cut->p++;
    }

    if (cut->p == start) {
        return -1;
    }

    return mr_buf_append(cut->buf, start, (size_t) (cut->p - start));
}


/* With its quotes. */
static mr_str_t
mr_stream_cut_string(mr_stream_cut_t *cut)
{
    mr_str_t text;

    text.data = cut->p;

    for (cut->p++; cut->p < cut->end && *cut->p != '"'; cut->p++) {
        if (*cut->p == '\\') {
            cut->p++;
        }
    }

    cut->p = cut->p < cut->end ? cut->p + 1 : cut->end;
    text.len = (size_t) (cut->p - text.data);

    return text;
}


static void
mr_stream_cut_space(mr_stream_cut_t *cut)
{
    while (cut->p < cut->end && strchr(" \t\r\n", *cut->p) != NULL
           && *cut->p != '\0')
    {
        cut->p++;
    }
}
