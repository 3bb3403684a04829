/*
 * The operator's words to a partition that has stopped:
 *
 *   millrace-writer --accept-gap PARTITION [-c FILE]
 *   millrace-writer --new-epoch PARTITION [-c FILE]
 *
 * They leave an order in the ledger, which the writer that owns the partition
 * obeys within a few seconds.
 */
#ifndef MR_WRITER_OPERATOR_H
#define MR_WRITER_OPERATOR_H

#include "../common/options.h"
#include "ledger.h"


typedef struct {
    mr_resume_t what; /* MR_RESUME_NONE: run as a daemon */
    int32_t partition;
} mr_order_t;


/*
 * The order of a command line: what --accept-gap and --new-epoch were given,
 * or NULL.  Fails with MR_ERROR_ARGUMENT.
 */
int mr_operator_order(
    const char *gap, const char *epoch, mr_order_t *ret_order, mr_error_t *err);

/* Give the order; prints what was done.  Fails as mr_store_order(). */
int mr_operator_give(
    const mr_options_t *options, const mr_order_t *order, mr_error_t *err);

#endif /* MR_WRITER_OPERATOR_H */
