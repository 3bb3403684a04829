#include "store_private.h"


int
mr_store_count_dirty(
    mr_store_t *store, int64_t limit, int64_t *ret_n, mr_error_t *err)
{
    int rc;
    bson_t *filter, opts;
    int64_t n;
    bson_error_t error;

    if (mr_store_opts(store, &opts, err) != 0) {
        return -1;
    }

    BSON_APPEND_INT64(&opts, "limit", limit);

    /* The index has nothing else, so that no window is read for it. */
    filter = BCON_NEW("dirty", BCON_BOOL(true));

    n = mongoc_collection_count_documents(
        store->windows, filter, &opts, NULL, NULL, &error);

    rc = 0;

    if (n < 0) {
        rc = mr_mongo_error(err, "cannot count the windows", &error);

    } else {
        *ret_n = n;
    }

    bson_destroy(filter);
    bson_destroy(&opts);

    return rc;
}
