#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include <common/check.h>
#include <common/kafka.h>
#include <common/mongo.h>

#include "check_common.h"


/* What only librdkafka knows to be wrong, or right. */
static const struct {
    const char *text;
    const char *message; /* NULL: good */
} kafkas[] = {
    {"", NULL},
    {"[kafka]\nlinger.ms = 5\nfetch.min.bytes = 1\n", NULL},
    {"[kafka]\ncompression.type = zstd\n", NULL},
    {"[kafka]\ndebug = broker,security\n", NULL},
    {"[kafka]\ndebug = everything\n", ":2: [kafka] debug: Invalid"},
    {"[kafka]\nsecurity.protocol = sasl_ssl\nsasl.mechanisms = PLAIN\n"
     "sasl.username = u\nsasl.password = hush\n",
        NULL},
    {"[kafka]\n\nfoo.bar = 1\n", ":3: [kafka] foo.bar: No such"},
    {"[kafka]\nlinger.ms = soon\n", ":2: [kafka] linger.ms: Invalid"},
    {"[kafka]\nlinger.ms = -1\n", ":2: [kafka] linger.ms: "},
    {"[kafka]\nsecurity.protocol = ssl\nssl.ca.location = /nowhere\n",
        "do not work together: ssl.ca.location failed"},
    {"[kafka]\nmax.in.flight.requests.per.connection = 100\n",
        "do not work together: `max.in.flight`"},

    /* Where a token would have to come from the program. */
    {"[kafka]\nsecurity.protocol = SASL_SSL\nsasl.mechanism = OAUTHBEARER\n",
        "OAUTHBEARER needs sasl.oauthbearer.method = oidc"},
    {"[kafka]\nsecurity.protocol = sasl_plaintext\n"
     "sasl.mechanisms = OAUTHBEARER\n"
     "enable.sasl.oauthbearer.unsecure.jwt = false\n",
        "OAUTHBEARER needs sasl.oauthbearer.method = oidc"},
    {"[kafka]\nsecurity.protocol = sasl_plaintext\n"
     "sasl.mechanism = OAUTHBEARER\nsasl.oauthbearer.config = principal=me\n"
     "enable.sasl.oauthbearer.unsecure.jwt = true\n",
        NULL},
    {"[kafka]\nsasl.mechanism = OAUTHBEARER\n", NULL},
};


START_TEST(kafka)
{
    int rc;
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    ck_assert_msg(
        mr_check_load(kafkas[_i].text, &options, &err) == 0, "%s", err.message);

    rc = mr_kafka_check(&options, &err);

    if (kafkas[_i].message == NULL) {
        ck_assert_msg(rc == 0, "%s", err.message);

    } else {
        ck_assert_msg(rc == -1, "accepted: %s", kafkas[_i].text);
        ck_assert_int_eq(err.code, MR_ERROR_CONFIG);
        ck_assert_msg(
            strstr(err.message, kafkas[_i].message) != NULL, "%s", err.message);
    }

    mr_options_free(&options);
}
END_TEST


static void
assert_property(
    const rd_kafka_conf_t *conf, const char *name, const char *expected)
{
    char value[64];
    size_t size;

    size = sizeof(value);
    ck_assert_int_eq(
        rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
    ck_assert_str_eq(value, expected);
}


START_TEST(kafka_conf)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    rd_kafka_conf_t *conf = NULL;

    ck_assert_int_eq(mr_check_load("[kafka]\n"
                                   "brokers = a:1,b:2\n"
                                   "linger.ms = 7\n",
                         &options, &err),
        0);

    ck_assert_int_eq(mr_kafka_conf(&options, "me", &conf, &err), 0);

    assert_property(conf, "bootstrap.servers", "a:1,b:2");
    assert_property(conf, "linger.ms", "7");
    assert_property(conf, "client.id", "me");

    ck_assert_int_eq(mr_kafka_conf_set(conf, "no.such", "1", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "[kafka] no.such: "));

    rd_kafka_conf_destroy(conf);
    mr_options_free(&options);
}
END_TEST


static const struct {
    const char *text;
    const char *value;
} fetches[] = {
    {"", "1048576"},
    {"[kafka]\nfetch.message.max.bytes = 65536\n", "65536"},
    {"[kafka]\nmax.partition.fetch.bytes = 65536\n", "65536"},
    {"[kafka]\nfetch.max.bytes = 65536\n", "1048576"},
};


START_TEST(kafka_default)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    rd_kafka_conf_t *conf = NULL;

    ck_assert_int_eq(mr_check_load(fetches[_i].text, &options, &err), 0);
    ck_assert_int_eq(mr_kafka_conf(&options, "me", &conf, &err), 0);
    ck_assert_int_eq(mr_kafka_conf_default(&options, conf,
                         "fetch.message.max.bytes", "1048576", &err),
        0);

    assert_property(conf, "fetch.message.max.bytes", fetches[_i].value);

    rd_kafka_conf_destroy(conf);
    mr_options_free(&options);
}
END_TEST


static const struct {
    const char *uri;
    const char *message; /* NULL: good */
} uris[] = {
    {"mongodb://h/?replicaSet=rs0", NULL},
    {"mongodb://a:1,b:2/?replicaSet=rs0&w=majority&journal=true", NULL},
    {"mongodb://u:hush@h/?readConcernLevel=majority", NULL},
    {"mongodb://h/?readPreference=primary&socketTimeoutMS=5000", NULL},
    {"mongodb://h/?appname=mine&compressors=zlib", NULL},
    {"mongodb://u:hush@h:port/", "is no connection string; expected"},
    {"mongodb://h:port/", "is no connection string: Invalid"},
    {"mongodb://", "is no connection string"},
    {"mongodb://u:hu%sh@h/", "is no connection string; expected"},
    {"mongodb://u:hush@h/?w=1", "w must be majority"},
    {"mongodb://h/?journal=false", "journal must be true"},
    {"mongodb://h/?readConcernLevel=local", "must be majority"},
    {"mongodb://h/?readPreference=secondary", "must be primary"},
    {"mongodb://h/?tls=true&tlsCAFile=/nowhere", "cannot read /nowhere"},

    /* What the library would pass over. */
    {"mongodb://u:hush@h/?tlsEnabled=true", "option tlsenabled is unknown"},
    {"mongodb://u:hush@h/?tls=true&tlsCAFlie=/hu",
        "option tlscaflie is unknown"},
    {"mongodb://h/?foo=hu&bar=hu", "option foo is unknown"},
    {"mongodb://h/?f%6fo=hu", "uri: an option is unknown"},
    {"mongodb://h/?=hu", "uri: an option is unknown"},
    {"mongodb://h/?tls=true&tls=false", "uri: option tls is there twice"},
    {"mongodb://h/?tls=true&TLS=true", "uri: option TLS is there twice"},
    {"mongodb://h/?compressors=zlib,hu", "uri: option compressors names one"},
    {"mongodb://u:hush@h/?authMechanism=SCRAM-SHA-999", "authMechanism is"},
    {"mongodb://u:hush@h/?authMechanism=hush", "authMechanism is none of"},
    {"mongodb://u:hush@h/?authMechanism=scram-sha-256", NULL},
    {"mongodb://u:hush@h/?authSource=x&authMechanism=SCRAM-SHA-1", NULL},
    {"mongodb://h/?directConnection=yes&ssl=false", NULL},

    /* A name that is a piece of a password. */
    {"mongodb://u:1/?hush=1@h/", "uri: an option is unknown"},
    {"mongodb://h/?tlsCertificateKeyFilePassword=x&hush=",
        "uri: an option is unknown"},
    {"mongodb://u@h/?authMechanism=MONGODB-AWS&authMechanismProperties="
     "AWS_SESSION_TOKEN:x&hush=",
        "uri: an option is unknown"},
};


START_TEST(mongo)
{
    int rc;
    char text[256];
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    (void) snprintf(text, sizeof(text), "[mongodb]\nuri = %s\n", uris[_i].uri);

    ck_assert_msg(mr_check_load(text, &options, &err) == 0, "%s", err.message);

    rc = mr_mongo_check(&options, &err);

    if (uris[_i].message == NULL) {
        ck_assert_msg(rc == 0, "%s", err.message);

    } else {
        ck_assert_msg(rc == -1, "accepted: %s", uris[_i].uri);
        ck_assert_int_eq(err.code, MR_ERROR_CONFIG);
        ck_assert_msg(
            strstr(err.message, uris[_i].message) != NULL, "%s", err.message);
        ck_assert_ptr_null(strstr(err.message, "hu"));
    }

    mr_options_free(&options);
}
END_TEST


/* Nobody listens there: the ping comes back in time, again and again. */
START_TEST(mongo_away)
{
    int i;
    char text[128];
    int64_t start;
    mr_error_t err = MR_ERROR_INIT;
    mr_mongo_t *away = NULL;
    mr_options_t options;

    (void) snprintf(text, sizeof(text),
        "[mongodb]\nuri = mongodb://%s/?replicaSet=x\ndatabase = d\n",
        mr_check_address());

    ck_assert_int_eq(mr_check_load(text, &options, &err), 0);
    ck_assert_msg(mr_mongo_open(&options, "millrace-check", &away, &err) == 0,
        "%s", err.message);
    ck_assert_str_eq(mr_mongo_database(away), "d");

    for (i = 0; i < 3; i++) {
        start = mr_time_monotonic();
        ck_assert_int_eq(mr_mongo_ping(away, 400, &err), -1);
        ck_assert_int_eq(err.code, MR_ERROR_MONGODB);
        ck_assert_int_lt(mr_time_monotonic() - start, 3000);
    }

    mr_mongo_close(away);
    mr_options_free(&options);
}
END_TEST


Suite *
mr_suite_clients(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("clients");
    tc = tcase_create("clients");
    tcase_set_timeout(tc, 20);

    tcase_add_loop_test(
        tc, kafka, 0, (int) (sizeof(kafkas) / sizeof(kafkas[0])));
    tcase_add_test(tc, kafka_conf);
    tcase_add_loop_test(
        tc, kafka_default, 0, (int) (sizeof(fetches) / sizeof(fetches[0])));
    tcase_add_loop_test(tc, mongo, 0, (int) (sizeof(uris) / sizeof(uris[0])));
    tcase_add_test(tc, mongo_away);

    suite_add_tcase(suite, tc);

    return suite;
}
