/*
 * The ledger of one partition, and what follows from it: pure logic, without
 * Kafka and MongoDB.  The document is docs/data-model.md's `ledger`.
 */
#ifndef MR_WRITER_LEDGER_H
#define MR_WRITER_LEDGER_H

#include <stdint.h>

#include <millrace/hash.h>


/* What an operator may tell a partition that has stopped. */
typedef enum {
    MR_RESUME_NONE,
    MR_RESUME_GAP,  /* go on behind the gap: what is lost is lost */
    MR_RESUME_EPOCH /* the topic is a new one: start over with it */
} mr_resume_t;


/* A stored record that proves which log the ledger speaks of. */
typedef struct {
    int64_t offset; /* -1: nothing was stored yet */
    int64_t time;   /* ms */
    mr_hash_t hash; /* of the value */
} mr_last_t;

typedef struct {
    int64_t epoch;
    int64_t next;
    int64_t flush;
    int64_t reached; /* below it nothing is left to store, though it may
                         lie beyond `next`: markers of transactions */
    mr_last_t last;
    mr_resume_t resume;
    int64_t resume_next; /* the `next` that the operator saw */
} mr_ledger_t;


typedef enum {
    MR_LEDGER_READ,      /* all is well: read on */
    MR_LEDGER_GAP,       /* records from `next` on are no longer there */
    MR_LEDGER_RECREATED, /* the log ends before `next`: not the same log */
    MR_LEDGER_CORRUPT,   /* the log cannot be read: found by reading it */
    MR_VERDICTS
} mr_verdict_t;

/* Judge a ledger by the first and the next offset of the log. */
mr_verdict_t mr_ledger_judge(
    const mr_ledger_t *ledger, int64_t log_start, int64_t log_end);

/*
 * Has the operator allowed this for the state the partition is in?  Never
 * MR_RESUME_NONE.
 */
int mr_ledger_allows(const mr_ledger_t *ledger, mr_resume_t what);

/*
 * Where to begin to read so as to know the dedup window of `window` offsets
 * before `next` and to see the last stored record again.  `kept` is up to
 * where a window from before has been filled, -1 if there is none; *ret_fill
 * is from where on records must be entered into the window, which is `kept`
 * if that window is of use, and lower if it must be filled anew.
 */
int64_t mr_ledger_start(const mr_ledger_t *ledger, int64_t log_start,
    int64_t window, int64_t kept, int64_t *ret_fill);

/* Is it the record that the ledger remembers? */
int mr_last_matches(
    const mr_last_t *last, int64_t offset, int64_t time, mr_hash_t hash);

/* "gap", "recreated"... for logs and the operator. */
const char *mr_verdict_name(mr_verdict_t verdict);

#endif /* MR_WRITER_LEDGER_H */
