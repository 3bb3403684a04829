#include <string.h>

#include "layout.h"


static mr_str_t layout_escape(char c, char space[3]);


int
mr_layout_key(mr_buf_t *buf, mr_str_t user)
{
    char space[3];
    size_t i, plain;
    mr_str_t part;

    /* Most users have nothing to escape: what is plain is copied in one. */
    for (i = 0, plain = 0; i < user.len; i++) {
        part = layout_escape(user.data[i], space);

        if (part.len == 1) {
            continue;
        }

        if (mr_buf_append(buf, user.data + plain, i - plain) != 0
            || mr_buf_append(buf, part.data, part.len) != 0)
        {
            return -1;
        }

        plain = i + 1;
    }

    return mr_buf_append(buf, user.data + plain, user.len - plain);
}


int
mr_layout_path(mr_buf_t *buf, mr_str_t user)
{
    if (mr_buf_append(buf, MR_LAYOUT_EVENTS, strlen(MR_LAYOUT_EVENTS)) != 0) {
        return -1;
    }

    return mr_layout_key(buf, user);
}


int
mr_layout_is_key(mr_str_t key, mr_str_t user)
{
    char space[3];
    size_t i, at;
    mr_str_t part;

    for (i = 0, at = 0; i < user.len; i++, at += part.len) {
        part = layout_escape(user.data[i], space);

        if (key.len - at < part.len
            || memcmp(key.data + at, part.data, part.len) != 0) {
            return 0;
        }
    }

    return at == key.len;
}


static mr_str_t
layout_escape(char c, char space[3])
{
    static const char digits[] = "0123456789ABCDEF";

    space[0] = c;

    if (c != '.' && c != '$' && c != '%') {
        return (mr_str_t){space, 1};
    }

    space[0] = '%';
    space[1] = digits[(unsigned char) c >> 4];
    space[2] = digits[(unsigned char) c & 15];

    return (mr_str_t){space, 3};
}
