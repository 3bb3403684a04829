/*
 * Unsigned integers in 1 to 10 bytes, seven bits a byte, lowest first, the
 * top bit set on all but the last (as Protocol Buffers have them).  Only the
 * shortest form is read, so that a number has one spelling.
 */
#ifndef MILLRACE_VARINT_H
#define MILLRACE_VARINT_H

#include <stdint.h>

#include <millrace/str.h>


#define MR_VARINT_MAX 10 /* bytes */


/* Returns the number of bytes written to `out`, at most MR_VARINT_MAX. */
size_t mr_varint_put(uint8_t *out, uint64_t value);

/*
 * Take a number from the front of *bytes, which moves on.  -1 if it is cut
 * short, longer than need be or beyond 64 bits; *bytes is undefined then.
 */
int mr_varint_take(mr_str_t *bytes, uint64_t *ret_value);

#endif /* MILLRACE_VARINT_H */
