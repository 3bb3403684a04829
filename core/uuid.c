#include <millrace/uuid.h>


static int uuid_hyphen(unsigned i);
static int uuid_digit(char c);


int
mr_uuid_parse(mr_str_t text, uint8_t ret_uuid[MR_UUID_SIZE])
{
    int high, low;
    unsigned i, at;

    if (text.len != MR_UUID_TEXT) {
        return -1;
    }

    for (i = 0, at = 0; i < MR_UUID_SIZE; i++) {

        if (uuid_hyphen(i) && text.data[at++] != '-') {
            return -1;
        }

        high = uuid_digit(text.data[at++]);
        low = uuid_digit(text.data[at++]);

        if (high == -1 || low == -1) {
            return -1;
        }

        ret_uuid[i] = (uint8_t) (high << 4 | low);
    }

    return 0;
}


void
mr_uuid_format(const uint8_t uuid[MR_UUID_SIZE], char text[MR_UUID_TEXT])
{
    unsigned i;
    static const char digits[] = "0123456789abcdef";

    for (i = 0; i < MR_UUID_SIZE; i++) {

        if (uuid_hyphen(i)) {
            *text++ = '-';
        }

        *text++ = digits[uuid[i] >> 4];
        *text++ = digits[uuid[i] & 15];
    }
}


/* Is there one before the i-th byte? */
static int
uuid_hyphen(unsigned i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}


static int
uuid_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
