/* The writer's metrics, registered once; any thread. */
#ifndef MR_WRITER_COUNTERS_H
#define MR_WRITER_COUNTERS_H

#include "../common/metrics.h"
#include "ledger.h"


/* Why a partition's work was thrown away, to be begun anew. */
typedef enum {
    MR_HALT_FENCED,    /* another writer moved the ledger */
    MR_HALT_LOST,      /* the log does not hold the next offset */
    MR_HALT_RECREATED, /* the last stored record is another one, or gone */
    MR_HALT_CHANGED,   /* the log seems to be another one: verify that */
    MR_HALT_HOLE,      /* offsets were passed over: is that really so? */
    MR_HALT_MEMORY,    /* out of memory */
    MR_HALT_LARGE,     /* the flush is too large for one transaction */
    MR_HALT_CORRUPT,   /* what comes next cannot be read */
    MR_HALTS
} mr_halt_t;

typedef struct {
    mr_metric_t *stored;
    mr_metric_t *repeated;
    mr_metric_t *dead;
    mr_metric_t *ignored;   /* measures that were no usable number */
    mr_metric_t *types;     /* in the registry; as seen last, */
    mr_metric_t *types_max; /* and so are the places there */
    mr_metric_t *other;     /* events of types that have none */
    mr_metric_t *flushes;
    mr_metric_t *flush_time;
    mr_metric_t *flushed; /* when */
    mr_metric_t *store_retries;
    mr_metric_t *dead_retries;
    mr_metric_t *assign_retries;
    mr_metric_t *holes; /* offsets that the log never held */
    mr_metric_t *halts[MR_HALTS];
    mr_metric_t *stops[MR_VERDICTS]; /* by verdict */
    mr_metric_t *assigned;
    mr_metric_t *stopped; /* partitions that wait for the operator */
} mr_counters_t;


void mr_counters_init(mr_counters_t *counters);

/* The lag of one partition, in records. */
mr_metric_t *mr_counters_lag(int partition);

/* "fenced", "lost", ... */
const char *mr_halt_name(mr_halt_t halt);

#endif /* MR_WRITER_COUNTERS_H */
