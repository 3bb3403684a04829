/*
 * gzip and deflate, by zlib.
 */
#include <limits.h>
#include <stdlib.h>

#include "inflate.h"


/* inflateReset2()'s windowBits: 32 KiB, and which header there is. */
#define MR_ZLIB_GZIP (16 + MAX_WBITS)
#define MR_ZLIB_ZLIB MAX_WBITS
#define MR_ZLIB_RAW (-MAX_WBITS)

#define MR_GZIP_ID1 0x1f


static int mr_gzip_reset(mr_inflate_t *inflate, mr_error_t *err);
static int mr_gzip_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err);
static int mr_deflate_reset(mr_inflate_t *inflate, mr_error_t *err);
static int mr_deflate_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err);
static int mr_zlib_reset(mr_inflate_t *inflate, int bits, mr_error_t *err);
static int mr_zlib_is_wrapped(const unsigned char *head);
static int mr_zlib_run(mr_inflate_t *stream, mr_inflate_io_t *io,
    const char *coding, mr_error_t *err);
static int mr_zlib_fail(
    const z_stream *z, int rc, const char *coding, mr_error_t *err);
static void *mr_zlib_alloc(void *data, unsigned items, unsigned size);
static void mr_zlib_free(void *data, void *p);


const mr_inflater_t mr_inflater_gzip = {mr_gzip_reset, mr_gzip_step};
const mr_inflater_t mr_inflater_deflate = {mr_deflate_reset, mr_deflate_step};


static int
mr_gzip_reset(mr_inflate_t *inflate, mr_error_t *err)
{
    inflate->z_in_body = 0;

    return mr_zlib_reset(inflate, MR_ZLIB_GZIP, err);
}


static int
mr_gzip_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err)
{
    (void) probe;

    if (!inflate->z_in_body) {

        /* After a member there is another one, or nothing (RFC 1952, 2.2). */

        if (inflate->started) {
            if ((unsigned char) io->in[0] != MR_GZIP_ID1) {
                return mr_error_set(err, MR_ERROR_CODING, NULL,
                    "something that is not gzip follows the gzip data; "
                    "remove it");
            }

            (void) inflateReset(&inflate->z);
        }

        inflate->z_in_body = 1;
        inflate->at_end = 0;
    }

    return mr_zlib_run(inflate, io, "gzip", err);
}


static int
mr_deflate_reset(mr_inflate_t *inflate, mr_error_t *err)
{
    inflate->z_guess = 1;
    inflate->z_in_body = 0;

    /* Which of the two is known after two bytes; memory is taken now. */

    return mr_zlib_reset(inflate, MR_ZLIB_ZLIB, err);
}


static int
mr_deflate_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err)
{
    int rc;
    mr_inflate_io_t head;

    (void) probe;

    if (inflate->started) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "something follows the end of the deflate data; remove it");
    }

    if (inflate->z_guess) {
        if (!mr_inflate_head(inflate, io, 2)) {
            return 0;
        }

        if (!mr_zlib_is_wrapped(inflate->head)
            && mr_zlib_reset(inflate, MR_ZLIB_RAW, err) != 0)
        {
            return -1;
        }

        inflate->z_guess = 0;
        inflate->z_in_body = 1;
    }

    if (inflate->head_pos < inflate->head_len) {
        head = *io;
        head.in = (const char *) inflate->head + inflate->head_pos;
        head.in_len = inflate->head_len - inflate->head_pos;

        rc = mr_zlib_run(inflate, &head, "deflate", err);

        inflate->head_pos = inflate->head_len - head.in_len;
        io->out = head.out;
        io->out_len = head.out_len;

        if (rc != 0 || inflate->pending || inflate->started) {
            return rc;
        }
    }

    return mr_zlib_run(inflate, io, "deflate", err);
}


static int
mr_zlib_reset(mr_inflate_t *inflate, int bits, mr_error_t *err)
{
    if (inflate->z_ready) {
        return inflateReset2(&inflate->z, bits) == Z_OK
                   ? 0
                   : mr_inflate_no_memory(err);
    }

    inflate->z.zalloc = mr_zlib_alloc;
    inflate->z.zfree = mr_zlib_free;
    inflate->z.opaque = inflate;

    if (inflateInit2(&inflate->z, bits) != Z_OK) {
        inflate->z_size = 0;
        return mr_inflate_no_memory(err);
    }

    inflate->z_ready = 1;

    return 0;
}


/*
 * RFC 1950, 2.2: method 8, a window of at most 32 KiB, and a check that makes
 * the two bytes a multiple of 31.  Bare deflate would have to begin with a
 * stored block whose padding is not 0 to look like that.
 */

static int
mr_zlib_is_wrapped(const unsigned char *head)
{
    return (head[0] & 0x0f) == Z_DEFLATED && head[0] >> 4 <= MAX_WBITS - 8
           && (head[0] * 256 + head[1]) % 31 == 0;
}


static int
mr_zlib_run(mr_inflate_t *stream, mr_inflate_io_t *io, const char *coding,
    mr_error_t *err)
{
    int rc;
    z_stream *z;
    unsigned in_len, out_len;

    z = &stream->z;

    in_len = io->in_len < UINT_MAX ? (unsigned) io->in_len : UINT_MAX;
    out_len = io->out_len < UINT_MAX ? (unsigned) io->out_len : UINT_MAX;

    /* zlib wants an address even for no input. */

    z->next_in = in_len > 0 ? (const unsigned char *) io->in : stream->head;
    z->avail_in = in_len;
    z->next_out = (unsigned char *) io->out;
    z->avail_out = out_len;

    rc = inflate(z, Z_NO_FLUSH);

    io->in += in_len - z->avail_in;
    io->in_len -= in_len - z->avail_in;
    io->out += out_len - z->avail_out;
    io->out_len -= out_len - z->avail_out;

    stream->pending = z->avail_out == 0;

    switch (rc) {

    case Z_OK:
    case Z_BUF_ERROR: /* no progress without more input, or room */
        return 0;

    case Z_STREAM_END:
        stream->pending = 0;
        stream->z_in_body = 0;
        stream->started = 1;
        stream->at_end = 1;
        return 0;

    default:
        return mr_zlib_fail(z, rc, coding, err);
    }
}


static int
mr_zlib_fail(const z_stream *z, int rc, const char *coding, mr_error_t *err)
{
    if (rc == Z_MEM_ERROR) {
        return mr_inflate_no_memory(err);
    }

    if (rc == Z_NEED_DICT) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "the body's deflate data needs a preset dictionary; compress it "
            "without one");
    }

    return mr_error_set(err, MR_ERROR_CODING, NULL,
        "the body is not valid %s: %s", coding,
        z->msg != NULL ? z->msg : "its state is broken");
}


/* zlib asks for one size of state and one of window: both are counted. */

static void *
mr_zlib_alloc(void *data, unsigned items, unsigned size)
{
    void *p;
    mr_inflate_t *inflate;

    inflate = data;

    p = calloc(items, size);
    if (p == NULL) {
        return NULL;
    }

    inflate->z_size += (size_t) items * size;

    return p;
}


static void
mr_zlib_free(void *data, void *p)
{
    (void) data;

    free(p);
}
