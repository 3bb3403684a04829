/*
 * Counts by partition, minute and event type: a table that grows as it is
 * added to.  Events of the blocks, partials and merged windows are counted
 * side by side, so that what differs is found in one pass.
 */
#ifndef MR_AUDIT_TALLY_H
#define MR_AUDIT_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/str.h>


typedef struct mr_tally_s mr_tally_t;

typedef struct {
    int32_t partition; /* -1: of all of them (merged windows) */
    uint32_t minute;   /* index in the period */
    uint32_t type;
    int64_t events; /* in blocks */
    int64_t counted;
    int unmerged; /* of all of them: more is counted than was merged yet */
} mr_tally_cell_t;


/* NULL on out of memory. */
mr_tally_t *mr_tally_create(void);
void mr_tally_destroy(mr_tally_t *tally);

/* The number of an event type; -1 on out of memory. */
int mr_tally_type(mr_tally_t *tally, mr_str_t name, uint32_t *ret_type);

/*
 * From now on types that have no number are all MR_EVENT_TYPE_OTHER.  -1 on
 * out of memory.
 */
int mr_tally_fold(mr_tally_t *tally);

/* Valid as long as the tally. */
mr_str_t mr_tally_name(const mr_tally_t *tally, uint32_t type);

/* The cell, new with zeros; valid until the next call.  NULL: no memory. */
mr_tally_cell_t *mr_tally_cell(
    mr_tally_t *tally, int32_t partition, uint32_t minute, uint32_t type);

/*
 * Every cell in the order of minute, partition and type; nothing may be added
 * afterwards.  Returns their number.
 */
size_t mr_tally_cells(mr_tally_t *tally, const mr_tally_cell_t **ret_cells);

#endif /* MR_AUDIT_TALLY_H */
