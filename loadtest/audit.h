/*
 * Compares what senders say they sent with what is in a topic: an event that
 * was answered with 202 must be there as often as it was, and nothing may be
 * there that nobody sent.  An event without an answer, or with another one,
 * may or may not be there.
 */
#ifndef MR_LOAD_AUDIT_H
#define MR_LOAD_AUDIT_H

#include <stddef.h>
#include <stdint.h>


/* Sums over all events. */
typedef struct {
    uint64_t sent;         /* events, sent again ones included */
    uint64_t acknowledged; /* of them with 202 */
    uint64_t records;      /* in the topic */
    uint64_t distinct;     /* events of senders that are in it, each once */
    uint64_t missing;      /* 202 but not there: lost */
    uint64_t surplus;      /* there more often than it was sent */
    uint64_t unknown;      /* there, but nobody sent it */
    uint64_t misplaced;    /* with another key or user than was sent */
    uint64_t extra;        /* there without a 202: allowed */
} mr_audit_result_t;


typedef struct mr_audit_s mr_audit_t;


/* NULL on out of memory. */
mr_audit_t *mr_audit_create(void);
void mr_audit_destroy(mr_audit_t *audit);

/* First all that was sent; -1 after a message on standard error. */
int mr_audit_log(mr_audit_t *audit, const char *path);

/* Then every record. */
void mr_audit_record(mr_audit_t *audit, const char *key, size_t key_len,
    const char *value, size_t len);

void mr_audit_finish(const mr_audit_t *audit, mr_audit_result_t *ret_result);

#endif /* MR_LOAD_AUDIT_H */
