/*
 * What MongoDB has to do with erasing one user's events from its blocks.
 *
 * Each block is changed in a transaction of its own, together with the count
 * of what was ever erased (state "erased"), so that stored events stay
 * accounted for.  Statistics are not touched: a count is no personal data.
 *
 * One thread.  Errors: MR_ERROR_MONGODB, MR_ERROR_MEMORY, and where a
 * function names more.
 */
#ifndef MILLRACE_ERASE_STORE_H
#define MILLRACE_ERASE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "../common/options.h"


typedef struct mr_store_s mr_store_t;

typedef struct {
    int64_t events; /* erased, or found when only counting */
    int64_t blocks; /* that held them */
} mr_erased_t;

/*
 * Fails with MR_ERROR_CONFIG too: for a database that was not set up, or for
 * another topic than the configuration has.
 */
int mr_store_open(
    const mr_options_t *options, mr_store_t **ret_store, mr_error_t *err);
void mr_store_close(mr_store_t *store);

/* How far each of `n` partitions is stored; 0 where nothing is. */
int mr_store_reached(
    mr_store_t *store, size_t n, int64_t *ret_reached, mr_error_t *err);

/*
 * Erase, or with `count_only` count, the events of `user`, until none is
 * found.  What is stored meanwhile is erased as well, as long as the user
 * does not send faster than this works; MR_ERROR_TIMEOUT when it does.
 *
 * A block that cannot be read is left as it is and its `_id` logged; all the
 * others are done before the call fails.
 *
 * *ret_erased is set on failure too: what has been erased stays so, and the
 * call may be repeated.  MR_ERROR_MONGODB when MongoDB fails or a block is
 * damaged; MR_ERROR_SYSTEM when asked to stop.
 */
int mr_store_erase(mr_store_t *store, mr_str_t user, int count_only,
    mr_erased_t *ret_erased, mr_error_t *err);

#endif /* MILLRACE_ERASE_STORE_H */
