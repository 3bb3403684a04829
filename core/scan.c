/*
 * Objects and arrays are scanned 64 bytes at a time as bit masks, one bit a
 * byte, which makes the time independent of what the bytes are.  The idea is
 * that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (VLDB
 * Journal 28, 2019): a prefix XOR over the unescaped quotes has a bit set
 * wherever a byte lies inside a string.
 */
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


static int mr_scan_string(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end);
static int mr_scan_plain(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end);
static int mr_scan_container(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end);
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
    mr_scan_t scan;
    const char *found;

    found = NULL;

    mr_scan_begin(&scan, pos);
    (void) mr_scan_step(&scan, end, SIZE_MAX, &found);

    return found;
}


void
mr_scan_begin(mr_scan_t *scan, const char *pos)
{
    memset(scan, 0, sizeof(mr_scan_t));

    scan->first = *pos;
    scan->pos = (*pos == '"') ? pos + 1 : pos;
}


int
mr_scan_step(
    mr_scan_t *scan, const char *end, size_t budget, const char **ret_end)
{
    const char *stop;

    if (budget < MR_SCAN_BLOCK) {
        budget = MR_SCAN_BLOCK;
    }

    stop = (budget < (size_t) (end - scan->pos)) ? scan->pos + budget : end;

    switch (scan->first) {

    case '{':
    case '[':
        return mr_scan_container(scan, end, stop, ret_end);

    case '"':
        return mr_scan_string(scan, end, stop, ret_end);

    default:
        return mr_scan_plain(scan, end, stop, ret_end);
    }
}


static int
mr_scan_string(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end)
{
    uint64_t escaped;
    const char *pos;

    escaped = scan->carry;

    for (pos = scan->pos; pos < stop; pos++) {

        if (escaped) {
            escaped = 0;

        } else if (*pos == '"') {
            *ret_end = pos + 1;
            return 1;

        } else if (*pos == '\\') {
            escaped = 1;
        }
    }

    scan->pos = pos;
    scan->carry = escaped;

    if (stop < end) {
        return 0;
    }

    *ret_end = NULL;

    return 1;
}


/* A number or a literal: up to what can only follow it. */

static int
mr_scan_plain(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end)
{
    const char *pos;

    for (pos = scan->pos; pos < stop; pos++) {
        switch (*pos) {

        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ',':
        case ']':
        case '}':
            *ret_end = pos;
            return 1;

        default:
            break;
        }
    }

    scan->pos = pos;

    if (stop < end) {
        return 0;
    }

    *ret_end = end;

    return 1;
}


static int
mr_scan_container(
    mr_scan_t *scan, const char *end, const char *stop, const char **ret_end)
{
    int at;
    char last[MR_SCAN_BLOCK];
    size_t depth, left;
    uint64_t carry, inside, opening, closing;
    const char *pos, *block;
    mr_scan_masks_t masks;

    depth = scan->depth;
    carry = scan->carry;
    inside = scan->inside;

    for (pos = scan->pos; pos < stop; pos += MR_SCAN_BLOCK) {
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
            *ret_end = pos + at + 1;
            return 1;
        }
    }

    scan->pos = pos;
    scan->depth = depth;
    scan->carry = carry;
    scan->inside = inside;

    if (pos < end) {
        return 0;
    }

    *ret_end = NULL;

    return 1;
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
