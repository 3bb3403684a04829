#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include <millrace/inflate.h>

#include "check_core.h"


#define MIB (1024 * 1024)

/* An empty gzip member, and an empty zstd frame. */
#define GZIP "\x1f\x8b\x08\0\0\0\0\0\0\x03"
#define GZIP_EMPTY GZIP "\x03\0\0\0\0\0\0\0\0\0"
#define ZSTD "\x28\xb5\x2f\xfd"
#define ZSTD_EMPTY ZSTD "\x20\0\1\0\0"
#define ZSTD_SKIP "\x5f\x2a\x4d\x18\3\0\0\0abc"

/* "hello" in each coding; the raw one as a fixed and as a stored block. */
#define GZIP_HELLO GZIP "\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0"
#define ZLIB_HELLO "\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\0\x06\x2c\x02\x15"
#define RAW_HELLO "\xcb\x48\xcd\xc9\xc9\x07\0"
#define RAW_STORED "\1\5\0\xfa\xffhello"
#define ZSTD_HELLO ZSTD "\x20\5\x29\0\0hello"


/* As ck_assert(), which writes a file each time that it holds. */
#define must(condition)                                                        \
    do {                                                                       \
        if (!(condition)) {                                                    \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                 \
        }                                                                      \
    } while (0)


/* How a test compresses. */

typedef enum { GZ, ZLIB, RAW, ZSTD_SIZED, ZSTD_STREAM, PLAIN, KINDS } kind_t;

static const mr_coding_t codings[] = {MR_CODING_GZIP, MR_CODING_DEFLATE,
    MR_CODING_DEFLATE, MR_CODING_ZSTD, MR_CODING_ZSTD, MR_CODING_IDENTITY};

/* How it feeds: bytes of input and budget a call; 0: all, the default. */

static const struct {
    size_t chunk;
    size_t budget;
} feeds[] = {{0, 0}, {0, SIZE_MAX}, {7, 100}, {300, 3}, {4096, 4096}, {1, 0},
    {1, 1}, {40, 1}};

#define FEEDS (sizeof(feeds) / sizeof(feeds[0]))

/* Without the last ones, which take minutes, where there is much. */
#define FEEDS_OF(len) ((len) > 8192 ? FEEDS - 3 : FEEDS)


static mr_inflate_t *inflater;
static mr_error_t error;
static mr_buf_t packed = MR_BUF_INIT;
static mr_buf_t output = MR_BUF_INIT;


static void
setup(void)
{
    inflater = mr_inflate_create();
    ck_assert_ptr_nonnull(inflater);
}


static void
teardown(void)
{
    mr_inflate_destroy(inflater);
    mr_buf_free(&packed);
    mr_buf_free(&output);
}


/* Append `len` bytes of `data` to packed[], compressed. */

static void
pack(kind_t kind, const char *data, size_t len)
{
    z_stream z;
    size_t rc;
    ZSTD_CCtx *zstd;
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;
    static const int bits[] = {16 + MAX_WBITS, MAX_WBITS, -MAX_WBITS};

    ck_assert_int_eq(mr_buf_reserve(&packed, len + len / 8 + 1000), 0);

    if (kind == PLAIN) {
        ck_assert_int_eq(mr_buf_append(&packed, data, len), 0);
        return;
    }

    if (kind <= RAW) {
        memset(&z, 0, sizeof(z_stream));
        ck_assert_int_eq(deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED,
                             bits[kind], 8, Z_DEFAULT_STRATEGY),
            Z_OK);
        z.next_in = (unsigned char *) (uintptr_t) data;
        z.avail_in = (unsigned) len;
        z.next_out = (unsigned char *) packed.data + packed.len;
        z.avail_out = (unsigned) (packed.cap - packed.len);
        ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
        packed.len += z.total_out;
        ck_assert_int_eq(deflateEnd(&z), Z_OK);
        return;
    }

    zstd = ZSTD_createCCtx();
    ck_assert_ptr_nonnull(zstd);
    (void) ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    (void) ZSTD_CCtx_setParameter(
        zstd, ZSTD_c_contentSizeFlag, kind == ZSTD_SIZED);

    in.src = data;
    in.size = len;
    in.pos = 0;
    out.dst = packed.data;
    out.size = packed.cap;
    out.pos = packed.len;

    rc = ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end);
    ck_assert_uint_eq(rc, 0);
    packed.len = out.pos;
    (void) ZSTD_freeCCtx(zstd);
}


/*
 * Inflate `data` into output[], from memory of exactly each chunk's size, and
 * check what each call promises.  Returns the last status, or MORE where the
 * stream was cut.
 */

static mr_inflate_status_t
feed(mr_coding_t coding, const char *data, size_t len, size_t limit, size_t how)
{
    int rc;
    char *copy;
    size_t pos, n, before, used, budget;
    mr_str_t input;
    mr_inflate_status_t status;

    mr_buf_free(&output);
    memset(&error, 0, sizeof(mr_error_t));
    must(mr_inflate_reset(inflater, coding, limit, &error) == 0);

    budget = feeds[how].budget > 0 ? feeds[how].budget : MR_INFLATE_BUDGET;
    pos = 0;

    do {
        n = len - pos;

        if (feeds[how].chunk > 0 && n > feeds[how].chunk) {
            n = feeds[how].chunk;
        }

        copy = malloc(n > 0 ? n : 1);
        must(copy != NULL);
        memcpy(copy, data + pos, n);
        input.data = copy;
        input.len = n;
        before = output.len;

        status = mr_inflate_feed(
            inflater, input, feeds[how].budget, &output, &used, &error);

        free(copy);

        must(used <= n);
        must(used <= (budget < 16 ? 1 : budget / 16));
        must(output.len - before <= budget);
        must(output.len <= limit);
        must(output.cap <= limit);
        pos += used;

        if (status == MR_INFLATE_MORE || status == MR_INFLATE_DONE) {
            must(used == n);
        }

    } while (status == MR_INFLATE_AGAIN
             || ((status == MR_INFLATE_MORE || status == MR_INFLATE_DONE)
                 && pos < len));

    rc = mr_inflate_finish(inflater, &error);
    must(rc == (status == MR_INFLATE_DONE ? 0 : -1));
    must(mr_inflate_size(inflater) < 9 * MIB);

    return status;
}


/* Something that compresses, but not to nothing. */

static char *
text(size_t len)
{
    char *data;
    size_t i;
    uint32_t x;

    data = malloc(len + 1);
    ck_assert_ptr_nonnull(data);

    for (i = 0, x = 1; i < len; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char) ('a' + (x >> 28) % 7);
    }

    return data;
}


/* Every coding, size and way to feed gives back what went in. */

START_TEST(inflate_gives_back)
{
    char *data;
    size_t i, how, len;
    static const size_t sizes[] = {0, 1, 2, 255, 4096, 4097, 300000};

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        len = sizes[i];
        data = text(len);
        packed.len = 0;
        pack((kind_t) _i, data, len);

        for (how = 0; how < FEEDS_OF(len); how++) {
            ck_assert_int_eq(feed(codings[_i], packed.data, packed.len,
                                 MR_INFLATE_LIMIT, how),
                MR_INFLATE_DONE);
            ck_assert_uint_eq(output.len, len);
            ck_assert(len == 0 || memcmp(output.data, data, len) == 0);
        }

        free(data);
    }
}
END_TEST


START_TEST(inflate_cut_anywhere)
{
    char *data;
    size_t i, how;

    data = text(300);
    pack((kind_t) _i, data, 300);

    for (i = 0; i < packed.len; i++) {
        for (how = 0; how < FEEDS; how++) {
            must(feed(codings[_i], packed.data, i, MR_INFLATE_LIMIT, how)
                 == MR_INFLATE_MORE);
            must(error.code == MR_ERROR_CODING);
            must(strstr(error.message, "cut short") != NULL);
        }
    }

    free(data);
}
END_TEST


/*
 * With each bit flipped in turn, output that is called complete is right,
 * however it is fed.  Not so for deflate: bare it has no checksum, and an
 * Adler-32 of 300 letters lets two of these flips through.
 */

START_TEST(inflate_flipped_anywhere)
{
    char *data;
    size_t i, how;
    mr_inflate_status_t status, first;

    data = text(300);
    pack((kind_t) _i, data, 300);
    first = MR_INFLATE_MORE;

    for (i = 0; i < packed.len * 8; i++) {
        packed.data[i / 8] ^= (char) (1 << i % 8);

        for (how = 0; how < FEEDS; how++) {
            status = feed(codings[_i], packed.data, packed.len, 1000, how);

            if (how == 0) {
                first = status;
            }

            must(status == first);

            if (status == MR_INFLATE_DONE && _i != ZLIB && _i != RAW) {
                must(output.len == 300);
                must(memcmp(output.data, data, 300) == 0);
            }
        }

        packed.data[i / 8] ^= (char) (1 << i % 8);
    }

    free(data);
}
END_TEST


/* Handmade streams; `output` for those that are whole. */

#define S(literal) literal, sizeof(literal) - 1

static const struct {
    mr_coding_t coding;
    const char *data;
    size_t len;
    mr_inflate_status_t status;
    const char *text; /* the output, or a part of the message */
} streams[] = {{MR_CODING_GZIP, S(GZIP_HELLO), MR_INFLATE_DONE, "hello"},
    {MR_CODING_GZIP, S(GZIP_EMPTY), MR_INFLATE_DONE, ""},
    {MR_CODING_GZIP, S(GZIP_HELLO GZIP_EMPTY GZIP_HELLO), MR_INFLATE_DONE,
        "hellohello"},
    {MR_CODING_GZIP, S(GZIP_EMPTY GZIP_EMPTY GZIP_HELLO), MR_INFLATE_DONE,
        "hello"},
    {MR_CODING_GZIP, S(""), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_GZIP, S(GZIP_HELLO GZIP), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_GZIP, S(GZIP_HELLO "\x1f"), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_GZIP, S(GZIP_HELLO "\0"), MR_INFLATE_BROKEN, "follows the gzip"},
    {MR_CODING_GZIP, S(GZIP_HELLO "\x1fx"), MR_INFLATE_BROKEN,
        "not valid gzip: incorrect header check"},
    {MR_CODING_GZIP, S("hello"), MR_INFLATE_BROKEN,
        "not valid gzip: incorrect header check"},
    {MR_CODING_GZIP, S(ZLIB_HELLO), MR_INFLATE_BROKEN, "header"},
    {MR_CODING_GZIP, S(GZIP "\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x37\5\0\0"),
        MR_INFLATE_BROKEN, "incorrect data check"},
    {MR_CODING_GZIP,
        S(GZIP "\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\6\0\0\0"),
        MR_INFLATE_BROKEN, "incorrect length check"},
    {MR_CODING_GZIP, S("\x1f\x8b\x08\xe0\0\0\0\0\0\3"), MR_INFLATE_BROKEN,
        "unknown header flags"},

    {MR_CODING_DEFLATE, S(ZLIB_HELLO), MR_INFLATE_DONE, "hello"},
    {MR_CODING_DEFLATE, S(RAW_HELLO), MR_INFLATE_DONE, "hello"},
    {MR_CODING_DEFLATE, S(RAW_STORED), MR_INFLATE_DONE, "hello"},
    {MR_CODING_DEFLATE, S("\3\0"), MR_INFLATE_DONE, ""},
    {MR_CODING_DEFLATE, S("\x78\x9c\3\0\0\0\0\1"), MR_INFLATE_DONE, ""},
    {MR_CODING_DEFLATE, S(""), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_DEFLATE, S("\x78"), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_DEFLATE, S("\3"), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_DEFLATE, S(ZLIB_HELLO ZLIB_HELLO), MR_INFLATE_BROKEN,
        "follows the end of the deflate"},
    {MR_CODING_DEFLATE, S("\3\0x"), MR_INFLATE_BROKEN, "follows the end"},
    {MR_CODING_DEFLATE, S(RAW_HELLO "\0"), MR_INFLATE_BROKEN, "follows"},
    {MR_CODING_DEFLATE, S("\x78\x9c\3\0\0\0\0\2"), MR_INFLATE_BROKEN,
        "incorrect data check"},
    {MR_CODING_DEFLATE, S("\x78\xbb\0\0\0\1\3\0"), MR_INFLATE_BROKEN,
        "preset dictionary"},
    {MR_CODING_DEFLATE, S("\7\0"), MR_INFLATE_BROKEN, "invalid block type"},
    {MR_CODING_DEFLATE, S("\1\5\0\xfa\xfehello"), MR_INFLATE_BROKEN,
        "invalid stored block lengths"},
    {MR_CODING_DEFLATE, S(GZIP_HELLO), MR_INFLATE_BROKEN, "not valid deflate"},

    {MR_CODING_ZSTD, S(ZSTD_HELLO), MR_INFLATE_DONE, "hello"},
    {MR_CODING_ZSTD, S(ZSTD_EMPTY), MR_INFLATE_DONE, ""},
    {MR_CODING_ZSTD, S(ZSTD "\0\0\1\0\0"), MR_INFLATE_DONE, ""},
    {MR_CODING_ZSTD, S(ZSTD_HELLO ZSTD_EMPTY ZSTD_HELLO), MR_INFLATE_DONE,
        "hellohello"},
    {MR_CODING_ZSTD, S(ZSTD_SKIP ZSTD_HELLO ZSTD_SKIP ZSTD_SKIP),
        MR_INFLATE_DONE, "hello"},
    {MR_CODING_ZSTD, S(ZSTD_SKIP), MR_INFLATE_DONE, ""},
    {MR_CODING_ZSTD, S("\x50\x2a\x4d\x18\0\0\0\0" ZSTD_HELLO), MR_INFLATE_DONE,
        "hello"},
    {MR_CODING_ZSTD, S(ZSTD "\x21\0\5\x29\0\0hello"), MR_INFLATE_DONE,
        "hello"}, /* a dictionary of number 0 is none */
    {MR_CODING_ZSTD, S(ZSTD "\0\0\x2b\0\0a"), MR_INFLATE_DONE,
        "aaaaa"}, /* RLE */
    {MR_CODING_ZSTD, S(""), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_ZSTD, S("\x28\xb5"), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_ZSTD, S(ZSTD_HELLO ZSTD), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_ZSTD, S(ZSTD_HELLO "\x28"), MR_INFLATE_MORE, "cut short"},
    {MR_CODING_ZSTD, S("\x50\x2a\x4d\x18\xff\xff\xff\xffxyz"), MR_INFLATE_MORE,
        "cut short"},
    {MR_CODING_ZSTD, S("hello"), MR_INFLATE_BROKEN, "is not zstd"},
    {MR_CODING_ZSTD, S(GZIP_HELLO), MR_INFLATE_BROKEN, "is not zstd"},
    {MR_CODING_ZSTD, S("\x27\xb5\x2f\xfd\0\0"), MR_INFLATE_BROKEN,
        "is not zstd"}, /* the format of version 0.7 */
    {MR_CODING_ZSTD, S(ZSTD_HELLO "\0\0\0\0"), MR_INFLATE_BROKEN,
        "follows the zstd"},
    {MR_CODING_ZSTD, S(ZSTD_SKIP "hello"), MR_INFLATE_BROKEN,
        "follows the zstd"},
    {MR_CODING_ZSTD, S(ZSTD "\x20\6\x29\0\0hello"), MR_INFLATE_BROKEN,
        "not valid zstd"},
    {MR_CODING_ZSTD, S(ZSTD "\x20\4\1\0\0"), MR_INFLATE_BROKEN,
        "says that it holds 4 bytes, but it holds 0"},
    {MR_CODING_ZSTD, S(ZSTD "\x28\5\x29\0\0hello"), MR_INFLATE_BROKEN,
        "not valid zstd"}, /* the reserved bit */
    {MR_CODING_ZSTD, S(ZSTD "\x24\5\x29\0\0hello\0\0\0\0"), MR_INFLATE_BROKEN,
        "checksum"},
    {MR_CODING_ZSTD, S(ZSTD "\x23\x39\x30\0\0\5\x29\0\0hello"),
        MR_INFLATE_BROKEN, "the dictionary 12345"},
    {MR_CODING_ZSTD, S(ZSTD "\0\x69\x2b\0\0a"), MR_INFLATE_BROKEN,
        "a window of 9437184 bytes; at most 8388608"},
    {MR_CODING_ZSTD, S(ZSTD "\0\x68\x2b\0\0a"), MR_INFLATE_DONE, "aaaaa"},
    {MR_CODING_ZSTD, S(ZSTD "\0\xff\x2b\0\0a"), MR_INFLATE_BROKEN,
        "a window of 4123168604160 bytes"},
    {MR_CODING_ZSTD, S(ZSTD "\xa0\1\0\x80\0\x2b\0\0a"), MR_INFLATE_BROKEN,
        "a window of 8388609 bytes"}, /* one segment */
    {MR_CODING_ZSTD, S(ZSTD "\xe0\0\0\0\0\0\0\0\x80\x2b\0\0a"),
        MR_INFLATE_TOO_LARGE, "larger than 33554432 bytes"},
    {MR_CODING_ZSTD, S(ZSTD "\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x2b\0\0a"),
        MR_INFLATE_TOO_LARGE, "larger than 33554432 bytes"},
    {MR_CODING_ZSTD, S(ZSTD_HELLO ZSTD "\x80\0\0\0\0\2\x2b\0\0a"),
        MR_INFLATE_TOO_LARGE, "larger than 33554432 bytes"},

    {MR_CODING_IDENTITY, S("hello"), MR_INFLATE_DONE, "hello"},
    {MR_CODING_IDENTITY, S(""), MR_INFLATE_DONE, ""}};

#define STREAMS (sizeof(streams) / sizeof(streams[0]))


START_TEST(inflate_stream)
{
    size_t how, len, used;
    mr_inflate_status_t status;

    for (how = 0; how < FEEDS; how++) {
        status = feed(streams[_i].coding, streams[_i].data, streams[_i].len,
            MR_INFLATE_LIMIT, how);

        ck_assert_msg(status == streams[_i].status, "feed %zu: status %d, %s",
            how, (int) status, error.message);

        if (status == MR_INFLATE_DONE) {
            len = strlen(streams[_i].text);
            ck_assert_uint_eq(output.len, len);
            ck_assert(
                len == 0 || memcmp(output.data, streams[_i].text, len) == 0);
            continue;
        }

        ck_assert_int_eq(error.code, status == MR_INFLATE_TOO_LARGE
                                         ? MR_ERROR_TOO_LARGE
                                         : MR_ERROR_CODING);

        if (status == MR_INFLATE_MORE) {
            ck_assert_ptr_nonnull(strstr(error.message, "cut short"));
            continue;
        }

        /* It stays as it is, whatever comes. */

        status = mr_inflate_feed(
            inflater, mr_str(GZIP_HELLO), 0, &output, &used, &error);
        ck_assert_int_eq(status, streams[_i].status);
        ck_assert_uint_eq(used, 0);
    }
}
END_TEST


START_TEST(inflate_message)
{
    size_t used;
    mr_str_t input;
    mr_inflate_status_t status;
    mr_error_t err = MR_ERROR_INIT;

    ck_assert_int_eq(
        mr_inflate_reset(inflater, streams[_i].coding, MR_INFLATE_LIMIT, &err),
        0);

    input.data = streams[_i].data;
    input.len = streams[_i].len;
    status = mr_inflate_feed(inflater, input, 0, &output, &used, &err);
    ck_assert_int_eq(status, streams[_i].status);

    if (status == MR_INFLATE_BROKEN || status == MR_INFLATE_TOO_LARGE) {
        ck_assert_msg(strstr(err.message, streams[_i].text) != NULL,
            "the message is: %s", err.message);
    }
}
END_TEST


/* A limit is a limit to the byte, whatever comes behind it. */

START_TEST(inflate_limit)
{
    char *data;
    size_t i, how, len;
    static const size_t sizes[] = {1, 2, 5000, 131072, 262144};

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        len = sizes[i];
        data = text(len);
        packed.len = 0;
        pack((kind_t) _i, data, len);

        for (how = 0; how < FEEDS_OF(len); how++) {
            ck_assert_int_eq(
                feed(codings[_i], packed.data, packed.len, len, how),
                MR_INFLATE_DONE);
            ck_assert_uint_eq(output.len, len);
            ck_assert_mem_eq(output.data, data, len);

            ck_assert_int_eq(
                feed(codings[_i], packed.data, packed.len, len + 1, how),
                MR_INFLATE_DONE);

            ck_assert_int_eq(
                feed(codings[_i], packed.data, packed.len, len - 1, how),
                MR_INFLATE_TOO_LARGE);
            ck_assert_int_eq(error.code, MR_ERROR_TOO_LARGE);
        }

        free(data);
    }
}
END_TEST


/*
 * One byte too many is found before a fault behind it; a fault at the limit
 * is a fault.  The second frame's block of one byte is followed by one of a
 * reserved type.
 */

START_TEST(inflate_limit_then_broken)
{
    size_t how;

    for (how = 0; how < FEEDS; how++) {
        ck_assert_int_eq(feed(MR_CODING_ZSTD,
                             S(ZSTD_HELLO ZSTD "\0\0\x08\0\0a\7\0\0"), 5, how),
            MR_INFLATE_TOO_LARGE);
        ck_assert_int_eq(feed(MR_CODING_ZSTD,
                             S(ZSTD_HELLO ZSTD "\0\0\x08\0\0a\7\0\0"), 6, how),
            MR_INFLATE_BROKEN);
        ck_assert_int_eq(
            feed(MR_CODING_GZIP, S(GZIP "\xcb\x48\xcd\xc9\xc9\x07\0zzzzzzzz"),
                4, how),
            MR_INFLATE_TOO_LARGE);
        ck_assert_int_eq(
            feed(MR_CODING_GZIP, S(GZIP "\xcb\x48\xcd\xc9\xc9\x07\0zzzzzzzz"),
                5, how),
            MR_INFLATE_BROKEN);
        ck_assert_int_eq(feed(MR_CODING_GZIP, S(GZIP_HELLO GZIP_EMPTY), 5, how),
            MR_INFLATE_DONE);
        ck_assert_int_eq(
            feed(MR_CODING_GZIP, S(GZIP_EMPTY), 0, how), MR_INFLATE_DONE);
        ck_assert_int_eq(feed(MR_CODING_ZSTD, S(ZSTD_SKIP ZSTD_EMPTY), 0, how),
            MR_INFLATE_DONE);
        ck_assert_int_eq(
            feed(MR_CODING_IDENTITY, S(""), 0, how), MR_INFLATE_DONE);
    }
}
END_TEST


/* What inflates to 1 GB costs no more than its first 4 MiB. */

static const kind_t bombs[] = {GZ, ZLIB, RAW, ZSTD_STREAM, ZSTD_SIZED};


START_TEST(inflate_bomb)
{
    char *data;
    double start;
    size_t i, one;

    data = calloc(1, 16 * MIB);
    ck_assert_ptr_nonnull(data);
    pack(bombs[_i], data, 16 * MIB);
    free(data);

    ck_assert_uint_lt(packed.len, 16 * MIB / 900);

    /* A deflate body is one stream, and stays at 16 MiB. */

    one = packed.len;

    for (i = 1; i < 64 && bombs[_i] != ZLIB && bombs[_i] != RAW; i++) {
        ck_assert_int_eq(mr_buf_reserve(&packed, one), 0);
        ck_assert_int_eq(mr_buf_append(&packed, packed.data, one), 0);
    }

    start = mr_check_cpu();

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(
            feed(codings[bombs[_i]], packed.data, packed.len, 4 * MIB, i),
            MR_INFLATE_TOO_LARGE);
        ck_assert_uint_le(output.cap, 4 * MIB);
    }

    ck_assert_double_lt(mr_check_cpu() - start, 2000);
}
END_TEST


/* 100:1 within the limit is no bomb; each call still keeps to its budget. */

START_TEST(inflate_dense)
{
    char *data;
    size_t i, how;

    data = calloc(1, 4 * MIB);
    ck_assert_ptr_nonnull(data);

    for (i = 0; i < 4 * MIB; i += 700) {
        data[i] = (char) (i * 2654435761u >> 16);
    }

    pack((kind_t) _i, data, 4 * MIB);
    ck_assert_uint_lt(packed.len, 4 * MIB / 100);

    for (how = 0; how < 2; how++) {
        ck_assert_int_eq(
            feed(codings[_i], packed.data, packed.len, 4 * MIB, how),
            MR_INFLATE_DONE);
        ck_assert_uint_eq(output.len, 4 * MIB);
        ck_assert_mem_eq(output.data, data, 4 * MIB);
    }

    free(data);
}
END_TEST


/* A frame that claims little and is 1 GB of one repeated byte. */

START_TEST(inflate_rle_bomb)
{
    size_t i, how;

    ck_assert_int_eq(mr_buf_append(&packed, S(ZSTD "\0\x68")), 0);

    for (i = 0; i < 8192; i++) {
        ck_assert_int_eq(mr_buf_append(&packed, S("\2\0\x10\0")), 0);
    }

    for (how = 0; how < 3; how++) {
        ck_assert_int_eq(
            feed(MR_CODING_ZSTD, packed.data, packed.len, 4 * MIB, how),
            MR_INFLATE_TOO_LARGE);
        ck_assert_uint_eq(output.len, 4 * MIB);
        ck_assert_uint_eq(output.cap, 4 * MIB);
    }

    ck_assert_uint_gt(mr_inflate_size(inflater), 8 * MIB);
}
END_TEST


/* Memory doubles, so little is copied, and what was there stays. */

START_TEST(inflate_growth)
{
    char *data;
    size_t n, pos, cap, grown;
    mr_str_t input;
    mr_inflate_status_t status;
    mr_error_t err = MR_ERROR_INIT;

    data = text(3 * MIB);
    pack((kind_t) _i, data, 3 * MIB);
    ck_assert_int_eq(mr_buf_append(&output, "head", 4), 0);
    ck_assert_int_eq(
        mr_inflate_reset(inflater, codings[_i], 3 * MIB + 1, &err), 0);

    pos = 0;
    grown = 0;
    cap = output.cap;

    do {
        input.data = packed.data + pos;
        input.len = packed.len - pos;
        status = mr_inflate_feed(inflater, input, 1000, &output, &n, &err);
        pos += n;
        grown += output.cap != cap;
        cap = output.cap;
    } while (status == MR_INFLATE_AGAIN);

    ck_assert_int_eq(status, MR_INFLATE_DONE);
    ck_assert_uint_eq(output.len, 4 + 3 * MIB);
    ck_assert_uint_le(output.cap, 4 + 3 * MIB + 1);
    ck_assert_mem_eq(output.data, "head", 4);
    ck_assert_mem_eq(output.data + 4, data, 3 * MIB);
    ck_assert_uint_le(grown, 13);

    /* A caller may also take the output away as it comes. */

    ck_assert_int_eq(
        mr_inflate_reset(inflater, codings[_i], MR_INFLATE_LIMIT, &err), 0);
    mr_buf_free(&output);

    for (pos = 0, cap = 0;; cap += output.len) {
        input.data = packed.data + pos;
        input.len = packed.len - pos;
        mr_buf_reset(&output);
        status = mr_inflate_feed(inflater, input, 1000, &output, &n, &err);
        pos += n;
        must(cap + output.len <= 3 * MIB);
        must(output.len == 0
             || memcmp(output.data, data + cap, output.len) == 0);

        if (status != MR_INFLATE_AGAIN) {
            break;
        }
    }

    ck_assert_int_eq(status, MR_INFLATE_DONE);
    ck_assert_uint_eq(cap + output.len, 3 * MIB);
    ck_assert_uint_le(output.cap, 8192);

    free(data);
}
END_TEST


/* A context goes from stream to stream, as they come, and grows no more. */

START_TEST(inflate_reuse)
{
    size_t i, j, size;

    for (size = 0, i = 0; i < 10; i++) {
        for (j = 0; j < STREAMS; j++) {
            ck_assert_int_eq(feed(streams[j].coding, streams[j].data,
                                 streams[j].len, MR_INFLATE_LIMIT, i % FEEDS),
                streams[j].status);
        }

        if (i == 0) {
            size = mr_inflate_size(inflater);
        }
    }

    ck_assert_uint_eq(mr_inflate_size(inflater), size);
}
END_TEST


START_TEST(inflate_memory)
{
    size_t size;

    size = mr_inflate_size(inflater);
    ck_assert_uint_lt(size, 300);

    (void) feed(MR_CODING_GZIP, S(GZIP_HELLO), MR_INFLATE_LIMIT, 2);
    ck_assert_uint_gt(mr_inflate_size(inflater), size + 32 * 1024);
    ck_assert_uint_lt(mr_inflate_size(inflater), size + 41 * 1024);

    mr_inflate_destroy(NULL);
}
END_TEST


Suite *
mr_suite_inflate(void)
{
    Suite *suite;
    TCase *tcase;

    suite = suite_create("inflate");
    tcase = tcase_create("inflate");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);

    tcase_add_loop_test(tcase, inflate_gives_back, 0, KINDS);
    tcase_add_loop_test(tcase, inflate_cut_anywhere, 0, PLAIN);
    tcase_add_loop_test(tcase, inflate_flipped_anywhere, 0, PLAIN);
    tcase_add_loop_test(tcase, inflate_stream, 0, (int) STREAMS);
    tcase_add_loop_test(tcase, inflate_message, 0, (int) STREAMS);
    tcase_add_loop_test(tcase, inflate_limit, 0, KINDS);
    tcase_add_test(tcase, inflate_limit_then_broken);
    tcase_add_loop_test(
        tcase, inflate_bomb, 0, (int) (sizeof(bombs) / sizeof(bombs[0])));
    tcase_add_loop_test(tcase, inflate_dense, 0, PLAIN);
    tcase_add_test(tcase, inflate_rle_bomb);
    tcase_add_loop_test(tcase, inflate_growth, 0, KINDS);
    tcase_add_test(tcase, inflate_reuse);
    tcase_add_test(tcase, inflate_memory);

    suite_add_tcase(suite, tcase);

    return suite;
}
