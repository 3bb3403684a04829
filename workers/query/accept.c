#include <string.h>
#include <strings.h>

#include "accept.h"


/* How exactly a media range names a type. */
typedef enum {
    MR_ACCEPT_NONE,
    MR_ACCEPT_ANY, /* * / * */
    MR_ACCEPT_SUBTYPE /* application / * */,
    MR_ACCEPT_EXACT
} mr_accept_match_t;


typedef struct {
    mr_accept_match_t match; /* of the most exact range, and */
    int quality;             /* its thousandths */
} mr_accept_t;


static const char *mr_accept_token(const char *pos, mr_str_t *ret_token);
static const char *mr_accept_quoted(const char *pos);
static const char *mr_accept_space(const char *pos);
static const char *mr_accept_params(const char *pos, int *quality);
static int mr_accept_quality(mr_str_t text);
static mr_accept_match_t mr_accept_match(
    mr_str_t type, mr_str_t subtype, const char *const *names);
static void mr_accept_note(
    mr_accept_t *accept, mr_accept_match_t match, int quality);
static int mr_accept_is(mr_str_t text, const char *word);


static const char *const mr_accept_json[] = {"json", NULL};
static const char *const mr_accept_ndjson[] = {
    "x-ndjson", "ndjson", "jsonl", NULL};


int
mr_accept_lines(const char *accept)
{
    int quality;
    mr_str_t type, subtype;
    const char *pos, *end;
    mr_accept_t json = {MR_ACCEPT_NONE, 0}, lines = {MR_ACCEPT_NONE, 0};

    if (accept == NULL) {
        return 0;
    }

    for (pos = accept; *pos != '\0'; /* void */) {

        if (*pos == ',' || *pos == ' ' || *pos == '\t') {
            pos++;
            continue;
        }

        end = mr_accept_token(pos, &type);

        if (*end == '/') {
            end = mr_accept_token(end + 1, &subtype);
            quality = 1000;
            end = mr_accept_params(end, &quality);

            if (type.len > 0 && subtype.len > 0 && quality >= 0
                && (*end == ',' || *end == '\0'))
            {
                mr_accept_note(&json,
                    mr_accept_match(type, subtype, mr_accept_json), quality);
                mr_accept_note(&lines,
                    mr_accept_match(type, subtype, mr_accept_ndjson), quality);
            }
        }

        /* What is left of a range that cannot be read. */
        while (*end != ',' && *end != '\0') {
            end = *end == '"' ? mr_accept_quoted(end) : end + 1;
        }

        pos = end;
    }

    return lines.quality > json.quality
           || (lines.quality > 0 && lines.quality == json.quality
               && lines.match > json.match);
}


static const char *
mr_accept_token(const char *pos, mr_str_t *ret_token)
{
    ret_token->data = pos;

    while ((*pos >= 'a' && *pos <= 'z') || (*pos >= 'A' && *pos <= 'Z')
           || (*pos >= '0' && *pos <= '9')
           || (*pos != '\0' && strchr("!#$%&'*+-.^_`|~", *pos) != NULL))
    {
        pos++;
    }

    ret_token->len = (size_t) (pos - ret_token->data);

    return pos;
}


/* Behind a quoted string, or at the end of all. */
static const char *
mr_accept_quoted(const char *pos)
{
    for (pos++; *pos != '\0' && *pos != '"'; pos++) {
        if (*pos == '\\' && pos[1] != '\0') {
            pos++;
        }
    }

    return *pos == '"' ? pos + 1 : pos;
}


static const char *
mr_accept_space(const char *pos)
{
    while (*pos == ' ' || *pos == '\t') {
        pos++;
    }

    return pos;
}


/* `*quality` becomes -1 when it is none. */
static const char *
mr_accept_params(const char *pos, int *quality)
{
    mr_str_t name, value;

    for (;;) {
        pos = mr_accept_space(pos);

        if (*pos != ';') {
            return pos;
        }

        pos = mr_accept_token(mr_accept_space(pos + 1), &name);

        if (*pos != '=') {
            continue;
        }

        pos++;

        if (*pos == '"') {
            value.data = pos;
            pos = mr_accept_quoted(pos);
            value.len = (size_t) (pos - value.data);

        } else {
            pos = mr_accept_token(pos, &value);
        }

        if (mr_accept_is(name, "q")) {
            *quality = mr_accept_quality(value);
        }
    }
}


/* 0 to 1 with at most three decimals, in thousandths; or -1. */
static int
mr_accept_quality(mr_str_t text)
{
    int value, place;
    size_t i;

    if (text.len < 1 || text.len > 5
        || (text.data[0] != '0' && text.data[0] != '1')
        || (text.len > 1 && text.data[1] != '.'))
    {
        return -1;
    }

    value = text.data[0] == '1' ? 1000 : 0;
    place = 100;

    for (i = 2; i < text.len; i++) {

        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }

        value += place * (text.data[i] - '0');
        place /= 10;
    }

    return value <= 1000 ? value : -1;
}


static mr_accept_match_t
mr_accept_match(mr_str_t type, mr_str_t subtype, const char *const *names)
{
    if (mr_accept_is(type, "*")) {
        return mr_accept_is(subtype, "*") ? MR_ACCEPT_ANY : MR_ACCEPT_NONE;
    }

    if (!mr_accept_is(type, "application")) {
        return MR_ACCEPT_NONE;
    }

    if (mr_accept_is(subtype, "*")) {
        return MR_ACCEPT_SUBTYPE;
    }

    for (/* void */; *names != NULL; names++) {
        if (mr_accept_is(subtype, *names)) {
            return MR_ACCEPT_EXACT;
        }
    }

    return MR_ACCEPT_NONE;
}


static void
mr_accept_note(mr_accept_t *accept, mr_accept_match_t match, int quality)
{
    if (match == MR_ACCEPT_NONE || match < accept->match) {
        return;
    }

    if (match > accept->match || quality > accept->quality) {
        accept->quality = quality;
    }

    accept->match = match;
}


static int
mr_accept_is(mr_str_t text, const char *word)
{
    return text.len == strlen(word)
           && strncasecmp(text.data, word, text.len) == 0;
}
