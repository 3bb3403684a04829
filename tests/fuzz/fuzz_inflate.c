/*
 * A compressed body.  The first four bytes of the input choose the coding,
 * the limit, and how the body is cut into calls.  The output may never exceed
 * the limit, nor a call its budget; cut in any way the outcome is the same;
 * and a zstd body that is taken is what zstd alone makes of it.  The same
 * bytes, compressed, must come back.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include <millrace/inflate.h>


#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mr_inflate_status_t fuzz_feed(mr_inflate_t *inflate, mr_coding_t coding,
    mr_str_t body, size_t limit, size_t chunk, size_t budget,
    mr_buf_t *ret_out);
static void fuzz_zstd(mr_str_t body, const mr_buf_t *out);
static void fuzz_back(mr_inflate_t *inflate, mr_coding_t coding, mr_str_t body,
    size_t chunk, size_t budget);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t limit, chunk, budget;
    mr_buf_t whole = MR_BUF_INIT, parts = MR_BUF_INIT;
    mr_str_t body;
    mr_coding_t coding;
    mr_error_t err = MR_ERROR_INIT;
    mr_inflate_status_t status;

    /* Kept from input to input, as a worker keeps it. */

    static mr_inflate_t *inflate;

    if (inflate == NULL) {
        inflate = mr_inflate_create();
        fuzz_assert(inflate != NULL);
    }

    body.data = (const char *) data;
    body.len = size;

    if (mr_coding_find(body, &coding, &err) != 0) {
        fuzz_assert(err.code == MR_ERROR_CODING && err.message[0] != '\0');
    }

    if (size < 4) {
        return 0;
    }

    coding = (mr_coding_t) (data[0] & 3);
    limit = data[1] < 128 ? data[1] : (size_t) (data[1] - 127) * 512;
    chunk = (size_t) data[2] + 1;
    budget = data[3] < 128 ? (size_t) data[3] + 1 : (size_t) data[3] * 64;
    body.data += 4;
    body.len -= 4;

    status =
        fuzz_feed(inflate, coding, body, limit, SIZE_MAX, SIZE_MAX, &whole);

    fuzz_assert(fuzz_feed(inflate, coding, body, limit, chunk, budget, &parts)
                == status);

    if (status == MR_INFLATE_DONE) {
        fuzz_assert(whole.len == parts.len);
        fuzz_assert(
            whole.len == 0 || memcmp(whole.data, parts.data, whole.len) == 0);

        if (coding == MR_CODING_ZSTD) {
            fuzz_zstd(body, &whole);
        }
    }

    mr_buf_free(&whole);
    mr_buf_free(&parts);

    fuzz_back(inflate, coding, body, chunk, budget);

    return 0;
}


/* MORE means that the body is cut. */

static mr_inflate_status_t
fuzz_feed(mr_inflate_t *inflate, mr_coding_t coding, mr_str_t body,
    size_t limit, size_t chunk, size_t budget, mr_buf_t *ret_out)
{
    int rc;
    size_t pos, used, before, calls;
    mr_str_t input;
    mr_error_t err = MR_ERROR_INIT;
    mr_inflate_status_t status;

    fuzz_assert(mr_inflate_reset(inflate, coding, limit, &err) == 0);

    pos = 0;
    calls = 0;

    do {
        input.data = body.data + pos;
        input.len = body.len - pos < chunk ? body.len - pos : chunk;
        before = ret_out->len;

        status = mr_inflate_feed(inflate, input, budget, ret_out, &used, &err);

        fuzz_assert(used <= input.len);
        fuzz_assert(ret_out->len - before <= budget);
        fuzz_assert(ret_out->len <= limit && ret_out->cap <= limit);
        pos += used;

        /* Each call gets on: with input, with output, or to the end. */

        if (used == 0 && ret_out->len == before) {
            calls++;
            fuzz_assert(calls < body.len + 3);
        }

        if (status == MR_INFLATE_MORE || status == MR_INFLATE_DONE) {
            fuzz_assert(used == input.len);

            if (pos < body.len) {
                status = MR_INFLATE_AGAIN;
            }
        }

    } while (status == MR_INFLATE_AGAIN);

    if (status == MR_INFLATE_BROKEN) {
        fuzz_assert(err.code == MR_ERROR_CODING && err.message[0] != '\0');
    }

    if (status == MR_INFLATE_TOO_LARGE) {
        fuzz_assert(err.code == MR_ERROR_TOO_LARGE && err.message[0] != '\0');
    }

    rc = mr_inflate_finish(inflate, &err);
    fuzz_assert(rc == (status == MR_INFLATE_DONE ? 0 : -1));
    fuzz_assert(mr_inflate_size(inflate) < 9 * 1024 * 1024);

    return status;
}


static void
fuzz_zstd(mr_str_t body, const mr_buf_t *out)
{
    char *alone;
    size_t len;

    alone = malloc(out->len + 1);
    fuzz_assert(alone != NULL);

    len = ZSTD_decompress(alone, out->len + 1, body.data, body.len);

    /* At once it refuses an empty compressed block, in a stream it does not. */

    if (!ZSTD_isError(len)) {
        fuzz_assert(len == out->len);
        fuzz_assert(len == 0 || memcmp(alone, out->data, len) == 0);
    }

    free(alone);
}


static void
fuzz_back(mr_inflate_t *inflate, mr_coding_t coding, mr_str_t body,
    size_t chunk, size_t budget)
{
    char *packed;
    size_t size;
    uLongf len;
    mr_str_t input;
    mr_buf_t out = MR_BUF_INIT;

    if (coding != MR_CODING_DEFLATE && coding != MR_CODING_ZSTD) {
        return;
    }

    size = compressBound(body.len) + ZSTD_compressBound(body.len);
    packed = malloc(size);
    fuzz_assert(packed != NULL);
    input.data = packed;

    if (coding == MR_CODING_ZSTD) {
        input.len = ZSTD_compress(packed, size, body.data, body.len, 3);
        fuzz_assert(!ZSTD_isError(input.len));

    } else {
        len = size;
        fuzz_assert(compress((Bytef *) packed, &len, (const Bytef *) body.data,
                        body.len)
                    == Z_OK);
        input.len = len;
    }

    fuzz_assert(fuzz_feed(inflate, coding, input, body.len, chunk, budget, &out)
                == MR_INFLATE_DONE);
    fuzz_assert(out.len == body.len);
    fuzz_assert(out.len == 0 || memcmp(out.data, body.data, out.len) == 0);

    mr_buf_free(&out);
    free(packed);
}
