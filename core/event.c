#include <inttypes.h>
#include <string.h>

#include <millrace/utf8.h>

#include "parser.h"


typedef enum {
    MR_FIELD_EVENT_ID,
    MR_FIELD_USER_ID,
    MR_FIELD_EVENT_TYPE,
    MR_FIELD_TIMESTAMP,
    MR_FIELD_METADATA,
    MR_FIELDS
} mr_field_t;


static int mr_event_members(mr_parser_t *parser, yyjson_val *root,
    mr_event_t *ret_event, mr_error_t *err);
static mr_field_t mr_field_find(yyjson_val *key);
static int mr_field_unknown(yyjson_val *key, mr_error_t *err);
static int mr_field_missing(unsigned seen, mr_error_t *err);
static int mr_field_string(
    mr_field_t field, yyjson_val *value, mr_str_t *ret_string, mr_error_t *err);
static mr_str_t mr_event_find_id(yyjson_val *root);


static const struct {
    const char *name;
    const char *expect;
    size_t max; /* bytes, of the strings */
} mr_fields[MR_FIELDS] = {
    {"event_id", "a string of 1 to 128 bytes", MR_EVENT_ID_MAX},
    {"user_id", "a string of 1 to 256 bytes", MR_USER_ID_MAX},
    {"event_type", "a string of 1 to 128 bytes", MR_EVENT_TYPE_MAX},
    {"timestamp", "a number of UNIX seconds", 0}, {"metadata", "an object", 0}};

_Static_assert(
    MR_EVENT_ID_MAX == 128 && MR_USER_ID_MAX == 256 && MR_EVENT_TYPE_MAX == 128,
    "mr_fields[].expect says so");


int
mr_event_parse(
    mr_parser_t *parser, mr_str_t text, mr_event_t *ret_event, mr_error_t *err)
{
    return mr_event_parse_in(parser, text, 0, "event", ret_event, err);
}


int
mr_event_parse_in(mr_parser_t *parser, mr_str_t text, size_t base,
    const char *what, mr_event_t *ret_event, mr_error_t *err)
{
    mr_event_t event;
    yyjson_val *root;

    parser->event_id = mr_str("");

    if (text.len > MR_EVENT_SIZE_MAX) {
        return mr_error_set(err, MR_ERROR_EVENT, NULL,
            "the event has %zu bytes; at most %d are allowed", text.len,
            MR_EVENT_SIZE_MAX);
    }

    root = mr_parser_read(parser, text, base, what, err);
    if (root == NULL) {
        return -1;
    }

    if (!unsafe_yyjson_is_obj(root)) {
        return mr_error_set(err, MR_ERROR_EVENT, NULL,
            "the event is %s; it must be an object with event_id, user_id, "
            "event_type, timestamp and, if wanted, metadata",
            mr_value_type(root));
    }

    if (mr_event_members(parser, root, &event, err) != 0) {
        parser->event_id = mr_event_find_id(root);
        return -1;
    }

    parser->event_id = event.event_id;
    event.root = (const mr_value_t *) root;

    *ret_event = event;

    return 0;
}


/* One pass over the members of the root. */

static int
mr_event_members(mr_parser_t *parser, yyjson_val *root, mr_event_t *ret_event,
    mr_error_t *err)
{
    int rc;
    size_t i, n;
    unsigned seen;
    mr_field_t field;
    yyjson_val *key, *value;

    n = unsafe_yyjson_get_len(root);
    key = unsafe_yyjson_get_first(root);
    seen = 0;
    ret_event->metadata = NULL;

    for (i = 0; i < n; i++) {
        value = key + 1;
        field = mr_field_find(key);

        if (field == MR_FIELDS) {
            return mr_field_unknown(key, err);
        }

        if (seen & (1u << field)) {
            return mr_error_set(err, MR_ERROR_EVENT, mr_fields[field].name,
                "%s stands more than once; send it once",
                mr_fields[field].name);
        }

        seen |= 1u << field;

        switch (field) {

        case MR_FIELD_EVENT_ID:
            rc = mr_field_string(field, value, &ret_event->event_id, err);
            break;

        case MR_FIELD_USER_ID:
            rc = mr_field_string(field, value, &ret_event->user_id, err);
            break;

        case MR_FIELD_EVENT_TYPE:
            rc = mr_field_string(field, value, &ret_event->event_type, err);
            break;

        case MR_FIELD_TIMESTAMP:
            rc = mr_timestamp_read(value, &ret_event->timestamp, err);
            break;

        default:
            rc = mr_metadata_check(parser, value, err);
            ret_event->metadata = (const mr_value_t *) value;
        }

        if (rc != 0) {
            return -1;
        }

        key = unsafe_yyjson_get_next(value);
    }

    if ((seen | (1u << MR_FIELD_METADATA)) != (1u << MR_FIELDS) - 1) {
        return mr_field_missing(seen, err);
    }

    return 0;
}


/* By length first: only two fields have the same. */

static mr_field_t
mr_field_find(yyjson_val *key)
{
    const char *name;

    name = unsafe_yyjson_get_str(key);

    switch (unsafe_yyjson_get_len(key)) {

    case 7:
        return memcmp(name, "user_id", 7) == 0 ? MR_FIELD_USER_ID : MR_FIELDS;

    case 8:
        if (memcmp(name, "event_id", 8) == 0) {
            return MR_FIELD_EVENT_ID;
        }

        return memcmp(name, "metadata", 8) == 0 ? MR_FIELD_METADATA : MR_FIELDS;

    case 9:
        return memcmp(name, "timestamp", 9) == 0 ? MR_FIELD_TIMESTAMP
                                                 : MR_FIELDS;

    case 10:
        return memcmp(name, "event_type", 10) == 0 ? MR_FIELD_EVENT_TYPE
                                                   : MR_FIELDS;

    default:
        return MR_FIELDS;
    }
}


static int
mr_field_unknown(yyjson_val *key, mr_error_t *err)
{
    char excerpt[MR_EXCERPT_BUF];

    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "unknown field \"%s\"; an event has event_id, user_id, event_type, "
        "timestamp and metadata, and anything else belongs into metadata",
        mr_error_excerpt(excerpt, sizeof(excerpt), unsafe_yyjson_get_str(key),
            unsafe_yyjson_get_len(key), MR_EXCERPT));
}


static int
mr_field_missing(unsigned seen, mr_error_t *err)
{
    unsigned field;

    for (field = 0; seen & (1u << field); field++) {
        /* void */
    }

    return mr_error_set(err, MR_ERROR_EVENT, mr_fields[field].name,
        "%s is missing; it must be %s", mr_fields[field].name,
        mr_fields[field].expect);
}


static int
mr_field_string(
    mr_field_t field, yyjson_val *value, mr_str_t *ret_string, mr_error_t *err)
{
    size_t control;
    mr_str_t s;
    const char *name;
    unsigned char c;

    name = mr_fields[field].name;

    if (!unsafe_yyjson_is_str(value)) {
        return mr_error_set(err, MR_ERROR_EVENT, name,
            "%s is %s; it must be %s", name, mr_value_type(value),
            mr_fields[field].expect);
    }

    s = mr_value_str(value);

    if (s.len == 0) {
        return mr_error_set(err, MR_ERROR_EVENT, name,
            "%s is empty; it must be %s", name, mr_fields[field].expect);
    }

    if (s.len > mr_fields[field].max) {
        return mr_error_set(err, MR_ERROR_EVENT, name,
            "%s has %zu bytes; it must be %s", name, s.len,
            mr_fields[field].expect);
    }

    control = mr_utf8_find_control(s.data, s.len);

    if (control < s.len) {
        c = (unsigned char) s.data[control];

        if (c == 0xc2) {
            c = (unsigned char) s.data[control + 1];
        }

        return mr_error_set(err, MR_ERROR_EVENT, name,
            "%s holds the control character U+%04X at byte %zu; it must be "
            "%s without control characters",
            name, c, control + 1, mr_fields[field].expect);
    }

    *ret_string = s;

    return 0;
}


/* The event_id of a refused event, if it has one and that one is valid. */

static mr_str_t
mr_event_find_id(yyjson_val *root)
{
    size_t i, n;
    mr_str_t id;
    yyjson_val *key, *found;

    n = unsafe_yyjson_get_len(root);
    key = unsafe_yyjson_get_first(root);
    found = NULL;

    for (i = 0; i < n; i++) {
        if (mr_field_find(key) == MR_FIELD_EVENT_ID) {
            if (found != NULL) {
                return mr_str("");
            }

            found = key + 1;
        }

        key = unsafe_yyjson_get_next(key + 1);
    }

    if (found == NULL
        || mr_field_string(MR_FIELD_EVENT_ID, found, &id, NULL) != 0) {
        return mr_str("");
    }

    return id;
}


int
mr_event_too_large(size_t size, size_t max, mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_POLICY, NULL,
        "the event has %zu bytes; at most %zu are allowed here", size, max);
}


int
mr_event_admit(const mr_event_t *event, size_t size, const mr_policy_t *policy,
    int64_t now, mr_error_t *err)
{
    int64_t latest;

    if (size > policy->max_event_size) {
        return mr_event_too_large(size, policy->max_event_size, err);
    }

    if (event->timestamp - now > policy->max_future) {
        latest = now + policy->max_future;

        return mr_error_set(err, MR_ERROR_POLICY, "timestamp",
            "timestamp %" PRId64 ".%03d lies too far in the future; at most "
            "%" PRId64 ".%03d, %" PRId64 " s ahead of the server's clock, is "
            "allowed now",
            event->timestamp / 1000, (int) (event->timestamp % 1000),
            latest / 1000, (int) (latest % 1000), policy->max_future / 1000);
    }

    if (mr_str_eq(event->event_type, mr_str(MR_EVENT_TYPE_OTHER))) {
        return mr_error_set(err, MR_ERROR_POLICY, "event_type",
            "event_type \"" MR_EVENT_TYPE_OTHER "\" is what GET /stats calls "
            "all types beyond those that it counts one by one; send another");
    }

    return 0;
}
