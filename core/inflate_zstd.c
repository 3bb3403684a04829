/*
 * zstd (RFC 8878).  The header of each frame is read here before zstd sees
 * it: zstd would judge some frames differently when it has all of their bytes
 * at once, and accepts formats older than the RFC.
 */
#include <string.h>

#include <zstd_errors.h>

#include "inflate.h"


#define MR_ZSTD_MAGIC 0xfd2fb528u
#define MR_ZSTD_SKIP_MAGIC 0x184d2a50u /* to ...5f */
#define MR_ZSTD_SKIP_MASK 0xfffffff0u
#define MR_ZSTD_SKIP_HEADER 8

#define MR_ZSTD_WINDOW_LOG 23 /* 8 MiB (RFC 9659) */


/* Frame_Header (RFC 8878, 3.1.1.1). */
typedef struct {
    size_t len; /* of the header, with the magic number */
    int has_content;
    uint64_t content; /* bytes that the frame says it holds */
    uint64_t window;
    uint32_t dictionary;
} mr_zstd_header_t;


static int mr_zstd_reset(mr_inflate_t *inflate, mr_error_t *err);
static int mr_zstd_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err);
static int mr_zstd_start(
    mr_inflate_t *inflate, mr_inflate_io_t *io, mr_error_t *err);
static size_t mr_zstd_header_len(unsigned char descriptor);
static void mr_zstd_header_read(
    const unsigned char *head, mr_zstd_header_t *ret_header);
static int mr_zstd_header_check(
    mr_inflate_t *inflate, const mr_zstd_header_t *header, mr_error_t *err);
static int mr_zstd_header_give(mr_inflate_t *inflate, mr_error_t *err);
static int mr_zstd_run(mr_inflate_t *inflate, mr_inflate_io_t *io,
    size_t in_len, size_t room, mr_error_t *err);
static int mr_zstd_fail(size_t rc, mr_error_t *err);
static uint64_t mr_zstd_number(const unsigned char *p, size_t len);


const mr_inflater_t mr_inflater_zstd = {mr_zstd_reset, mr_zstd_step};


static int
mr_zstd_reset(mr_inflate_t *inflate, mr_error_t *err)
{
    inflate->zstd_in_frame = 0;
    inflate->zstd_skip = 0;

    if (inflate->zstd == NULL) {
        inflate->zstd = ZSTD_createDCtx();

        if (inflate->zstd == NULL) {
            return mr_inflate_no_memory(err);
        }

        (void) ZSTD_DCtx_setParameter(
            inflate->zstd, ZSTD_d_windowLogMax, MR_ZSTD_WINDOW_LOG);

        return 0;
    }

    (void) ZSTD_DCtx_reset(inflate->zstd, ZSTD_reset_session_only);

    return 0;
}


static int
mr_zstd_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err)
{
    size_t n;

    if (inflate->zstd_skip > 0) {
        n = io->in_len < inflate->zstd_skip ? io->in_len : inflate->zstd_skip;

        io->in += n;
        io->in_len -= n;
        inflate->zstd_skip -= (uint32_t) n;
        inflate->at_end = inflate->zstd_skip == 0;

        return 0;
    }

    if (!inflate->zstd_in_frame) {
        return mr_zstd_start(inflate, io, err);
    }

    if (!probe) {
        return mr_zstd_run(inflate, io, io->in_len, io->out_len, err);
    }

    /*
     * zstd does not say what it has given once it fails in the same call.  So
     * it gets either input or room: then no call does both, give a byte and
     * find an error behind it.
     */

    if (inflate->pending) {
        return mr_zstd_run(inflate, io, 0, io->out_len, err);
    }

    return mr_zstd_run(inflate, io, io->in_len, 0, err);
}


/* Collect the header of a frame, judge it, and enter the frame. */

static int
mr_zstd_start(mr_inflate_t *inflate, mr_inflate_io_t *io, mr_error_t *err)
{
    uint64_t magic;
    mr_zstd_header_t header;

    inflate->at_end = 0;

    if (!mr_inflate_head(inflate, io, 4)) {
        return 0;
    }

    magic = mr_zstd_number(inflate->head, 4);

    if ((magic & MR_ZSTD_SKIP_MASK) == MR_ZSTD_SKIP_MAGIC) {
        if (!mr_inflate_head(inflate, io, MR_ZSTD_SKIP_HEADER)) {
            return 0;
        }

        inflate->zstd_skip = (uint32_t) mr_zstd_number(inflate->head + 4, 4);
        inflate->at_end = inflate->zstd_skip == 0;

    } else if (magic != MR_ZSTD_MAGIC) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            inflate->started ? "something that is not zstd follows the zstd "
                               "data; remove it"
                             : "the body is not zstd: it does not begin with "
                               "the magic number of a frame");

    } else {
        if (!mr_inflate_head(inflate, io, 5)
            || !mr_inflate_head(
                inflate, io, mr_zstd_header_len(inflate->head[4])))
        {
            return 0;
        }

        mr_zstd_header_read(inflate->head, &header);

        if (mr_zstd_header_check(inflate, &header, err) != 0
            || mr_zstd_header_give(inflate, err) != 0)
        {
            return -1;
        }

        inflate->zstd_in_frame = 1;
        inflate->zstd_has_content = header.has_content != 0;
        inflate->zstd_content = header.content;
        inflate->zstd_given = 0;
    }

    inflate->head_len = 0;
    inflate->started = 1;

    return 0;
}


static size_t
mr_zstd_header_len(unsigned char descriptor)
{
    static const size_t dictionary[] = {0, 1, 2, 4};
    static const size_t content[] = {0, 2, 4, 8};
    size_t len;
    int is_single;

    is_single = (descriptor >> 5) & 1;

    len = 5 + dictionary[descriptor & 3] + content[descriptor >> 6];

    /* A single segment has a size instead of a window. */

    return (is_single && descriptor >> 6 != 0) ? len : len + 1;
}


static void
mr_zstd_header_read(const unsigned char *head, mr_zstd_header_t *ret_header)
{
    size_t len;
    uint64_t base;
    const unsigned char *p;
    unsigned char descriptor;
    mr_zstd_header_t header;
    static const size_t dictionary[] = {0, 1, 2, 4};

    memset(&header, 0, sizeof(mr_zstd_header_t));

    descriptor = head[4];
    p = head + 5;
    header.len = mr_zstd_header_len(descriptor);

    if (!((descriptor >> 5) & 1)) {
        base = UINT64_C(1) << (10 + (*p >> 3));
        header.window = base + base / 8 * (*p & 7);
        p++;
    }

    len = dictionary[descriptor & 3];
    header.dictionary = (uint32_t) mr_zstd_number(p, len);
    p += len;

    len = header.len - (size_t) (p - head);

    if (len > 0) {
        header.has_content = 1;
        header.content = mr_zstd_number(p, len) + (len == 2 ? 256 : 0);
    }

    if ((descriptor >> 5) & 1) {
        header.window = header.content;
    }

    *ret_header = header;
}


static int
mr_zstd_header_check(
    mr_inflate_t *inflate, const mr_zstd_header_t *header, mr_error_t *err)
{
    if (header->dictionary != 0) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "the body's zstd data needs the dictionary %u; compress it "
            "without one",
            header->dictionary);
    }

    /* A frame that says that it is too large need not be inflated. */

    if (header->has_content
        && header->content > inflate->limit - inflate->produced) {
        inflate->status = MR_INFLATE_TOO_LARGE;

        return mr_inflate_fail(inflate, err);
    }

    if (header->window > UINT64_C(1) << MR_ZSTD_WINDOW_LOG) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "the body's zstd data has a window of %llu bytes; at most %llu "
            "are allowed (RFC 9659), so compress it at level 19 or below",
            (unsigned long long) header->window, 1ull << MR_ZSTD_WINDOW_LOG);
    }

    return 0;
}


static int
mr_zstd_header_give(mr_inflate_t *inflate, mr_error_t *err)
{
    char none;
    size_t rc;
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;

    in.src = inflate->head;
    in.size = inflate->head_len;
    in.pos = 0;

    out.dst = &none;
    out.size = 0;
    out.pos = 0;

    rc = ZSTD_decompressStream(inflate->zstd, &out, &in);

    if (ZSTD_isError(rc)) {
        return mr_zstd_fail(rc, err);
    }

    if (in.pos != in.size) {
        return mr_error_set(err, MR_ERROR_CODING, NULL,
            "the body's zstd data has a broken header");
    }

    return 0;
}


static int
mr_zstd_run(mr_inflate_t *inflate, mr_inflate_io_t *io, size_t in_len,
    size_t room, mr_error_t *err)
{
    size_t rc;
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;

    in.src = in_len > 0 ? io->in : "";
    in.size = in_len;
    in.pos = 0;

    out.dst = io->out;
    out.size = room;
    out.pos = 0;

    rc = ZSTD_decompressStream(inflate->zstd, &out, &in);

    if (ZSTD_isError(rc)) {
        return mr_zstd_fail(rc, err);
    }

    io->in += in.pos;
    io->in_len -= in.pos;
    io->out += out.pos;
    io->out_len -= out.pos;

    inflate->pending = out.pos == out.size;
    inflate->zstd_given += out.pos;

    if (rc == 0) {

        /* zstd does not compare them when the last block is empty. */

        if (inflate->zstd_has_content
            && inflate->zstd_given != inflate->zstd_content) {
            return mr_error_set(err, MR_ERROR_CODING, NULL,
                "the body is not valid zstd: a frame says that it holds %llu "
                "bytes, but it holds %llu",
                (unsigned long long) inflate->zstd_content,
                (unsigned long long) inflate->zstd_given);
        }

        inflate->pending = 0;
        inflate->zstd_in_frame = 0;
        inflate->at_end = 1;
    }

    return 0;
}


static int
mr_zstd_fail(size_t rc, mr_error_t *err)
{
    if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation) {
        return mr_inflate_no_memory(err);
    }

    return mr_error_set(err, MR_ERROR_CODING, NULL,
        "the body is not valid zstd: %s", ZSTD_getErrorName(rc));
}


/* Little-endian, of at most 8 bytes. */

static uint64_t
mr_zstd_number(const unsigned char *p, size_t len)
{
    uint64_t n;

    n = 0;

    while (len > 0) {
        n = n << 8 | p[--len];
    }

    return n;
}
