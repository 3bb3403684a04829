#include "settle.h"

#include <millrace/time.h>

#include "run.h"


#define SETTLE_PAUSE 100 /* ms */


int
mr_settle(mr_kafka_log_t *log, mr_settle_look_t *look, void *ctx,
    int64_t deadline, int64_t *ends, int64_t *reached, int *ret_settled,
    mr_error_t *err)
{
    int ready;
    size_t i, n;

    n = mr_kafka_log_partitions(log);

    if (mr_kafka_log_offsets(log, MR_LOG_END, deadline, ends, err) != 0) {
        return -1;
    }

    for (;;) {
        if (look(ctx, reached, &ready, err) != 0) {
            return -1;
        }

        for (i = 0; i < n && reached[i] >= ends[i]; i++) {
            /* void */
        }

        if (i == n && ready) {
            *ret_settled = 1;
            return 0;
        }

        if (mr_time_monotonic() + SETTLE_PAUSE >= deadline
            || mr_run_sleep(SETTLE_PAUSE))
        {
            *ret_settled = 0;
            return 0;
        }
    }
}
