/*
 * A member of a group that begins anew again and again, twice at a time with
 * nothing in between, as a daemon does that is fenced just when the group
 * takes its partitions back.
 *
 * Usage: restarts CONFIG GROUP TIMES.  Ends with 0 when it has.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/kafka_consumer.h"
#include "common/log.h"


static int begun;


static int
assign(void *ctx, mr_claim_t *claims, size_t n)
{
    size_t i;

    (void) ctx;

    for (i = 0; i < n; i++) {
        claims[i].start = 0;
    }

    return 0;
}


static int
begin(void *ctx, const mr_claim_t *claims, size_t n)
{
    (void) ctx;
    (void) claims;

    begun += n != 0;

    return 0;
}


static void
revoke(void *ctx)
{
    (void) ctx;
}


int
main(int argc, char **argv)
{
    int i, times, rc = 0;
    mr_error_t err;
    mr_options_t options;
    mr_consumer_t *consumer;

    const mr_consumer_observer_t observer = {assign, begin, revoke};

    mr_log_init("restarts");
    times = argc == 4 ? atoi(argv[3]) : 0;

    if (times == 0 || mr_options_load(argv[1], &options, &err) != 0) {
        return 2;
    }

    if (mr_consumer_open(&options, "restarts", argv[2], options.kafka.topic,
            &observer, NULL, &consumer, &err)
        != 0)
    {
        return 2;
    }

    for (i = 0; rc == 0 && begun == 0 && i < 600; i++) {
        rc = mr_consumer_poll(consumer, 100, &err);
    }

    for (i = 0; rc == 0 && i < times; i++) {
        mr_consumer_restart(consumer);
        mr_consumer_restart(consumer);
        rc = mr_consumer_poll(consumer, 20, &err);
    }

    mr_consumer_close(consumer);
    mr_options_free(&options);

    return rc == 0 && begun >= 2 * times ? 0 : 1;
}
