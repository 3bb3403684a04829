/* A source of blocks in memory, and what a simple model finds in it. */
#ifndef FAKE_SOURCE_H
#define FAKE_SOURCE_H

#include "check_query.h"
#include "query/source.h"


#define FAKE_EVENTS 3000
#define FAKE_BLOCKS 3000
#define FAKE_ROWS 64
#define FAKE_KINDS 3


typedef struct {
    char event_id[8];
    char user_id[8];
    uint16_t kind; /* of fake_kinds */
    int64_t time;
    int32_t partition;
    int64_t offset;
} fake_event_t;


typedef struct {
    mr_block_id_t id;
    int span;
    int layout;
    int gone;  /* passes its retention between header and rows */
    int moved; /* loses its first row between header and rows */
    int64_t tmin;
    int64_t tmax;
    uint32_t n;
    uint8_t times[FAKE_ROWS * 8];
    uint8_t since[FAKE_ROWS * MR_TIMES_WIDTH]; /* made of them */
    uint8_t kinds[FAKE_ROWS * 2];
    fake_event_t *events[FAKE_ROWS]; /* by user, as in MongoDB */
} fake_block_t;


typedef struct {
    fake_event_t events[FAKE_EVENTS];
    size_t n_events;
    fake_block_t blocks[FAKE_BLOCKS];
    size_t n_blocks;

    /* One reading of it. */
    const mr_plan_t *plan;
    fake_block_t *walks[MR_COURSES][FAKE_BLOCKS];
    size_t n_walk[MR_COURSES]; /* blocks of a walk that has begun */
    size_t seen[MR_COURSES];   /* given so far */
    int begun[MR_COURSES];
    uint8_t wanted[FAKE_KINDS];
    int fail;                 /* calls until one fails; 0: never */
    const fake_block_t *last; /* the header that came last */
    size_t headers;
    size_t rows;
} fake_t;


extern const char *const fake_kinds[FAKE_KINDS];

/* Random events in random blocks: close together and far apart, with ties. */
void fake_fill(fake_t *fake, uint32_t seed, size_t events);

/* Events of "u1", 20 s apart, each in a block of its own. */
void fake_scatter(fake_t *fake, size_t events);

/* A reading of the plan. */
mr_source_t fake_source(fake_t *fake, const mr_plan_t *plan);

/*
 * The events that the plan's filters let through, in its order; `list` has
 * room for all.
 */
size_t fake_model(
    const fake_t *fake, const mr_plan_t *plan, const fake_event_t **list);

mr_key_t fake_key(const fake_event_t *event);

#endif /* FAKE_SOURCE_H */
