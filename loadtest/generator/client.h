/*
 * One thread of the generator: its connections, an event loop, a request at
 * a time on each connection (HTTP/1.1, keep-alive, no pipelining).
 *
 * A request's latency runs from when it was due (with --rate: whether or not
 * a connection was free then, so that a server that stalls is charged with
 * all that should have been sent meanwhile) to its answer's last byte.  With
 * --rate those count that were due in the measured time, whenever they are
 * answered; one that never is counts with the time that was waited for it.
 * Without, those count that are answered in the measured time.
 */
#ifndef MR_LOAD_CLIENT_H
#define MR_LOAD_CLIENT_H

#include "run.h"


/* Bytes of a request before the number of Content-Length. */
#define MR_CLIENT_HEAD_MAX 4000


/* Runs until run's end and until all its requests have ended. */
void mr_client_run(mr_run_t *run, uint32_t connections, mr_result_t *result);

#endif /* MR_LOAD_CLIENT_H */
