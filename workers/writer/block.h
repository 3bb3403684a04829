/*
 * Event blocks: how a flush is divided into them, and the bytes of one.  The
 * layout is docs/data-model.md.  Pure functions of the entries: planning and
 * building the same flush again gives the same bytes.
 *
 * A plan belongs to one thread.
 */
#ifndef MR_WRITER_BLOCK_H
#define MR_WRITER_BLOCK_H

#include <stdint.h>

#include <millrace/str.h>


/*
 * A group of span.h is divided into sections of time of about MR_BLOCK_SECTION
 * events.  There the events of users that have MR_BLOCK_FREQUENT or more are
 * kept together; all others are divided again, into slices of time of about
 * MR_BLOCK_SLICE.  Each of these parts is ordered by user and cut into blocks
 * of about MR_BLOCK_FEW.  A read takes an event or two from each of many
 * blocks and pays for the whole of each.  Without a user it needs those that
 * its moment lies within, which is what slices keep few; with a user those
 * that the user is in, which is one an event but for frequent users.
 */
#define MR_BLOCK_SECTION 4096
#define MR_BLOCK_FREQUENT 4
#define MR_BLOCK_SLICE 512
#define MR_BLOCK_FEW 256
#define MR_BLOCK_EVENTS 1024 /* at most, in any version */
#define MR_BLOCK_BYTES (4 * 1024 * 1024)


/* One event of a flush, encoded already but for its user, type and time. */
typedef struct {
    const char *document; /* its BSON (encode.h), and the user_id; not owned */
    uint32_t length;      /* of the BSON */
    uint32_t type;        /* number of the event type in the flush */
    uint16_t user_length;
    int64_t time; /* its timestamp, ms */
    int64_t offset;
    int64_t received; /* the record's time, ms */
} mr_entry_t;


static inline mr_str_t
mr_entry_user(const mr_entry_t *entry)
{
    return (mr_str_t){entry->document + entry->length, entry->user_length};
}


typedef struct {
    uint32_t first; /* in the plan's order */
    uint32_t n;
} mr_block_range_t;

typedef struct mr_section_s mr_section_t;

/* Zero-initialise; end with mr_plan_free().  Memory is kept for reuse. */
typedef struct {
    size_t n; /* number of blocks */
    mr_block_range_t *blocks;
    size_t blocks_cap;
    uint32_t *order; /* of the entries */
    uint32_t *parts; /* the part of each */
    uint32_t *by_time;
    void *keys;
    int64_t *times;
    uint32_t *scratch;
    size_t cap;
    size_t n_sections;
    mr_section_t *sections;
} mr_plan_t;


/* The event types of a flush, by number. */
typedef struct {
    const mr_str_t *names;
    const uint8_t *bits; /* of ../common/layout.h */
} mr_block_types_t;

typedef struct {
    int64_t epoch;
    int32_t partition;
    int64_t offset; /* the first one of the flush */
    int32_t number;
} mr_block_id_t;


/*
 * Divide the entries of a flush into blocks; `types` are the names by number.
 * Returns -1 on out of memory.
 */
int mr_plan_make(mr_plan_t *plan, const mr_entry_t *entries, size_t n,
    const mr_str_t *types);
void mr_plan_free(mr_plan_t *plan);

/*
 * Append block `i` of the plan to `buf` as BSON.  Returns -1 on out of
 * memory, and then leaves half a document in `buf`.
 */
int mr_block_build(mr_buf_t *buf, const mr_plan_t *plan, size_t i,
    const mr_entry_t *entries, const mr_block_types_t *types,
    const mr_block_id_t *id);

#endif /* MR_WRITER_BLOCK_H */
