/* What nginx's module says that Kafka has acknowledged, from a file. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "audit.h"


#define ACKNOWLEDGED_MOST (INT64_C(1) << 53)


static int acknowledged_more(FILE *in);
static int acknowledged_document(mr_audit_t *audit, const char *name,
    json_t *document, int *found, mr_error_t *err);
static int acknowledged_minute(
    mr_audit_t *audit, const char *name, json_t *item, mr_error_t *err);
static int acknowledged_unfit(const char *name, mr_error_t *err);


int
mr_audit_acknowledged(
    mr_audit_t *audit, FILE *in, const char *name, mr_error_t *err)
{
    int rc, found;
    size_t i;
    json_t *document;
    json_error_t error;

    for (i = 0; i < audit->n_minutes; i++) {
        audit->minutes[i].acknowledged = 0;
    }

    audit->acknowledged = 1;
    found = 0;

    while (acknowledged_more(in)) {

        document = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error);
        if (document == NULL) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, NULL, "%s: line %d: %s",
                name, error.line, error.text);
        }

        rc = acknowledged_document(audit, name, document, &found, err);
        json_decref(document);

        if (rc != 0) {
            return -1;
        }
    }

    if (ferror(in)) {
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "%s: %s", name, strerror(errno));
    }

    if (!found) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "%s: nothing in it is about the topic \"%s\"", name,
            audit->options->kafka.topic);
    }

    return 0;
}


/* Whether another document begins, after white space or none. */
static int
acknowledged_more(FILE *in)
{
    int c;

    do {
        c = getc(in);
    } while (c == ' ' || c == '\t' || c == '\r' || c == '\n');

    if (c == EOF) {
        return 0;
    }

    (void) ungetc(c, in);

    return 1;
}


static int
acknowledged_document(mr_audit_t *audit, const char *name, json_t *document,
    int *found, mr_error_t *err)
{
    size_t i, j;
    json_t *topics, *topic, *minutes, *item;
    const char *text;

    topics = json_object_get(document, "topics");
    if (!json_is_array(topics)) {
        return acknowledged_unfit(name, err);
    }

    json_array_foreach(topics, i, topic)
    {
        text = json_string_value(json_object_get(topic, "topic"));
        minutes = json_object_get(topic, "minutes");

        if (text == NULL || !json_is_array(minutes)) {
            return acknowledged_unfit(name, err);
        }

        if (strcmp(text, audit->options->kafka.topic) != 0) {
            continue;
        }

        *found = 1;

        json_array_foreach(minutes, j, item)
        {
            if (acknowledged_minute(audit, name, item, err) != 0) {
                return -1;
            }
        }
    }

    return 0;
}


/* Several nginx add up. */
static int
acknowledged_minute(
    mr_audit_t *audit, const char *name, json_t *item, mr_error_t *err)
{
    json_t *minute, *acknowledged;
    int64_t start, n;

    minute = json_object_get(item, "minute");
    acknowledged = json_object_get(item, "acknowledged");

    if (!json_is_integer(minute) || !json_is_integer(acknowledged)) {
        return acknowledged_unfit(name, err);
    }

    start = json_integer_value(minute);
    n = json_integer_value(acknowledged);

    if (start < 0 || start > INT64_MAX / 1000 || start % 60 != 0 || n < 0
        || n > ACKNOWLEDGED_MOST)
    {
        return acknowledged_unfit(name, err);
    }

    start *= 1000;

    if (start >= audit->from && start < audit->to) {
        audit->minutes[(start - audit->from) / MR_AUDIT_MINUTE].acknowledged +=
            n;
    }

    return 0;
}


static int
acknowledged_unfit(const char *name, mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
        "%s: this is not what millrace_acknowledged answers", name);
}
