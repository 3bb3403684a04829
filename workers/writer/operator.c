#include "operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/mongo.h"
#include "store.h"


static int operator_partition(
    const char *text, int32_t *ret_partition, mr_error_t *err);


int
mr_operator_order(
    const char *gap, const char *epoch, mr_order_t *ret_order, mr_error_t *err)
{
    ret_order->what = MR_RESUME_NONE;
    ret_order->partition = -1;

    if (gap && epoch) {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "only one of --accept-gap and --new-epoch at a time");
    }

    if (gap) {
        ret_order->what = MR_RESUME_GAP;
        return operator_partition(gap, &ret_order->partition, err);
    }

    if (epoch) {
        ret_order->what = MR_RESUME_EPOCH;
        return operator_partition(epoch, &ret_order->partition, err);
    }

    return 0;
}


int
mr_operator_give(
    const mr_options_t *options, const mr_order_t *order, mr_error_t *err)
{
    int rc;
    mr_mongo_t *mongo;
    mr_store_t *store;

    if (mr_mongo_open(options, "millrace-writer", &mongo, err) != 0) {
        return -1;
    }

    rc = mr_store_open(mongo, options, &store, err);

    if (rc == 0) {
        rc = mr_store_order(store, order->partition, order->what, err);
        mr_store_close(store);
    }

    mr_mongo_close(mongo);

    if (rc == 0) {
        printf("partition %d: if it has stopped %s, its writer goes on with "
               "it in a few seconds\n",
            (int) order->partition,
            order->what == MR_RESUME_GAP ? "at a gap"
                                         : "because its topic is a new one");
    }

    return rc;
}


static int
operator_partition(const char *text, int32_t *ret_partition, mr_error_t *err)
{
    char *end;
    long value;
    char shown[48];

    errno = 0;
    value = strtol(text, &end, 10);

    if (errno != 0 || end == text || *end != '\0' || value < 0
        || value > INT32_MAX || text[0] < '0' || text[0] > '9')
    {
        return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
            "\"%s\" is no partition: give a number from 0",
            mr_error_excerpt(shown, sizeof(shown), text, strlen(text), 24));
    }

    *ret_partition = (int32_t) value;

    return 0;
}
