#include <stdlib.h>
#include <string.h>

#include <millrace/ddsketch.h>
#include <millrace/hll.h>

#include "merged.h"
#include "message.h"


static int merged_add(mr_arena_t *arena, mr_scalars_t *into,
    const mr_scalars_t *from, size_t *cap);
static int merged_users(mr_arena_t *arena, const mr_partial_t *list,
    mr_str_t before, mr_scalars_t *scalars, mr_damage_t *damage,
    mr_error_t *err);
static int merged_sketch(mr_arena_t *arena, const mr_partial_t *list,
    mr_named_measure_t *measure, mr_damage_t *damage, mr_error_t *err);
static int merged_damage(const mr_error_t *err, int32_t partition,
    mr_str_t name, mr_damage_t *damage);
static double merged_quantile(
    const mr_ddsketch_t *sketch, double q, const mr_measure_stats_t *stats);
static int merged_keep(
    mr_arena_t *arena, const mr_buf_t *buf, mr_str_t *ret_bytes);
static int merged_memory(mr_error_t *err);
static int measure_cmp(const void *a, const void *b);
static bool same_double(double a, double b);
static mr_merge_t merged_revise(
    mr_arena_t *arena, const mr_merged_t *stored, mr_merged_t *next);


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
mr_partials_fold(mr_arena_t *arena, const mr_partial_t *list, mr_str_t users,
    mr_scalars_t *ret_scalars, int64_t *ret_expire, mr_damage_t *ret_damage,
    mr_error_t *err)
{
    size_t i, cap;
    int64_t expire;
    mr_damage_t damage;
    mr_scalars_t sum;
    const mr_partial_t *part;

    cap = 0;
    expire = 0;
    memset(&sum, 0, sizeof(sum));
    memset(&damage, 0, sizeof(damage));

    for (part = list; part != NULL; part = part->next) {

        if (merged_add(arena, &sum, &part->scalars, &cap) != 0) {
            return merged_memory(err);
        }

        if (part->expire != 0 && (expire == 0 || part->expire < expire)) {
            expire = part->expire;
        }
    }

    for (i = 0; i < sum.n_measures; i++) {
        if (merged_sketch(arena, list, &sum.measures[i], &damage, err) != 0) {
            return -1;
        }
    }

    if (merged_users(arena, list, users, &sum, &damage, err) != 0) {
        return -1;
    }

    mr_scalars_sort(&sum);

    *ret_scalars = sum;
    *ret_expire = expire;
    *ret_damage = damage;

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


/* A union: in any order, and however often, the same. */
static int
merged_users(mr_arena_t *arena, const mr_partial_t *list, mr_str_t before,
    mr_scalars_t *scalars, mr_damage_t *damage, mr_error_t *err)
{
    int rc;
    size_t i;
    bool any;
    mr_buf_t buf = MR_BUF_INIT;
    mr_hll_t users = MR_HLL_INIT;
    const mr_partial_t *part;

    any = before.len > 0;
    rc = any ? mr_hll_merge_bytes(&users, before, err) : 0;

    if (rc == -1) {
        rc = merged_damage(err, -1, mr_str(""), damage);
        any = false;
    }

    for (part = list; part != NULL && rc != -1; part = part->next) {
        const mr_str_t parts[] = {part->scalars.users, part->tail};

        for (i = 0; i < 2 && rc != -1; i++) {

            if (parts[i].len == 0) {
                continue;
            }

            rc = mr_hll_merge_bytes(&users, parts[i], err);

            if (rc == -1) {
                rc = merged_damage(err, part->partition, mr_str(""), damage);

            } else {
                any = true;
            }
        }
    }

    if (any && rc != -1) {
        scalars->unique_users = mr_hll_estimate(&users);
        rc = mr_hll_write(&users, &buf);

        if (rc == -1 || merged_keep(arena, &buf, &scalars->users) != 0) {
            rc = merged_memory(err);
        }
    }

    mr_buf_free(&buf);
    mr_hll_free(&users);

    return rc == -1 ? -1 : 0;
}


static int
merged_sketch(mr_arena_t *arena, const mr_partial_t *list,
    mr_named_measure_t *measure, mr_damage_t *damage, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_buf_t buf = MR_BUF_INIT;
    mr_ddsketch_t sketch = MR_DDSKETCH_INIT;
    const mr_partial_t *part;
    const mr_named_measure_t *from;

    rc = 0;
    measure->sketch = mr_str("");

    for (part = list; part != NULL; part = part->next) {
        for (i = 0; i < part->scalars.n_measures && rc == 0; i++) {
            from = &part->scalars.measures[i];

            if (from->sketch.len > 0 && mr_str_eq(from->name, measure->name)) {
                rc = mr_ddsketch_merge_bytes(&sketch, from->sketch, err);
            }

            if (rc != 0) {
                rc = merged_damage(err, part->partition, from->name, damage);
            }
        }
    }

    if (rc == 0 && sketch.count > 0) {
        measure->p50 = merged_quantile(&sketch, 0.5, &measure->stats);
        measure->p95 = merged_quantile(&sketch, 0.95, &measure->stats);
        measure->p99 = merged_quantile(&sketch, 0.99, &measure->stats);

        if (mr_ddsketch_write(&sketch, &buf) != 0
            || merged_keep(arena, &buf, &measure->sketch) != 0)
        {
            rc = merged_memory(err);
        }
    }

    mr_buf_free(&buf);
    mr_ddsketch_free(&sketch);

    return rc;
}


/* Only what is damaged is left out. */
static int
merged_damage(const mr_error_t *err, int32_t partition, mr_str_t name,
    mr_damage_t *damage)
{
    if (err->code != MR_ERROR_CODING) {
        return -1;
    }

    damage->n++;
    damage->partition = partition;
    damage->name = name;

    return 0;
}


/* No percentile is beyond what was seen. */
static double
merged_quantile(
    const mr_ddsketch_t *sketch, double q, const mr_measure_stats_t *stats)
{
    double value;

    value = mr_ddsketch_quantile(sketch, q);

    if (value < stats->min) {
        return stats->min;
    }

    return value > stats->max ? stats->max : value;
}


static int
merged_keep(mr_arena_t *arena, const mr_buf_t *buf, mr_str_t *ret_bytes)
{
    return mr_arena_copy(arena, (mr_str_t){buf->data, buf->len}, ret_bytes);
}


static int
merged_memory(mr_error_t *err)
{
    return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
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

    /* A partial may bring its count a round before its users. */
    if (a->count != b->count || a->n_measures != b->n_measures
        || !mr_str_eq(a->users, b->users))
    {
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
    uint64_t x, y;

    memcpy(&x, &a, sizeof(double));
    memcpy(&y, &b, sizeof(double));

    return x == y;
}


mr_merge_t
mr_window_next(mr_arena_t *arena, const mr_window_key_t *key,
    const mr_scalars_t *scalars, int64_t expire, const mr_merged_t *stored,
    int64_t grace, int64_t now, mr_merged_t *ret_next)
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
    *ret_next = next;

    return merged_revise(arena, stored, ret_next);
}


mr_merge_t
mr_window_close(mr_arena_t *arena, const mr_merged_t *stored, int64_t now,
    mr_merged_t *ret_next)
{
    if (stored->final || stored->closes > now) {
        return MR_MERGE_SAME;
    }

    *ret_next = *stored;
    ret_next->final = true;

    return merged_revise(arena, stored, ret_next);
}


/*
 * A revision that may have been sent is kept as it was, once: until that one
 * is acknowledged, the next was surely not sent, and is replaced.
 */
static mr_merge_t
merged_revise(mr_arena_t *arena, const mr_merged_t *stored, mr_merged_t *next)
{
    int rc;
    mr_buf_t text = MR_BUF_INIT;

    next->replaces = next->revision;
    next->dirty = mr_window_published(&next->key);

    if (stored == NULL || !stored->dirty) {
        next->revision++;
        return MR_MERGE_WRITE;
    }

    if (stored->frozen != 0) {
        return MR_MERGE_WRITE;
    }

    rc = mr_message_value(&text, stored) != 0
                 || merged_keep(arena, &text, &next->text) != 0
             ? -1
             : 0;

    mr_buf_free(&text);

    next->frozen = next->revision;
    next->revision++;

    return rc == 0 ? MR_MERGE_WRITE : MR_MERGE_MEMORY;
}
