#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "listen.h"
#include "options_table.h"


#define MR_OPTION_TOPIC_MAX 249   /* bytes; Kafka's own limit, of groups too */
#define MR_OPTION_DATABASE_MAX 63 /* bytes; MongoDB's own limit */


typedef struct {
    const char *suffix;
    int64_t factor;
} mr_unit_t;


static int mr_option_number(const mr_option_t *option, const char *text,
    int64_t *ret_value, mr_error_t *err);
static int mr_option_scale(
    mr_option_type_t type, const char *text, int64_t *ret_value);
static int mr_option_text(
    const mr_option_t *option, const char *text, mr_error_t *err);
static int mr_option_brokers(const char *text);
static int mr_option_broker(const char *text, size_t len);
static int mr_option_name(const char *text, size_t max);


static const mr_unit_t mr_duration_units[] = {{"ms", 1}, {"s", 1000},
    {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {"d", 24 * 60 * 60 * 1000},
    {NULL, 0}};

static const mr_unit_t mr_size_units[] = {{"", 1}, {"k", 1024},
    {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}, {NULL, 0}};

static const mr_unit_t mr_count_units[] = {{"", 1}, {NULL, 0}};


int
mr_option_set(const mr_option_t *option, const char *text,
    mr_options_t *options, mr_error_t *err)
{
    char *copy, **string;
    int64_t value = 0;
    void *field;

    field = (char *) options + option->offset;

    switch (option->type) {

    case MR_OPTION_COUNT:
    case MR_OPTION_DURATION:
    case MR_OPTION_SIZE:

        if (mr_option_number(option, text, &value, err) == -1) {
            return -1;
        }

        *(int64_t *) field = value;

        return 0;

    default:
        break;
    }

    if (mr_option_text(option, text, err) == -1) {
        return -1;
    }

    copy = strdup(text);

    if (copy == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    string = field;
    free(*string);
    *string = copy;

    return 0;
}


char *
mr_option_allowed(const mr_option_t *option, char *buf, size_t size)
{
    switch (option->type) {

    case MR_OPTION_COUNT:
    case MR_OPTION_DURATION:
    case MR_OPTION_SIZE:
        (void) snprintf(buf, size, "%s%s to %s%s%s%s",
            option->zero == NULL ? "" : "0 or ", option->min, option->max,
            option->zero == NULL ? "" : " (0: ",
            option->zero == NULL ? "" : option->zero,
            option->zero == NULL ? "" : ")");
        break;

    case MR_OPTION_ADDRESS:
        (void) snprintf(buf, size,
            "address:port, with the address as "
            "numbers and the port 1 to 65535");
        break;

    case MR_OPTION_BROKERS:
        (void) snprintf(buf, size, "host[:port][,host[:port]...]");
        break;

    case MR_OPTION_TOPIC:
    case MR_OPTION_GROUP:
        (void) snprintf(buf, size, "1 to %d letters, digits, '.', '_', '-'",
            MR_OPTION_TOPIC_MAX);
        break;

    case MR_OPTION_DATABASE:
        (void) snprintf(buf, size, "1 to %d letters, digits, '_', '-'",
            MR_OPTION_DATABASE_MAX);
        break;

    case MR_OPTION_URI:
        (void) snprintf(buf, size, "mongodb://... or mongodb+srv://...");
        break;
    }

    return buf;
}


const char *
mr_option_unit(const mr_option_t *option)
{
    switch (option->type) {

    case MR_OPTION_DURATION:
        return "duration: ms, s, m, h or d";

    case MR_OPTION_SIZE:
        return "size: bytes, k, m or g";

    case MR_OPTION_COUNT:
        return "number";

    default:
        return "text";
    }
}


static int
mr_option_number(const mr_option_t *option, const char *text,
    int64_t *ret_value, mr_error_t *err)
{
    char allowed[128], shown[80];
    int64_t value, min, max;
    const char *what;

    if (mr_option_scale(option->type, text, &value) == -1) {

        what = option->type == MR_OPTION_DURATION
                   ? "a duration (a whole number with ms, s, m, h or d)"
               : option->type == MR_OPTION_SIZE
                   ? "a size (a whole number of bytes, or with k, m or g)"
                   : "a whole number";

        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "\"%s\" is not %s; allowed: %s",
            mr_error_excerpt(shown, sizeof(shown), text, strlen(text), 24),
            what, mr_option_allowed(option, allowed, sizeof(allowed)));
    }

    if (option->zero != NULL && value == 0) {
        *ret_value = 0;
        return 0;
    }

    if (mr_option_scale(option->type, option->min, &min) == -1
        || mr_option_scale(option->type, option->max, &max) == -1 || value < min
        || value > max)
    {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "%.24s is out of range; allowed: %s", text,
            mr_option_allowed(option, allowed, sizeof(allowed)));
    }

    *ret_value = value;

    return 0;
}


static int
mr_option_scale(mr_option_type_t type, const char *text, int64_t *ret_value)
{
    char *end;
    int64_t value;
    long long n;
    const mr_unit_t *unit;

    if (!isdigit((unsigned char) text[0])) {
        return -1;
    }

    errno = 0;
    n = strtoll(text, &end, 10);

    if (errno != 0) {
        return -1;
    }

    /* Zero is the same in every unit. */
    if (n == 0 && *end == '\0') {
        *ret_value = 0;
        return 0;
    }

    unit = type == MR_OPTION_DURATION ? mr_duration_units
           : type == MR_OPTION_SIZE   ? mr_size_units
                                      : mr_count_units;

    for (/* void */; unit->suffix != NULL; unit++) {
        if (strcmp(end, unit->suffix) == 0) {

            if (__builtin_mul_overflow(n, unit->factor, &value)) {
                return -1;
            }

            *ret_value = value;

            return 0;
        }
    }

    return -1;
}


static int
mr_option_text(const mr_option_t *option, const char *text, mr_error_t *err)
{
    int good;
    char allowed[128], shown[80];

    switch (option->type) {

    case MR_OPTION_ADDRESS:
        good = mr_listen_parse(text, NULL, NULL) == 0;
        break;

    case MR_OPTION_BROKERS:
        good = mr_option_brokers(text);
        break;

    case MR_OPTION_TOPIC:
        good = mr_option_name(text, MR_OPTION_TOPIC_MAX)
               && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
        break;

    case MR_OPTION_GROUP:
        good = mr_option_name(text, MR_OPTION_TOPIC_MAX);
        break;

    case MR_OPTION_DATABASE:
        good = mr_option_name(text, MR_OPTION_DATABASE_MAX)
               && strchr(text, '.') == NULL;
        break;

    default:
        good = strncmp(text, "mongodb://", 10) == 0
               || strncmp(text, "mongodb+srv://", 14) == 0;
        break;
    }

    if (good) {
        return 0;
    }

    (void) mr_option_allowed(option, allowed, sizeof(allowed));

    if (option->type == MR_OPTION_URI) {
        return mr_error_set(err, MR_ERROR_CONFIG, NULL,
            "not a connection string; allowed: %s", allowed);
    }

    return mr_error_set(err, MR_ERROR_CONFIG, NULL,
        "\"%s\" is not allowed; allowed: %s",
        mr_error_excerpt(shown, sizeof(shown), text, strlen(text), 40),
        allowed);
}


static int
mr_option_brokers(const char *text)
{
    size_t len;
    const char *p;

    for (p = text; /* void */; p += len + 1) {

        len = strcspn(p, ",");

        if (!mr_option_broker(p, len)) {
            return 0;
        }

        if (p[len] == '\0') {
            return 1;
        }
    }
}


/* host, host:port, [v6] or [v6]:port */
static int
mr_option_broker(const char *text, size_t len)
{
    size_t i, port, host;
    long number;

    host = 0;
    number = 0;

    if (len > 0 && text[0] == '[') {

        while (host < len && text[host] != ']') {
            host++;
        }

        if (host == len || host < 3) {
            return 0;
        }

        host++;

    } else {
        while (host < len
               && (isalnum((unsigned char) text[host])
                   || strchr(".-_", text[host]) != NULL))
        {
            host++;
        }
    }

    if (host == 0) {
        return 0;
    }

    if (host == len) {
        return 1;
    }

    port = host + 1;

    if (text[host] != ':' || port == len || len - port > 5) {
        return 0;
    }

    for (i = port; i < len; i++) {

        if (!isdigit((unsigned char) text[i])) {
            return 0;
        }

        number = number * 10 + (text[i] - '0');
    }

    return number >= 1 && number <= 65535;
}


static int
mr_option_name(const char *text, size_t max)
{
    size_t i;

    for (i = 0; text[i] != '\0'; i++) {
        if (!isalnum((unsigned char) text[i]) && strchr("._-", text[i]) == NULL)
        {
            return 0;
        }
    }

    return i >= 1 && i <= max;
}
