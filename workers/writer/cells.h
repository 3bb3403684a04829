/*
 * A hash map from (start, type, tag) to a count and measures: what window
 * statistics are added up in.  One thread at a time.
 */
#ifndef MR_WRITER_CELLS_H
#define MR_WRITER_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "../common/window.h"


typedef struct {
    int64_t start;
    uint32_t type;
    uint32_t tag;   /* what it means is the caller's affair, */
    uint32_t chain; /* and so are these, which are no part of the key */
    uint32_t inside;
    int64_t count;
    mr_measure_stats_t measures[];
} mr_cell_t;

typedef struct {
    char *cells; /* `n` of them, `size` bytes each */
    size_t size;
    size_t n;
    size_t cap;
    size_t n_measures;
    uint32_t *table; /* number + 1; 0: free */
    size_t mask;
    size_t recent; /* the cell found last */
} mr_cells_t;


/* Without memory yet; end with mr_cells_free(). */
void mr_cells_init(mr_cells_t *cells, size_t n_measures);
void mr_cells_free(mr_cells_t *cells);

/* Empty it and keep the memory. */
void mr_cells_reset(mr_cells_t *cells);

/*
 * The cell of the key, zeroed when new; NULL on out of memory.  Valid until
 * the next call.
 */
mr_cell_t *mr_cells_find(
    mr_cells_t *cells, int64_t start, uint32_t type, uint32_t tag);

/* Cell `i` of `n`, in the order of creation. */
mr_cell_t *mr_cells_at(const mr_cells_t *cells, size_t i);

#endif /* MR_WRITER_CELLS_H */
