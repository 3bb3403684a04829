/*
 * The sender's log: what was sent and how each request ended, for audits.
 * 16 bytes a request: events are a function of their number (workload.h), so
 * the numbers are all there is to write down.
 */
#ifndef MR_LOAD_SENTLOG_H
#define MR_LOAD_SENTLOG_H

#include <stdint.h>
#include <stdio.h>

#include "workload.h"


#define MR_SENTLOG_BUFFERED 4096 /* records a writer holds back */


typedef struct {
    uint64_t first;    /* number of the request's first event */
    uint32_t count;    /* of events */
    uint16_t status;   /* of the last answer; 0: none came */
    uint16_t attempts; /* how often it was sent */
} mr_sentlog_record_t;


/* One a thread; all of a process append to one file. */
typedef struct {
    int fd; /* -1: keeps nothing */
    unsigned n;
    mr_sentlog_record_t records[MR_SENTLOG_BUFFERED];
} mr_sentlog_t;


/*
 * Create the file, empty but for how to make the events again.  Returns its
 * descriptor, or -1 with errno set.
 */
int mr_sentlog_create(const char *path, const mr_workload_options_t *options);

void mr_sentlog_init(mr_sentlog_t *log, int fd);
/* Both: 0, or -1 with errno set. */
int mr_sentlog_add(mr_sentlog_t *log, const mr_sentlog_record_t *record);
int mr_sentlog_flush(mr_sentlog_t *log);

/*
 * Open a log for reading: fread() records from what is returned.  NULL if
 * it cannot be opened (errno) or is no sender's log (errno is EINVAL).
 */
FILE *mr_sentlog_open(const char *path, mr_workload_options_t *ret_options);

#endif /* MR_LOAD_SENTLOG_H */
