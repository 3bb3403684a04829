/*
 * Which windows a listener of the live stream wants: the parameters of GET
 * /stats/stream, judged.  Pure.
 */
#ifndef MILLRACE_QUERY_STREAM_FILTER_H
#define MILLRACE_QUERY_STREAM_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/hash.h>

#include "../common/options.h"
#include "params.h"
#include "stream_message.h"


/* Zeroed, it takes every window.  Read only once made. */
typedef struct {
    unsigned widths;   /* bit mr_width_t; 0: all */
    uint32_t measures; /* bit i: the i-th of the options; 0: whatever */
    mr_hash_t *types;  /* ascending; n_types 0: all */
    size_t n_types;
} mr_stream_filter_t;


/* The parameters that it knows, for mr_params_parse(). */
extern const mr_param_spec_t mr_stream_params[];

/*
 * event_type (any of them), time_interval (a width that is published),
 * measure (windows that carry it).  Fails with MR_ERROR_ARGUMENT or
 * MR_ERROR_MEMORY.
 */
int mr_stream_filter_create(const mr_params_t *params,
    const mr_options_t *options, mr_stream_filter_t *ret_filter,
    mr_error_t *err);
void mr_stream_filter_free(mr_stream_filter_t *filter);

/* Any thread. */
int mr_stream_filter_match(
    const mr_stream_filter_t *filter, const mr_stream_message_t *message);

#endif /* MILLRACE_QUERY_STREAM_FILTER_H */
