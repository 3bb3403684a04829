/*
 * The rows that a page without a user may need, known by time alone: taken
 * from the packed columns of block headers, pruned to those that still can get
 * into the page, and handed out in order to be fetched.
 */
#ifndef MILLRACE_QUERY_CANDIDATES_H
#define MILLRACE_QUERY_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>

#include "plan.h"
#include "source.h"


typedef struct {
    int64_t rank;   /* time, negated when descending */
    uint32_t block; /* index into blocks */
    uint32_t row;
    uint32_t user; /* where its user lies in `users` */
} mr_candidate_t;

typedef struct {
    mr_block_id_t id;
    uint32_t n; /* rows */
    int layout;
} mr_candidate_block_t;


/* One thread at a time; begins with init(), ends with free(). */
typedef struct {
    const mr_plan_t *plan;
    const mr_source_t *source;
    int64_t first; /* ranks first..last are in the range */
    int64_t last;
    int64_t limit; /* nothing beyond it can get into the page */
    mr_candidate_t *list;
    size_t n;
    size_t cap;
    mr_candidate_block_t *blocks;
    size_t n_blocks;
    size_t cap_blocks;
    mr_buf_t users; /* each a length of 16 bits and its bytes */
    uint32_t user;  /* where the last one begins */
    size_t enough;  /* bytes of them at which they are looked through */
    int64_t *ranks; /* scratch of prune() */
    size_t cap_ranks;
} mr_candidates_t;


void mr_candidates_init(mr_candidates_t *candidates, const mr_plan_t *plan,
    const mr_source_t *source, int64_t first, int64_t last);
void mr_candidates_free(mr_candidates_t *candidates);

/*
 * Add a block's rows that pass the filters and are not beyond the limit; the
 * header is the one that the source gave last.  Fails with MR_ERROR_MEMORY,
 * or MR_ERROR_EVENT when the header's columns do not agree with each other.
 */
int mr_candidates_add(
    mr_candidates_t *candidates, const mr_header_t *header, mr_error_t *err);

/*
 * Lower the limit to the rank of the `need`-th best of the ordered rows and
 * those candidates that are certain to become rows, and forget the
 * candidates beyond it; those at the limit itself stay, however many.  Fails
 * with MR_ERROR_MEMORY.
 */
int mr_candidates_prune(mr_candidates_t *candidates, const mr_row_t *rows,
    size_t n_rows, size_t need, mr_error_t *err);

/*
 * Bring the candidates up to a rank to the head of the list, ordered by rank
 * if they are more than `most`, else grouped by block; how many they are.
 */
size_t mr_candidates_take(
    mr_candidates_t *candidates, int64_t upto, size_t most);

/* What is to be fetched for a candidate; its user is a view. */
mr_ref_t mr_candidates_ref(
    const mr_candidates_t *candidates, const mr_candidate_t *candidate);

/* Forget the first `n` of the list. */
void mr_candidates_drop(mr_candidates_t *candidates, size_t n);

/* Order by block and row; those that are already are left alone. */
void mr_candidates_group(mr_candidate_t *list, size_t n);

#endif /* MILLRACE_QUERY_CANDIDATES_H */
