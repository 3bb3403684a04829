/*
 * Repeated keys.  A hostile event holds a hundred thousand keys, so they are
 * not compared pairwise but sorted by hash, and by their bytes where hashes
 * are equal: chosen collisions gain nothing.  Heapsort needs no memory of
 * its own and has no bad case.
 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "parser.h"


#define MR_KEYS_MIN 256


static int mr_keys_reserve(mr_parser_t *parser, size_t n);
static void mr_keys_sort(mr_key_t *keys, size_t n);
static void mr_keys_sift(mr_key_t *keys, size_t root, size_t n);
static int mr_keys_cmp(const mr_key_t *a, const mr_key_t *b);


int
mr_keys_find_repeated(
    mr_parser_t *parser, yyjson_val *object, yyjson_val **ret_key)
{
    size_t i, n;
    mr_key_t *keys;
    yyjson_val *key;

    n = unsafe_yyjson_get_len(object);

    if (mr_keys_reserve(parser, n) != 0) {
        return -1;
    }

    keys = parser->keys;
    key = unsafe_yyjson_get_first(object);

    for (i = 0; i < n; i++) {
        keys[i].key = key;
        keys[i].hash =
            XXH3_64bits(unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key));
        key = unsafe_yyjson_get_next(key + 1);
    }

    mr_keys_sort(keys, n);

    *ret_key = NULL;

    for (i = 1; i < n; i++) {
        if (mr_keys_cmp(&keys[i - 1], &keys[i]) == 0) {
            *ret_key = keys[i].key;
            break;
        }
    }

    return 0;
}


static int
mr_keys_reserve(mr_parser_t *parser, size_t n)
{
    size_t cap;
    mr_key_t *keys;

    if (n <= parser->keys_cap) {
        return 0;
    }

    cap = (parser->keys_cap > 0) ? parser->keys_cap : MR_KEYS_MIN;

    while (cap < n) {
        cap += cap / 2;
    }

    /* Nothing of it need be kept, so nothing is copied. */

    keys = malloc(cap * sizeof(mr_key_t));
    if (keys == NULL) {
        return -1;
    }

    free(parser->keys);
    parser->keys = keys;
    parser->keys_cap = cap;

    return 0;
}


static void
mr_keys_sort(mr_key_t *keys, size_t n)
{
    size_t i;
    mr_key_t key;

    for (i = n / 2; i > 0; i--) {
        mr_keys_sift(keys, i - 1, n);
    }

    for (i = n; i > 1; i--) {
        key = keys[0];
        keys[0] = keys[i - 1];
        keys[i - 1] = key;

        mr_keys_sift(keys, 0, i - 1);
    }
}


/* Restore the heap below `root`, where both subtrees are heaps. */

static void
mr_keys_sift(mr_key_t *keys, size_t root, size_t n)
{
    size_t child;
    mr_key_t key;

    key = keys[root];

    for (;;) {
        child = 2 * root + 1;

        if (child >= n) {
            break;
        }

        if (child + 1 < n && mr_keys_cmp(&keys[child], &keys[child + 1]) < 0) {
            child++;
        }

        if (mr_keys_cmp(&key, &keys[child]) >= 0) {
            break;
        }

        keys[root] = keys[child];
        root = child;
    }

    keys[root] = key;
}


static int
mr_keys_cmp(const mr_key_t *a, const mr_key_t *b)
{
    if (a->hash != b->hash) {
        return (a->hash < b->hash) ? -1 : 1;
    }

    return mr_str_cmp(mr_value_str(a->key), mr_value_str(b->key));
}
