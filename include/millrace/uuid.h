/* UUIDs (RFC 9562) as 16 bytes and as text. */
#ifndef MILLRACE_UUID_H
#define MILLRACE_UUID_H

#include <stdint.h>

#include <millrace/str.h>


#define MR_UUID_SIZE 16
#define MR_UUID_TEXT 36

/*
 * 0 if `text` is a UUID just as mr_uuid_format() writes it, 8-4-4-4-12 digits
 * of lower case, of any version; else -1.  So the text is had back as it was.
 */
int mr_uuid_parse(mr_str_t text, uint8_t ret_uuid[MR_UUID_SIZE]);

/* No NUL is written. */
void mr_uuid_format(const uint8_t uuid[MR_UUID_SIZE], char text[MR_UUID_TEXT]);

#endif /* MILLRACE_UUID_H */
