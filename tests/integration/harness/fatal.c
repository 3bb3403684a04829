/*
 * Preloaded into nginx by a test: the first event of the user "fatal" in a
 * process raises a fatal error of the producer, by librdkafka's own function
 * for that, just before it is produced; so does every one of "always-fatal".
 */
/* NOLINTNEXTLINE: the name is glibc's */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include <librdkafka/rdkafka.h>


static rd_kafka_t *newest;
static int raised;


rd_kafka_t *
rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *errstr,
    size_t errstr_size)
{
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);

    real = (__typeof__(real)) dlsym(RTLD_NEXT, "rd_kafka_new");
    newest = real(type, conf, errstr, errstr_size);

    return newest;
}


int
rd_kafka_produce_batch(rd_kafka_topic_t *topic, int32_t partition, int flags,
    rd_kafka_message_t *messages, int count)
{
    int i;
    int (*real)(rd_kafka_topic_t *, int32_t, int, rd_kafka_message_t *, int);

    for (i = 0; i < count; i++) {
        if ((!raised && messages[i].key_len == 5
                && memcmp(messages[i].key, "fatal", 5) == 0)
            || (messages[i].key_len == 12
                && memcmp(messages[i].key, "always-fatal", 12) == 0))
        {
            raised = 1;
            rd_kafka_test_fatal_error(newest,
                RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test's");
        }
    }

    real = (__typeof__(real)) dlsym(RTLD_NEXT, "rd_kafka_produce_batch");

    return real(topic, partition, flags, messages, count);
}
