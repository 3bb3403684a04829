/*
 * What the writer keeps in MongoDB: the ledger, and the one transaction that
 * moves it on together with everything derived from the records.
 *
 * A store holds one client of the pool and belongs to one thread.  Failures
 * are MR_ERROR_MONGODB unless said otherwise; all of them are worth trying
 * again.
 */
#ifndef MR_WRITER_STORE_H
#define MR_WRITER_STORE_H

#include <stdint.h>

#include <millrace/error.h>

#include "../common/options.h"
#include "block.h"
#include "flush.h"
#include "ledger.h"


typedef struct mr_mongo_s mr_mongo_t;
typedef struct mr_store_s mr_store_t;


/* One flush: the ledger before and after, and what is stored between. */
typedef struct {
    int32_t partition;
    const mr_ledger_t *before;
    const mr_ledger_t *after;
    mr_flush_t *flush; /* prepared by this store */
    const mr_plan_t *plan;
} mr_work_t;

typedef enum {
    MR_STORE_DONE,    /* stored, by us or, just so, by another writer */
    MR_STORE_RETRY,   /* nothing is stored: do it again */
    MR_STORE_ABORTED, /* the same, but half of it had been written: perhaps it
                         takes longer than MongoDB allows */
    MR_STORE_FENCED   /* the ledger is elsewhere: the partition is not ours */
} mr_store_result_t;

/*
 * Everything up to `time` (ms), and below the offset `reached`, is stored, if
 * the ledger still stands so.  Then no order of the operator's is needed.
 */
typedef struct {
    int32_t partition;
    int64_t epoch;
    int64_t next;
    int64_t reached;
    int64_t time;
} mr_caught_up_t;


/* Fails with MR_ERROR_MEMORY.  `mongo` and `options` must outlive it. */
int mr_store_open(mr_mongo_t *mongo, const mr_options_t *options,
    mr_store_t **ret_store, mr_error_t *err);
void mr_store_close(mr_store_t *store);

/*
 * Is the database set up for this writer?  Fails with MR_ERROR_CONFIG when
 * it is not: trying again is of no use then.
 */
int mr_store_check(mr_store_t *store, mr_error_t *err);

/* *ret_found is 0 if the partition has no ledger yet. */
int mr_store_read(mr_store_t *store, int32_t partition, int *ret_found,
    mr_ledger_t *ret_ledger, mr_error_t *err);

/* Create the first ledger; that another writer did it first is success. */
int mr_store_create(
    mr_store_t *store, int32_t partition, int64_t next, mr_error_t *err);

/*
 * Obey what the operator told the partition: go on at `log_start`.  Guarded
 * by `ledger`; read it again afterwards.
 */
int mr_store_resume(mr_store_t *store, int32_t partition,
    const mr_ledger_t *ledger, mr_resume_t what, int64_t log_start,
    mr_error_t *err);

/*
 * The operator's order to a partition that has stopped.  Fails with
 * MR_ERROR_ARGUMENT when the partition has no ledger.
 */
int mr_store_order(
    mr_store_t *store, int32_t partition, mr_resume_t what, mr_error_t *err);

/* Drop the order that `ledger` has, if it still stands so. */
int mr_store_disarm(mr_store_t *store, int32_t partition,
    const mr_ledger_t *ledger, mr_error_t *err);

/* A claim whose ledger has moved meanwhile is passed over. */
int mr_store_caught_up(
    mr_store_t *store, const mr_caught_up_t *claims, size_t n, mr_error_t *err);

/*
 * Decide by which names the flush's events are counted, as far as this store
 * knows the registry of types, and roll its partials up; the rest is decided
 * in the transaction.  Fails with MR_ERROR_MEMORY.
 */
int mr_store_prepare(mr_store_t *store, mr_flush_t *flush, mr_error_t *err);

/* Types in the registry and places for them, as this store read it last. */
void mr_store_types_seen(
    const mr_store_t *store, int64_t *ret_total, int64_t *ret_max);

/*
 * Store one flush in one transaction.  `err` is set unless it is done.  It
 * may be called again with the same work until it is.
 */
mr_store_result_t mr_store_flush(
    mr_store_t *store, const mr_work_t *work, mr_error_t *err);

#endif /* MR_WRITER_STORE_H */
