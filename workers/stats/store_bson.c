#include <string.h>

#include "store_private.h"


/* Where a document's sketches of measures are, if it has some. */
typedef struct {
    bool found;
    bson_iter_t measures;
} sketches_t;


static int bson_damage(int rc, mr_merged_t *window);
static int bson_frozen(
    const bson_iter_t *field, mr_arena_t *arena, mr_merged_t *window);
static void bson_measure(const bson_iter_t *field, mr_named_measure_t *measure);
static int bson_sketches(const bson_iter_t *field, mr_arena_t *arena,
    mr_scalars_t *scalars, mr_str_t *tail, sketches_t *sketches);
static int bson_attach(
    const sketches_t *sketches, mr_arena_t *arena, mr_scalars_t *scalars);
static int bson_bytes(
    const bson_iter_t *field, mr_arena_t *arena, mr_str_t *ret_bytes);
static void bson_append_bytes(bson_t *doc, const char *name, mr_str_t bytes);


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

        if (m->sketch.len > 0) {
            BSON_APPEND_DOUBLE(&measure, "p50", m->p50);
            BSON_APPEND_DOUBLE(&measure, "p95", m->p95);
            BSON_APPEND_DOUBLE(&measure, "p99", m->p99);
        }

        bson_append_document_end(&measures, &measure);
    }

    bson_append_document_end(doc, &measures);
}


void
mr_bson_append_sketches(bson_t *doc, const mr_scalars_t *scalars)
{
    size_t i;
    bson_t sketches, measures;

    if (scalars->users.len == 0) {
        return;
    }

    BSON_APPEND_DOCUMENT_BEGIN(doc, "sketches", &sketches);
    bson_append_bytes(&sketches, "users", scalars->users);
    BSON_APPEND_DOCUMENT_BEGIN(&sketches, "measures", &measures);

    for (i = 0; i < scalars->n_measures; i++) {

        if (scalars->measures[i].sketch.len > 0) {
            /* mr_arena_copy() has put a NUL behind the name. */
            bson_append_bytes(&measures, scalars->measures[i].name.data,
                scalars->measures[i].sketch);
        }
    }

    bson_append_document_end(&sketches, &measures);
    bson_append_document_end(doc, &sketches);
}


static void
bson_append_bytes(bson_t *doc, const char *name, mr_str_t bytes)
{
    BSON_APPEND_BINARY(doc, name, BSON_SUBTYPE_BINARY,
        (const uint8_t *) bytes.data, (uint32_t) bytes.len);
}


int
mr_bson_partial(const bson_t *doc, mr_arena_t *arena, mr_window_key_t *ret_key,
    mr_partial_t **ret_partial)
{
    int rc;
    bool known;
    const char *name;
    bson_iter_t iter;
    sketches_t sketches;
    mr_partial_t *part;
    mr_window_key_t key;

    sketches.found = false;
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
            rc = mr_bson_key(&iter, arena, &key, &part->partition);
            known = true;

        } else if (strcmp(name, "flush") == 0) {
            part->flush = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "count") == 0) {
            part->scalars.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "measures") == 0) {
            rc = mr_bson_measures(&iter, arena, &part->scalars);

        } else if (strcmp(name, "sketches") == 0) {
            rc = bson_sketches(
                &iter, arena, &part->scalars, &part->tail, &sketches);

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

    if (bson_attach(&sketches, arena, &part->scalars) != 0) {
        return -1;
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
    sketches_t sketches;
    mr_merged_t *window;
    bson_iter_t iter;

    sketches.found = false;
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
            rc = mr_bson_key(&iter, arena, &window->key, &partition);
            known = true;

        } else if (strcmp(name, "count") == 0) {
            window->scalars.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "measures") == 0) {
            rc = bson_damage(
                mr_bson_measures(&iter, arena, &window->scalars), window);

        } else if (strcmp(name, "unique_users") == 0) {
            window->scalars.unique_users = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "sketches") == 0) {
            rc = bson_damage(
                bson_sketches(&iter, arena, &window->scalars, NULL, &sketches),
                window);

        } else if (strcmp(name, "frozen") == 0
                   && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            rc = bson_frozen(&iter, arena, window);

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

    if (bson_attach(&sketches, arena, &window->scalars) != 0) {
        return -1;
    }

    *ret_window = window;

    return 0;
}


/* What is made of the partials is made of them again. */
static int
bson_damage(int rc, mr_merged_t *window)
{
    if (rc != 1) {
        return rc;
    }

    window->damaged = true;

    return 0;
}


/* Nobody else knows what a revision was that may have been sent. */
static int
bson_frozen(const bson_iter_t *field, mr_arena_t *arena, mr_merged_t *window)
{
    bson_iter_t iter;

    if (!bson_iter_recurse(field, &iter) || !bson_iter_find(&iter, "revision"))
    {
        return 1;
    }

    window->frozen = bson_iter_as_int64(&iter);

    if (!bson_iter_recurse(field, &iter) || !bson_iter_find(&iter, "text")) {
        return 1;
    }

    return bson_bytes(&iter, arena, &window->text);
}


int
mr_bson_key(const bson_iter_t *id, mr_arena_t *arena, mr_window_key_t *ret_key,
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

            key.event_type = text;

            if (arena != NULL
                && mr_arena_copy(arena, text, &key.event_type) != 0) {
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


int
mr_bson_measures(
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

        bson_measure(&iter, &list[n]);
        n++;
    }

    ret_scalars->measures = list;
    ret_scalars->n_measures = n;
    mr_scalars_sort(ret_scalars);

    return 0;
}


static void
bson_measure(const bson_iter_t *field, mr_named_measure_t *measure)
{
    const char *name;
    bson_iter_t iter;

    if (!BSON_ITER_HOLDS_DOCUMENT(field) || !bson_iter_recurse(field, &iter)) {
        return;
    }

    while (bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "count") == 0) {
            measure->stats.count = bson_iter_as_int64(&iter);

        } else if (strcmp(name, "sum") == 0) {
            measure->stats.sum = bson_iter_as_double(&iter);

        } else if (strcmp(name, "min") == 0) {
            measure->stats.min = bson_iter_as_double(&iter);

        } else if (strcmp(name, "max") == 0) {
            measure->stats.max = bson_iter_as_double(&iter);

        } else if (strcmp(name, "p50") == 0) {
            measure->p50 = bson_iter_as_double(&iter);

        } else if (strcmp(name, "p95") == 0) {
            measure->p95 = bson_iter_as_double(&iter);

        } else if (strcmp(name, "p99") == 0) {
            measure->p99 = bson_iter_as_double(&iter);
        }
    }
}


/* Those of measures are left for when the measures themselves are known. */
static int
bson_sketches(const bson_iter_t *field, mr_arena_t *arena,
    mr_scalars_t *scalars, mr_str_t *tail, sketches_t *sketches)
{
    int rc;
    const char *name;
    bson_iter_t iter;

    if (!BSON_ITER_HOLDS_DOCUMENT(field) || !bson_iter_recurse(field, &iter)) {
        return 1;
    }

    rc = 0;

    while (rc == 0 && bson_iter_next(&iter)) {
        name = bson_iter_key(&iter);

        if (strcmp(name, "users") == 0) {
            rc = bson_bytes(&iter, arena, &scalars->users);

        } else if (strcmp(name, "tail") == 0 && tail != NULL) {
            rc = bson_bytes(&iter, arena, tail);

        } else if (strcmp(name, "measures") == 0
                   && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            sketches->found = bson_iter_recurse(&iter, &sketches->measures);
        }
    }

    return rc;
}


static int
bson_attach(
    const sketches_t *sketches, mr_arena_t *arena, mr_scalars_t *scalars)
{
    int rc;
    size_t i;
    mr_str_t name;
    bson_iter_t iter;

    if (!sketches->found) {
        return 0;
    }

    rc = 0;
    iter = sketches->measures;

    while (rc != -1 && bson_iter_next(&iter)) {
        name.data = bson_iter_key(&iter);
        name.len = strlen(name.data);

        for (i = 0; i < scalars->n_measures && rc != -1; i++) {
            if (mr_str_eq(scalars->measures[i].name, name)) {
                rc = bson_bytes(&iter, arena, &scalars->measures[i].sketch);
            }
        }
    }

    return rc == -1 ? -1 : 0;
}


static int
bson_bytes(const bson_iter_t *field, mr_arena_t *arena, mr_str_t *ret_bytes)
{
    uint32_t len;
    mr_str_t bytes;
    const uint8_t *data;

    if (!BSON_ITER_HOLDS_BINARY(field)) {
        return 1;
    }

    bson_iter_binary(field, NULL, &len, &data);
    bytes = (mr_str_t){(const char *) data, len};

    return mr_arena_copy(arena, bytes, ret_bytes);
}
