/*
 * What MongoDB says, all of one moment: a snapshot session is opened, and
 * everything is read in it.  Errors: MR_ERROR_MONGODB, MR_ERROR_MEMORY.
 */
#ifndef MR_AUDIT_STORE_H
#define MR_AUDIT_STORE_H

#include "audit.h"


typedef struct mr_store_s mr_store_t;


/* Fails with MR_ERROR_CONFIG too. */
int mr_store_open(
    const mr_options_t *options, mr_store_t **ret_store, mr_error_t *err);
void mr_store_close(mr_store_t *store);

/* Begin the one moment; reading anew moves it on. */
int mr_store_snapshot(mr_store_t *store, mr_error_t *err);

/*
 * The ledgers, whether the windows hold all that they speak of, and how far
 * each partition is known to be read (*ret_reached, one a partition).  Where
 * there is no ledger `known` is 0.
 */
int mr_store_ledgers(mr_store_t *store, mr_audit_t *audit, int64_t *ret_reached,
    mr_error_t *err);

/* The accounts of the period, and what came before it. */
int mr_store_accounts(mr_store_t *store, mr_audit_t *audit,
    mr_audit_partition_t *partition, mr_error_t *err);

/* Which of the accounted offsets the blocks hold. */
int mr_store_offsets(mr_store_t *store, mr_audit_t *audit,
    mr_audit_partition_t *partition, mr_error_t *err);

/*
 * Which types have windows of their own, so that all others are tallied
 * together; and those with them that were others until max_types was raised.
 * After the ledgers, before the events.
 */
int mr_store_types(mr_store_t *store, mr_audit_t *audit, mr_error_t *err);

/* The events of the blocks by minute and type. */
int mr_store_events(mr_store_t *store, mr_audit_t *audit, mr_error_t *err);

/* Partials and windows of a minute, by type. */
int mr_store_windows(mr_store_t *store, mr_audit_t *audit, mr_error_t *err);

/* Sums over the windows that are kept for ever. */
int mr_store_totals(mr_store_t *store, mr_audit_t *audit, mr_error_t *err);

#endif /* MR_AUDIT_STORE_H */
