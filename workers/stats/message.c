#include <inttypes.h>
#include <math.h>

#include <millrace/json.h>

#include "message.h"


static int message_measure(
    mr_buf_t *buf, const mr_named_measure_t *measure, int first);
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
        || mr_buf_printf(buf, ",\"measures\":{") != 0)
    {
        return -1;
    }

    for (i = 0; i < window->scalars.n_measures; i++) {

        if (message_measure(buf, &window->scalars.measures[i], i == 0) != 0) {
            return -1;
        }
    }

    return mr_buf_printf(buf, "},\"revision\":%" PRId64 ",\"final\":%s}",
        window->revision, window->final ? "true" : "false");
}


static int
message_measure(mr_buf_t *buf, const mr_named_measure_t *measure, int first)
{
    const mr_measure_stats_t *stats;

    stats = &measure->stats;

    if ((!first && mr_buf_append(buf, ",", 1) != 0)
        || mr_json_string(buf, measure->name) != 0
        || mr_buf_printf(buf, ":{\"count\":%" PRId64 ",\"sum\":", stats->count)
               != 0
        || message_real(buf, stats->sum) != 0
        || mr_buf_printf(buf, ",\"average\":") != 0
        || message_real(buf, stats->sum / (double) stats->count) != 0
        || mr_buf_printf(buf, ",\"min\":") != 0
        || message_real(buf, stats->min) != 0
        || mr_buf_printf(buf, ",\"max\":") != 0
        || message_real(buf, stats->max) != 0)
    {
        return -1;
    }

    return mr_buf_append(buf, "}", 1);
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
