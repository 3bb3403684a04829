#include "mongo_columns.h"


int
mr_mongo_column(const bson_t *block, const char *name, const uint8_t **ret_data,
    uint32_t *ret_len)
{
    bson_iter_t iter;

    if (!bson_iter_init_find(&iter, block, name)
        || !BSON_ITER_HOLDS_BINARY(&iter)) {
        return -1;
    }

    bson_iter_binary(&iter, NULL, ret_len, ret_data);

    return 0;
}


int
mr_mongo_times(const bson_t *block, uint32_t n, mr_times_t *ret_times)
{
    uint32_t len;
    bson_iter_t tmin;
    const uint8_t *data;

    if (!bson_has_field(block, "since")) {
        return mr_mongo_column(block, "times", &data, &len) == 0
                   ? mr_times_open_plain(data, len, n, ret_times)
                   : -1;
    }

    if (mr_mongo_column(block, "since", &data, &len) != 0
        || !bson_iter_init_find(&tmin, block, "tmin")
        || !BSON_ITER_HOLDS_DATE_TIME(&tmin))
    {
        return -1;
    }

    return mr_times_open_since(
        data, len, n, bson_iter_date_time(&tmin), ret_times);
}
