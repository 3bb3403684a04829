#include "times.h"

#include <millrace/limits.h>


int
mr_times_open_since(const uint8_t *data, uint32_t len, uint32_t n, int64_t tmin,
    mr_times_t *ret_times)
{
    if (n == 0 || len % n != 0 || len / n > MR_TIMES_WIDTH || tmin < 0
        || tmin > MR_TIMESTAMP_MAX)
    {
        return -1;
    }

    ret_times->data = data;
    ret_times->base = tmin;
    ret_times->width = len / n;
    ret_times->next_byte = n;
    ret_times->next_event = 1;

    return 0;
}


int
mr_times_open_plain(
    const uint8_t *data, uint32_t len, uint32_t n, mr_times_t *ret_times)
{
    uint32_t i;
    int64_t time;

    if (n == 0 || len != (uint64_t) n * sizeof(int64_t)) {
        return -1;
    }

    ret_times->data = data;
    ret_times->base = 0;
    ret_times->width = sizeof(int64_t);
    ret_times->next_byte = 1;
    ret_times->next_event = sizeof(int64_t);

    for (i = 0; i < n; i++) {
        time = mr_times_get(ret_times, i);

        if (time < 0 || time > MR_TIMESTAMP_MAX) {
            return -1;
        }
    }

    return 0;
}


uint32_t
mr_times_width(int64_t extent)
{
    uint32_t width;

    for (width = 0; extent > 0; extent >>= 8) {
        width++;
    }

    return width;
}
