/*
 * One page of GET /events: a walk over the blocks, by the courses of its plan,
 * that reads as few headers, and then as few rows, as it can.
 *
 * Descending, a course goes by tmax, and what is left of it can hold nothing
 * newer than the tmax read last.  Ascending, it goes by tmin, and nothing is
 * left that is older than the tmin read last; or by tmax, and then nothing
 * that is older than the tmax read last less the width of its widest class.
 * The best of these bounds over all courses is the frontier: an event strictly
 * before it, in the page's order, is certain to have nothing ahead of it
 * that is still unread.  The course that holds the frontier back is read
 * next, and reading ends as soon as the frontier is strictly past the last
 * event that the page needs.  "Strictly" settles ties: all events of one
 * millisecond are known before the first of them is given out.
 *
 * Nothing is missed though the walks do not share a snapshot: a block never
 * changes once inserted, so one that was readable when the page began has
 * its place in every index from the first read to the last.  One that is
 * inserted meanwhile may be seen or not.  The next page goes on after a
 * complete key, so neither can make it repeat or skip an older event.
 *
 * Memory is bounded: a candidate for a row costs 24 bytes and at most the name
 * of its user, and when there are many they are turned into rows, of which only
 * the page's best are kept.
 */
#ifndef MILLRACE_QUERY_PAGE_H
#define MILLRACE_QUERY_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>

#include "plan.h"
#include "source.h"


/*
 * What a page may cost.  Once it is spent the page ends with the events that
 * are certain, but never before it has got past one millisecond: the blocks
 * that its first millisecond lies within are read whatever it costs.
 */
typedef struct {
    size_t blocks; /* headers to read */
    size_t bytes;  /* of rows to keep */
    int64_t until; /* mr_time_monotonic(); 0: no bound */

    /* Non-zero, with *err filled, when nobody waits any more; or NULL. */
    int (*stopped)(void *ctx, mr_error_t *err);
    void *ctx;

    size_t row_size; /* bytes of a row, as far as known; 0: not yet */
} mr_budget_t;


/* Rows are owned by the page: mr_page_free(). */
typedef struct {
    mr_row_t *rows;
    size_t n;
    int more;           /* whether `next` is a place to go on from */
    mr_position_t next; /* strings are views into the page's rows */
    size_t blocks;      /* headers that were read */
    size_t fetched;     /* rows that were read */
} mr_page_t;


/* Fails with what the source or the budget's stopped() failed with. */
int mr_page_read(const mr_plan_t *plan, const mr_source_t *source,
    const mr_budget_t *budget, mr_page_t *ret_page, mr_error_t *err);
void mr_page_free(mr_page_t *page);

#endif /* MILLRACE_QUERY_PAGE_H */
