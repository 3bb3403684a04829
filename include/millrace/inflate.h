/*
 * A request body's content coding (RFC 9110, 8.4) undone in bounded steps:
 * gzip (RFC 1952), deflate (RFC 1950; bare RFC 1951 as well, which some
 * clients send under that name), zstd (RFC 8878), or none.
 *
 * A small body can inflate to a thousand times its size and more.  So the
 * output has a limit, beyond which nothing is inflated or allocated, and each
 * call has a budget, after which an event loop may turn to something else.
 *
 * Gzip members and zstd frames may follow each other, skippable frames
 * included; nothing else may follow a stream.  A zstd frame's window is at
 * most 8 MiB (RFC 9659) and no preset dictionary is known.
 *
 * Memory of one mr_inflate_t, apart from the output: 300 bytes; from the
 * first use of gzip or deflate on 40 KiB; from the first use of zstd on 100
 * KiB, and up to 384 KiB more than the largest window so far: below 9 MiB in
 * all.  It is kept for the next stream; mr_inflate_size() says what it is.
 * zstd takes one block, at most 128 KiB of output, at a time, whatever the
 * budget.
 *
 * Any thread, one at a time for each mr_inflate_t.
 */
#ifndef MILLRACE_INFLATE_H
#define MILLRACE_INFLATE_H

#include <millrace/error.h>
#include <millrace/str.h>


#define MR_INFLATE_LIMIT (32 * 1024 * 1024) /* bytes: limit by default */
#define MR_INFLATE_BUDGET (256 * 1024)      /* bytes: budget by default */

/* For Accept-Encoding, with a 415 (RFC 9110, 12.5.3). */
#define MR_CODING_ACCEPT "gzip, deflate, zstd"


typedef enum {
    MR_CODING_IDENTITY,
    MR_CODING_GZIP,
    MR_CODING_DEFLATE,
    MR_CODING_ZSTD
} mr_coding_t;


typedef enum {
    MR_INFLATE_AGAIN,    /* the budget is used up: call again with the rest of
                            the input, even if that is empty */
    MR_INFLATE_MORE,     /* all input is used, and the stream goes on */
    MR_INFLATE_DONE,     /* all input is used, and the stream may end here */
    MR_INFLATE_BROKEN,   /* the input is not what the coding says (err) */
    MR_INFLATE_TOO_LARGE /* there is more output than the limit (err) */
} mr_inflate_status_t;


typedef struct mr_inflate_s mr_inflate_t;


/*
 * The coding that a Content-Encoding field names; fields that stand several
 * times are joined by commas first.  Names in any case, x-gzip is gzip, an
 * empty field is identity.  Identity may be repeated, but one other coding is
 * all that is taken: -1 with MR_ERROR_CODING for more, and for unknown ones.
 */
int mr_coding_find(mr_str_t field, mr_coding_t *ret_coding, mr_error_t *err);


/*
 * A context without a stream: mr_inflate_reset() comes next.  NULL on out of
 * memory.  mr_inflate_destroy(NULL) is allowed.
 */
mr_inflate_t *mr_inflate_create(void);
void mr_inflate_destroy(mr_inflate_t *inflate);

/*
 * Begin a stream of at most `limit` bytes of output, whatever was done
 * before.  Fails with MR_ERROR_MEMORY alone, and can be called again then.
 */
int mr_inflate_reset(
    mr_inflate_t *inflate, mr_coding_t coding, size_t limit, mr_error_t *err);

/*
 * Inflate input and append to `out`.  A call gives at most `budget` bytes of
 * output (0 means MR_INFLATE_BUDGET) and takes at most a 16th of that of the
 * input, which keeps hostile input below 3 ms a call with the default.
 * *ret_consumed, which is always set, is how much of the input it took.
 *
 * `out` may be emptied between calls.  Its memory doubles as it grows, but
 * not beyond what is missing to the limit; what it had stays untouched.
 *
 * BROKEN comes with MR_ERROR_CODING, or with MR_ERROR_MEMORY, which is not
 * the sender's fault; TOO_LARGE with MR_ERROR_TOO_LARGE.  Then the stream
 * stays so, and what was appended means nothing.  How the input is cut into
 * calls has no influence on output and outcome.
 */
mr_inflate_status_t mr_inflate_feed(mr_inflate_t *inflate, mr_str_t input,
    size_t budget, mr_buf_t *out, size_t *ret_consumed, mr_error_t *err);

/*
 * There is no more input: 0 if the last mr_inflate_feed() said DONE, else -1
 * with the error of the stream, MR_ERROR_CODING if it was cut.
 */
int mr_inflate_finish(mr_inflate_t *inflate, mr_error_t *err);

/* Bytes of memory that it holds, without `out`. */
size_t mr_inflate_size(const mr_inflate_t *inflate);

#endif /* MILLRACE_INFLATE_H */
