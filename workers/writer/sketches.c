#include "sketches.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/hash.h>


/* Chains grow long before the table does not fit the memory it serves. */
#define SKETCHES_SLOTS 16384


typedef struct sketches_entry_s sketches_entry_t;

struct sketches_entry_s {
    sketches_entry_t *chain;
    sketches_entry_t *newer; /* used more recently */
    sketches_entry_t *older;
    uint64_t hash;
    uint64_t generation;
    size_t memory; /* as counted last */
    int64_t start;
    mr_width_t width;
    int32_t partition;
    char *type;
    size_t type_len;
    mr_sketch_t sketch;
};

typedef struct {
    int32_t partition;
    int64_t flush;       /* committed as cached; -1: nothing is */
    uint64_t generation; /* entries of another one are not the partition's */
} sketches_seat_t;

struct mr_sketches_s {
    size_t limit;
    size_t memory;
    size_t n_measures;
    uint64_t generation;
    size_t used; /* entries found or added since the last trim, at most */
    sketches_seat_t *seats;
    size_t n_seats;
    sketches_entry_t *newest;
    sketches_entry_t *oldest;
    sketches_entry_t *slots[SKETCHES_SLOTS];
};


static sketches_seat_t *sketches_seat(
    const mr_sketches_t *sketches, int32_t partition);
static uint64_t sketches_hash(int32_t partition, const mr_partial_t *row);
static void sketches_link(mr_sketches_t *sketches, sketches_entry_t *entry);
static void sketches_unlink(mr_sketches_t *sketches, sketches_entry_t *entry);
static void sketches_drop(mr_sketches_t *sketches, sketches_entry_t *entry);
static void sketches_empty(
    const mr_sketches_t *sketches, sketches_entry_t *entry);
static size_t sketches_size(
    const mr_sketches_t *sketches, const sketches_entry_t *entry);
static int sketch_user(mr_sketch_t *sketch, uint64_t hash);


mr_sketches_t *
mr_sketches_create(size_t limit, size_t n_measures)
{
    mr_sketches_t *sketches;

    sketches = calloc(1, sizeof(mr_sketches_t));

    if (sketches != NULL) {
        sketches->limit = limit;
        sketches->n_measures = n_measures;
    }

    return sketches;
}


void
mr_sketches_destroy(mr_sketches_t *sketches)
{
    if (sketches == NULL) {
        return;
    }

    while (sketches->oldest != NULL) {
        sketches_drop(sketches, sketches->oldest);
    }

    free(sketches->seats);
    free(sketches);
}


int
mr_sketches_begin(mr_sketches_t *sketches, int32_t partition, int64_t flush)
{
    sketches_seat_t *seat;

    seat = sketches_seat(sketches, partition);

    if (seat == NULL) {
        seat = realloc(
            sketches->seats, (sketches->n_seats + 1) * sizeof(sketches_seat_t));
        if (seat == NULL) {
            return -1;
        }

        sketches->seats = seat;
        seat += sketches->n_seats++;
        seat->partition = partition;
        seat->flush = -1;
    }

    if (seat->flush != flush) {
        seat->generation = ++sketches->generation;
    }

    /* Until it is known to be committed. */
    seat->flush = -1;

    return 0;
}


void
mr_sketches_commit(mr_sketches_t *sketches, int32_t partition, int64_t flush)
{
    sketches_seat_t *seat;

    seat = sketches_seat(sketches, partition);

    if (seat != NULL) {
        seat->flush = flush;
    }
}


static sketches_seat_t *
sketches_seat(const mr_sketches_t *sketches, int32_t partition)
{
    size_t i;

    for (i = 0; i < sketches->n_seats; i++) {
        if (sketches->seats[i].partition == partition) {
            return &sketches->seats[i];
        }
    }

    return NULL;
}


mr_sketch_t *
mr_sketches_find(
    mr_sketches_t *sketches, int32_t partition, const mr_partial_t *row)
{
    uint64_t hash;
    sketches_entry_t *entry;
    const sketches_seat_t *seat;

    hash = sketches_hash(partition, row);
    entry = sketches->slots[hash % SKETCHES_SLOTS];

    for (; entry != NULL; entry = entry->chain) {

        if (entry->hash == hash && entry->partition == partition
            && entry->width == row->width && entry->start == row->start
            && entry->type_len == row->type.len
            && memcmp(entry->type, row->type.data, row->type.len) == 0)
        {
            break;
        }
    }

    seat = sketches_seat(sketches, partition);

    if (entry == NULL || seat == NULL) {
        return NULL;
    }

    if (entry->generation != seat->generation) {
        sketches_drop(sketches, entry);
        return NULL;
    }

    sketches_unlink(sketches, entry);
    sketches_link(sketches, entry);

    return &entry->sketch;
}


mr_sketch_t *
mr_sketches_add(
    mr_sketches_t *sketches, int32_t partition, const mr_partial_t *row)
{
    size_t size;
    sketches_entry_t *entry, **slot;
    const sketches_seat_t *seat;

    size =
        sizeof(sketches_entry_t) + sketches->n_measures * sizeof(mr_ddsketch_t);

    seat = sketches_seat(sketches, partition);

    if (seat == NULL) {
        return NULL;
    }

    entry = calloc(1, size + row->type.len);

    if (entry == NULL) {
        return NULL;
    }

    entry->type = (char *) entry + size;
    entry->type_len = row->type.len;
    memcpy(entry->type, row->type.data, row->type.len);

    entry->hash = sketches_hash(partition, row);
    entry->generation = seat->generation;
    entry->partition = partition;
    entry->width = row->width;
    entry->start = row->start;

    slot = &sketches->slots[entry->hash % SKETCHES_SLOTS];
    entry->chain = *slot;
    *slot = entry;

    entry->memory = sketches_size(sketches, entry);
    sketches->memory += entry->memory;
    sketches_link(sketches, entry);

    return &entry->sketch;
}


/* What was used since the last time stands in front; it may have grown. */
void
mr_sketches_trim(mr_sketches_t *sketches)
{
    size_t size;
    sketches_entry_t *entry;

    entry = sketches->newest;

    for (; sketches->used > 0 && entry != NULL; sketches->used--) {
        size = sketches_size(sketches, entry);

        sketches->memory += size - entry->memory;
        entry->memory = size;
        entry = entry->older;
    }

    sketches->used = 0;

    while (sketches->memory > sketches->limit && sketches->oldest != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): each is another */
        sketches_drop(sketches, sketches->oldest);
    }
}


size_t
mr_sketches_memory(const mr_sketches_t *sketches)
{
    return sketches->memory;
}


static uint64_t
sketches_hash(int32_t partition, const mr_partial_t *row)
{
    uint64_t number;

    number = (uint64_t) row->start * MR_WIDTHS + (uint64_t) row->width;
    number =
        (number ^ (uint64_t) partition << 48) * UINT64_C(0x9e3779b97f4a7c15);

    return mr_hash(row->type).lo ^ (number ^ (number >> 32));
}


static void
sketches_link(mr_sketches_t *sketches, sketches_entry_t *entry)
{
    entry->newer = NULL;
    entry->older = sketches->newest;

    if (sketches->newest != NULL) {
        sketches->newest->newer = entry;

    } else {
        sketches->oldest = entry;
    }

    sketches->newest = entry;
    sketches->used++;
}


static void
sketches_unlink(mr_sketches_t *sketches, sketches_entry_t *entry)
{
    if (entry->newer != NULL) {
        entry->newer->older = entry->older;

    } else {
        sketches->newest = entry->older;
    }

    if (entry->older != NULL) {
        entry->older->newer = entry->newer;

    } else {
        sketches->oldest = entry->newer;
    }
}


static void
sketches_drop(mr_sketches_t *sketches, sketches_entry_t *entry)
{
    sketches_entry_t **link;

    link = &sketches->slots[entry->hash % SKETCHES_SLOTS];

    while (*link != entry) {
        link = &(*link)->chain;
    }

    *link = entry->chain;
    sketches_unlink(sketches, entry);
    sketches->memory -= entry->memory;
    sketches_empty(sketches, entry);
    free(entry);
}


static void
sketches_empty(const mr_sketches_t *sketches, sketches_entry_t *entry)
{
    size_t i;

    mr_hll_free(&entry->sketch.users);
    mr_hll_free(&entry->sketch.tail);

    for (i = 0; i < sketches->n_measures; i++) {
        mr_ddsketch_free(&entry->sketch.measures[i]);
    }
}


static size_t
sketches_size(const mr_sketches_t *sketches, const sketches_entry_t *entry)
{
    size_t i, size;

    size = sizeof(sketches_entry_t) + entry->type_len
           + sketches->n_measures * sizeof(mr_ddsketch_t)
           + mr_hll_memory(&entry->sketch.users)
           + mr_hll_memory(&entry->sketch.tail);

    for (i = 0; i < sketches->n_measures; i++) {
        size += mr_ddsketch_memory(&entry->sketch.measures[i]);
    }

    return size;
}


int
mr_sketch_add(mr_sketch_t *sketch, const mr_partials_t *partials, size_t i)
{
    int rc;
    mr_walk_t walk;
    const mr_sample_t *sample;

    sketch->changed = 0;
    sketch->measured = 0;

    mr_partials_walk(partials, i, &walk);

    while ((sample = mr_partials_sample(&walk)) != NULL) {

        if (sample->measure == MR_SAMPLE_USER) {
            rc = sketch_user(sketch, sample->hash);

        } else {
            rc = mr_ddsketch_add(
                &sketch->measures[sample->measure], sample->key, 1);
            sketch->measured |= UINT32_C(1) << sample->measure;
        }

        if (rc != 0) {
            return -1;
        }
    }

    return 0;
}


static int
sketch_user(mr_sketch_t *sketch, uint64_t hash)
{
    int rc;

    rc = mr_hll_add(&sketch->users, hash);

    if (rc == 1) {
        sketch->changed = 1;
        return mr_hll_add(&sketch->tail, hash) == -1 ? -1 : 0;
    }

    return rc;
}
