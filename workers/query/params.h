/*
 * The query string, strictly: every parameter is known, given once unless
 * it may be repeated, percent-encoded UTF-8 (a plus is a space, as in HTML
 * forms).
 */
#ifndef MILLRACE_QUERY_PARAMS_H
#define MILLRACE_QUERY_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


/* A parameter that a resource knows; tables end with a NULL name. */
typedef struct {
    const char *name;
    int repeatable;
} mr_param_spec_t;


typedef struct {
    const char *name; /* the spec's own string */
    mr_str_t value;   /* decoded; valid as long as the mr_params_t */
} mr_param_t;


/* Ended with mr_params_free().  Read only once parsed: any thread. */
typedef struct {
    mr_param_t *list; /* in the order of the query string */
    size_t n;
    char *memory;
} mr_params_t;


/*
 * Parse `query`, what stands behind the '?' (it may be empty).  Fails with
 * MR_ERROR_ARGUMENT (err->field is the parameter where it is a known one)
 * or MR_ERROR_MEMORY.
 */
int mr_params_parse(mr_str_t query, const mr_param_spec_t *specs,
    mr_params_t *ret_params, mr_error_t *err);
void mr_params_free(mr_params_t *params);

/* The first value of a parameter, or one whose data is NULL. */
mr_str_t mr_params_get(const mr_params_t *params, const char *name);

/*
 * The values of a repeatable parameter in bytewise order, each once; the
 * caller frees the array.  *ret_n 0 leaves *ret_list NULL.  Fails with
 * MR_ERROR_MEMORY.
 */
int mr_params_set(const mr_params_t *params, const char *name,
    mr_str_t **ret_list, size_t *ret_n, mr_error_t *err);

/* A decimal number from min to max; fails with MR_ERROR_ARGUMENT. */
int mr_param_integer(const char *name, mr_str_t text, int64_t min, int64_t max,
    int64_t *ret_value, mr_error_t *err);

/* mr_time_parse(), with the parameter's name in the error. */
int mr_param_time(
    const char *name, mr_str_t text, int64_t *ret_time, mr_error_t *err);

/*
 * A string as the field of an event has it: 1..max bytes, no control
 * characters.  Fails with MR_ERROR_ARGUMENT.
 */
int mr_param_string(
    const char *name, mr_str_t text, size_t max, mr_error_t *err);

/* Append percent-encoded: all but RFC 3986's unreserved characters. */
int mr_param_encode(mr_buf_t *buf, mr_str_t text);

#endif /* MILLRACE_QUERY_PARAMS_H */
