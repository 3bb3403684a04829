#include <stdlib.h>
#include <string.h>

#include "merged.h"


static int merged_add(mr_arena_t *arena, mr_scalars_t *into,
    const mr_scalars_t *from, size_t *cap);
static int measure_cmp(const void *a, const void *b);
static bool same_double(double a, double b);
static void merged_revise(mr_merged_t *next);


bool
mr_window_published(const mr_window_key_t *key)
{
    return key->width != MR_WIDTH_DAY && key->event_type.len > 0;
}


int64_t
mr_window_end(const mr_window_key_t *key)
{
    return key->start + (int64_t) mr_width_seconds(key->width) * 1000;
}


int
mr_partials_fold(mr_arena_t *arena, const mr_partial_t *list,
    mr_scalars_t *ret_scalars, int64_t *ret_expire)
{
    size_t cap;
    int64_t expire;
    mr_scalars_t sum;
    const mr_partial_t *part;

    cap = 0;
    expire = 0;
    memset(&sum, 0, sizeof(sum));

    for (part = list; part != NULL; part = part->next) {

        if (merged_add(arena, &sum, &part->scalars, &cap) != 0) {
            return -1;
        }

        if (part->expire != 0 && (expire == 0 || part->expire < expire)) {
            expire = part->expire;
        }
    }

    mr_scalars_sort(&sum);

    *ret_scalars = sum;
    *ret_expire = expire;

    return 0;
}


static int
merged_add(mr_arena_t *arena, mr_scalars_t *into, const mr_scalars_t *from,
    size_t *cap)
{
    size_t i, j;
    mr_named_measure_t *grown;

    into->count += from->count;

    for (i = 0; i < from->n_measures; i++) {

        for (j = 0; j < into->n_measures; j++) {

            if (mr_str_eq(into->measures[j].name, from->measures[i].name)) {
                break;
            }
        }

        if (j < into->n_measures) {
            mr_measure_merge(
                &into->measures[j].stats, &from->measures[i].stats);
            continue;
        }

        if (j == *cap) {
            *cap = *cap ? *cap * 2 : 4;

            grown = mr_arena_alloc(arena, *cap * sizeof(*grown));
            if (grown == NULL) {
                return -1;
            }

            if (j > 0) {
                memcpy(grown, into->measures, j * sizeof(*grown));
            }

            into->measures = grown;
        }

        into->measures[j] = from->measures[i];
        into->n_measures++;
    }

    return 0;
}


void
mr_scalars_sort(mr_scalars_t *scalars)
{
    if (scalars->n_measures > 1) {
        qsort(scalars->measures, scalars->n_measures,
            sizeof(scalars->measures[0]), measure_cmp);
    }
}


static int
measure_cmp(const void *a, const void *b)
{
    const mr_named_measure_t *x, *y;

    x = a;
    y = b;

    return mr_str_cmp(x->name, y->name);
}


bool
mr_scalars_equal(const mr_scalars_t *a, const mr_scalars_t *b)
{
    size_t i;
    const mr_measure_stats_t *x, *y;

    if (a->count != b->count || a->n_measures != b->n_measures) {
        return false;
    }

    for (i = 0; i < a->n_measures; i++) {
        x = &a->measures[i].stats;
        y = &b->measures[i].stats;

        if (!mr_str_eq(a->measures[i].name, b->measures[i].name)
            || x->count != y->count || !same_double(x->sum, y->sum)
            || !same_double(x->min, y->min) || !same_double(x->max, y->max))
        {
            return false;
        }
    }

    return true;
}


/* Bit for bit: a NaN is like itself, and -0 unlike 0, as in their text. */
static bool
same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof(double)) == 0;
}


mr_merge_t
mr_window_next(const mr_window_key_t *key, const mr_scalars_t *scalars,
    int64_t expire, const mr_merged_t *stored, int64_t grace, int64_t now,
    mr_merged_t *ret_next)
{
    mr_merged_t next;

    if (expire != 0 && expire - MR_EXPIRE_MARGIN <= now) {
        return MR_MERGE_EXPIRED;
    }

    if (stored != NULL) {

        if (mr_scalars_equal(&stored->scalars, scalars)) {
            return MR_MERGE_SAME;
        }

        if (scalars->count < stored->scalars.count) {
            return MR_MERGE_BACKWARDS;
        }

        next = *stored;

    } else {
        memset(&next, 0, sizeof(next));
        next.key = *key;
        next.closes = mr_window_end(key) + grace;

        if (expire != 0) {
            next.expire = next.closes + MR_CLOSED_KEEP;

            if (next.expire < expire) {
                next.expire = expire;
            }
        }
    }

    next.scalars = *scalars;
    next.final = next.final || next.closes <= now;
    merged_revise(&next);

    *ret_next = next;

    return MR_MERGE_WRITE;
}


int
mr_window_close(const mr_merged_t *stored, int64_t now, mr_merged_t *ret_next)
{
    if (stored->final || stored->closes > now) {
        return -1;
    }

    *ret_next = *stored;
    ret_next->final = true;
    merged_revise(ret_next);

    return 0;
}


static void
merged_revise(mr_merged_t *next)
{
    next->revision++;
    next->dirty = mr_window_published(&next->key);
}
