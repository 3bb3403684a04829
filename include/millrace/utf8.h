/* UTF-8 as RFC 3629 has it.  Pure functions, any thread. */
#ifndef MILLRACE_UTF8_H
#define MILLRACE_UTF8_H

#include <stddef.h>


/*
 * Bytes of the character that `data` starts with, or 0 if there is none that
 * is complete and valid within `len` bytes.
 */
size_t mr_utf8_len(const char *data, size_t len);

/* Whether all of it is UTF-8. */
int mr_utf8_valid(const char *data, size_t len);

/* Whether a valid character of `len` bytes is of Unicode's category Cc. */
int mr_utf8_control(const char *data, size_t len);

/*
 * The offset of the first control character (U+0000-1F, U+7F-9F) in valid
 * UTF-8, or `len` if there is none.
 */
size_t mr_utf8_find_control(const char *data, size_t len);

#endif /* MILLRACE_UTF8_H */
