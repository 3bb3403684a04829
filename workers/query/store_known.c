#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "../common/layout.h"
#include "store_session.h"


/*
 * For so long, in ms, what was read holds.  An event type keeps its number for
 * ever, and one that is not among those read is looked for in all blocks;
 * blocks of earlier versions come only from writers of these.  While it is
 * being read anew others go on with it for some time, but not for ever: the
 * database may have been restored meanwhile.
 */
#define MR_KNOWN_INTERVAL 10000
#define MR_KNOWN_MOST 20000


/* What is read, before others see it. */
typedef struct {
    int earlier;
    mr_type_t *types;
    size_t n;
    size_t cap;
} mr_reading_t;


static int mr_known_begin(mr_store_t *store);
static void mr_known_end(mr_store_t *store, mr_reading_t *reading, int rc);
static int mr_known_read(
    mr_session_t *session, mr_reading_t *reading, mr_error_t *err);
static int mr_known_earlier(
    mr_session_t *session, int *ret_earlier, mr_error_t *err);
static int mr_known_type(void *ctx, const mr_type_t *type, mr_error_t *err);
static int mr_known_bits(const mr_store_t *store, const mr_plan_t *plan);
static int mr_known_cmp(const void *a, const void *b);
static void mr_known_types_free(mr_type_t *types, size_t n);


int
mr_session_known(mr_session_t *session, mr_known_t *ret_known, mr_error_t *err)
{
    int rc;
    mr_store_t *store;
    mr_reading_t reading;

    store = session->store;

    if (mr_known_begin(store)) {
        memset(&reading, 0, sizeof(reading));
        rc = mr_known_read(session, &reading, err);
        mr_known_end(store, &reading, rc);

        if (rc == -1) {
            return -1;
        }
    }

    pthread_mutex_lock(&store->mutex);
    ret_known->earlier = store->earlier;
    ret_known->bits = mr_known_bits(store, session->plan);
    pthread_mutex_unlock(&store->mutex);

    return 0;
}


void
mr_known_free(mr_store_t *store)
{
    mr_known_types_free(store->types, store->n_types);
}


/*
 * Is it to be read?  One reads, while the others go on with what was read last;
 * without that, or if it is too old, each does.
 */
static int
mr_known_begin(mr_store_t *store)
{
    int begin;
    int64_t age;

    pthread_mutex_lock(&store->mutex);

    age = mr_time_monotonic() - store->read;
    begin = store->read == 0 || age >= MR_KNOWN_MOST
            || (!store->reading && age >= MR_KNOWN_INTERVAL);
    store->reading |= begin;

    pthread_mutex_unlock(&store->mutex);

    return begin;
}


static void
mr_known_end(mr_store_t *store, mr_reading_t *reading, int rc)
{
    size_t n;
    mr_type_t *types;

    pthread_mutex_lock(&store->mutex);

    types = reading->types;
    n = reading->n;

    if (rc == 0) {
        types = store->types;
        n = store->n_types;

        store->types = reading->types;
        store->n_types = reading->n;
        store->earlier = reading->earlier;
        store->read = mr_time_monotonic();
    }

    store->reading = 0;

    pthread_mutex_unlock(&store->mutex);

    mr_known_types_free(types, n);
}


static int
mr_known_read(mr_session_t *session, mr_reading_t *reading, mr_error_t *err)
{
    return mr_known_earlier(session, &reading->earlier, err) == 0
                   && mr_session_types(session, mr_known_type, reading, err)
                          == 0
               ? 0
               : -1;
}


static int
mr_known_earlier(mr_session_t *session, int *ret_earlier, mr_error_t *err)
{
    int rc;
    bson_t opts;
    const bson_t *doc;
    mongoc_cursor_t *cursor;

    bson_init(&opts);
    rc = mr_session_limit(session, &opts, err);

    if (rc == 0) {
        cursor = mr_mongo_earlier(session->blocks, &opts);
        *ret_earlier = mongoc_cursor_next(cursor, &doc);
        rc = mr_session_cursor_end(cursor, "looking for earlier blocks", err);
        mongoc_cursor_destroy(cursor);
    }

    bson_destroy(&opts);

    return rc;
}


/* An mr_type_observer_t. */
static int
mr_known_type(void *ctx, const mr_type_t *type, mr_error_t *err)
{
    size_t cap;
    char *name;
    mr_type_t *types;
    mr_reading_t *reading;

    reading = ctx;

    if (reading->n == reading->cap) {
        cap = reading->cap == 0 ? 16 : 2 * reading->cap;
        types = realloc(reading->types, cap * sizeof(mr_type_t));

        if (types == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        reading->types = types;
        reading->cap = cap;
    }

    name = strndup(type->name.data, type->name.len);

    if (name == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    types = &reading->types[reading->n++];
    *types = *type;
    types->name = (mr_str_t){name, strlen(name)};

    return 0;
}


/* A type that has no number may be anywhere. */
static int
mr_known_bits(const mr_store_t *store, const mr_plan_t *plan)
{
    int bits;
    size_t i;
    const mr_type_t *type;
    mr_type_t wanted = {.name = {NULL, 0}};

    bits = plan->n_types == 0 ? MR_LAYOUT_ALL_BITS : 0;

    for (i = 0; i < plan->n_types; i++) {
        wanted.name = plan->types[i];
        type = store->n_types == 0
                   ? NULL
                   : bsearch(&wanted, store->types, store->n_types,
                       sizeof(mr_type_t), mr_known_cmp);
        bits |= type == NULL ? MR_LAYOUT_ALL_BITS : mr_layout_bit(type->number);
    }

    return bits;
}


static int
mr_known_cmp(const void *a, const void *b)
{
    const mr_type_t *left, *right;

    left = a;
    right = b;

    return mr_str_cmp(left->name, right->name);
}


static void
mr_known_types_free(mr_type_t *types, size_t n)
{
    while (n > 0) {
        free((char *) types[--n].name.data);
    }

    free(types);
}
