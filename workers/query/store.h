/*
 * MongoDB as the query daemon sees it: the only files of this daemon that
 * know libmongoc are store*.c.
 *
 * A store is made once a process; a session is one request's use of it, in
 * one thread, with one client of the pool and one deadline.
 */
#ifndef MILLRACE_QUERY_STORE_H
#define MILLRACE_QUERY_STORE_H

#include <stdint.h>

#include <millrace/error.h>

#include "../common/options.h"
#include "../common/window.h"
#include "crew.h"
#include "plan.h"
#include "source.h"
#include "stats_point.h"


typedef struct mr_store_s mr_store_t;
typedef struct mr_session_s mr_session_t;


/*
 * Success does not mean that MongoDB is there.  `crew`, with query.threads
 * helpers at most, helps to read and must outlive the store.  Fails with
 * MR_ERROR_CONFIG or MR_ERROR_MEMORY.  Main thread.
 */
int mr_store_open(const mr_options_t *options, mr_crew_t *crew,
    mr_store_t **ret_store, mr_error_t *err);
void mr_store_close(mr_store_t *store);

/* Whether MongoDB's primary answers within `timeout` ms.  Any thread. */
int mr_store_ping(mr_store_t *store, int64_t timeout, mr_error_t *err);


/*
 * `deadline` is of mr_time_monotonic(); nothing asked of MongoDB in the
 * session runs on there beyond it.  Fails with MR_ERROR_MEMORY.
 */
int mr_session_open(mr_store_t *store, int64_t deadline,
    mr_session_t **ret_session, mr_error_t *err);

/*
 * NULL is allowed.  A session with cursors that MongoDB has to be told of is
 * only put aside, so that an answer need not wait for that: whoever closes
 * sessions calls mr_store_tidy() once its answer is given.
 */
void mr_session_close(mr_session_t *session);

/* End what was put aside.  Any thread. */
void mr_store_tidy(mr_store_t *store);

/*
 * The blocks of a plan, which must outlive their reading.  Once a session.
 * What the source fails with is MR_ERROR_MONGODB when MongoDB is away,
 * MR_ERROR_TIMEOUT at the deadline, MR_ERROR_EVENT when the data are not as
 * docs/data-model.md says.
 */
mr_source_t mr_session_blocks(mr_session_t *session, const mr_plan_t *plan);


/* Called for each partition of the topic that has a ledger. */
typedef void(mr_ledger_observer_t)(void *ctx, int32_t partition, int64_t next);

/*
 * How far each partition has been stored: what lies before `next` is seen by
 * whoever reads blocks from now on.
 */
int mr_session_ledger(mr_session_t *session, const char *topic,
    mr_ledger_observer_t *observer, void *ctx, mr_error_t *err);


/* Everything that Kafka had received until then is in the windows. */
typedef struct {
    int known;     /* zero until the stats daemon has merged once */
    int64_t as_of; /* ms */
} mr_merged_t;

/* Read before the windows that it is to vouch for. */
int mr_session_merged(
    mr_session_t *session, mr_merged_t *ret_merged, mr_error_t *err);


/*
 * Events of one partition that were counted under MR_EVENT_TYPE_OTHER while
 * `max` types might have windows of their own: the first and the last moment
 * at which one may lie, in ms.
 */
typedef struct {
    int64_t max;
    int64_t first;
    int64_t last;
} mr_other_t;

/* All there are; the caller frees *ret_list. */
int mr_session_others(mr_session_t *session, const char *topic,
    mr_other_t **ret_list, size_t *ret_n, mr_error_t *err);

/*
 * Has the type windows of its own?  1 with *ret_max, how many types might
 * have them when it came; 0 or -1.
 */
int mr_session_type(
    mr_session_t *session, mr_str_t type, int64_t *ret_max, mr_error_t *err);

/* A type that has, and how many might have them when it came. */
typedef struct {
    mr_str_t name;
    int64_t number; /* in the registry */
    int64_t max;
} mr_type_t;

/* Called for each of them; -1, with *err filled, ends the reading. */
typedef int(mr_type_observer_t)(
    void *ctx, const mr_type_t *type, mr_error_t *err);

/* They are given in bytewise order. */
int mr_session_types(mr_session_t *session, mr_type_observer_t *observer,
    void *ctx, mr_error_t *err);

/* Does any block hold an event of the type?  1, 0 or -1. */
int mr_session_occurs(mr_session_t *session, mr_str_t type, mr_error_t *err);

/* May events have been removed from the blocks?  1, 0 or -1. */
int mr_session_trimmed(mr_session_t *session, mr_error_t *err);


/* Called for each stored window; -1, with *err filled, ends the reading. */
typedef int(mr_window_observer_t)(
    void *ctx, const mr_window_row_t *row, mr_error_t *err);

/* Which windows to read of event types ("": all of them together). */
typedef struct {
    const mr_str_t *types; /* at least one, in bytewise order, each once */
    size_t n;
    mr_width_t width;
    int64_t from; /* from <= start < to */
    int64_t to;
    const char *measure; /* the one to read; NULL: none */
    int sketches;        /* with them: they are large */
} mr_windows_t;

/* They are given in order, one type's after the other's. */
int mr_session_windows(mr_session_t *session, const mr_windows_t *windows,
    mr_window_observer_t *observer, void *ctx, mr_error_t *err);

#endif /* MILLRACE_QUERY_STORE_H */
