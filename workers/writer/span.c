#include "span.h"


#define SPAN_ENOUGH_MIN 2
#define SPAN_ENOUGH_MAX 256


static size_t span_cut_class(const int64_t *times, uint32_t *rest, size_t n,
    int64_t width, size_t enough, uint32_t *groups, uint32_t *group);


static const int64_t span_width[MR_SPANS - 1] = {
    INT64_C(10) * 1000,
    INT64_C(10) * 60 * 1000,
    INT64_C(24) * 3600 * 1000,
    INT64_C(30) * 24 * 3600 * 1000,
};


int
mr_span_class(int64_t width)
{
    int span;

    for (span = 0; span < MR_SPANS - 1; span++) {
        if (width <= span_width[span]) {
            break;
        }
    }

    return span;
}


uint32_t
mr_span_cut(
    const int64_t *times, size_t n, uint32_t *scratch, uint32_t *ret_groups)
{
    size_t i, rest, enough;
    uint32_t group;

    enough = n / 8;

    if (enough < SPAN_ENOUGH_MIN) {
        enough = SPAN_ENOUGH_MIN;

    } else if (enough > SPAN_ENOUGH_MAX) {
        enough = SPAN_ENOUGH_MAX;
    }

    for (i = 0; i < n; i++) {
        scratch[i] = (uint32_t) i;
    }

    rest = n;
    group = 0;

    for (i = 0; i < MR_SPANS - 1 && rest > 0; i++) {
        rest = span_cut_class(
            times, scratch, rest, span_width[i], enough, ret_groups, &group);
    }

    for (i = 0; i < rest; i++) {
        ret_groups[scratch[i]] = group;
    }

    return rest > 0 ? group + 1 : group;
}


/*
 * Cut the dense stretches of one class out of `rest`, the indices of the
 * events without a group in the order of time.  Returns how many remain.
 */
static size_t
span_cut_class(const int64_t *times, uint32_t *rest, size_t n, int64_t width,
    size_t enough, uint32_t *groups, uint32_t *group)
{
    size_t i, end, left;

    left = 0;
    end = 0;
    i = 0;

    while (i < n) {

        if (end < i) {
            end = i;
        }

        while (end < n && times[rest[end]] - times[rest[i]] <= width) {
            end++;
        }

        if (end - i < enough) {
            rest[left++] = rest[i++];
            continue;
        }

        while (i < end) {
            groups[rest[i++]] = *group;
        }

        (*group)++;
    }

    return left;
}
