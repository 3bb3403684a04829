#include <time.h>

#include <millrace/limits.h>
#include <millrace/time.h>


#define MR_TIME_EXCERPT 48
#define MR_TIME_EXPECT                                                         \
    "give UNIX seconds such as 1700000000.25 or RFC 3339 such as "             \
    "2026-11-23T06:00:00Z"


/* A cursor over the text that is being parsed. */

typedef struct {
    const char *pos;
    const char *end;
} mr_time_reader_t;


static int64_t mr_time_clock(clockid_t clock);
static int mr_time_seconds(mr_str_t text, int64_t *ret_time, mr_error_t *err);
static int mr_time_rfc3339(mr_str_t text, int64_t *ret_time);
static int mr_time_offset(mr_time_reader_t *reader, int64_t *ret_minutes);
static int mr_time_number(
    mr_time_reader_t *reader, int digits, int64_t *ret_number);
static int mr_time_byte(mr_time_reader_t *reader, const char *set);
static int64_t mr_time_fraction(mr_time_reader_t *reader);
static int64_t mr_time_days(int64_t year, int64_t month, int64_t day);
static int64_t mr_time_month_days(int64_t year, int64_t month);
static int mr_time_error(mr_error_t *err, mr_str_t text, const char *what);


int64_t
mr_time_now(void)
{
    return mr_time_clock(CLOCK_REALTIME);
}


int64_t
mr_time_monotonic(void)
{
    return mr_time_clock(CLOCK_MONOTONIC);
}


static int64_t
mr_time_clock(clockid_t clock)
{
    struct timespec ts;

    (void) clock_gettime(clock, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
mr_time_floor(int64_t t, int64_t width)
{
    int64_t rest;

    rest = t % width;

    if (rest < 0) {
        rest += width;
    }

    return t - rest;
}


int
mr_time_parse(mr_str_t text, int64_t *ret_time, mr_error_t *err)
{
    size_t i;

    if (text.len == 0) {
        return mr_error_set(
            err, MR_ERROR_ARGUMENT, NULL, "the time is empty; " MR_TIME_EXPECT);
    }

    /* Only RFC 3339 has a '-' that is not the first byte. */

    for (i = 1; i < text.len; i++) {
        if (text.data[i] == '-') {
            if (mr_time_rfc3339(text, ret_time) != 0) {
                return mr_time_error(err, text, "is no RFC 3339 time");
            }

            return 0;
        }
    }

    return mr_time_seconds(text, ret_time, err);
}


/* [-]digits[.digits] */

static int
mr_time_seconds(mr_str_t text, int64_t *ret_time, mr_error_t *err)
{
    int negative;
    int64_t ms, seconds;
    mr_time_reader_t reader;
    const char *start;

    reader.pos = text.data;
    reader.end = text.data + text.len;

    negative = mr_time_byte(&reader, "-");
    start = reader.pos;
    seconds = 0;

    while (reader.pos < reader.end && *reader.pos >= '0' && *reader.pos <= '9')
    {
        /* Out of range it stays, however many digits follow. */

        if (seconds <= MR_TIMESTAMP_MAX / 1000) {
            seconds = seconds * 10 + (*reader.pos - '0');
        }

        reader.pos++;
    }

    if (reader.pos == start) {
        return mr_time_error(err, text, "is no time");
    }

    ms = 0;

    if (reader.pos < reader.end && *reader.pos == '.') {
        ms = mr_time_fraction(&reader);
        if (ms < 0) {
            return mr_time_error(err, text, "is no time");
        }
    }

    if (reader.pos != reader.end) {
        return mr_time_error(err, text, "is no time");
    }

    ms += seconds * 1000;

    if (ms > MR_TIMESTAMP_MAX) {
        return mr_time_error(
            err, text, "is too large for seconds and looks like milliseconds");
    }

    *ret_time = negative ? -ms : ms;

    return 0;
}


/*
 * YYYY-MM-DD, 'T' (or 't' or a space), HH:MM:SS[.fraction], then 'Z' (or
 * 'z') or an offset.
 */

static int
mr_time_rfc3339(mr_str_t text, int64_t *ret_time)
{
    int leap;
    int64_t year, month, day, hour, minute, second, ms, offset, minutes;
    mr_time_reader_t reader;

    reader.pos = text.data;
    reader.end = text.data + text.len;

    if (mr_time_number(&reader, 4, &year) != 0 || !mr_time_byte(&reader, "-")
        || mr_time_number(&reader, 2, &month) != 0
        || !mr_time_byte(&reader, "-") || mr_time_number(&reader, 2, &day) != 0
        || !mr_time_byte(&reader, "Tt ")
        || mr_time_number(&reader, 2, &hour) != 0 || !mr_time_byte(&reader, ":")
        || mr_time_number(&reader, 2, &minute) != 0
        || !mr_time_byte(&reader, ":")
        || mr_time_number(&reader, 2, &second) != 0)
    {
        return -1;
    }

    if (month < 1 || month > 12 || day < 1
        || day > mr_time_month_days(year, month) || hour > 23 || minute > 59
        || second > 60)
    {
        return -1;
    }

    ms = 0;

    if (reader.pos < reader.end && *reader.pos == '.') {
        ms = mr_time_fraction(&reader);
        if (ms < 0) {
            return -1;
        }
    }

    if (mr_time_offset(&reader, &offset) != 0 || reader.pos != reader.end) {
        return -1;
    }

    minutes =
        mr_time_days(year, month, day) * 1440 + hour * 60 + minute - offset;

    /* A leap second is the last of a day in UTC; POSIX has no name for it. */

    leap = (second == 60);

    if (leap && mr_time_floor(minutes + 1, 1440) != minutes + 1) {
        return -1;
    }

    *ret_time = (minutes * 60 + second) * 1000 + (leap ? 0 : ms);

    return 0;
}


/* Minutes east of UTC. */

static int
mr_time_offset(mr_time_reader_t *reader, int64_t *ret_minutes)
{
    int64_t hour, minute, sign;

    if (mr_time_byte(reader, "Zz")) {
        *ret_minutes = 0;
        return 0;
    }

    sign = 1;

    if (mr_time_byte(reader, "-")) {
        sign = -1;

    } else if (!mr_time_byte(reader, "+ ")) {
        return -1;
    }

    if (mr_time_number(reader, 2, &hour) != 0 || !mr_time_byte(reader, ":")
        || mr_time_number(reader, 2, &minute) != 0 || hour > 23 || minute > 59)
    {
        return -1;
    }

    *ret_minutes = sign * (hour * 60 + minute);

    return 0;
}


static int
mr_time_number(mr_time_reader_t *reader, int digits, int64_t *ret_number)
{
    int64_t number;

    number = 0;

    while (digits-- > 0) {
        if (reader->pos == reader->end || *reader->pos < '0'
            || *reader->pos > '9') {
            return -1;
        }

        number = number * 10 + (*reader->pos++ - '0');
    }

    *ret_number = number;

    return 0;
}


/* Step over one byte if it is one of `set`. */

static int
mr_time_byte(mr_time_reader_t *reader, const char *set)
{
    if (reader->pos == reader->end) {
        return 0;
    }

    for (/* void */; *set != '\0'; set++) {
        if (*reader->pos == *set) {
            reader->pos++;
            return 1;
        }
    }

    return 0;
}


/* The fraction at '.', rounded to 0..1000 ms, or -1 without a digit. */

static int64_t
mr_time_fraction(mr_time_reader_t *reader)
{
    int64_t ms, weight;
    const char *start;

    start = ++reader->pos;
    ms = 0;
    weight = 100;

    while (reader->pos < reader->end && *reader->pos >= '0'
           && *reader->pos <= '9') {
        if (weight > 0) {
            ms += (*reader->pos - '0') * weight;
            weight /= 10;

        } else if (reader->pos - start == 3 && *reader->pos >= '5') {
            ms++;
        }

        reader->pos++;
    }

    return (reader->pos == start) ? -1 : ms;
}


/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar: whole years,
 * with February, whose length varies, moved to the end of the year.
 */

static int64_t
mr_time_days(int64_t year, int64_t month, int64_t day)
{
    int64_t days;

    if (month <= 2) {
        year--;
        month += 12;
    }

    /*
     * Five months from March on have 153 days, in every year and twice over;
     * 0000-03-01 lies 719468 days before 1970-01-01.
     */

    days = year * 365 + mr_time_floor(year, 4) / 4
           - mr_time_floor(year, 100) / 100 + mr_time_floor(year, 400) / 400;

    return days + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}


static int64_t
mr_time_month_days(int64_t year, int64_t month)
{
    static const unsigned char days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        return 29;
    }

    return days[month - 1];
}


static int
mr_time_error(mr_error_t *err, mr_str_t text, const char *what)
{
    char excerpt[MR_TIME_EXCERPT * 2];

    return mr_error_set(err, MR_ERROR_ARGUMENT, NULL,
        "\"%s\" %s; " MR_TIME_EXPECT,
        mr_error_excerpt(
            excerpt, sizeof(excerpt), text.data, text.len, MR_TIME_EXCERPT),
        what);
}
