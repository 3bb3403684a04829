#include "layout.h"


int
mr_layout_key(mr_buf_t *buf, mr_str_t user)
{
    size_t i, plain;
    char escaped[3];
    static const char digits[] = "0123456789ABCDEF";

    plain = 0;

    for (i = 0; i < user.len; i++) {

        if (user.data[i] != '.' && user.data[i] != '$' && user.data[i] != '%') {
            continue;
        }

        escaped[0] = '%';
        escaped[1] = digits[(unsigned char) user.data[i] >> 4];
        escaped[2] = digits[(unsigned char) user.data[i] & 15];

        if (mr_buf_append(buf, user.data + plain, i - plain) != 0
            || mr_buf_append(buf, escaped, sizeof(escaped)) != 0)
        {
            return -1;
        }

        plain = i + 1;
    }

    return mr_buf_append(buf, user.data + plain, user.len - plain);
}
