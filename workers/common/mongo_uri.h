/*
 * The URI of [mongodb]: parsed, checked, and with this project's defaults.
 * No error repeats what may be a secret.  Private to mongo*.c.
 */
#ifndef MILLRACE_MONGO_URI_H
#define MILLRACE_MONGO_URI_H

#include <mongoc/mongoc.h>

#include <millrace/error.h>

#include "options.h"


/*
 * After mongoc_init(), in the main thread; the caller destroys *ret_uri.
 * While it parses, the library's messages do not go to `log`, which is the
 * handler that is set afterwards.  Fails with MR_ERROR_CONFIG.
 */
int mr_mongo_uri(const mr_options_t *options, mongoc_log_func_t log,
    mongoc_uri_t **ret_uri, mr_error_t *err);

#endif /* MILLRACE_MONGO_URI_H */
