#include <strings.h>

#include <millrace/inflate.h>


/* Bytes of a name that a message may repeat. */
#define MR_CODING_EXCERPT 32


/* Content codings by name, as IANA's registry has them. */

static const struct {
    mr_str_t name;
    mr_coding_t coding;
} mr_codings[] = {{{"identity", 8}, MR_CODING_IDENTITY},
    {{"gzip", 4}, MR_CODING_GZIP}, {{"x-gzip", 6}, MR_CODING_GZIP},
    {{"deflate", 7}, MR_CODING_DEFLATE}, {{"zstd", 4}, MR_CODING_ZSTD}};

#define MR_CODINGS (sizeof(mr_codings) / sizeof(mr_codings[0]))


static int mr_coding_name(
    const char *pos, const char *end, mr_coding_t *ret_coding, mr_error_t *err);


int
mr_coding_find(mr_str_t field, mr_coding_t *ret_coding, mr_error_t *err)
{
    const char *pos, *end, *name, *last;
    mr_coding_t coding, found;

    coding = MR_CODING_IDENTITY;
    found = MR_CODING_IDENTITY;
    pos = field.len > 0 ? field.data : "";
    end = pos + field.len;

    /* A list may have empty elements (RFC 9110, 5.6.1.2). */

    while (pos < end) {
        if (*pos == ' ' || *pos == '\t' || *pos == ',') {
            pos++;
            continue;
        }

        name = pos;

        while (pos < end && *pos != ',') {
            pos++;
        }

        last = pos;

        while (last[-1] == ' ' || last[-1] == '\t') {
            last--;
        }

        if (mr_coding_name(name, last, &coding, err) != 0) {
            return -1;
        }

        if (coding == MR_CODING_IDENTITY) {
            continue;
        }

        if (found != MR_CODING_IDENTITY) {
            return mr_error_set(err, MR_ERROR_CODING, "Content-Encoding",
                "the body is encoded more than once; encode it once, by one "
                "of " MR_CODING_ACCEPT);
        }

        found = coding;
    }

    *ret_coding = found;

    return 0;
}


static int
mr_coding_name(
    const char *pos, const char *end, mr_coding_t *ret_coding, mr_error_t *err)
{
    char excerpt[MR_CODING_EXCERPT * 4 + 8];
    size_t i, len;

    len = (size_t) (end - pos);

    for (i = 0; i < MR_CODINGS; i++) {
        if (mr_codings[i].name.len == len
            && strncasecmp(mr_codings[i].name.data, pos, len) == 0)
        {
            *ret_coding = mr_codings[i].coding;
            return 0;
        }
    }

    return mr_error_set(err, MR_ERROR_CODING, "Content-Encoding",
        "the content coding \"%s\" is not supported; use one "
        "of " MR_CODING_ACCEPT ", or none",
        mr_error_excerpt(
            excerpt, sizeof(excerpt), pos, len, MR_CODING_EXCERPT));
}
