/*
 * What one page of GET /events is to find: the filters of the request and
 * the place to go on from, and from both the ranges of blocks to walk.
 */
#ifndef MILLRACE_QUERY_PLAN_H
#define MILLRACE_QUERY_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/hash.h>

#include "../common/span_class.h"
#include "key.h"
#include "params.h"


#define MR_LIMIT_DEFAULT 100
#define MR_LIMIT_MAX 1000
#define MR_LIMIT_LINES 1000000 /* as NDJSON */


/*
 * Views point into the parameters that the plan was made of, which must
 * outlive it.  mr_plan_free() ends it.
 */
typedef struct {
    mr_str_t user_id;  /* data NULL: any */
    mr_str_t event_id; /* data NULL: any; only with user_id */
    mr_str_t *types;   /* bytewise order, each once */
    size_t n_types;    /* 0: any */
    int64_t from;      /* ms, inclusive */
    int64_t to;        /* ms, exclusive */
    mr_order_t order;
    size_t limit;
    mr_position_t start;
    char *cursor; /* memory behind start's strings */
} mr_plan_t;


/* Classes whose blocks are walked together, in the plan's order. */
typedef struct {
    size_t n;
    int spans[MR_SPANS];
    int by_tmin;   /* in order of tmin, else of tmax */
    int64_t width; /* by tmax ascending: of the widest, ms */
    int earlier;   /* of a user, in blocks with `users`, not `who` */
} mr_course_t;

#define MR_COURSES 6

/* The blocks of one class that can hold events in [from, to), all in ms. */
typedef struct {
    int span;
    int64_t tmax_from; /* tmax >= */
    int64_t tmax_to;   /* tmax < */
    int64_t tmin_from; /* tmin >= */
    int64_t tmin_to;   /* tmin < */
} mr_range_t;


/*
 * Judge the parameters of GET /events, with `limit` up to `limit_max`.
 * Fails with MR_ERROR_ARGUMENT, the parameter in err->field, or
 * MR_ERROR_MEMORY.
 */
int mr_plan_create(const mr_params_t *params, int64_t limit_max,
    mr_plan_t *ret_plan, mr_error_t *err);
void mr_plan_free(mr_plan_t *plan);

/* A digest of order and filters: what a cursor is bound to. */
uint64_t mr_plan_digest(const mr_plan_t *plan);

/* The times still to be read, [*ret_from, *ret_to): filters and place. */
void mr_plan_times(const mr_plan_t *plan, int64_t *ret_from, int64_t *ret_to);

/*
 * How the blocks are walked: 1 to MR_COURSES courses, beside each other, which
 * share out the classes.  By tmax ascending, an event may lie before its
 * block's tmax by the width of the class, so that classes of very different
 * widths are not walked together; where they are wide, it is by tmin.  Blocks
 * of earlier versions have their users in an index of their own, and so the
 * same courses once more; most databases have none.
 */
size_t mr_plan_courses(const mr_plan_t *plan);
const mr_course_t *mr_plan_course(const mr_plan_t *plan, size_t i);

/* The range to walk of a class. */
mr_range_t mr_plan_range(const mr_plan_t *plan, int span);

#endif /* MILLRACE_QUERY_PLAN_H */
