#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_load.h"
#include "options_table.h"


#define MR_LINE_MAX 8192 /* bytes, where inih lets us choose */


typedef struct {
    mr_options_loader_t *loader;
    FILE *file;
    const char *path;
    char *line; /* of getline() */
    size_t size;
    unsigned number; /* of the line read last, from 1 */
    unsigned failed; /* the line of *err, or 0 */
    mr_error_t *err;
} mr_reader_t;


static char *mr_options_line(char *buf, int size, void *stream);
static int mr_options_section(mr_reader_t *reader, const char *line);
static int mr_options_pair(
    void *user, const char *section, const char *key, const char *value);
static void mr_options_where(
    const mr_reader_t *reader, unsigned line, char *buf, size_t size);


/*
 * Debian's inih has its limits as variables, upstream's as constants of its
 * own build: weak, so that either links.  Whatever the limit is, a longer
 * line is an error here and never cut.
 */
extern int ini_max_line __attribute__((weak));
extern bool ini_use_stack __attribute__((weak));


int
mr_options_read(mr_options_loader_t *loader, const char *path, mr_error_t *err)
{
    int rc;
    char where[128];
    mr_reader_t reader;

    memset(&reader, 0, sizeof(reader));
    reader.loader = loader;
    reader.path = path;
    reader.err = err;
    reader.file = fopen(path, "re");

    if (reader.file == NULL) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL, "cannot open %s: %s",
            path, strerror(errno));
    }

    if (&ini_max_line != NULL && &ini_use_stack != NULL) {
        ini_use_stack = true;
        ini_max_line = MR_LINE_MAX;
    }

    errno = 0;
    rc = ini_parse_stream(mr_options_line, &reader, mr_options_pair, &reader);

    if (ferror(reader.file)) {
        rc = mr_error_set(err, MR_ERROR_CONFIG, NULL, "cannot read %s: %s",
            path, strerror(errno));

    } else if (rc > 0 && (reader.failed == 0 || (unsigned) rc < reader.failed))
    {
        mr_options_where(&reader, (unsigned) rc, where, sizeof(where));
        rc = mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: expected [section], key = value, or a comment that begins "
            "with # or ;",
            where);

    } else if (reader.failed != 0) {
        rc = -1;

    } else if (rc != 0) {
        rc = mr_error_set(
            err, MR_ERROR_MEMORY, NULL, "cannot read %s: out of memory", path);
    }

    free(reader.line);
    (void) fclose(reader.file);

    return rc;
}


/*
 * inih asks for lines like this, as from fgets().  Indentation is removed:
 * inih would take an indented line for more of the value above it.
 */
static char *
mr_options_line(char *buf, int size, void *stream)
{
    char *start, where[128];
    size_t len;
    ssize_t n;
    mr_reader_t *reader;

    reader = stream;

    if (reader->failed != 0) {
        return NULL;
    }

    n = getline(&reader->line, &reader->size, reader->file);

    if (n == -1) {
        return NULL;
    }

    reader->number++;

    len = (size_t) n;
    start = reader->line;
    mr_options_where(reader, reader->number, where, sizeof(where));

    if (memchr(start, '\0', len) != NULL) {
        (void) mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
            "%s: a NUL byte; expected plain text in UTF-8", where);
        reader->failed = reader->number;
        return NULL;
    }

    if (reader->number == 1 && len >= 3
        && memcmp(start, "\xef\xbb\xbf", 3) == 0) {
        start += 3;
        len -= 3;
    }

    while (len > 0 && isspace((unsigned char) start[len - 1])) {
        len--;
    }

    start[len] = '\0';

    while (isspace((unsigned char) *start)) {
        start++;
        len--;
    }

    /* Room for '\n' and NUL. */
    if (len + 2 > (size_t) size) {
        (void) mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
            "%s: a line of %zu bytes; at most %d are allowed (a longer "
            "value fits into the environment: MILLRACE_<SECTION>_<KEY>)",
            where, len, size - 2);
        reader->failed = reader->number;
        return NULL;
    }

    if (start[0] == '[' && mr_options_section(reader, start) == -1) {
        reader->failed = reader->number;
        return NULL;
    }

    memcpy(buf, start, len);
    buf[len] = '\n';
    buf[len + 1] = '\0';

    return buf;
}


/* inih would not mind text after the bracket, nor a section without a key. */
static int
mr_options_section(mr_reader_t *reader, const char *line)
{
    char name[32], shown[80], where[128];
    size_t len;
    const char *end;

    mr_options_where(reader, reader->number, where, sizeof(where));

    end = strchr(line, ']');

    if (end == NULL) {
        return mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
            "%s: a section without its closing ]", where);
    }

    len = (size_t) (end - line) - 1;

    for (end++; *end == ' ' || *end == '\t'; end++) {
        /* void */
    }

    if (*end != '\0' && *end != ';' && *end != '#') {
        return mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
            "%s: nothing but a comment may follow a section's ]", where);
    }

    if (len < sizeof(name)) {

        memcpy(name, line + 1, len);
        name[len] = '\0';

        if (mr_option_section(name)) {
            return 0;
        }
    }

    return mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
        "%s: unknown section [%s]; allowed: [kafka], [mongodb], [writer], "
        "[stats], [query], [measures]",
        where, mr_error_excerpt(shown, sizeof(shown), line + 1, len, 40));
}


static int
mr_options_pair(
    void *user, const char *section, const char *key, const char *value)
{
    int rc;
    char where[128];
    mr_reader_t *reader;

    reader = user;

    if (reader->failed != 0) {
        return 0;
    }

    mr_options_where(reader, reader->number, where, sizeof(where));

    if (section[0] == '\0') {
        rc = mr_error_set(reader->err, MR_ERROR_CONFIG, NULL,
            "%s: a key before the first section; allowed: [kafka], "
            "[mongodb], [writer], [stats], [query], [measures]",
            where);

    } else {
        rc = mr_options_assign(reader->loader, section, key, value, where,
            reader->number, reader->err);
    }

    if (rc == -1) {
        reader->failed = reader->number;
        return 0;
    }

    return 1;
}


/* "file:line"; of a long path the end, which says most. */
static void
mr_options_where(
    const mr_reader_t *reader, unsigned line, char *buf, size_t size)
{
    size_t len;
    const char *path;

    path = reader->path;
    len = strlen(path);

    if (len > 80) {
        (void) snprintf(buf, size, "...%s:%u", path + len - 77, line);

    } else {
        (void) snprintf(buf, size, "%s:%u", path, line);
    }
}
