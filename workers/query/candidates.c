#include <stdlib.h>
#include <string.h>

#include "../common/layout.h"
#include "candidates.h"


/*
 * Bytes of users beyond which those of forgotten candidates are dropped for
 * the first time, and again whenever there are twice as many as were left.
 */
#define MR_CANDIDATES_USERS (4 * 1024)


static int mr_candidates_push(
    mr_candidates_t *candidates, int64_t rank, uint32_t row);
static int mr_candidates_block(
    mr_candidates_t *candidates, const mr_header_t *header);
static int mr_candidates_user(mr_candidates_t *candidates, mr_str_t user);
static mr_str_t mr_candidates_user_of(
    const mr_candidates_t *candidates, const mr_candidate_t *candidate);
static int mr_candidates_pack(mr_candidates_t *candidates);
static int mr_candidate_sure(const mr_candidates_t *candidates, int64_t rank);
static int mr_candidate_cmp_rank(const void *a, const void *b);
static int mr_candidate_cmp_block(const void *a, const void *b);
static int64_t mr_select(int64_t *list, size_t n, size_t k);
static int mr_candidates_damaged(const mr_header_t *header, mr_error_t *err);
static int mr_candidates_memory(mr_error_t *err);


void
mr_candidates_init(mr_candidates_t *candidates, const mr_plan_t *plan,
    const mr_source_t *source, int64_t first, int64_t last)
{
    memset(candidates, 0, sizeof(mr_candidates_t));

    candidates->plan = plan;
    candidates->source = source;
    candidates->enough = MR_CANDIDATES_USERS;
    candidates->first = first;
    candidates->last = last;
    candidates->limit = last;
}


void
mr_candidates_free(mr_candidates_t *candidates)
{
    free(candidates->list);
    free(candidates->blocks);
    free(candidates->ranks);
    mr_buf_free(&candidates->users);
    memset(candidates, 0, sizeof(mr_candidates_t));
}


int
mr_candidates_add(
    mr_candidates_t *candidates, const mr_header_t *header, mr_error_t *err)
{
    int known, whose;
    int64_t rank, time;
    uint32_t row;
    mr_str_t user, last;
    const mr_source_t *source;

    source = candidates->source;
    whose = header->layout == MR_LAYOUT_USERS;
    last = (mr_str_t){NULL, 0};
    known = 0;

    for (row = 0; row < header->n; row++) {

        time = mr_times_get(&header->times, row);
        rank = candidates->plan->order == MR_ORDER_ASC ? time : -time;

        if (rank < candidates->first || rank > candidates->limit
            || !mr_header_wants(header, row))
        {
            continue;
        }

        if (!known) {
            if (mr_candidates_block(candidates, header) == -1) {
                return mr_candidates_memory(err);
            }

            known = 1;
        }

        if (whose) {
            user = source->user(source->ctx, row);

            if (user.data == NULL) {
                return mr_candidates_damaged(header, err);
            }

            /* The next row of the same user shares it. */
            if (user.data != last.data
                && mr_candidates_user(candidates, user) == -1) {
                return mr_candidates_memory(err);
            }

            last = user;
        }

        if (mr_candidates_push(candidates, rank, row) == -1) {
            return mr_candidates_memory(err);
        }
    }

    return 0;
}


int
mr_candidates_prune(mr_candidates_t *candidates, const mr_row_t *rows,
    size_t n_rows, size_t need, mr_error_t *err)
{
    size_t i, n, kept;
    int64_t *ranks, limit;

    if (candidates->n + n_rows < need) {
        return 0;
    }

    n = candidates->n + n_rows;

    if (n > candidates->cap_ranks) {
        ranks = realloc(candidates->ranks, 2 * n * sizeof(int64_t));

        if (ranks == NULL) {
            return mr_candidates_memory(err);
        }

        candidates->ranks = ranks;
        candidates->cap_ranks = 2 * n;
    }

    ranks = candidates->ranks;
    n = 0;

    for (i = 0; i < n_rows; i++) {
        ranks[n++] = candidates->plan->order == MR_ORDER_ASC
                         ? rows[i].key.time
                         : -rows[i].key.time;
    }

    for (i = 0; i < candidates->n; i++) {
        if (mr_candidate_sure(candidates, candidates->list[i].rank)) {
            ranks[n++] = candidates->list[i].rank;
        }
    }

    if (n < need) {
        return 0;
    }

    limit = mr_select(ranks, n, need - 1);

    if (limit < candidates->limit) {
        candidates->limit = limit;
    }

    kept = 0;

    for (i = 0; i < candidates->n; i++) {
        if (candidates->list[i].rank <= candidates->limit) {
            candidates->list[kept++] = candidates->list[i];
        }
    }

    candidates->n = kept;

    if (candidates->users.len > candidates->enough
        && mr_candidates_pack(candidates) == -1)
    {
        return mr_candidates_memory(err);
    }

    return 0;
}


size_t
mr_candidates_take(mr_candidates_t *candidates, int64_t upto, size_t most)
{
    size_t i, n;
    mr_candidate_t swap, *list;

    list = candidates->list;
    n = 0;

    /* What is brought forward keeps its order, which mostly is by block. */
    for (i = 0; i < candidates->n; i++) {
        if (list[i].rank <= upto) {
            swap = list[n];
            list[n++] = list[i];
            list[i] = swap;
        }
    }

    if (n > most) {
        qsort(list, n, sizeof(mr_candidate_t), mr_candidate_cmp_rank);
    }

    return n;
}


void
mr_candidates_drop(mr_candidates_t *candidates, size_t n)
{
    if (n > 0) {
        memmove(candidates->list, candidates->list + n,
            (candidates->n - n) * sizeof(mr_candidate_t));
        candidates->n -= n;
    }
}


void
mr_candidates_group(mr_candidate_t *list, size_t n)
{
    size_t i;

    for (i = 1; i < n; i++) {
        if (mr_candidate_cmp_block(&list[i - 1], &list[i]) > 0) {
            qsort(list, n, sizeof(mr_candidate_t), mr_candidate_cmp_block);
            break;
        }
    }
}


mr_ref_t
mr_candidates_ref(
    const mr_candidates_t *candidates, const mr_candidate_t *candidate)
{
    mr_ref_t ref;
    const mr_candidate_block_t *block;

    block = &candidates->blocks[candidate->block];
    ref.id = block->id;
    ref.n = block->n;
    ref.layout = block->layout;
    ref.row = candidate->row;

    if (block->layout == MR_LAYOUT_USERS) {
        ref.user = mr_candidates_user_of(candidates, candidate);

    } else {
        ref.user = (mr_str_t){NULL, 0};
    }

    return ref;
}


/* A row of the last block and, if it is known, of the last user. */
static int
mr_candidates_push(mr_candidates_t *candidates, int64_t rank, uint32_t row)
{
    size_t cap;
    mr_candidate_t *list;

    if (candidates->n == candidates->cap) {
        cap = candidates->cap == 0 ? 1024 : candidates->cap * 2;
        list = realloc(candidates->list, cap * sizeof(mr_candidate_t));

        if (list == NULL) {
            return -1;
        }

        candidates->list = list;
        candidates->cap = cap;
    }

    list = &candidates->list[candidates->n++];
    list->rank = rank;
    list->block = (uint32_t) (candidates->n_blocks - 1);
    list->row = row;
    list->user = candidates->user;

    return 0;
}


static int
mr_candidates_block(mr_candidates_t *candidates, const mr_header_t *header)
{
    size_t cap;
    mr_candidate_block_t *blocks, *block;

    if (candidates->n_blocks == candidates->cap_blocks) {
        cap = candidates->cap_blocks == 0 ? 64 : candidates->cap_blocks * 2;
        blocks =
            realloc(candidates->blocks, cap * sizeof(mr_candidate_block_t));

        if (blocks == NULL) {
            return -1;
        }

        candidates->blocks = blocks;
        candidates->cap_blocks = cap;
    }

    block = &candidates->blocks[candidates->n_blocks++];
    block->id = header->id;
    block->n = header->n;
    block->layout = header->layout;

    return 0;
}


static int
mr_candidates_user(mr_candidates_t *candidates, mr_str_t user)
{
    uint16_t len;

    len = (uint16_t) user.len;
    candidates->user = (uint32_t) candidates->users.len;

    if (mr_buf_append(&candidates->users, &len, sizeof(len)) == -1) {
        return -1;
    }

    return mr_buf_append(&candidates->users, user.data, user.len);
}


static mr_str_t
mr_candidates_user_of(
    const mr_candidates_t *candidates, const mr_candidate_t *candidate)
{
    uint16_t len;
    const char *p;

    p = candidates->users.data + candidate->user;
    memcpy(&len, p, sizeof(len));

    return (mr_str_t){p + sizeof(len), len};
}


/* Keep the users of those candidates alone that there still are. */
static int
mr_candidates_pack(mr_candidates_t *candidates)
{
    size_t i;
    mr_str_t user;
    mr_buf_t old;
    uint32_t last;
    mr_candidates_t view;
    mr_candidate_t *candidate;

    old = candidates->users;
    view = *candidates;
    last = UINT32_MAX;
    candidates->users = (mr_buf_t) MR_BUF_INIT;

    for (i = 0; i < candidates->n; i++) {
        candidate = &candidates->list[i];

        if (candidates->blocks[candidate->block].layout != MR_LAYOUT_USERS) {
            continue;
        }

        /* Those that shared it still do. */
        if (candidate->user != last) {
            last = candidate->user;
            user = mr_candidates_user_of(&view, candidate);

            if (mr_candidates_user(candidates, user) == -1) {
                mr_buf_free(&old);
                return -1;
            }
        }

        candidate->user = candidates->user;
    }

    mr_buf_free(&old);

    candidates->enough = candidates->users.len > MR_CANDIDATES_USERS / 2
                             ? 2 * candidates->users.len
                             : MR_CANDIDATES_USERS;

    return 0;
}


/*
 * Whether a candidate becomes a row whatever the rest of it says: only the
 * row itself knows on which side of the cursor's event it lies within the same
 * millisecond.
 */
static int
mr_candidate_sure(const mr_candidates_t *candidates, int64_t rank)
{
    return candidates->plan->start.kind != MR_POSITION_EVENT
           || rank != candidates->first;
}


static int
mr_candidate_cmp_rank(const void *a, const void *b)
{
    const mr_candidate_t *left, *right;

    left = a;
    right = b;

    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }

    return mr_candidate_cmp_block(a, b);
}


static int
mr_candidate_cmp_block(const void *a, const void *b)
{
    const mr_candidate_t *left, *right;

    left = a;
    right = b;

    if (left->block != right->block) {
        return left->block < right->block ? -1 : 1;
    }

    return (left->row > right->row) - (left->row < right->row);
}


/* The k-th least, from 0; reorders the list.  Quickselect in three parts. */
static int64_t
mr_select(int64_t *list, size_t n, size_t k)
{
    size_t low, high, less, i, more;
    int64_t pivot, swap;

    low = 0;
    high = n - 1;

    while (low < high) {
        pivot = list[low + (high - low) / 2];
        less = low;
        i = low;
        more = high;

        /* less.. is the pivot from here to i-1; behind more all is greater. */
        while (i <= more) {
            swap = list[i];

            if (swap < pivot) {
                list[i++] = list[less];
                list[less++] = swap;

            } else if (swap > pivot) {
                list[i] = list[more];
                list[more--] = swap;

            } else {
                i++;
            }
        }

        if (k < less) {
            high = less - 1;

        } else if (k > more) {
            low = more + 1;

        } else {
            break;
        }
    }

    return list[k];
}


static int
mr_candidates_damaged(const mr_header_t *header, mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_EVENT, NULL,
        "block %lld/%d/%lld/%d: its columns do not fit its rows",
        (long long) header->id.epoch, header->id.partition,
        (long long) header->id.offset, header->id.number);
}


static int
mr_candidates_memory(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}
