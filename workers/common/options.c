#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options_load.h"
#include "options_table.h"


#define MR_ENV_PREFIX "MILLRACE_"


static int mr_options_defaults(mr_options_t *options, mr_error_t *err);
static int mr_options_default_measure(
    mr_options_loader_t *loader, mr_error_t *err);
static int mr_options_variable(mr_options_loader_t *loader, const char *section,
    const char *name, const char *rest, const char *value, mr_error_t *err);
static int mr_options_cross_check(const mr_options_t *options, mr_error_t *err);


static const char *mr_sections[] = {
    "kafka", "mongodb", "writer", "stats", "query", "measures", NULL};


int
mr_options_load(const char *path, mr_options_t *ret_options, mr_error_t *err)
{
    mr_options_t options;
    mr_options_loader_t loader;

    memset(&options, 0, sizeof(options));
    memset(&loader, 0, sizeof(loader));
    loader.options = &options;

    if (mr_options_defaults(&options, err) == -1
        || (path != NULL && mr_options_read(&loader, path, err) == -1)
        || mr_options_environment(&loader, environ, err) == -1
        || mr_options_default_measure(&loader, err) == -1
        || mr_options_cross_check(&options, err) == -1)
    {
        mr_options_free(&options);
        return -1;
    }

    *ret_options = options;

    return 0;
}


void
mr_options_free(mr_options_t *options)
{
    size_t i;
    const mr_option_t *option;

    for (option = mr_option_table; option->section != NULL; option++) {

        if (option->type == MR_OPTION_COUNT
            || option->type == MR_OPTION_DURATION
            || option->type == MR_OPTION_SIZE)
        {
            continue;
        }

        free(*(char **) ((char *) options + option->offset));
    }

    for (i = 0; i < options->kafka.n_properties; i++) {
        free(options->kafka.properties[i].name);
        free(options->kafka.properties[i].value);
        free(options->kafka.properties[i].where);
    }

    free(options->kafka.properties);

    for (i = 0; i < options->measures.n; i++) {
        free(options->measures.list[i].name);
        free(options->measures.list[i].text);
        mr_pointer_destroy(options->measures.list[i].pointer);
    }

    memset(options, 0, sizeof(*options));
}


void
mr_options_document(void)
{
    char allowed[128];
    const char *section;
    const mr_option_t *option;

    section = "";

    for (option = mr_option_table; option->section != NULL; option++) {

        if (strcmp(section, option->section) != 0) {
            section = option->section;
            printf("%s## [%s]\n\n| key | default | unit | allowed | meaning "
                   "|\n|---|---|---|---|---|\n",
                option == mr_option_table ? "" : "\n", section);
        }

        printf("| `%s` | `%s` | %s | %s | %s |\n", option->key, option->value,
            mr_option_unit(option),
            mr_option_allowed(option, allowed, sizeof(allowed)), option->help);
    }

    printf("\nIn [kafka], every key with a dot in it is a property of "
           "librdkafka and is passed through.\n\n"
           "## [measures]\n\nUp to %d lines `name = /json/pointer`: numbers "
           "inside the event that statistics are\nkept of. The first one is "
           "the default of `GET /stats`. Without any: `value = "
           "/metadata/value`.\n",
        MR_MEASURES_MAX);
}


int
mr_options_environment(
    mr_options_loader_t *loader, char **environment, mr_error_t *err)
{
    char name[128];
    size_t i, j, len, section_len;
    const char *entry, *equals;

    loader->environment = 1;

    for (i = 0; environment[i] != NULL; i++) {

        entry = environment[i];
        equals = strchr(entry, '=');

        if (equals == NULL
            || strncmp(entry, MR_ENV_PREFIX, sizeof(MR_ENV_PREFIX) - 1) != 0)
        {
            continue;
        }

        len = (size_t) (equals - entry);

        if (len >= sizeof(name)) {
            continue;
        }

        memcpy(name, entry, len);
        name[len] = '\0';

        for (j = 0; mr_sections[j] != NULL; j++) {

            section_len = strlen(mr_sections[j]);
            entry = name + sizeof(MR_ENV_PREFIX) - 1;

            if (strncasecmp(entry, mr_sections[j], section_len) != 0
                || entry[section_len] != '_')
            {
                continue;
            }

            if (mr_options_variable(loader, mr_sections[j], name,
                    entry + section_len + 1, equals + 1, err)
                == -1)
            {
                return -1;
            }
        }
    }

    return 0;
}


static int
mr_options_defaults(mr_options_t *options, mr_error_t *err)
{
    const mr_option_t *option;

    for (option = mr_option_table; option->section != NULL; option++) {
        if (mr_option_set(option, option->value, options, err) == -1) {
            return -1;
        }
    }

    return 0;
}


static int
mr_options_default_measure(mr_options_loader_t *loader, mr_error_t *err)
{
    if (loader->options->measures.n > 0) {
        return 0;
    }

    return mr_options_assign(
        loader, "measures", "value", "/metadata/value", "default", 0, err);
}


/*
 * `rest` is the name without prefix and section.  A name that is no key of
 * [kafka] is a property of librdkafka: none of them has an underscore.
 */
static int
mr_options_variable(mr_options_loader_t *loader, const char *section,
    const char *name, const char *rest, const char *value, mr_error_t *err)
{
    char key[128];
    size_t i;

    for (i = 0; rest[i] != '\0'; i++) {
        key[i] = (char) tolower((unsigned char) rest[i]);
    }

    key[i] = '\0';

    if (strcmp(section, "kafka") == 0 && mr_option_find(section, key) == NULL) {
        for (i = 0; key[i] != '\0'; i++) {
            if (key[i] == '_') {
                key[i] = '.';
            }
        }
    }

    return mr_options_assign(loader, section, key, value, name, 0, err);
}


/* What no key can be judged by alone. */
static int
mr_options_cross_check(const mr_options_t *options, mr_error_t *err)
{
    const char *topic, *stats, *dead;

    topic = options->kafka.topic;
    stats = options->kafka.stats_topic;
    dead = options->kafka.dead_topic;

    if (strcmp(topic, stats) == 0 || strcmp(topic, dead) == 0
        || strcmp(stats, dead) == 0)
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] topic, stats_topic and dead_topic must be three "
            "different topics");
    }

    if (options->kafka.min_insync_replicas > options->kafka.replication) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[kafka] min_insync_replicas (%lld) is more than replication "
            "(%lld): no write could ever succeed",
            (long long) options->kafka.min_insync_replicas,
            (long long) options->kafka.replication);
    }

    if (options->stats.keep_second > options->stats.keep_minute) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[stats] keep_second (%lld ms) must be at most keep_minute (%lld "
            "ms): seconds are inside their minutes",
            (long long) options->stats.keep_second,
            (long long) options->stats.keep_minute);
    }

    if (options->stats.lease < 2 * options->stats.interval) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[stats] lease (%lld ms) must be at least twice interval "
            "(%lld ms), or it would run out between two renewals",
            (long long) options->stats.lease,
            (long long) options->stats.interval);
    }

    return 0;
}
