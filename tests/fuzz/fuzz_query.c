/*
 * A query string of GET /events.  What is taken must be taken again, and
 * mean the same, when it is written anew from what was understood; what is
 * refused must be refused for a reason.  The bytes are tried as header Accept
 * as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query/accept.h"
#include "query/params.h"
#include "query/plan.h"


#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_accept(const uint8_t *data, size_t size);
static void fuzz_again(const mr_params_t *params);
static void fuzz_plan(const mr_params_t *params, const mr_params_t *again);


static const mr_param_spec_t fuzz_specs[] = {
    {"user_id", 0},
    {"event_type", 1},
    {"event_id", 0},
    {"from", 0},
    {"to", 0},
    {"order", 0},
    {"limit", 0},
    {"cursor", 0},
    {NULL, 0},
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mr_str_t query;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;

    fuzz_accept(data, size);

    query.data = (const char *) data;
    query.len = size;

    if (mr_params_parse(query, fuzz_specs, &params, &err) == -1) {
        fuzz_assert(err.code == MR_ERROR_ARGUMENT && err.message[0] != '\0');
        return 0;
    }

    fuzz_again(&params);
    mr_params_free(&params);

    return 0;
}


static void
fuzz_accept(const uint8_t *data, size_t size)
{
    char *text;

    text = malloc(size + 1);
    fuzz_assert(text != NULL);

    memcpy(text, data, size);
    text[size] = '\0';
    (void) mr_accept_lines(text);

    free(text);
}


static void
fuzz_again(const mr_params_t *params)
{
    size_t i;
    mr_buf_t buf = MR_BUF_INIT;
    mr_str_t query;
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t again;

    for (i = 0; i < params->n; i++) {
        fuzz_assert(mr_buf_printf(&buf, "&%s=", params->list[i].name) == 0
                    && mr_param_encode(&buf, params->list[i].value) == 0);
    }

    query.data = buf.data;
    query.len = buf.len;

    fuzz_assert(mr_params_parse(query, fuzz_specs, &again, &err) == 0);
    fuzz_assert(again.n == params->n);

    for (i = 0; i < params->n; i++) {
        fuzz_assert(again.list[i].name == params->list[i].name);
        fuzz_assert(mr_str_eq(again.list[i].value, params->list[i].value));
    }

    fuzz_plan(params, &again);

    mr_params_free(&again);
    mr_buf_free(&buf);
}


static void
fuzz_plan(const mr_params_t *params, const mr_params_t *again)
{
    int rc, span;
    size_t i;
    int64_t from, to;
    mr_plan_t plan, other;
    mr_error_t err = MR_ERROR_INIT, same = MR_ERROR_INIT;
    mr_range_t range;

    rc = mr_plan_create(params, MR_LIMIT_LINES, &plan, &err);
    fuzz_assert(mr_plan_create(again, MR_LIMIT_LINES, &other, &same) == rc);

    if (rc == -1) {
        fuzz_assert(err.code == MR_ERROR_ARGUMENT && err.field != NULL);
        fuzz_assert(strcmp(err.message, same.message) == 0);
        return;
    }

    fuzz_assert(mr_plan_digest(&plan) == mr_plan_digest(&other));
    fuzz_assert(plan.limit >= 1 && plan.limit <= MR_LIMIT_LINES);
    fuzz_assert(plan.event_id.data == NULL || plan.user_id.data != NULL);

    for (i = 1; i < plan.n_types; i++) {
        fuzz_assert(mr_str_cmp(plan.types[i - 1], plan.types[i]) < 0);
    }

    mr_plan_times(&plan, &from, &to);

    for (span = 0; span < MR_SPANS; span++) {
        range = mr_plan_range(&plan, span);
        fuzz_assert(range.tmax_from == from && range.tmin_to == to);
        fuzz_assert(range.tmax_to >= to && range.tmin_from <= from);
    }

    mr_plan_free(&plan);
    mr_plan_free(&other);
}
