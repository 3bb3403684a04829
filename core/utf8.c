#include <stdint.h>
#include <string.h>

#include <millrace/utf8.h>


#define MR_UTF8_ONES UINT64_C(0x0101010101010101)
#define MR_UTF8_TOPS UINT64_C(0x8080808080808080)


size_t
mr_utf8_len(const char *data, size_t len)
{
    size_t i, n;
    unsigned char first, second;
    unsigned char low, high;

    if (len == 0) {
        return 0;
    }

    first = (unsigned char) data[0];
    low = 0x80;
    high = 0xbf;

    if (first < 0x80) {
        return 1;
    }

    if (first >= 0xc2 && first <= 0xdf) {
        n = 2;

    } else if (first >= 0xe0 && first <= 0xef) {
        n = 3;
        low = (first == 0xe0) ? 0xa0 : 0x80;  /* overlong */
        high = (first == 0xed) ? 0x9f : 0xbf; /* surrogates */

    } else if (first >= 0xf0 && first <= 0xf4) {
        n = 4;
        low = (first == 0xf0) ? 0x90 : 0x80;  /* overlong */
        high = (first == 0xf4) ? 0x8f : 0xbf; /* beyond U+10FFFF */

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    second = (unsigned char) data[1];

    if (second < low || second > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if (((unsigned char) data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


int
mr_utf8_valid(const char *data, size_t len)
{
    size_t i, n;

    for (i = 0; i < len; i += n) {
        n = mr_utf8_len(data + i, len - i);

        if (n == 0) {
            return 0;
        }
    }

    return 1;
}


int
mr_utf8_control(const char *data, size_t len)
{
    unsigned char first;

    first = (unsigned char) data[0];

    if (len == 1) {
        return first < 0x20 || first == 0x7f;
    }

    return len == 2 && first == 0xc2 && (unsigned char) data[1] < 0xa0;
}


size_t
mr_utf8_find_control(const char *data, size_t len)
{
    size_t i;
    uint64_t word, suspect;
    unsigned char c;

    i = 0;

    while (i < len) {

        /*
         * Eight bytes at once: the top bit of a byte of `suspect` is set
         * where the byte is below 0x20, is 0x7f or is not ASCII.  A borrow
         * may set more of them, never fewer.
         */

        if (len - i >= 8) {
            memcpy(&word, data + i, 8);

            suspect =
                word | (word - 0x20 * MR_UTF8_ONES) | (word + MR_UTF8_ONES);

            if ((suspect & MR_UTF8_TOPS) == 0) {
                i += 8;
                continue;
            }
        }

        c = (unsigned char) data[i];

        if (c < 0x20 || c == 0x7f) {
            return i;
        }

        if (c == 0xc2 && i + 1 < len && (unsigned char) data[i + 1] < 0xa0) {
            return i;
        }

        i++;
    }

    return len;
}
