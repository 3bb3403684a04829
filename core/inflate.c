#include <stdlib.h>
#include <string.h>

#include "inflate.h"


/* The output's first memory: most bodies are an event or a small batch. */
#define MR_INFLATE_OUT_MIN 4096

/* Bytes of the budget for each byte of input that a call may take. */
#define MR_INFLATE_RATIO 16


static int mr_identity_reset(mr_inflate_t *inflate, mr_error_t *err);
static int mr_identity_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err);
static int mr_inflate_turn(mr_inflate_t *inflate, mr_inflate_io_t *io,
    size_t budget, mr_buf_t *out, mr_error_t *err);
static int mr_inflate_step(mr_inflate_t *inflate, mr_inflate_io_t *io,
    size_t room, mr_buf_t *out, mr_error_t *err);
static int mr_inflate_grow(
    mr_inflate_t *inflate, size_t in_len, mr_buf_t *out, mr_error_t *err);


static const mr_inflater_t mr_inflater_identity = {
    mr_identity_reset, mr_identity_step};

static const mr_inflater_t *const mr_inflaters[] = {
    [MR_CODING_IDENTITY] = &mr_inflater_identity,
    [MR_CODING_GZIP] = &mr_inflater_gzip,
    [MR_CODING_DEFLATE] = &mr_inflater_deflate,
    [MR_CODING_ZSTD] = &mr_inflater_zstd};


mr_inflate_t *
mr_inflate_create(void)
{
    mr_inflate_t *inflate;

    inflate = calloc(1, sizeof(mr_inflate_t));
    if (inflate == NULL) {
        return NULL;
    }

    inflate->inflater = &mr_inflater_identity;

    return inflate;
}


void
mr_inflate_destroy(mr_inflate_t *inflate)
{
    if (inflate == NULL) {
        return;
    }

    if (inflate->z_ready) {
        (void) inflateEnd(&inflate->z);
    }

    (void) ZSTD_freeDCtx(inflate->zstd);

    free(inflate);
}


int
mr_inflate_reset(
    mr_inflate_t *inflate, mr_coding_t coding, size_t limit, mr_error_t *err)
{
    inflate->inflater = mr_inflaters[coding];
    inflate->limit = limit;
    inflate->produced = 0;
    inflate->status = MR_INFLATE_MORE;
    inflate->at_end = 0;
    inflate->pending = 0;
    inflate->started = 0;
    inflate->head_len = 0;
    inflate->head_pos = 0;

    if (inflate->inflater->reset(inflate, err) != 0) {
        inflate->status = MR_INFLATE_BROKEN;
        return -1;
    }

    return 0;
}


mr_inflate_status_t
mr_inflate_feed(mr_inflate_t *inflate, mr_str_t input, size_t budget,
    mr_buf_t *out, size_t *ret_consumed, mr_error_t *err)
{
    size_t len;
    mr_inflate_io_t io;

    *ret_consumed = 0;

    if (inflate->status == MR_INFLATE_BROKEN
        || inflate->status == MR_INFLATE_TOO_LARGE)
    {
        (void) mr_inflate_fail(inflate, err);
        return inflate->status;
    }

    if (budget == 0) {
        budget = MR_INFLATE_BUDGET;
    }

    /*
     * Deflate blocks that are all tables take 125 ns a byte of input without
     * giving output, 50 times what honest output takes; so the input of a
     * call is bounded as well, by what an honest body needs or a bit less.
     */

    len = budget / MR_INFLATE_RATIO;

    if (len == 0) {
        len = 1;
    }

    memset(&io, 0, sizeof(mr_inflate_io_t));
    io.in = input.len > 0 ? input.data : "";
    io.in_len = input.len < len ? input.len : len;
    len = io.in_len;

    if (mr_inflate_turn(inflate, &io, budget, out, err) != 0) {
        *ret_consumed = len - io.in_len;
        return inflate->status;
    }

    *ret_consumed = len - io.in_len;

    if (*ret_consumed < input.len || inflate->pending) {
        inflate->status = MR_INFLATE_AGAIN;

    } else {
        inflate->status = inflate->at_end ? MR_INFLATE_DONE : MR_INFLATE_MORE;
    }

    return inflate->status;
}


int
mr_inflate_finish(mr_inflate_t *inflate, mr_error_t *err)
{
    switch (inflate->status) {

    case MR_INFLATE_DONE:
        return 0;

    case MR_INFLATE_BROKEN:
    case MR_INFLATE_TOO_LARGE:
        return mr_inflate_fail(inflate, err);

    default:
        break;
    }

    /* Identity ends anywhere, and may be as empty as a body can be. */

    if (inflate->status == MR_INFLATE_MORE && inflate->at_end) {
        return 0;
    }

    return mr_error_set(err, MR_ERROR_CODING, NULL,
        "the encoded body is cut short: it ends before its content coding "
        "says that it does");
}


size_t
mr_inflate_size(const mr_inflate_t *inflate)
{
    return sizeof(mr_inflate_t) + inflate->z_size
           + ZSTD_sizeof_DCtx(inflate->zstd);
}


int
mr_inflate_head(mr_inflate_t *inflate, mr_inflate_io_t *io, size_t len)
{
    size_t n;

    if (inflate->head_len < len) {
        n = len - inflate->head_len;

        if (n > io->in_len) {
            n = io->in_len;
        }

        if (n > 0) {
            memcpy(inflate->head + inflate->head_len, io->in, n);
        }

        inflate->head_len += n;
        io->in += n;
        io->in_len -= n;
    }

    return inflate->head_len >= len;
}


int
mr_inflate_no_memory(mr_error_t *err)
{
    return mr_error_set(
        err, MR_ERROR_MEMORY, NULL, "out of memory while inflating the body");
}


static int
mr_identity_reset(mr_inflate_t *inflate, mr_error_t *err)
{
    (void) err;

    inflate->at_end = 1;

    return 0;
}


static int
mr_identity_step(
    mr_inflate_t *inflate, mr_inflate_io_t *io, int probe, mr_error_t *err)
{
    size_t n;

    (void) inflate;
    (void) probe;
    (void) err;

    n = io->in_len < io->out_len ? io->in_len : io->out_len;

    if (n > 0) {
        memcpy(io->out, io->in, n);
    }

    io->in += n;
    io->in_len -= n;
    io->out += n;
    io->out_len -= n;

    return 0;
}


/* Steps until the input or the budget is used up; -1 sets the status. */

static int
mr_inflate_turn(mr_inflate_t *inflate, mr_inflate_io_t *io, size_t budget,
    mr_buf_t *out, mr_error_t *err)
{
    size_t begin, room;

    begin = inflate->produced;

    for (;;) {
        if (io->in_len == 0 && !inflate->pending) {
            return 0;
        }

        room = budget - (inflate->produced - begin);

        if (room == 0) {
            return 0;
        }

        if (room > inflate->limit - inflate->produced) {
            room = inflate->limit - inflate->produced;
        }

        if (mr_inflate_step(inflate, io, room, out, err) != 0) {
            return -1;
        }
    }
}


/* One step with at most `room` bytes of output; 0 is to find more than that. */

static int
mr_inflate_step(mr_inflate_t *inflate, mr_inflate_io_t *io, size_t room,
    mr_buf_t *out, mr_error_t *err)
{
    int rc;
    char extra;
    size_t given;

    if (room == 0) {
        io->out = &extra;
        io->out_len = 1;

        rc = inflate->inflater->step(inflate, io, 1, err);
        io->out = NULL;

        if (io->out_len == 0) {
            inflate->status = MR_INFLATE_TOO_LARGE;
            return mr_inflate_fail(inflate, err);
        }

    } else {
        if (mr_inflate_grow(inflate, io->in_len, out, err) != 0) {
            inflate->status = MR_INFLATE_BROKEN;
            return -1;
        }

        if (room > out->cap - out->len) {
            room = out->cap - out->len;
        }

        io->out = out->data + out->len;
        io->out_len = room;

        rc = inflate->inflater->step(inflate, io, 0, err);

        given = room - io->out_len;
        out->len += given;
        inflate->produced += given;
    }

    if (rc != 0 && inflate->status != MR_INFLATE_TOO_LARGE) {
        inflate->status = MR_INFLATE_BROKEN;
    }

    return rc;
}


/*
 * See that `out` has room.  It doubles, so that what is there is copied a
 * constant number of times, and stops at what the limit allows.
 */

static int
mr_inflate_grow(
    mr_inflate_t *inflate, size_t in_len, mr_buf_t *out, mr_error_t *err)
{
    size_t more, left;

    if (out->len < out->cap) {
        return 0;
    }

    more = out->cap;

    if (more < MR_INFLATE_OUT_MIN) {
        more = MR_INFLATE_OUT_MIN;
    }

    if (more < in_len) {
        more = in_len;
    }

    left = inflate->limit - inflate->produced;

    if (mr_buf_reserve_exact(out, more < left ? more : left) != 0) {
        return mr_inflate_no_memory(err);
    }

    return 0;
}


int
mr_inflate_fail(const mr_inflate_t *inflate, mr_error_t *err)
{
    if (inflate->status == MR_INFLATE_TOO_LARGE) {
        return mr_error_set(err, MR_ERROR_TOO_LARGE, NULL,
            "the body is larger than %zu bytes when inflated; send fewer "
            "events a request",
            inflate->limit);
    }

    return mr_error_set(err, MR_ERROR_CODING, NULL,
        "the encoded body is broken and cannot be read any further");
}
