/*
 * What the decoders of content codings share with mr_inflate_feed().
 * Private to core/.
 */
#ifndef MILLRACE_CORE_INFLATE_H
#define MILLRACE_CORE_INFLATE_H

#include <stdint.h>

#define ZLIB_CONST /* next_in may point to const */
#include <zlib.h>
#include <zstd.h>

#include <millrace/inflate.h>


/* The largest header of a zstd frame (RFC 8878, 3.1.1.1). */
#define MR_ZSTD_HEADER_MAX 18

/* Input that is left, and room for output that is left. */
typedef struct {
    const char *in;
    size_t in_len;
    char *out;
    size_t out_len;
} mr_inflate_io_t;


/*
 * A decoder.  reset() begins a stream.  step() takes input and gives output
 * until either is used up or a member or frame is complete, and keeps
 * at_end, whether the stream may end here, and `pending`, whether there may
 * be output that had no room.  With neither input nor `pending` it is not
 * called.  Both return -1 on error.
 *
 * `probe` says that no output is due any more: there is room for one byte,
 * which the step must fill, before any error that comes later in the stream,
 * if there is more output.
 */
typedef struct {
    int (*reset)(mr_inflate_t *inflate, mr_error_t *err);
    int (*step)(
        mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err);
} mr_inflater_t;


struct mr_inflate_s {
    const mr_inflater_t *inflater;
    size_t limit;
    size_t produced;
    mr_inflate_status_t status; /* of the last call */
    unsigned at_end : 1;
    unsigned pending : 1;
    unsigned started : 1; /* a member or frame was complete before */

    /* gzip, deflate */
    unsigned z_ready : 1; /* `z` is initialised */
    unsigned z_in_body : 1;
    unsigned z_guess : 1; /* deflate: zlib's header or none */
    z_stream z;
    size_t z_size;

    /* zstd */
    ZSTD_DCtx *zstd;
    unsigned zstd_in_frame : 1;
    unsigned zstd_has_content : 1;
    uint64_t zstd_content; /* bytes that the frame says it holds */
    uint64_t zstd_given;   /* bytes that it gave so far */
    uint32_t zstd_skip;    /* bytes of a skippable frame that are left */

    /* A start that is not complete yet; then what the decoder gets first. */
    unsigned char head[MR_ZSTD_HEADER_MAX];
    size_t head_len;
    size_t head_pos;
};


extern const mr_inflater_t mr_inflater_gzip;
extern const mr_inflater_t mr_inflater_deflate;
extern const mr_inflater_t mr_inflater_zstd;


/* Move input to head[] until it has `len` bytes; 0 if it has not. */
int mr_inflate_head(mr_inflate_t *inflate, mr_inflate_io_t *io, size_t len);

/* The error of a stream whose status is TOO_LARGE, or BROKEN before. */
int mr_inflate_fail(const mr_inflate_t *inflate, mr_error_t *err);

int mr_inflate_no_memory(mr_error_t *err);

#endif /* MILLRACE_CORE_INFLATE_H */
