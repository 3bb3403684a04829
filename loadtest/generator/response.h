/*
 * The answer to one HTTP/1.1 request, read piece by piece as it comes:
 * Content-Length, chunked, until the connection's end, or without a body.
 */
#ifndef MR_LOAD_RESPONSE_H
#define MR_LOAD_RESPONSE_H

#include <stddef.h>
#include <stdint.h>


#define MR_RESPONSE_HEAD_MAX 8192
#define MR_RESPONSE_BODY_KEPT 512


typedef enum {
    MR_RESPONSE_HEAD,
    MR_RESPONSE_LENGTH, /* `left` bytes of body are to come */
    MR_RESPONSE_CHUNK_SIZE,
    MR_RESPONSE_CHUNK, /* `left` bytes of a chunk are to come */
    MR_RESPONSE_CHUNK_END,
    MR_RESPONSE_TRAILER,
    MR_RESPONSE_UNTIL_CLOSE,
    MR_RESPONSE_DONE
} mr_response_state_t;


/* Plain data; start with mr_response_init(). */
typedef struct {
    mr_response_state_t state;
    unsigned status;
    int close;         /* the server will close after this answer */
    int retry_after;   /* seconds, or -1 */
    uint64_t left;     /* bytes */
    unsigned digits;   /* of a chunk's size, seen so far */
    size_t line;       /* bytes of a trailer's line, seen so far */
    size_t head_len;   /* kept in `head` while it is not complete */
    size_t body_len;   /* kept: the body's beginning */
    uint64_t received; /* bytes in all, head included */
    char body[MR_RESPONSE_BODY_KEPT];
    char head[MR_RESPONSE_HEAD_MAX];
} mr_response_t;


void mr_response_init(mr_response_t *response);

/*
 * Take the next bytes.  Returns how many belong to this answer (fewer than
 * `len` only once it is done), or -1 if it is no HTTP/1.x answer.  Interim
 * answers (1xx) are skipped.
 */
int64_t mr_response_feed(mr_response_t *response, const char *data, size_t len);

/* The connection has ended: 0 if that completes the answer, else -1. */
int mr_response_end(mr_response_t *response);

/* The number after `"name":` in the kept body, or -1. */
int64_t mr_response_number(const mr_response_t *response, const char *name);

#endif /* MR_LOAD_RESPONSE_H */
