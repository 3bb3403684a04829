/*
 * Receipts: where the events of a request were written, as a token that
 * fits into a header.  The module makes one from the delivery reports; who
 * reads events decodes it to wait until those are readable.
 *
 * A token is base64url (RFC 4648, without padding) of
 *
 *     1 byte    version, 1
 *     4 bytes   hash of the topic's name, little-endian
 *     for each partition, ascending:
 *         varint    partition - that of the pair before - 1 (first: itself)
 *         varint    offset
 *     4 bytes   hash of all before, little-endian
 *
 * where a varint has 7 bits a byte, the lowest first, and the top bit set in
 * all bytes but its last.  The hashes are the low half of mr_hash(): they
 * find damage and mistakes, they are no signature.
 */
#ifndef MILLRACE_RECEIPT_H
#define MILLRACE_RECEIPT_H

#include <stdint.h>

#include <millrace/error.h>
#include <millrace/str.h>


/* Pairs that a receipt can hold. */
#define MR_RECEIPT_PARTS 64

/*
 * Bytes of a token that are always enough: 9 bytes beside the pairs, a pair
 * of a 32-bit and a 63-bit number takes at most 5 + 9, and base64 makes 4
 * out of 3.
 */
#define MR_RECEIPT_SIZE(parts) ((9 + (parts) * (5 + 9) + 2) / 3 * 4)


typedef struct {
    int32_t partition;
    int64_t offset; /* the highest that the request has written there */
} mr_receipt_part_t;


/* Plain data. */
typedef struct {
    uint32_t topic; /* mr_receipt_topic() of the topic's name */
    size_t nparts;  /* at least 1 */
    mr_receipt_part_t parts[MR_RECEIPT_PARTS]; /* partitions ascending */
} mr_receipt_t;


uint32_t mr_receipt_topic(mr_str_t name);

/*
 * Write the token of 1 to MR_RECEIPT_PARTS pairs, in any order, which are
 * sorted in place; `buf` has MR_RECEIPT_SIZE(nparts) bytes and is not
 * terminated.  -1, without a token, if a partition comes twice, a number is
 * negative, or `nparts` is out of bounds.
 */
int mr_receipt_encode(uint32_t topic, mr_receipt_part_t *parts, size_t nparts,
    char *buf, size_t *ret_len);

/* MR_ERROR_ARGUMENT for all that mr_receipt_encode() would never write. */
int mr_receipt_decode(
    mr_str_t token, mr_receipt_t *ret_receipt, mr_error_t *err);

#endif /* MILLRACE_RECEIPT_H */
