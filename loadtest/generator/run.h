/* One run: what its threads share, and what each of them has counted. */
#ifndef MR_LOAD_RUN_H
#define MR_LOAD_RUN_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "histogram.h"
#include "options.h"
#include "workload.h"


#define MR_STATUS_MAX 600
#define MR_RUN_SECONDS 7200 /* for which acknowledged events are kept */


/* How requests ended.  `events` are those of the requests. */
typedef struct {
    uint64_t requests[MR_STATUS_MAX]; /* by status; 0: no whole answer */
    uint64_t events[MR_STATUS_MAX];
} mr_counts_t;


/* One a thread; read by others only after it has ended. */
typedef struct {
    mr_counts_t all;        /* of the whole run */
    mr_counts_t measured;   /* answered after the warm-up and before the end */
    mr_histogram_t latency; /* us; client.h says of which requests */
    uint64_t late;          /* of them: with --rate, answered after the end */
    uint64_t unanswered;    /* of them: with --rate, charged with their wait */
    uint64_t sent;          /* requests, repeated sendings included */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t connects;
    uint64_t connects_failed;
    uint64_t closed;   /* without a byte of the answer */
    uint64_t cut;      /* in the middle of the answer */
    uint64_t broken;   /* what came is no HTTP */
    uint64_t timeouts; /* no answer in time */
    uint64_t retried_closed;
    uint64_t retried_503;
    uint64_t miscounted; /* 202 whose "accepted" is not what was sent */
    double cpu;          /* s of this thread within the measured time */
    uint32_t seconds[MR_RUN_SECONDS]; /* events got 202, by second of the run */
    char sample[512]; /* the first answer that was not 202 or 204 */
    unsigned sample_status;
    int log_errno; /* the sender's log could not be written */
    int failed;    /* errno of what made the thread give up, or 0 */
} mr_result_t;


/* Times in ns of CLOCK_MONOTONIC. */
typedef struct {
    const mr_load_options_t *options;
    mr_workload_t *workload;
    struct sockaddr_storage address;
    socklen_t address_len;
    char *head; /* of every request, up to the number of Content-Length */
    size_t head_len;
    int log_fd;
    uint64_t batches; /* to be sent in all; UINT64_MAX: no bound */
    int64_t start;
    int64_t measure; /* the warm-up ends */
    int64_t end;     /* no request is begun any more; INT64_MAX: no bound */
    _Atomic uint64_t next; /* batch */
    atomic_int stop;       /* a signal came */
    int64_t finished;      /* the last request has ended */
    double idle; /* share of the machine's measured time, or -1: not known */
} mr_run_t;


/* Now, in ns of CLOCK_MONOTONIC. */
int64_t mr_run_clock(void);

/*
 * Take the next batch that is due: 1; 0 if none is due now, then *ret_due is
 * when (INT64_MAX: never).  Any thread.
 */
int mr_run_claim(
    mr_run_t *run, int64_t now, uint64_t *ret_batch, int64_t *ret_due);

/* When a batch is due, with a rate. */
int64_t mr_run_due(const mr_run_t *run, uint64_t batch);

/* How many requests were due by the end but never begun. */
uint64_t mr_run_backlog(mr_run_t *run);

/* The events of a batch. */
void mr_run_batch(const mr_run_t *run, uint64_t batch, uint64_t *ret_first,
    uint32_t *ret_count);

/* Resolve the URL and make the head; -1 after a message. */
int mr_run_prepare(mr_run_t *run);
void mr_run_release(mr_run_t *run);

/*
 * Send with `options->threads` threads until the end; `results` has room for
 * each.  -1 after a message if a thread could not be started.
 */
int mr_run_threads(mr_run_t *run, mr_result_t *results);

#endif /* MR_LOAD_RUN_H */
