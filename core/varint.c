#include "varint.h"


size_t
mr_varint_put(uint8_t *out, uint64_t value)
{
    size_t n;

    n = 0;

    while (value >= 0x80) {
        out[n++] = (uint8_t) (value | 0x80);
        value >>= 7;
    }

    out[n++] = (uint8_t) value;

    return n;
}


int
mr_varint_take(mr_str_t *bytes, uint64_t *ret_value)
{
    size_t i;
    uint8_t byte;
    uint64_t value;

    value = 0;

    for (i = 0; i < bytes->len && i < MR_VARINT_MAX; i++) {
        byte = (uint8_t) bytes->data[i];

        if (i == MR_VARINT_MAX - 1 && byte > 1) {
            return -1;
        }

        value |= (uint64_t) (byte & 0x7f) << (7 * i);

        if (byte < 0x80) {

            if (byte == 0 && i > 0) {
                return -1;
            }

            bytes->data += i + 1;
            bytes->len -= i + 1;
            *ret_value = value;

            return 0;
        }
    }

    return -1;
}
