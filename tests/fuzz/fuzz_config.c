/*
 * A configuration file of any bytes: it is taken, or refused with a message
 * that names the file; either way nothing is left behind.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <common/options.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int rc;
    FILE *file;
    static char path[64];
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;

    if (path[0] == '\0') {
        (void) snprintf(
            path, sizeof(path), "/dev/shm/fuzz-config-%d", (int) getpid());
    }

    file = fopen(path, "wb");
    if (file == NULL) {
        return 0;
    }

    (void) fwrite(data, 1, size, file);
    (void) fclose(file);

    rc = mr_options_load(path, &options, &err);

    if (rc == 0) {
        mr_options_free(&options);

    } else if (rc != -1 || err.code == MR_OK || err.message[0] == '\0'
               || memchr(err.message, '\0', sizeof(err.message)) == NULL)
    {
        abort();
    }

    (void) unlink(path);

    return 0;
}
