/*
 * When the events of a block are, by place: its column `since`, or `times` in
 * blocks of earlier versions (docs/data-model.md, `blocks`).  Times are ms
 * since the epoch.
 */
#ifndef MILLRACE_TIMES_H
#define MILLRACE_TIMES_H

#include <stddef.h>
#include <stdint.h>


/* The most bytes that a time takes in `since`: MR_TIMESTAMP_MAX has no more. */
#define MR_TIMES_WIDTH 6

/* Lives as long as the block's document. */
typedef struct {
    const uint8_t *data;
    int64_t base;      /* what is added to each */
    uint32_t width;    /* bytes of each, the lowest first: */
    size_t next_byte;  /* from one to the next, */
    size_t next_event; /* and from one event's to the next one's */
} mr_times_t;


/* Both return -1 if it is no such column of n events; no time is negative. */
int mr_times_open_since(const uint8_t *data, uint32_t len, uint32_t n,
    int64_t tmin, mr_times_t *ret_times);
int mr_times_open_plain(
    const uint8_t *data, uint32_t len, uint32_t n, mr_times_t *ret_times);

/* Of the event in place i < n. */
static inline int64_t
mr_times_get(const mr_times_t *times, uint32_t i)
{
    uint32_t k;
    uint64_t value;
    const uint8_t *p;

    p = times->data + i * times->next_event;

    for (k = 0, value = 0; k < times->width; k++) {
        value |= (uint64_t) p[k * times->next_byte] << (8 * k);
    }

    return (int64_t) ((uint64_t) times->base + value);
}


/* How many bytes each takes in a `since` of events up to tmax - tmin apart. */
uint32_t mr_times_width(int64_t extent);

/* Write one of the n of a `since`, which has n * width bytes. */
static inline void
mr_times_put(
    uint8_t *data, uint32_t n, uint32_t width, uint32_t i, int64_t after_tmin)
{
    uint32_t k;

    for (k = 0; k < width; k++) {
        data[(size_t) k * n + i] = (uint8_t) ((uint64_t) after_tmin >> (8 * k));
    }
}

#endif /* MILLRACE_TIMES_H */
