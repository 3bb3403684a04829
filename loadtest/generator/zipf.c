#include <math.h>
#include <stdlib.h>

#include "zipf.h"


/* One cache line holds what a draw needs. */
typedef struct {
    uint32_t keep; /* of 2^32: this rank itself, else the alias */
    uint32_t alias;
} mr_zipf_slot_t;


struct mr_zipf_s {
    uint32_t ranks;
    double exponent;
    double sum;
    mr_zipf_slot_t slots[];
};


static int mr_zipf_fill(mr_zipf_t *zipf);


mr_zipf_t *
mr_zipf_create(uint32_t ranks, double exponent)
{
    uint32_t i;
    mr_zipf_t *zipf;

    zipf = malloc(sizeof(mr_zipf_t) + ranks * sizeof(mr_zipf_slot_t));
    if (zipf == NULL) {
        return NULL;
    }

    zipf->ranks = ranks;
    zipf->exponent = exponent;
    zipf->sum = 0;

    /* the small ones first, so that they are not lost beside the large */

    for (i = ranks; i > 0; i--) {
        zipf->sum += pow((double) i, -exponent);
    }

    if (mr_zipf_fill(zipf) != 0) {
        free(zipf);
        return NULL;
    }

    return zipf;
}


static int
mr_zipf_fill(mr_zipf_t *zipf)
{
    double *share;
    uint32_t i, low, high, nlow, nhigh, *todo;

    share = malloc(zipf->ranks * sizeof(double));
    todo = malloc(zipf->ranks * sizeof(uint32_t));

    if (share == NULL || todo == NULL) {
        free(share);
        free(todo);
        return -1;
    }

    /* below average from the front of todo, the others from its end */

    nlow = 0;
    nhigh = 0;

    for (i = 0; i < zipf->ranks; i++) {
        share[i] = mr_zipf_probability(zipf, i) * zipf->ranks;

        if (share[i] < 1) {
            todo[nlow++] = i;

        } else {
            todo[zipf->ranks - ++nhigh] = i;
        }
    }

    while (nlow && nhigh) {
        low = todo[--nlow];
        high = todo[zipf->ranks - nhigh];

        zipf->slots[low].keep = (uint32_t) (share[low] * 0x1p32);
        zipf->slots[low].alias = high;

        share[high] -= 1 - share[low];

        if (share[high] < 1) {
            nhigh--;
            todo[nlow++] = high;
        }
    }

    /* what rounding has left over has a share of 1 */

    while (nlow || nhigh) {
        i = nlow ? todo[--nlow] : todo[zipf->ranks - nhigh--];
        zipf->slots[i].keep = UINT32_MAX;
        zipf->slots[i].alias = i;
    }

    free(share);
    free(todo);

    return 0;
}


void
mr_zipf_destroy(mr_zipf_t *zipf)
{
    free(zipf);
}


uint32_t
mr_zipf_rank(const mr_zipf_t *zipf, uint64_t bits)
{
    uint32_t i;

    i = (uint32_t) (((bits >> 32) * zipf->ranks) >> 32);

    return (uint32_t) bits < zipf->slots[i].keep ? i : zipf->slots[i].alias;
}


double
mr_zipf_probability(const mr_zipf_t *zipf, uint32_t rank)
{
    return pow((double) rank + 1, -zipf->exponent) / zipf->sum;
}
