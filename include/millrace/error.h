/*
 * One error shape for the whole project: a code that a program can switch
 * on and a sentence that a person can act on.
 *
 * Functions return 0, or -1 after filling the caller's mr_error_t.  Outputs
 * are named ret_* and are untouched on failure.
 */
#ifndef MILLRACE_ERROR_H
#define MILLRACE_ERROR_H

#include <stddef.h>


#define MR_ERROR_MESSAGE_SIZE 256


typedef enum {
    MR_OK = 0,
    MR_ERROR_MEMORY,   /* out of memory */
    MR_ERROR_SYNTAX,   /* the bytes are not one JSON value (RFC 8259) */
    MR_ERROR_EVENT,    /* JSON, but not a valid event: breaks the format */
    MR_ERROR_POLICY,   /* a valid event that a configured limit refuses */
    MR_ERROR_ARGUMENT, /* a bad parameter, option or argument */
    MR_ERROR_CONFIG,   /* a bad configuration file or environment */
    MR_ERROR_FENCED,   /* another process owns the partition now */
    MR_ERROR_GAP,      /* the log no longer holds what must be read next */
    MR_ERROR_KAFKA,    /* Kafka failed or is away */
    MR_ERROR_MONGODB,  /* MongoDB failed or is away */
    MR_ERROR_TIMEOUT,  /* a deadline has passed */
    MR_ERROR_SYSTEM,   /* a system call failed; message has errno's text */
    MR_ERROR_CODING,   /* the bytes are not what their content coding says */
    MR_ERROR_TOO_LARGE /* more bytes than the caller's limit */
} mr_code_t;


/* Plain data: copy it freely.  Zero-initialise with MR_ERROR_INIT. */
typedef struct {
    mr_code_t code;
    const char *field; /* static string: the field at fault, or NULL */
    char message[MR_ERROR_MESSAGE_SIZE];
} mr_error_t;

#define MR_ERROR_INIT                                                          \
    {                                                                          \
        MR_OK, NULL, ""                                                        \
    }


/*
 * Fill *err and return -1, so that callers can `return mr_error_set(...)`.
 * `field` must be a static string or NULL.  `err` may be NULL.  A message
 * that does not fit is cut at a UTF-8 character boundary.  Any thread.
 */
int mr_error_set(mr_error_t *err, mr_code_t code, const char *field,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* An analyzer looks into one file at a time, and has to be told. */
#ifdef __clang_analyzer__
#define mr_error_set(...) (mr_error_set(__VA_ARGS__), -1)
#endif


/*
 * Copy at most `max` bytes of `len` bytes of untrusted input into `buf`
 * (of `size` bytes, NUL-terminated) for use in a message: cut at a character
 * boundary, with control characters and invalid UTF-8 shown as \xNN, and
 * "..." appended when cut.  Returns buf.
 */
char *mr_error_excerpt(
    char *buf, size_t size, const char *data, size_t len, size_t max);

#endif /* MILLRACE_ERROR_H */
