#include "key.h"


static int mr_key_cmp_int64(int64_t a, int64_t b);


int
mr_key_cmp(const mr_key_t *a, const mr_key_t *b, mr_order_t order)
{
    int rc;

    rc = mr_key_cmp_int64(a->time, b->time);

    if (rc == 0) {
        rc = mr_str_cmp(a->event_id, b->event_id);
    }

    if (rc == 0) {
        rc = mr_str_cmp(a->user_id, b->user_id);
    }

    if (rc == 0) {
        rc = mr_key_cmp_int64(a->partition, b->partition);
    }

    if (rc == 0) {
        rc = mr_key_cmp_int64(a->offset, b->offset);
    }

    if (rc == 0) {
        rc = mr_key_cmp_int64(a->epoch, b->epoch);
    }

    if (order == MR_ORDER_DESC) {
        return (rc < 0) - (rc > 0);
    }

    return rc;
}


static int
mr_key_cmp_int64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}
