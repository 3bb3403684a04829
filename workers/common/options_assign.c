#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_load.h"
#include "options_table.h"


#define MR_MEASURE_NAME_MAX 32


typedef struct {
    const char *name;
    const char *why;
} mr_refused_t;


static int mr_options_assign_key(mr_options_loader_t *loader,
    const mr_option_t *option, const char *value, const char *where,
    unsigned line, mr_error_t *err);
static int mr_options_assign_property(mr_options_loader_t *loader,
    const char *key, const char *value, const char *where, mr_error_t *err);
static int mr_options_assign_measure(mr_options_loader_t *loader,
    const char *key, const char *value, const char *where, mr_error_t *err);
static int mr_options_refused(
    const char *key, const char *where, mr_error_t *err);
static int mr_measure_name(const char *name);


/*
 * Properties that the daemons set themselves, because exactly once rests on
 * them.  To pass one through would silently lose to ours or break it.
 */
static const mr_refused_t mr_refused[] = {
    {"acks", "every write waits for all in-sync replicas"},
    {"request.required.acks", "every write waits for all in-sync replicas"},
    {"enable.idempotence", "a retry must not write a record twice"},
    {"enable.gapless.guarantee", "it is set by each daemon"},
    {"transactional.id", "the publisher of statistics sets its own"},
    {"transaction.timeout.ms", "the publisher of statistics sets its own"},
    {"retries", "a write is retried until message.timeout.ms"},
    {"message.send.max.retries", "a write is retried until message.timeout.ms"},
    {"partitioner", "one user's events must stay in one partition"},
    {"delivery.report.only.error", "success must be reported as well"},
    {"group.id", "the writers' group is [writer] group"},
    {"auto.offset.reset", "a gap in the log must stop the writer, not be "
                          "skipped"},
    {"enable.auto.commit", "positions are kept in MongoDB, with the data"},
    {"auto.commit.enable", "positions are kept in MongoDB, with the data"},
    {"enable.auto.offset.store",
        "positions are kept in MongoDB, with the data"},
    {"isolation.level", "aborted records must never be read"},
    {"partition.assignment.strategy", "the writer relies on eager rebalancing"},
    {"group.protocol", "the writer relies on eager rebalancing"},
    {"enable.partition.eof", "the writer needs it to know that it has "
                             "caught up"},
    {"allow.auto.create.topics", "topics are created by millrace-setup"},
    {"test.mock.num.brokers", "brokers that only pretend keep nothing"},
    {"check.crcs", "records are always checked"},
    {"bootstrap.servers", "use [kafka] brokers"},
    {"metadata.broker.list", "use [kafka] brokers"},
    {"client.id", "each daemon sets its own name"},
    {"internal.termination.signal", "a signal would stop the process"},
    {"log.queue", "nobody would read it, and no message be logged"},
    {"statistics.interval.ms", "nobody would read them, and they would take "
                               "more and more memory"},
    {NULL, NULL}};


int
mr_options_assign(mr_options_loader_t *loader, const char *section,
    const char *key, const char *value, const char *where, unsigned line,
    mr_error_t *err)
{
    char keys[256], shown[80];
    const mr_option_t *option;

    if (strcmp(section, "measures") == 0) {
        return mr_options_assign_measure(loader, key, value, where, err);
    }

    option = mr_option_find(section, key);

    if (option != NULL) {
        return mr_options_assign_key(loader, option, value, where, line, err);
    }

    if (strcmp(section, "kafka") == 0) {

        if (mr_options_refused(key, where, err) == -1) {
            return -1;
        }

        /* The one property without a dot that is worth having. */
        if (strchr(key, '.') != NULL || strcmp(key, "debug") == 0) {
            return mr_options_assign_property(loader, key, value, where, err);
        }
    }

    (void) mr_error_excerpt(shown, sizeof(shown), key, strlen(key), 40);
    (void) mr_option_keys(section, keys, sizeof(keys));

    return mr_error_set(err, MR_ERROR_CONFIG, NULL,
        "%s: [%s] has no key \"%s\"; allowed: %s%s", where, section, shown,
        keys,
        strcmp(section, "kafka") == 0
            ? ", and any librdkafka property with a dot in its name"
            : "");
}


static int
mr_options_assign_key(mr_options_loader_t *loader, const mr_option_t *option,
    const char *value, const char *where, unsigned line, mr_error_t *err)
{
    size_t i;
    mr_error_t why;

    i = (size_t) (option - mr_option_table);

    if (!loader->environment && loader->line[i] != 0) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [%s] %s is already set in line %u", where, option->section,
            option->key, loader->line[i]);
    }

    if (mr_option_set(option, value, loader->options, &why) == -1) {
        return mr_error_set(err, why.code, NULL, "%s: [%s] %s: %s", where,
            option->section, option->key, why.message);
    }

    loader->line[i] = line;

    return 0;
}


static int
mr_options_assign_property(mr_options_loader_t *loader, const char *key,
    const char *value, const char *where, mr_error_t *err)
{
    size_t i, n;
    mr_property_t *list, property;
    mr_options_t *options;

    options = loader->options;
    list = options->kafka.properties;
    n = options->kafka.n_properties;

    for (i = 0; i < n; i++) {
        if (strcmp(list[i].name, key) == 0) {
            break;
        }
    }

    if (i < n && !loader->environment) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [kafka] %s is already set at %s", where, key, list[i].where);
    }

    if (i == n) {
        list = realloc(list, (n + 1) * sizeof(mr_property_t));

        if (list == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        options->kafka.properties = list;
    }

    property.name = strdup(key);
    property.value = strdup(value);
    property.where = strdup(where);

    if (property.name == NULL || property.value == NULL
        || property.where == NULL) {
        free(property.name);
        free(property.value);
        free(property.where);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (i == n) {
        options->kafka.n_properties = n + 1;

    } else {
        free(list[i].name);
        free(list[i].value);
        free(list[i].where);
    }

    list[i] = property;

    return 0;
}


static int
mr_options_assign_measure(mr_options_loader_t *loader, const char *key,
    const char *value, const char *where, mr_error_t *err)
{
    char shown[80];
    size_t i, n;
    mr_str_t text;
    mr_error_t why;
    mr_measure_t *list, measure;

    list = loader->options->measures.list;
    n = loader->options->measures.n;

    if (!mr_measure_name(key)) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [measures] \"%s\" is no name for a measure; allowed: a "
            "letter a to z, then up to %d of a to z, 0 to 9 and _",
            where, mr_error_excerpt(shown, sizeof(shown), key, strlen(key), 40),
            MR_MEASURE_NAME_MAX - 1);
    }

    for (i = 0; i < n; i++) {
        if (strcmp(list[i].name, key) == 0) {
            break;
        }
    }

    if (i < n && !loader->environment) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [measures] %s is already set", where, key);
    }

    if (i == MR_MEASURES_MAX) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [measures] has more than %d measures", where, MR_MEASURES_MAX);
    }

    text.data = value;
    text.len = strlen(value);

    if (mr_pointer_compile(text, &measure.pointer, &why) == -1) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [measures] %s: %s; expected a JSON Pointer into the event "
            "such as /metadata/value",
            where, key, why.message);
    }

    measure.name = strdup(key);
    measure.text = strdup(value);

    if (measure.name == NULL || measure.text == NULL) {
        free(measure.name);
        free(measure.text);
        mr_pointer_destroy(measure.pointer);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    if (i == n) {
        loader->options->measures.n = n + 1;

    } else {
        free(list[i].name);
        free(list[i].text);
        mr_pointer_destroy(list[i].pointer);
    }

    list[i] = measure;

    return 0;
}


static int
mr_options_refused(const char *key, const char *where, mr_error_t *err)
{
    const mr_refused_t *refused;

    for (refused = mr_refused; refused->name != NULL; refused++) {
        if (strcmp(refused->name, key) == 0) {
            return mr_error_set(err, MR_ERROR_CONFIG, NULL,
                "%s: [kafka] %s may not be set: %s", where, key, refused->why);
        }
    }

    if (strncmp(key, "topic.", 6) == 0
        && strncmp(key, "topic.metadata.", 15) != 0
        && strncmp(key, "topic.blacklist", 15) != 0)
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%s: [kafka] %s may not be set: librdkafka would take it for the "
            "property without \"topic.\" in front",
            where, key);
    }

    return 0;
}


/* It becomes a field in MongoDB and a value of ?measure=. */
static int
mr_measure_name(const char *name)
{
    size_t len;

    len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return name[0] >= 'a' && name[0] <= 'z' && name[len] == '\0'
           && len <= MR_MEASURE_NAME_MAX;
}
