#include "stretch.h"

#include <string.h>


void
mr_audit_stretch_next(
    const mr_audit_partition_t *partition, mr_audit_stretch_t *stretch)
{
    size_t i;
    const mr_audit_account_t *account;

    i = stretch->to;
    account = &partition->accounts[i];

    *stretch = (mr_audit_stretch_t){.from = i,
        .low = account->minute,
        .high = account->minute,
        .first = account->first,
        .last = account->last};

    for (/* void */; i < partition->n_accounts; i++) {
        account = &partition->accounts[i];

        if (i != stretch->from && account->first > stretch->last
            && account->minute > stretch->high)
        {
            break;
        }

        stretch->low =
            account->minute < stretch->low ? account->minute : stretch->low;
        stretch->high =
            account->minute > stretch->high ? account->minute : stretch->high;
        stretch->last =
            account->last > stretch->last ? account->last : stretch->last;
        stretch->stored += account->stored;
        stretch->repeated += account->repeated;
        stretch->dead += account->dead;
        stretch->holes += account->holes;
        stretch->found += partition->found[i];
    }

    stretch->to = i;
}


int
mr_audit_stretch_crosses(
    const mr_audit_t *audit, const mr_audit_stretch_t *stretch)
{
    return stretch->low < audit->from || stretch->high >= audit->to;
}


void
mr_audit_stretch_trim(const mr_audit_t *audit, mr_audit_partition_t *partition)
{
    size_t n;
    mr_audit_stretch_t stretch;

    n = 0;
    stretch.to = 0;

    /* One after the other they ascend, by their minutes too. */
    while (stretch.to < partition->n_accounts) {
        mr_audit_stretch_next(partition, &stretch);

        if (stretch.high < audit->from) {
            partition->before = stretch.last + 1;
            partition->after = stretch.high + MR_AUDIT_MINUTE;
            continue;
        }

        if (stretch.low >= audit->to) {
            partition->holes = partition->accounts[stretch.from].holes;
            break;
        }

        memmove(partition->accounts + n, partition->accounts + stretch.from,
            (stretch.to - stretch.from) * sizeof(mr_audit_account_t));
        n += stretch.to - stretch.from;
    }

    partition->n_accounts = n;
}
