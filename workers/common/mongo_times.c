#include "mongo_times.h"


int
mr_mongo_times(const bson_t *block, uint32_t n, mr_times_t *ret_times)
{
    uint32_t len;
    bson_iter_t iter, tmin;
    bson_subtype_t subtype;
    const uint8_t *data;

    if (bson_iter_init_find(&iter, block, "since")) {

        if (!BSON_ITER_HOLDS_BINARY(&iter)
            || !bson_iter_init_find(&tmin, block, "tmin")
            || !BSON_ITER_HOLDS_DATE_TIME(&tmin))
        {
            return -1;
        }

        bson_iter_binary(&iter, &subtype, &len, &data);

        return mr_times_open_since(
            data, len, n, bson_iter_date_time(&tmin), ret_times);
    }

    if (!bson_iter_init_find(&iter, block, "times")
        || !BSON_ITER_HOLDS_BINARY(&iter))
    {
        return -1;
    }

    bson_iter_binary(&iter, &subtype, &len, &data);

    return mr_times_open_plain(data, len, n, ret_times);
}
