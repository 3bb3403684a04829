/*
 * Erasing one user's events from the blocks in MongoDB.
 *
 * Each block is changed in a transaction of its own, together with the count
 * of what was ever erased (state "erased"), so that stored events stay
 * accounted for.  Statistics are not touched: a count is no personal data.
 */
#ifndef MILLRACE_ERASE_STORE_H
#define MILLRACE_ERASE_STORE_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>

#include "../common/options.h"


typedef struct {
    int64_t events; /* erased, or found when only counting */
    int64_t blocks; /* that held them */
} mr_erased_t;

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
int mr_store_erase(const mr_options_t *options, mr_str_t user, int count_only,
    mr_erased_t *ret_erased, mr_error_t *err);

#endif /* MILLRACE_ERASE_STORE_H */
