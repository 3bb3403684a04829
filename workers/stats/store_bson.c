#include <string.h>

#include "store_private.h"


static int bson_key(const bson_iter_t *id, mr_arena_t *arena,
    mr_window_key_t *ret_key, int32_t *ret_partition);
static int bson_measures(
    const bson_iter_t *field, mr_arena_t *arena, mr_scalars_t *ret_scalars);
static void bson_measure(const bson_iter_t *field, mr_measure_stats_t *stats);


void
mr_bson_append_id(bson_t *doc, const char *name, const mr_window_key_t *key,
    int32_t partition)
{
    bson_t id;

    BSON_APPEND_DOCUMENT_BEGIN(doc, name, &id);
    BSON_APPEND_INT32(&id, "width", mr_width_seconds(key->width));
    bson_append_utf8(
        &id, "event_type", -1, key->event_type.data, (int) key->event_type.len);
    BSON_APPEND_DATE_TIME(&id, "start", key->start);

    if (partition >= 0) {
        BSON_APPEND_INT32(&id, "partition", partition);
    }

    bson_append_document_end(doc, &id);
}


void
mr_bson_append_measures(bson_t *doc, const mr_scalars_t *scalars)
{
    size_t i;
    bson_t measures, measure;
    const mr_named_measure_t *m;

    BSON_APPEND_DOCUMENT_BEGIN(doc, "measures", &measures);

    for (i = 0; i < scalars->n_measures; i++) {
        m = &scalars->measures[i];

        bson_append_document_begin(
            &measures, m->name.data, (int) m->name.len, &measure);
        BSON_APPEND_INT64(&measure, "count", m->stats.count);
        BSON_APPEND_DOUBLE(&measure, "sum", m->stats.sum);
        BSON_APPEND_DOUBLE(&measure, "min", m->stats.min);
        BSON_APPEND_DOUBLE(&measure, "max", m->stats.max);
        bson_append_document_end(&measures, &measure);
    }

    bson_append_document_end(doc, &measures);
}


int
mr_bson_partial(const bson_t *doc, mr_arena_t *arena, mr_window_key_t *ret_key,
    mr_partial_t **ret_partial)
{
    int rc;
    bool known;
    const char *name;
    bson_iter_t iter;
    mr_partial_t *part;
    mr_window_key_t key;

    part = mr_arena_alloc(arena, sizeof(mr_partial_t));

    if (part == NULL || !bson_iter_init(&iter, doc)) {
        return -1;
    }

    known = false;
    part->partition = -1;

    while (bson_iter_next(&iter)) {
        rc = 0;
        name = bson_iter_key(&iter);

        if (strcmp(name, "_id") == 0) {
            rc = bson_key(&iter, arena, &key, &part->partition);
            known = true;

        } else if (strcmp(name, "flush") == 0) {
            part->flush = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "count") == 0) {
            part->scalars.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "measures") == 0) {
            rc = bson_measures(&iter, arena, &part->scalars);

        } else if (strcmp(name, "expire") == 0
                   && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            part->expire = bson_iter_date_time(&iter);
        }

        if (rc != 0) {
            return rc;
        }
    }

    if (!known || part->partition < 0) {
        return 1;
    }

    *ret_key = key;
    *ret_partial = part;

    return 0;
}


int
mr_bson_window(const bson_t *doc, mr_arena_t *arena, mr_merged_t **ret_window)
{
    int rc;
    bool known;
    int32_t partition;
    const char *name;
    mr_merged_t *window;
    bson_iter_t iter;

    window = mr_arena_alloc(arena, sizeof(mr_merged_t));

    if (window == NULL || !bson_iter_init(&iter, doc)) {
        return -1;
    }

    known = false;
    partition = -1;

    while (bson_iter_next(&iter)) {
        rc = 0;
        name = bson_iter_key(&iter);

        if (strcmp(name, "_id") == 0) {
            rc = bson_key(&iter, arena, &window->key, &partition);
            known = true;

        } else if (strcmp(name, "count") == 0) {
            window->scalars.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "measures") == 0) {
            rc = bson_measures(&iter, arena, &window->scalars);

        } else if (strcmp(name, "revision") == 0) {
            window->revision = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "final") == 0) {
            window->final = bson_iter_as_bool(&iter);

        } else if (strcmp(name, "published") == 0) {
            window->published = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "dirty") == 0) {
            window->dirty = bson_iter_as_bool(&iter);

        } else if (strcmp(name, "closes") == 0
                   && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            window->closes = bson_iter_date_time(&iter);

        } else if (strcmp(name, "expire") == 0
                   && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            window->expire = bson_iter_date_time(&iter);
        }

        if (rc != 0) {
            return rc;
        }
    }

    if (!known || window->revision < 1) {
        return 1;
    }

    *ret_window = window;

    return 0;
}


static int
bson_key(const bson_iter_t *id, mr_arena_t *arena, mr_window_key_t *ret_key,
    int32_t *ret_partition)
{
    uint32_t len;
    mr_str_t text;
    unsigned seen;
    const char *name;
    bson_iter_t iter;
    mr_window_key_t key;

    if (!BSON_ITER_HOLDS_DOCUMENT(id) || !bson_iter_recurse(id, &iter)) {
        return 1;
    }

    seen = 0;
    memset(&key, 0, sizeof(key));

    while (bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "width") == 0
            && mr_width_find(bson_iter_as_int64(&iter), &key.width) == 0)
        {
            seen |= 1;

        } else if (strcmp(name, "event_type") == 0
                   && BSON_ITER_HOLDS_UTF8(&iter)) {
            text.data = bson_iter_utf8(&iter, &len);
            text.len = len;

            if (mr_arena_copy(arena, text, &key.event_type) != 0) {
                return -1;
            }

            seen |= 2;

        } else if (strcmp(name, "start") == 0
                   && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            key.start = bson_iter_date_time(&iter);
            seen |= 4;

        } else if (strcmp(name, "partition") == 0
                   && BSON_ITER_HOLDS_INT32(&iter)) {
            *ret_partition = bson_iter_int32(&iter);
        }
    }

    if (seen != 7) {
        return 1;
    }

    *ret_key = key;

    return 0;
}


static int
bson_measures(
    const bson_iter_t *field, mr_arena_t *arena, mr_scalars_t *ret_scalars)
{
    size_t n;
    mr_str_t name;
    bson_iter_t iter;
    mr_named_measure_t *list;

    if (!BSON_ITER_HOLDS_DOCUMENT(field)) {
        return 1;
    }

    n = 0;

    if (!bson_iter_recurse(field, &iter)) {
        return 1;
    }

    while (bson_iter_next(&iter)) {
        n++;
    }

    list = mr_arena_alloc(arena, n * sizeof(mr_named_measure_t));

    if (list == NULL || !bson_iter_recurse(field, &iter)) {
        return -1;
    }

    n = 0;

    while (bson_iter_next(&iter)) {
        name.data = bson_iter_key(&iter);
        name.len = strlen(name.data);

        if (mr_arena_copy(arena, name, &list[n].name) != 0) {
            return -1;
        }

        bson_measure(&iter, &list[n].stats);
        n++;
    }

    ret_scalars->measures = list;
    ret_scalars->n_measures = n;
    mr_scalars_sort(ret_scalars);

    return 0;
}


static void
bson_measure(const bson_iter_t *field, mr_measure_stats_t *stats)
{
    const char *name;
    bson_iter_t iter;

    if (!BSON_ITER_HOLDS_DOCUMENT(field) || !bson_iter_recurse(field, &iter)) {
        return;
    }

    while (bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "count") == 0) {
            stats->count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "sum") == 0) {
            stats->sum = bson_iter_as_double(&iter);

        } else if (strcmp(name, "min") == 0) {
            stats->min = bson_iter_as_double(&iter);

        } else if (strcmp(name, "max") == 0) {
            stats->max = bson_iter_as_double(&iter);
        }
    }
}
