/*
 * Loading: where each value came from, and the way from a (section, key,
 * value) to its place in mr_options_t.  Private to options*.c.
 */
#ifndef MILLRACE_OPTIONS_LOAD_H
#define MILLRACE_OPTIONS_LOAD_H

#include "options.h"


#define MR_OPTIONS_MAX 64 /* keys in the table at most */


typedef struct {
    mr_options_t *options;
    unsigned line[MR_OPTIONS_MAX]; /* of each key in the file, or 0 */
    int environment;               /* overriding is allowed */
} mr_options_loader_t;


/*
 * Set one key, property or measure.  `where` is what an error begins with:
 * "file:line" or the environment variable's name; `line` is 0 for the
 * latter.  All strings are copied.  Fails with MR_ERROR_CONFIG.
 */
int mr_options_assign(mr_options_loader_t *loader, const char *section,
    const char *key, const char *value, const char *where, unsigned line,
    mr_error_t *err);

/* Read an INI file into the options. */
int mr_options_read(
    mr_options_loader_t *loader, const char *path, mr_error_t *err);

/* Apply MILLRACE_<SECTION>_<KEY>. */
int mr_options_environment(
    mr_options_loader_t *loader, char **environment, mr_error_t *err);

#endif /* MILLRACE_OPTIONS_LOAD_H */
