#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <millrace/json.h>

#include "message.h"


static int message_measure(
    mr_buf_t *buf, const mr_named_measure_t *measure, int first);
static int message_sketches(mr_buf_t *buf, const mr_scalars_t *scalars);
static int message_base64(mr_buf_t *buf, mr_str_t bytes);
static int message_field(mr_buf_t *buf, const char *name, double value);
static int message_real(mr_buf_t *buf, double value);


int
mr_message_key(mr_buf_t *buf, const mr_window_key_t *key)
{
    if (mr_buf_append(buf, key->event_type.data, key->event_type.len) != 0) {
        return -1;
    }

    return mr_buf_printf(
        buf, "|%s|%" PRId64, mr_width_name(key->width), key->start / 1000);
}


int
mr_message_value(mr_buf_t *buf, const mr_merged_t *window)
{
    size_t i;
    const mr_window_key_t *key;

    key = &window->key;

    if (mr_buf_printf(buf, "{\"schema\":%d,\"event_type\":", MR_MESSAGE_SCHEMA)
            != 0
        || mr_json_string(buf, key->event_type) != 0
        || mr_buf_printf(buf,
               ",\"width\":\"%s\",\"start\":%" PRId64 ",\"end\":%" PRId64
               ",\"count\":%" PRId64 ",\"rate\":",
               mr_width_name(key->width), key->start / 1000,
               mr_window_end(key) / 1000, window->scalars.count)
               != 0
        || message_real(buf,
               (double) window->scalars.count / mr_width_seconds(key->width))
               != 0
        || (window->scalars.users.len > 0
            && mr_buf_printf(buf, ",\"unique_users\":%" PRId64,
                   window->scalars.unique_users)
                   != 0)
        || mr_buf_printf(buf, ",\"measures\":{") != 0)
    {
        return -1;
    }

    for (i = 0; i < window->scalars.n_measures; i++) {

        if (message_measure(buf, &window->scalars.measures[i], i == 0) != 0) {
            return -1;
        }
    }

    if (mr_buf_append(buf, "}", 1) != 0
        || message_sketches(buf, &window->scalars) != 0)
    {
        return -1;
    }

    return mr_buf_printf(buf, ",\"revision\":%" PRId64 ",\"final\":%s}",
        window->revision, window->final ? "true" : "false");
}


static int
message_measure(mr_buf_t *buf, const mr_named_measure_t *measure, int first)
{
    const mr_measure_stats_t *stats;

    stats = &measure->stats;

    if ((!first && mr_buf_append(buf, ",", 1) != 0)
        || mr_json_string(buf, measure->name) != 0
        || mr_buf_printf(buf, ":{\"count\":%" PRId64, stats->count) != 0
        || message_field(buf, "sum", stats->sum) != 0
        || message_field(buf, "average", stats->sum / (double) stats->count)
               != 0
        || message_field(buf, "min", stats->min) != 0
        || message_field(buf, "max", stats->max) != 0)
    {
        return -1;
    }

    if (measure->sketch.len > 0
        && (message_field(buf, "p50", measure->p50) != 0
            || message_field(buf, "p95", measure->p95) != 0
            || message_field(buf, "p99", measure->p99) != 0))
    {
        return -1;
    }

    return mr_buf_append(buf, "}", 1);
}


/* A window has users or no sketch at all. */
static int
message_sketches(mr_buf_t *buf, const mr_scalars_t *scalars)
{
    size_t i;
    const char *comma;

    if (scalars->users.len == 0) {
        return 0;
    }

    if (mr_buf_printf(buf, ",\"sketches\":{\"users\":") != 0
        || message_base64(buf, scalars->users) != 0
        || mr_buf_printf(buf, ",\"measures\":{") != 0)
    {
        return -1;
    }

    comma = "";

    for (i = 0; i < scalars->n_measures; i++) {

        if (scalars->measures[i].sketch.len == 0) {
            continue;
        }

        if (mr_buf_append(buf, comma, strlen(comma)) != 0
            || mr_json_string(buf, scalars->measures[i].name) != 0
            || mr_buf_append(buf, ":", 1) != 0
            || message_base64(buf, scalars->measures[i].sketch) != 0)
        {
            return -1;
        }

        comma = ",";
    }

    return mr_buf_append(buf, "}}", 2);
}


/* RFC 4648, section 4, with padding; in quotes. */
static int
message_base64(mr_buf_t *buf, mr_str_t bytes)
{
    char *to;
    size_t i, n;
    uint32_t word;
    const uint8_t *from;
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    n = (bytes.len + 2) / 3 * 4 + 2;

    if (mr_buf_reserve(buf, n) != 0) {
        return -1;
    }

    to = buf->data + buf->len;
    from = (const uint8_t *) bytes.data;
    *to++ = '"';

    for (i = 0; i < bytes.len; i += 3) {
        word = (uint32_t) from[i] << 16;
        word |= i + 1 < bytes.len ? (uint32_t) from[i + 1] << 8 : 0;
        word |= i + 2 < bytes.len ? from[i + 2] : 0;

        *to++ = digits[word >> 18];
        *to++ = digits[word >> 12 & 63];
        *to++ = i + 1 < bytes.len ? digits[word >> 6 & 63] : '=';
        *to++ = i + 2 < bytes.len ? digits[word & 63] : '=';
    }

    *to = '"';
    buf->len += n;

    return 0;
}


static int
message_field(mr_buf_t *buf, const char *name, double value)
{
    if (mr_buf_printf(buf, ",\"%s\":", name) != 0) {
        return -1;
    }

    return message_real(buf, value);
}


/* JSON has no infinity: a sum that overflowed, or no average, is null. */
static int
message_real(mr_buf_t *buf, double value)
{
    if (!isfinite(value)) {
        return mr_buf_append(buf, "null", 4);
    }

    return mr_json_real(buf, value);
}
