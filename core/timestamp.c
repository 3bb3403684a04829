#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "parser.h"


/* Plainly not seconds: the year 5138. */
#define MR_TIMESTAMP_SECONDS_END 100000000000

#define MR_TIMESTAMP_EXPECT "send UNIX seconds such as 1700000000.25"


static int mr_timestamp_negative(yyjson_val *value, mr_error_t *err);
static int mr_timestamp_large(yyjson_val *value, mr_error_t *err);
static const char *mr_timestamp_text(yyjson_val *value, char *buf, size_t size);


/*
 * Milliseconds, rounded half away from zero.  A double cannot hold most
 * fractions, and 1000 times one is rounded again, so the product alone does
 * not tell on which side of a half it lies.  The quotient of two integers
 * that doubles hold exactly is the double nearest to that half, which is
 * what a sender who wrote the half has sent: so comparing with it decides
 * as the decimal digits do.
 */

int
mr_timestamp_read(yyjson_val *value, int64_t *ret_time, mr_error_t *err)
{
    double seconds, ms;

    switch (unsafe_yyjson_get_tag(value) & YYJSON_TAG_MASK) {

    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT:

        if (unsafe_yyjson_get_uint(value) >= MR_TIMESTAMP_SECONDS_END) {
            return mr_timestamp_large(value, err);
        }

        *ret_time = (int64_t) unsafe_yyjson_get_uint(value) * 1000;

        return 0;

    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT:

        if (unsafe_yyjson_get_sint(value) < 0) {
            return mr_timestamp_negative(value, err);
        }

        *ret_time = 0; /* -0 */

        return 0;

    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL:
        seconds = unsafe_yyjson_get_real(value);

        if (seconds < 0) {
            return mr_timestamp_negative(value, err);
        }

        if (seconds >= (double) MR_TIMESTAMP_SECONDS_END) {
            return mr_timestamp_large(value, err);
        }

        ms = floor(seconds * 1000);

        if (seconds >= (ms * 10 + 5) / 10000) {
            ms += 1;
        }

        if (ms > (double) MR_TIMESTAMP_MAX) {
            return mr_timestamp_large(value, err);
        }

        *ret_time = (int64_t) ms;

        return 0;

    default:

        if (!unsafe_yyjson_is_raw(value)) {
            return mr_error_set(err, MR_ERROR_EVENT, "timestamp",
                "timestamp is %s; it must be a number: " MR_TIMESTAMP_EXPECT,
                mr_value_type(value));
        }

        if (unsafe_yyjson_get_raw(value)[0] == '-') {
            return mr_timestamp_negative(value, err);
        }

        return mr_timestamp_large(value, err);
    }
}


static int
mr_timestamp_negative(yyjson_val *value, mr_error_t *err)
{
    char buf[MR_EXCERPT_BUF];

    return mr_error_set(err, MR_ERROR_EVENT, "timestamp",
        "timestamp %s lies before 1970; " MR_TIMESTAMP_EXPECT,
        mr_timestamp_text(value, buf, sizeof(buf)));
}


static int
mr_timestamp_large(yyjson_val *value, mr_error_t *err)
{
    char buf[MR_EXCERPT_BUF];

    return mr_error_set(err, MR_ERROR_EVENT, "timestamp",
        "timestamp %s is too large for seconds and looks like "
        "milliseconds; " MR_TIMESTAMP_EXPECT,
        mr_timestamp_text(value, buf, sizeof(buf)));
}


static const char *
mr_timestamp_text(yyjson_val *value, char *buf, size_t size)
{
    mr_str_t raw;

    if (unsafe_yyjson_is_raw(value)) {
        raw = mr_value_str(value);
        return mr_error_excerpt(buf, size, raw.data, raw.len, MR_EXCERPT);
    }

    if (unsafe_yyjson_is_uint(value)) {
        (void) snprintf(buf, size, "%" PRIu64, unsafe_yyjson_get_uint(value));

    } else if (unsafe_yyjson_is_int(value)) {
        (void) snprintf(buf, size, "%" PRId64, unsafe_yyjson_get_sint(value));

    } else {
        (void) snprintf(buf, size, "%.17g", unsafe_yyjson_get_real(value));
    }

    return buf;
}
