#include "times.h"


int
mr_times_since(mr_times_t *times, uint32_t n, const uint8_t *data, uint32_t len,
    int64_t tmin)
{
    if (n == 0 || len % n != 0 || len / n > MR_TIMES_WIDTH) {
        return -1;
    }

    times->data = data;
    times->base = tmin;
    times->width = len / n;
    times->next_byte = n;
    times->next_event = 1;

    return 0;
}


int
mr_times_plain(mr_times_t *times, uint32_t n, const uint8_t *data, uint32_t len)
{
    if (n == 0 || len != (uint64_t) n * sizeof(int64_t)) {
        return -1;
    }

    times->data = data;
    times->base = 0;
    times->width = sizeof(int64_t);
    times->next_byte = 1;
    times->next_event = sizeof(int64_t);

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
