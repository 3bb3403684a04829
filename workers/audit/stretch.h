/*
 * Accounts that interleave, since the time of records went back, can only be
 * compared together.  Where it never does, each stretch is one account.
 *
 * Such a stretch may reach over the begin or the end of the period, where
 * Kafka was not asked for the offsets of its minutes: so the accounts beside
 * the period are read as well, to know which stretches do.
 */
#ifndef MR_AUDIT_STRETCH_H
#define MR_AUDIT_STRETCH_H

#include "audit.h"


typedef struct {
    size_t from; /* accounts [from, to) */
    size_t to;
    int64_t low; /* minutes */
    int64_t high;
    int64_t first;
    int64_t last;
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t holes;
    int64_t found;
} mr_audit_stretch_t;


/*
 * The stretch that begins where *stretch ended, of sorted accounts: `to` is 0
 * before the first, and less than their number.
 */
void mr_audit_stretch_next(
    const mr_audit_partition_t *partition, mr_audit_stretch_t *stretch);

/* Whether it has accounts outside of the period. */
int mr_audit_stretch_crosses(
    const mr_audit_t *audit, const mr_audit_stretch_t *stretch);

/*
 * Of sorted accounts that were read in the period and beside it, keep those
 * whose stretch touches it.  What is next to these is noted: `before`, `after`
 * and `holes`.
 */
void mr_audit_stretch_trim(
    const mr_audit_t *audit, mr_audit_partition_t *partition);

#endif /* MR_AUDIT_STRETCH_H */
