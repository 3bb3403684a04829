/*
 * The MongoDB client that the daemons share: one pool a process, one client
 * a thread, majority and journaled writes, majority reads.
 */
#ifndef MILLRACE_MONGO_H
#define MILLRACE_MONGO_H

#include <mongoc/mongoc.h>

#include <millrace/error.h>

#include "options.h"


/* Collections of the database; the schema is docs/data-model.md. */
#define MR_MONGO_LEDGER "ledger"
#define MR_MONGO_BLOCKS "blocks"
#define MR_MONGO_PARTIALS "partials"
#define MR_MONGO_WINDOWS "windows"
#define MR_MONGO_ACCOUNTS "accounts"
#define MR_MONGO_STATE "state"
#define MR_MONGO_TYPES "types"

/* The index by users that all blocks are in. */
#define MR_MONGO_WHO_TMAX "who_span_tmax"


typedef struct mr_mongo_s mr_mongo_t;

/*
 * Create the pool.  It connects lazily: success does not mean that MongoDB
 * is there.  Fails with MR_ERROR_CONFIG for a bad URI.  Call once, in the
 * main thread (mongoc_init() is done inside).
 */
int mr_mongo_open(const mr_options_t *options, const char *appname,
    mr_mongo_t **ret_mongo, mr_error_t *err);
void mr_mongo_close(mr_mongo_t *mongo);

/*
 * Observe a primary, or a mongos, being found: for the first time or again
 * after it was away.  Once, before the first mr_mongo_pop().  `found` is called
 * in any thread until mr_mongo_close() has returned; it may not use MongoDB.
 */
typedef void mr_mongo_found_t(void *ctx);

void mr_mongo_on_found(mr_mongo_t *mongo, mr_mongo_found_t *found, void *ctx);

/*
 * Borrow a client (waits while the pool is used up) and give it back.  A
 * client belongs to one thread while borrowed.  Any thread.
 */
mongoc_client_t *mr_mongo_pop(mr_mongo_t *mongo);
mongoc_client_t *mr_mongo_try_pop(mr_mongo_t *mongo); /* NULL: none is free */
void mr_mongo_push(mr_mongo_t *mongo, mongoc_client_t *client);

/* The database's name; valid as long as `mongo`. */
const char *mr_mongo_database(const mr_mongo_t *mongo);

/*
 * A collection with the write and read concerns of this file; the caller
 * destroys it.
 */
mongoc_collection_t *mr_mongo_collection(
    mr_mongo_t *mongo, mongoc_client_t *client, const char *name);

/* { ping: 1 } on the primary within `timeout` ms. */
int mr_mongo_ping(mr_mongo_t *mongo, int64_t timeout, mr_error_t *err);

/*
 * A cursor with at most one block, of an earlier version: one whose users are a
 * list of strings.  What it takes is appended to `opts`.  The caller destroys
 * it.
 */
mongoc_cursor_t *mr_mongo_earlier(mongoc_collection_t *blocks, bson_t *opts);

/* Fill *err with MR_ERROR_MONGODB from a bson_error_t; returns -1. */
int mr_mongo_error(
    mr_error_t *err, const char *what, const bson_error_t *error);

#ifdef __clang_analyzer__ /* as in error.h */
#define mr_mongo_error(...) (mr_mongo_error(__VA_ARGS__), -1)
#endif

#endif /* MILLRACE_MONGO_H */
