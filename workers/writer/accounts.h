/*
 * What became of the records of a flush, by the minute of their record time:
 * the account that is stored in the flush's own transaction and that
 * millrace-audit compares with Kafka's log and with the blocks.
 *
 * Belongs to the thread of its flush.
 */
#ifndef MR_WRITER_ACCOUNTS_H
#define MR_WRITER_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>


#define MR_ACCOUNTS_MINUTE INT64_C(60000) /* ms */

typedef struct {
    int64_t minute; /* its start, ms since the epoch */
    int64_t first;  /* the first offset that it covers, holes included */
    int64_t last;   /* offset of its newest record */
    int64_t stored;
    int64_t repeated;
    int64_t dead;
    int64_t holes; /* offsets passed over just before one of its records */
} mr_account_t;

typedef struct {
    mr_account_t *list;
    size_t n;
    size_t cap;
} mr_accounts_t;


void mr_accounts_free(mr_accounts_t *accounts);
void mr_accounts_reset(mr_accounts_t *accounts);

/*
 * The account of a record at `offset` with the record time `time` (ms), which
 * now covers every offset from `expected` on, the one after the record before
 * it.  The caller adds what became of the record.  It is valid until the next
 * call; NULL on out of memory.
 */
mr_account_t *mr_accounts_take(
    mr_accounts_t *accounts, int64_t time, int64_t offset, int64_t expected);

#endif /* MR_WRITER_ACCOUNTS_H */
