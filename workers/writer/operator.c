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
mr_operator_parse(
    int *argc, char **argv, mr_order_t *ret_order, mr_error_t *err)
{
    int i, k;
    mr_order_t order, one;

    order.what = MR_RESUME_NONE;
    order.partition = -1;

    for (i = 1; i < *argc; i++) {

        if (strcmp(argv[i], "--accept-gap") == 0) {
            one.what = MR_RESUME_GAP;

        } else if (strcmp(argv[i], "--new-epoch") == 0) {
            one.what = MR_RESUME_EPOCH;

        } else {
            continue;
        }

        if (order.what != MR_RESUME_NONE) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
                "only one of --accept-gap and --new-epoch at a time");
        }

        if (i + 1 == *argc) {
            return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
                "%s needs the number of a partition", argv[i]);
        }

        if (operator_partition(argv[i + 1], &one.partition, err) != 0) {
            return -1;
        }

        order = one;

        /* argv ends with NULL, which moves up as well. */
        for (k = i; k + 2 <= *argc; k++) {
            argv[k] = argv[k + 2];
        }

        *argc -= 2;
        i--;
    }

    *ret_order = order;

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
