/*
 * The one table of all keys: the parser, the environment, the error texts
 * and the documentation are driven by it.  Private to options*.c.
 */
#ifndef MILLRACE_OPTIONS_TABLE_H
#define MILLRACE_OPTIONS_TABLE_H

#include "options.h"


typedef enum {
    MR_OPTION_COUNT,    /* an integer */
    MR_OPTION_DURATION, /* ms */
    MR_OPTION_SIZE,     /* bytes */
    MR_OPTION_ADDRESS,  /* address:port to listen on */
    MR_OPTION_BROKERS,  /* host[:port][,...] */
    MR_OPTION_TOPIC,
    MR_OPTION_GROUP,
    MR_OPTION_DATABASE,
    MR_OPTION_URI /* a secret: never shown */
} mr_option_type_t;


typedef struct {
    const char *section;
    const char *key;
    mr_option_type_t type;
    size_t offset;     /* in mr_options_t: int64_t or char * */
    const char *value; /* the default, as it would be written */
    const char *min;   /* of the numeric types, inclusive */
    const char *max;
    const char *zero; /* what 0 means where it is allowed too */
    const char *help;
} mr_option_t;


/* Ordered by section; ends with a NULL section. */
extern const mr_option_t mr_option_table[];


/* NULL when there is no such key. */
const mr_option_t *mr_option_find(const char *section, const char *key);

/* Whether the table has the section, or it is [measures]. */
int mr_option_section(const char *section);

/* The section's keys, comma-separated, into `buf`; returns buf. */
char *mr_option_keys(const char *section, char *buf, size_t size);

/*
 * Judge `text` and store it in *options (strings are copied, the old one is
 * freed).  The error says what is allowed, without saying where it stands.
 */
int mr_option_set(const mr_option_t *option, const char *text,
    mr_options_t *options, mr_error_t *err);

/* "1m to 256m", "host[:port][,...]": what the option allows. */
char *mr_option_allowed(const mr_option_t *option, char *buf, size_t size);

/* Unit in words for the documentation. */
const char *mr_option_unit(const mr_option_t *option);

#endif /* MILLRACE_OPTIONS_TABLE_H */
