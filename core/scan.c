/*
 * Objects and arrays are scanned 64 bytes at a time as bit masks, one bit a
 * byte, which makes the time independent of what the bytes are.  The idea is
 * that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (VLDB
 * Journal 28, 2019): a prefix XOR over the unescaped quotes has a bit set
 * wherever a byte lies inside a string.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "scan.h"


#define MR_SCAN_BLOCK 64


/* Where the bytes of interest stand in a block; bit 0 is its first byte. */

typedef struct {
    uint64_t quotes;
    uint64_t backslashes;
    uint64_t opening; /* [ or { */
    uint64_t closing; /* ] or } */
} mr_scan_masks_t;


static const char *mr_scan_string(const char *pos, const char *end);
static const char *mr_scan_plain(const char *pos, const char *end);
static const char *mr_scan_container(const char *pos, const char *end);
static void mr_scan_block(const char *block, mr_scan_masks_t *ret_masks);
static uint64_t mr_scan_escaped(uint64_t backslashes, uint64_t *carry);
static uint64_t mr_scan_prefix_xor(uint64_t bits);
static int mr_scan_depth(uint64_t opening, uint64_t closing, size_t *depth);


const char *
mr_scan_space(const char *pos, const char *end)
{
#if defined(__SSE2__)
    int other;
    __m128i bytes, space;
#endif

    while (pos < end
           && (*pos == ' ' || *pos == '\n' || *pos == '\r' || *pos == '\t'))
    {
        pos++;

#if defined(__SSE2__)

        /* A body may be megabytes of nothing else. */

        while (end - pos >= 16) {
            bytes = _mm_loadu_si128((const __m128i *) (const void *) pos);
            space = _mm_or_si128(
                _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')),
                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'))),
                _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')),
                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'))));
            other = _mm_movemask_epi8(space) ^ 0xffff;

            if (other != 0) {
                return pos + __builtin_ctz((unsigned) other);
            }

            pos += 16;
        }

#endif
    }

    return pos;
}


const char *
mr_scan_value(const char *pos, const char *end)
{
    switch (*pos) {

    case '{':
    case '[':
        return mr_scan_container(pos, end);

    case '"':
        return mr_scan_string(pos, end);

    default:
        return mr_scan_plain(pos, end);
    }
}


static const char *
mr_scan_string(const char *pos, const char *end)
{
    for (pos++; pos < end; pos++) {
        if (*pos == '"') {
            return pos + 1;
        }

        if (*pos == '\\' && ++pos == end) {
            break;
        }
    }

    return NULL;
}


/* A number or a literal: up to what can only follow it. */

static const char *
mr_scan_plain(const char *pos, const char *end)
{
    for (/* void */; pos < end; pos++) {
        switch (*pos) {

        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ',':
        case ']':
        case '}':
            return pos;

        default:
            break;
        }
    }

    return end;
}


static const char *
mr_scan_container(const char *pos, const char *end)
{
    int at;
    char last[MR_SCAN_BLOCK];
    size_t depth, left;
    uint64_t carry, inside, opening, closing;
    const char *block;
    mr_scan_masks_t masks;

    depth = 0;
    carry = 0;
    inside = 0;

    for (/* void */; pos < end; pos += MR_SCAN_BLOCK) {
        block = pos;
        left = (size_t) (end - pos);

        if (left < MR_SCAN_BLOCK) {
            memset(last, ' ', sizeof(last));
            memcpy(last, pos, left);
            block = last;
        }

        mr_scan_block(block, &masks);

        masks.quotes &= ~mr_scan_escaped(masks.backslashes, &carry);

        /* All ones if the block before ended inside a string. */

        inside = mr_scan_prefix_xor(masks.quotes) ^ inside;

        opening = masks.opening & ~inside;
        closing = masks.closing & ~inside;

        inside = 0 - (inside >> 63);

        at = mr_scan_depth(opening, closing, &depth);

        if (at >= 0) {
            return pos + at + 1;
        }
    }

    return NULL;
}


/*
 * Follow the depth through a block.  Returns the bit of the bracket that
 * closes the container, or -1.
 */

static int
mr_scan_depth(uint64_t opening, uint64_t closing, size_t *depth)
{
    int bit;
    uint64_t brackets;

    if (closing == 0) {
        *depth += (size_t) __builtin_popcountll(opening);
        return -1;
    }

    if (*depth > (size_t) __builtin_popcountll(closing)) {
        *depth += (size_t) __builtin_popcountll(opening);
        *depth -= (size_t) __builtin_popcountll(closing);
        return -1;
    }

    for (brackets = opening | closing; brackets != 0; brackets &= brackets - 1)
    {
        bit = __builtin_ctzll(brackets);

        if ((opening >> bit) & 1) {
            (*depth)++;

        } else if (--*depth == 0) {
            return bit;
        }
    }

    return -1;
}


#if defined(__SSE2__)

static void
mr_scan_block(const char *block, mr_scan_masks_t *ret_masks)
{
    int i;
    __m128i bytes, folded;
    mr_scan_masks_t masks;

    memset(&masks, 0, sizeof(masks));

    for (i = 0; i < MR_SCAN_BLOCK; i += 16) {
        bytes = _mm_loadu_si128((const __m128i *) (const void *) (block + i));

        /* [ and {, and ] and }, differ by 0x20 alone. */

        folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));

#define mr_scan_mask(vector, c)                                                \
    ((uint64_t) (unsigned) _mm_movemask_epi8(                                  \
         _mm_cmpeq_epi8(vector, _mm_set1_epi8(c)))                             \
        << i)

        masks.quotes |= mr_scan_mask(bytes, '"');
        masks.backslashes |= mr_scan_mask(bytes, '\\');
        masks.opening |= mr_scan_mask(folded, '{');
        masks.closing |= mr_scan_mask(folded, '}');

#undef mr_scan_mask
    }

    *ret_masks = masks;
}

#else

static void
mr_scan_block(const char *block, mr_scan_masks_t *ret_masks)
{
    int i;
    uint64_t bit;
    mr_scan_masks_t masks;

    memset(&masks, 0, sizeof(masks));

    for (i = 0; i < MR_SCAN_BLOCK; i++) {
        bit = UINT64_C(1) << i;

        masks.quotes |= (block[i] == '"') ? bit : 0;
        masks.backslashes |= (block[i] == '\\') ? bit : 0;
        masks.opening |= ((block[i] | 0x20) == '{') ? bit : 0;
        masks.closing |= ((block[i] | 0x20) == '}') ? bit : 0;
    }

    *ret_masks = masks;
}

#endif


/*
 * The bytes that a backslash escapes.  *carry tells whether the first byte
 * of the next block is one.
 */

static uint64_t
mr_scan_escaped(uint64_t backslashes, uint64_t *carry)
{
    int bit;
    uint64_t escaped;

    escaped = *carry;
    backslashes &= ~escaped;
    *carry = 0;

    while (backslashes != 0) {
        bit = __builtin_ctzll(backslashes);

        if (bit == 63) {
            *carry = 1;
            break;
        }

        escaped |= UINT64_C(2) << bit;
        backslashes &= ~(UINT64_C(3) << bit);
    }

    return escaped;
}


/* Bit i of the result is the parity of bits 0..i. */

static uint64_t
mr_scan_prefix_xor(uint64_t bits)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;

    return bits;
}
