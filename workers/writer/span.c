#include "span.h"


#define SPAN_ENOUGH_MIN 2
#define SPAN_ENOUGH_MAX 256
#define SPAN_FEW 32


typedef struct {
    int number;
    int half; /* of the next class: its stretches are cut in two */
} span_class_t;


static size_t span_cut_class(const int64_t *times, uint32_t *rest, size_t n,
    int64_t width, int64_t half, size_t enough, uint32_t *groups,
    uint32_t *group);


/* The narrowest first. */
static const span_class_t span_classes[MR_SPANS - 1] = {
    {0, 0},
    {5, 1},
    {1, 0},
    {2, 0},
    {3, 0},
};


int
mr_span_class(int64_t width)
{
    size_t i;

    for (i = 0; i < MR_SPANS - 1; i++) {
        if (width <= mr_span_width(span_classes[i].number)) {
            return span_classes[i].number;
        }
    }

    return MR_SPAN_ANY;
}


uint32_t
mr_span_cut(
    const int64_t *times, size_t n, uint32_t *scratch, uint32_t *ret_groups)
{
    size_t i, rest, enough;
    int64_t half;
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

    half = 0;

    for (i = 0; i < MR_SPANS - 1 && rest > 0; i++) {

        if (span_classes[i].half) {
            half = mr_span_width(span_classes[i].number);
            continue;
        }

        rest = span_cut_class(times, scratch, rest,
            mr_span_width(span_classes[i].number), half, enough, ret_groups,
            &group);
        half = 0;
    }

    if (rest <= n / SPAN_FEW) {
        (void) span_cut_class(times, scratch, rest,
            mr_span_width(span_classes[0].number), 0, 1, ret_groups, &group);
        return group;
    }

    for (i = 0; i < rest; i++) {
        ret_groups[scratch[i]] = group;
    }

    return group + 1;
}


/*
 * Cut the dense stretches of one class out of `rest`, the indices of the
 * events without a group in the order of time, and each in two after `half`
 * ms if that is not 0 and both have enough.  Returns how many remain.
 */
static size_t
span_cut_class(const int64_t *times, uint32_t *rest, size_t n, int64_t width,
    int64_t half, size_t enough, uint32_t *groups, uint32_t *group)
{
    size_t i, end, middle, left;

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

        middle = half > 0 ? i : end;

        while (middle < end && times[rest[middle]] - times[rest[i]] <= half) {
            middle++;
        }

        if (middle - i < enough || end - middle < enough) {
            middle = end;
        }

        for (/* void */; i < end; middle = end) {
            while (i < middle) {
                groups[rest[i++]] = *group;
            }

            (*group)++;
        }
    }

    return left;
}
