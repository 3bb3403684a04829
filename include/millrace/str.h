/*
 * Byte strings.  mr_str_t is a view: it owns nothing, need not end with NUL
 * and may hold NUL.  mr_buf_t is a growable buffer that owns its bytes.
 */
#ifndef MILLRACE_STR_H
#define MILLRACE_STR_H

#include <stddef.h>


typedef struct {
    const char *data;
    size_t len; /* bytes */
} mr_str_t;

#define mr_str(literal) ((mr_str_t){(literal), sizeof(literal) - 1})

/* Bytewise order, as memcmp() with the shorter string first. */
int mr_str_cmp(mr_str_t a, mr_str_t b);
int mr_str_eq(mr_str_t a, mr_str_t b);


/*
 * Start with MR_BUF_INIT, end with mr_buf_free().  Appending allocates; on
 * out of memory it returns -1 and leaves the buffer as it was.  One thread
 * at a time.
 */
typedef struct {
    char *data;
    size_t len;
    size_t cap;
} mr_buf_t;

#define MR_BUF_INIT                                                            \
    {                                                                          \
        NULL, 0, 0                                                             \
    }

int mr_buf_reserve(mr_buf_t *buf, size_t more);

/*
 * As mr_buf_reserve(), but with no byte more than asked for: for who doubles
 * up to a limit of its own.
 */
int mr_buf_reserve_exact(mr_buf_t *buf, size_t more);

int mr_buf_append(mr_buf_t *buf, const void *data, size_t len);
int mr_buf_printf(mr_buf_t *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void mr_buf_reset(mr_buf_t *buf); /* empties it, keeps the memory */
void mr_buf_free(mr_buf_t *buf);

#endif /* MILLRACE_STR_H */
