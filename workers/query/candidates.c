#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "candidates.h"


static int mr_candidates_push(
    mr_candidates_t *candidates, int64_t rank, uint32_t block, uint32_t row);
static int mr_candidates_block(
    mr_candidates_t *candidates, const mr_block_id_t *id);
static int mr_candidate_sure(const mr_candidates_t *candidates, int64_t rank);
static int mr_candidate_cmp_rank(const void *a, const void *b);
static int mr_candidate_cmp_block(const void *a, const void *b);
static int64_t mr_select(int64_t *list, size_t n, size_t k);
static int mr_candidates_memory(mr_error_t *err);


void
mr_candidates_init(mr_candidates_t *candidates, const mr_plan_t *plan,
    int64_t first, int64_t last)
{
    memset(candidates, 0, sizeof(mr_candidates_t));

    candidates->plan = plan;
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
    memset(candidates, 0, sizeof(mr_candidates_t));
}


int
mr_candidates_add(
    mr_candidates_t *candidates, const mr_header_t *header, mr_error_t *err)
{
    int known;
    int64_t rank, time;
    uint16_t kind;
    uint32_t row;

    if (header->first > header->end || header->end > header->n) {
        return mr_error_set(err, MR_ERROR_EVENT, NULL,
            "block %lld/%d/%lld/%d: its columns do not fit its rows",
            (long long) header->id.epoch, header->id.partition,
            (long long) header->id.offset, header->id.number);
    }

    known = 0;

    for (row = header->first; row < header->end; row++) {

        memcpy(
            &time, header->times + (size_t) row * sizeof(time), sizeof(time));
        time = (int64_t) le64toh((uint64_t) time);
        rank = candidates->plan->order == MR_ORDER_ASC ? time : -time;

        if (rank < candidates->first || rank > candidates->limit) {
            continue;
        }

        if (header->kinds != NULL) {
            memcpy(&kind, header->kinds + (size_t) row * sizeof(kind),
                sizeof(kind));
            kind = le16toh(kind);

            if (kind >= header->n_kinds || !header->wanted[kind]) {
                continue;
            }
        }

        if (!known) {
            if (mr_candidates_block(candidates, &header->id) == -1) {
                return mr_candidates_memory(err);
            }

            known = 1;
        }

        if (mr_candidates_push(
                candidates, rank, (uint32_t) (candidates->n_blocks - 1), row)
            == -1)
        {
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


static int
mr_candidates_push(
    mr_candidates_t *candidates, int64_t rank, uint32_t block, uint32_t row)
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
    list->block = block;
    list->row = row;

    return 0;
}


static int
mr_candidates_block(mr_candidates_t *candidates, const mr_block_id_t *id)
{
    size_t cap;
    mr_block_id_t *blocks;

    if (candidates->n_blocks == candidates->cap_blocks) {
        cap = candidates->cap_blocks == 0 ? 64 : candidates->cap_blocks * 2;
        blocks = realloc(candidates->blocks, cap * sizeof(mr_block_id_t));

        if (blocks == NULL) {
            return -1;
        }

        candidates->blocks = blocks;
        candidates->cap_blocks = cap;
    }

    candidates->blocks[candidates->n_blocks++] = *id;

    return 0;
}


/*
 * Whether a candidate becomes a row whatever the rest of it says: only the
 * row itself knows its event_id, and on which side of the cursor's event it
 * lies within the same millisecond.
 */
static int
mr_candidate_sure(const mr_candidates_t *candidates, int64_t rank)
{
    const mr_plan_t *plan;

    plan = candidates->plan;

    return plan->event_id.data == NULL
           && (plan->start.kind != MR_POSITION_EVENT
               || rank != candidates->first);
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
mr_candidates_memory(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
}
