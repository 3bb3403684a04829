/*
 * The parts of the configuration that only a client library can judge.
 * `-t` and every start of a daemon run all of it; nothing is connected to.
 */
#ifndef MILLRACE_CHECK_H
#define MILLRACE_CHECK_H

#include <millrace/error.h>

#include "options.h"


/*
 * Each fails with MR_ERROR_CONFIG and a message that names what is wrong,
 * never a secret.  Main thread.
 */

/* [kafka]: every property, alone and together (kafka.c). */
int mr_kafka_check(const mr_options_t *options, mr_error_t *err);

/* [mongodb]: the connection string and its options (mongo.c). */
int mr_mongo_check(const mr_options_t *options, mr_error_t *err);

#endif /* MILLRACE_CHECK_H */
