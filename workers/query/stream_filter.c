#include <stdlib.h>
#include <string.h>

#include <millrace/limits.h>

#include "stats_plan.h"
#include "stream_filter.h"


static int mr_stream_filter_types(
    const mr_params_t *params, mr_stream_filter_t *filter, mr_error_t *err);
static int mr_stream_filter_width(
    const mr_params_t *params, mr_stream_filter_t *filter, mr_error_t *err);
static int mr_stream_filter_measure(const mr_params_t *params,
    const mr_options_t *options, mr_stream_filter_t *filter, mr_error_t *err);
static int mr_stream_hash_cmp(const void *a, const void *b);


const mr_param_spec_t mr_stream_params[] = {
    {"event_type", 1},
    {"time_interval", 0},
    {"measure", 0},
    {NULL, 0},
};


int
mr_stream_filter_create(const mr_params_t *params, const mr_options_t *options,
    mr_stream_filter_t *ret_filter, mr_error_t *err)
{
    mr_stream_filter_t filter;

    memset(&filter, 0, sizeof(filter));

    if (mr_stream_filter_width(params, &filter, err) == -1
        || mr_stream_filter_measure(params, options, &filter, err) == -1
        || mr_stream_filter_types(params, &filter, err) == -1)
    {
        mr_stream_filter_free(&filter);
        return -1;
    }

    *ret_filter = filter;

    return 0;
}


void
mr_stream_filter_free(mr_stream_filter_t *filter)
{
    free(filter->types);
    memset(filter, 0, sizeof(mr_stream_filter_t));
}


int
mr_stream_filter_match(
    const mr_stream_filter_t *filter, const mr_stream_message_t *message)
{
    if (filter->widths != 0 && !(filter->widths & 1u << message->width)) {
        return 0;
    }

    if (filter->measures != 0 && !(filter->measures & message->measures)) {
        return 0;
    }

    return filter->n_types == 0
           || bsearch(&message->event_type, filter->types, filter->n_types,
                  sizeof(mr_hash_t), mr_stream_hash_cmp)
                  != NULL;
}


static int
mr_stream_filter_types(
    const mr_params_t *params, mr_stream_filter_t *filter, mr_error_t *err)
{
    int rc;
    size_t i, n;
    mr_str_t *types;

    if (mr_params_set(params, "event_type", &types, &n, err) == -1) {
        return -1;
    }

    if (n == 0) {
        return 0;
    }

    rc = 0;
    filter->types = calloc(n, sizeof(mr_hash_t));

    if (filter->types == NULL) {
        free(types);
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    for (i = 0; rc == 0 && i < n; i++) {
        rc = mr_param_string("event_type", types[i], MR_EVENT_TYPE_MAX, err);

        if (rc == 0) {
            filter->types[i] = mr_hash(types[i]);
        }
    }

    free(types);

    if (rc == 0) {
        filter->n_types = n;
        qsort(filter->types, n, sizeof(mr_hash_t), mr_stream_hash_cmp);
    }

    return rc;
}


static int
mr_stream_filter_width(
    const mr_params_t *params, mr_stream_filter_t *filter, mr_error_t *err)
{
    mr_str_t text;
    mr_width_t width;

    text = mr_params_get(params, "time_interval");

    if (text.data == NULL) {
        return 0;
    }

    for (width = MR_WIDTH_SECOND; width <= MR_WIDTH_HOUR; width++) {
        if (strlen(mr_width_name(width)) == text.len
            && memcmp(mr_width_name(width), text.data, text.len) == 0)
        {
            filter->widths = 1u << width;
            return 0;
        }
    }

    return mr_error_set(err, MR_ERROR_ARGUMENT, "time_interval",
        "time_interval must be 1s, 1m or 1h, the widths of the windows that "
        "are published, or be left out for all of them");
}


static int
mr_stream_filter_measure(const mr_params_t *params, const mr_options_t *options,
    mr_stream_filter_t *filter, mr_error_t *err)
{
    size_t i;
    mr_str_t text;

    text = mr_params_get(params, "measure");

    if (text.data == NULL) {
        return 0;
    }

    for (i = 0; i < options->measures.n; i++) {
        if (strlen(options->measures.list[i].name) == text.len
            && memcmp(options->measures.list[i].name, text.data, text.len) == 0)
        {
            filter->measures = UINT32_C(1) << i;
            return 0;
        }
    }

    return mr_stats_measure_unknown(options, err);
}


static int
mr_stream_hash_cmp(const void *a, const void *b)
{
    const mr_hash_t *x, *y;

    x = a;
    y = b;

    if (x->hi != y->hi) {
        return x->hi < y->hi ? -1 : 1;
    }

    return x->lo == y->lo ? 0 : x->lo < y->lo ? -1 : 1;
}
