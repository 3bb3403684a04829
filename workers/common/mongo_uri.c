#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mongo_uri.h"


#define MR_MONGO_SELECTION 3000 /* ms that a primary is looked for */
#define MR_MONGO_OPTION_MAX 48  /* longer than the name of any option */


/* The first thing that the library would pass over. */
typedef struct {
    const char *wrong; /* NULL: there is none */
    char option[MR_MONGO_OPTION_MAX];
} mr_mongo_ignored_t;


static void mr_mongo_uri_heard(mongoc_log_level_t level, const char *domain,
    const char *message, void *data);
static void mr_mongo_uri_option(const char *message, char *option, size_t size);
static int mr_mongo_uri_secret(const char *uri);
static int mr_mongo_uri_check(const mongoc_uri_t *uri, mr_error_t *err);
static int mr_mongo_uri_mechanism(const mongoc_uri_t *uri, mr_error_t *err);
static int mr_mongo_uri_file(
    const mongoc_uri_t *uri, const char *option, mr_error_t *err);


/* What the library only warns of, and how its message begins. */
static const struct {
    const char *message;
    const char *option; /* NULL: the message names it */
    const char *wrong;
} mr_mongo_warnings[] = {
    {"Unsupported URI option ", NULL,
        "is unknown to the MongoDB client: it would be ignored"},
    {"Overwriting previously provided value for ", NULL, "is there twice"},
    {"Unsupported compressor", MONGOC_URI_COMPRESSORS,
        "names one that the MongoDB client does not have"},
    {NULL, NULL, NULL}};

/* Of those that MongoDB has, in any case of letters. */
static const char *const mr_mongo_mechanisms[] = {"SCRAM-SHA-256",
    "SCRAM-SHA-1", "MONGODB-X509", "MONGODB-AWS", "PLAIN", "GSSAPI", NULL};


int
mr_mongo_uri(const mr_options_t *options, mongoc_log_func_t log,
    mongoc_uri_t **ret_uri, mr_error_t *err)
{
    int secret;
    bson_error_t error;
    mongoc_uri_t *uri;
    mr_mongo_ignored_t ignored = {.wrong = NULL};

    /* The library's messages on it may repeat a piece of the URI. */
    mongoc_log_set_handler(mr_mongo_uri_heard, &ignored);
    uri = mongoc_uri_new_with_error(options->mongodb.uri, &error);
    mongoc_log_set_handler(log, NULL);

    if (uri == NULL) {

        secret = strchr(options->mongodb.uri, '@') != NULL
                 || strcasestr(options->mongodb.uri, "password") != NULL;

        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri is no connection string%s%s; expected "
            "mongodb://[user:password@]host[:port][,...]/[?option=value&...] "
            "with %%XX for special characters of user and password",
            secret ? "" : ": ", secret ? "" : error.message);
    }

    if (ignored.wrong != NULL) {
        mongoc_uri_destroy(uri);
        secret = ignored.option[0] == '\0'
                 || mr_mongo_uri_secret(options->mongodb.uri);

        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: %s%s %s", secret ? "an option" : "option ",
            secret ? "" : ignored.option, ignored.wrong);
    }

    if (mr_mongo_uri_check(uri, err) == -1
        || mr_mongo_uri_mechanism(uri, err) == -1
        || mr_mongo_uri_file(uri, MONGOC_URI_TLSCAFILE, err) == -1
        || mr_mongo_uri_file(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, err) == -1)
    {
        mongoc_uri_destroy(uri);
        return -1;
    }

    /*
     * The library's default is 300 s, as long as a consumer may keep Kafka
     * waiting: a stopped primary would cost the writer its partitions.
     */
    if (!mongoc_uri_has_option(uri, MONGOC_URI_SOCKETTIMEOUTMS)) {
        mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS,
            (int32_t) options->mongodb.timeout);
    }

    /*
     * The library's default is 30 s, during which a daemon that is asked to
     * stop does not.  Whoever needs longer retries anyway.
     */
    if (!mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS)) {
        mongoc_uri_set_option_as_int32(
            uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, MR_MONGO_SELECTION);
    }

    *ret_uri = uri;

    return 0;
}


static void
mr_mongo_uri_heard(mongoc_log_level_t level, const char *domain,
    const char *message, void *data)
{
    size_t i;
    mr_mongo_ignored_t *ignored;

    (void) level;
    (void) domain;

    ignored = data;

    for (i = 0; mr_mongo_warnings[i].message != NULL; i++) {

        if (ignored->wrong != NULL
            || strncmp(message, mr_mongo_warnings[i].message,
                   strlen(mr_mongo_warnings[i].message))
                   != 0)
        {
            continue;
        }

        ignored->wrong = mr_mongo_warnings[i].wrong;

        if (mr_mongo_warnings[i].option == NULL) {
            mr_mongo_uri_option(message + strlen(mr_mongo_warnings[i].message),
                ignored->option, sizeof(ignored->option));

        } else {
            (void) bson_snprintf(ignored->option, sizeof(ignored->option), "%s",
                mr_mongo_warnings[i].option);
        }
    }
}


/* The name in quotes; nothing where it is none that an option could have. */
static void
mr_mongo_uri_option(const char *message, char *option, size_t size)
{
    size_t n;

    message += strspn(message, "\"'");

    for (n = 0; isalpha((unsigned char) message[n]) && n + 1 < size; n++) {
        option[n] = message[n];
    }

    if (message[n] != '"' && message[n] != '\'') {
        n = 0;
    }

    option[n] = '\0';
}


/*
 * May the name of an option be a piece of a secret?  It is where a special
 * character of one was left as it is: "?" or "/" of a password before the @,
 * "&" of one in an option.
 */
static int
mr_mongo_uri_secret(const char *uri)
{
    const char *query;

    query = strchr(uri, '?');

    return query != NULL
           && (strchr(query, '@') != NULL
               || strcasestr(query, "password") != NULL
               || strcasestr(query, MONGOC_URI_AUTHMECHANISMPROPERTIES)
                      != NULL);
}


/* What the promise rests on may be repeated in the URI, but not changed. */
static int
mr_mongo_uri_check(const mongoc_uri_t *uri, mr_error_t *err)
{
    const char *level;
    const mongoc_read_prefs_t *prefs;
    const mongoc_write_concern_t *concern;

    concern = mongoc_uri_get_write_concern(uri);

    if (mongoc_write_concern_get_w(concern) != MONGOC_WRITE_CONCERN_W_DEFAULT
        && !mongoc_write_concern_get_wmajority(concern))
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: w must be majority or left out: events are "
            "acknowledged for good only by a majority");
    }

    if (mongoc_write_concern_journal_is_set(concern)
        && !mongoc_write_concern_get_journal(concern))
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: journal must be true or left out: a write that "
            "is not journaled can be lost");
    }

    level = mongoc_read_concern_get_level(mongoc_uri_get_read_concern(uri));

    if (level != NULL && strcmp(level, MONGOC_READ_CONCERN_LEVEL_MAJORITY) != 0)
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: readConcernLevel must be majority or left out: "
            "what is read must not be rolled back");
    }

    prefs = mongoc_uri_get_read_prefs_t(uri);

    if (mongoc_read_prefs_get_mode(prefs) != MONGOC_READ_PRIMARY) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: readPreference must be primary or left out: a "
            "secondary may be behind");
    }

    return 0;
}


/* The library would find out at the first connection. */
static int
mr_mongo_uri_mechanism(const mongoc_uri_t *uri, mr_error_t *err)
{
    size_t i;
    const char *mechanism;

    mechanism = mongoc_uri_get_auth_mechanism(uri);

    for (i = 0; mechanism != NULL && mr_mongo_mechanisms[i] != NULL; i++) {
        if (strcasecmp(mechanism, mr_mongo_mechanisms[i]) == 0) {
            return 0;
        }
    }

    if (mechanism != NULL) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: authMechanism is none of SCRAM-SHA-256, "
            "SCRAM-SHA-1, MONGODB-X509, MONGODB-AWS, PLAIN, GSSAPI");
    }

    return 0;
}


/* The library would find out at each connection, and say it only there. */
static int
mr_mongo_uri_file(const mongoc_uri_t *uri, const char *option, mr_error_t *err)
{
    const char *path;

    path = mongoc_uri_get_option_as_utf8(uri, option, NULL);

    if (path != NULL && access(path, R_OK) == -1) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "[mongodb] uri: %s: cannot read %s: %s", option, path,
            strerror(errno));
    }

    return 0;
}
