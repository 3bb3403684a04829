#include "dedup.h"

#include <stdlib.h>
#include <string.h>


/*
 * A table slot is 0 when free; else its low `bits` bits are a ring position
 * plus one, and the bits above are some of the identity's hash, so that a
 * wrong slot is passed over without a look into the ring.
 */
struct mr_dedup_s {
    int64_t size;
    int64_t next;    /* offsets below it are entered; -1: none yet */
    mr_hash_t *ring; /* of offset o at o % size; zero: nothing valid */
    uint32_t *table;
    uint32_t mask;     /* slots - 1 */
    uint32_t position; /* of `next` in the ring */
    unsigned bits;
};


static uint32_t dedup_find(const mr_dedup_t *dedup, mr_hash_t identity);
static void dedup_advance(mr_dedup_t *dedup, int64_t offset);
static void dedup_step(mr_dedup_t *dedup);
static void dedup_expire(mr_dedup_t *dedup, uint32_t position);
static void dedup_free_slot(mr_dedup_t *dedup, uint32_t slot);


static inline int
dedup_is_none(mr_hash_t hash)
{
    return (hash.lo | hash.hi) == 0;
}


static inline uint32_t
dedup_home(const mr_dedup_t *dedup, mr_hash_t hash)
{
    return (uint32_t) hash.lo & dedup->mask;
}


static inline uint32_t
dedup_slot_value(const mr_dedup_t *dedup, mr_hash_t hash, uint32_t position)
{
    return ((uint32_t) hash.hi << dedup->bits) | (position + 1);
}


static inline uint32_t
dedup_position(const mr_dedup_t *dedup, uint32_t value)
{
    return (value & ((UINT32_C(1) << dedup->bits) - 1)) - 1;
}


mr_dedup_t *
mr_dedup_create(int64_t size)
{
    uint32_t slots;
    mr_dedup_t *dedup;

    dedup = calloc(1, sizeof(mr_dedup_t));
    if (dedup == NULL) {
        return NULL;
    }

    dedup->size = size;
    dedup->next = -1;

    /* Positions plus one are 1..size. */
    while ((INT64_C(1) << dedup->bits) <= size) {
        dedup->bits++;
    }

    slots = 16;
    while (slots < 2 * (uint64_t) size) {
        slots *= 2;
    }

    dedup->mask = slots - 1;
    dedup->ring = calloc((size_t) size, sizeof(mr_hash_t));
    dedup->table = calloc(slots, sizeof(uint32_t));

    if (dedup->ring == NULL || dedup->table == NULL) {
        mr_dedup_destroy(dedup);
        return NULL;
    }

    return dedup;
}


void
mr_dedup_destroy(mr_dedup_t *dedup)
{
    if (dedup == NULL) {
        return;
    }

    free(dedup->ring);
    free(dedup->table);
    free(dedup);
}


void
mr_dedup_reset(mr_dedup_t *dedup)
{
    /* Nor are pages touched that calloc() has not given yet. */
    if (dedup->next == -1) {
        return;
    }

    memset(dedup->ring, 0, (size_t) dedup->size * sizeof(mr_hash_t));
    memset(dedup->table, 0, ((size_t) dedup->mask + 1) * sizeof(uint32_t));
    dedup->next = -1;
}


int
mr_dedup_add(mr_dedup_t *dedup, int64_t offset, mr_hash_t identity)
{
    int repeat;
    uint32_t slot;

    if (dedup_is_none(identity)) {
        identity.lo = 1;
    }

    dedup_advance(dedup, offset);

    /*
     * Now the ring holds [offset - W, offset), the oldest of them at the very
     * place that this record takes: look first, then expire that one.
     */
    slot = dedup_find(dedup, identity);
    repeat = dedup->table[slot] != 0;

    if (!dedup_is_none(dedup->ring[dedup->position])) {
        dedup_expire(dedup, dedup->position);
        slot = dedup_find(dedup, identity);
    }

    dedup->table[slot] = dedup_slot_value(dedup, identity, dedup->position);
    dedup->ring[dedup->position] = identity;

    dedup_step(dedup);

    return repeat;
}


/* The slot of the identity, or the free one where it belongs. */
static uint32_t
dedup_find(const mr_dedup_t *dedup, mr_hash_t identity)
{
    uint32_t slot, value, tag;
    const mr_hash_t *hash;

    tag = dedup_slot_value(dedup, identity, 0) >> dedup->bits;
    slot = dedup_home(dedup, identity);

    while ((value = dedup->table[slot]) != 0) {

        if (value >> dedup->bits == tag) {
            hash = &dedup->ring[dedup_position(dedup, value)];

            if (hash->lo == identity.lo && hash->hi == identity.hi) {
                break;
            }
        }

        slot = (slot + 1) & dedup->mask;
    }

    return slot;
}


/* Move to `offset`; the offsets passed on the way held nothing valid. */
static void
dedup_advance(mr_dedup_t *dedup, int64_t offset)
{
    if (dedup->next == -1 || offset - dedup->next >= dedup->size) {

        mr_dedup_reset(dedup);
        dedup->next = offset;
        dedup->position = (uint32_t) (offset % dedup->size);
        return;
    }

    while (dedup->next < offset) {

        if (!dedup_is_none(dedup->ring[dedup->position])) {
            dedup_expire(dedup, dedup->position);
            memset(&dedup->ring[dedup->position], 0, sizeof(mr_hash_t));
        }

        dedup_step(dedup);
    }
}


static void
dedup_step(mr_dedup_t *dedup)
{
    dedup->next++;

    if (++dedup->position == dedup->size) {
        dedup->position = 0;
    }
}


/*
 * Take the identity at `position` out of the table, unless a newer offset of
 * the same identity has taken its slot over.
 */
static void
dedup_expire(mr_dedup_t *dedup, uint32_t position)
{
    uint32_t slot, value;
    mr_hash_t hash;

    hash = dedup->ring[position];
    value = dedup_slot_value(dedup, hash, position);

    for (slot = dedup_home(dedup, hash); dedup->table[slot] != 0;
         slot = (slot + 1) & dedup->mask)
    {
        if (dedup->table[slot] == value) {
            dedup_free_slot(dedup, slot);
            return;
        }
    }
}


/* Delete from the linear probing table by moving followers back. */
static void
dedup_free_slot(mr_dedup_t *dedup, uint32_t slot)
{
    uint32_t hole, home, value;

    hole = slot;

    for (;;) {
        slot = (slot + 1) & dedup->mask;
        value = dedup->table[slot];

        if (value == 0) {
            break;
        }

        home = dedup_home(dedup, dedup->ring[dedup_position(dedup, value)]);

        /* Movable if its home does not lie within (hole, slot]. */
        if (((slot - home) & dedup->mask) >= ((slot - hole) & dedup->mask)) {
            dedup->table[hole] = value;
            hole = slot;
        }
    }

    dedup->table[hole] = 0;
}
