/*
 * Writing BSON (bsonspec.org, version 1.1) straight into a growable buffer.
 *
 * libbson could do this too, but a block is a million small appends: writing
 * the bytes directly costs a fraction, and an event that was encoded once is
 * copied into its block as it is.  The unit tests read the result back with
 * libbson.
 *
 * Every function appends and returns 0, or -1 on out of memory.  A key must
 * hold no NUL; string values may.
 */
#ifndef MR_WRITER_BSON_WRITE_H
#define MR_WRITER_BSON_WRITE_H

#include <stdint.h>

#include <millrace/str.h>


/*
 * Open a document; *ret_at is given to the call that closes it, once its
 * members are written.
 */
int mr_bson_begin(mr_buf_t *buf, size_t *ret_at);
int mr_bson_end(mr_buf_t *buf, size_t at);

/* The same for a member that is a document or an array. */
int mr_bson_begin_member(
    mr_buf_t *buf, mr_str_t key, int is_array, size_t *ret_at);

int mr_bson_string(mr_buf_t *buf, mr_str_t key, mr_str_t value);
int mr_bson_int32(mr_buf_t *buf, mr_str_t key, int32_t value);
int mr_bson_int64(mr_buf_t *buf, mr_str_t key, int64_t value);
int mr_bson_double(mr_buf_t *buf, mr_str_t key, double value);
int mr_bson_bool(mr_buf_t *buf, mr_str_t key, int value);
int mr_bson_null(mr_buf_t *buf, mr_str_t key);
int mr_bson_date(mr_buf_t *buf, mr_str_t key, int64_t ms);

/*
 * A generic binary member of `len` bytes that the caller fills in: *ret_data
 * points into the buffer and is valid until the next append.
 */
int mr_bson_binary(
    mr_buf_t *buf, mr_str_t key, size_t len, unsigned char **ret_data);

/* A UUID (subtype 4); `uuid` are its 16 bytes. */
int mr_bson_uuid(mr_buf_t *buf, mr_str_t key, const uint8_t *uuid);

/* A member that is a whole BSON document already. */
int mr_bson_document(mr_buf_t *buf, mr_str_t key, mr_str_t document);

/* The key of an array's element: its index in decimal, in `space`. */
mr_str_t mr_bson_index(unsigned index, char space[12]);

#endif /* MR_WRITER_BSON_WRITE_H */
