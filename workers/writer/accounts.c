#include "accounts.h"

#include <stdlib.h>

#include <millrace/time.h>


static mr_account_t *accounts_find(mr_accounts_t *accounts, int64_t minute);


void
mr_accounts_free(mr_accounts_t *accounts)
{
    free(accounts->list);
    accounts->list = NULL;
    accounts->n = 0;
    accounts->cap = 0;
}


void
mr_accounts_reset(mr_accounts_t *accounts)
{
    accounts->n = 0;
}


mr_account_t *
mr_accounts_take(
    mr_accounts_t *accounts, int64_t time, int64_t offset, int64_t expected)
{
    size_t cap;
    int64_t minute;
    mr_account_t *account, *list;

    minute = mr_time_floor(time, MR_ACCOUNTS_MINUTE);
    account = accounts_find(accounts, minute);

    if (account == NULL) {

        if (accounts->n == accounts->cap) {
            cap = 2 * accounts->cap + 4;

            list = realloc(accounts->list, cap * sizeof(mr_account_t));
            if (list == NULL) {
                return NULL;
            }

            accounts->list = list;
            accounts->cap = cap;
        }

        account = &accounts->list[accounts->n++];
        *account = (mr_account_t){.minute = minute, .first = expected};
    }

    account->last = offset;
    account->holes += offset - expected;

    return account;
}


/* Record times rarely go back, and then by little: the newest come first. */
static mr_account_t *
accounts_find(mr_accounts_t *accounts, int64_t minute)
{
    size_t i;

    for (i = accounts->n; i-- > 0; /* void */) {
        if (accounts->list[i].minute == minute) {
            return &accounts->list[i];
        }
    }

    return NULL;
}
