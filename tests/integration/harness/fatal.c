/*
 * Preloaded into nginx by a test: the first event of the user "fatal" in a
 * process raises a fatal error of the producer, by librdkafka's own function
 * for that, just before it is produced; so does every one of "always-fatal".
 */
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
rd_kafka_produce(rd_kafka_topic_t *topic, int32_t partition, int flags,
    void *value, size_t len, const void *key, size_t keylen, void *opaque)
{
    int (*real)(rd_kafka_topic_t *, int32_t, int, void *, size_t,
        const void *, size_t, void *);

    if ((!raised && keylen == 5 && memcmp(key, "fatal", 5) == 0)
        || (keylen == 12 && memcmp(key, "always-fatal", 12) == 0))
    {
        raised = 1;
        rd_kafka_test_fatal_error(newest,
            RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test's");
    }

    real = (__typeof__(real)) dlsym(RTLD_NEXT, "rd_kafka_produce");

    return real(topic, partition, flags, value, len, key, keylen, opaque);
}
