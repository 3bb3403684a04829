#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sentlog.h"


#define MR_SENTLOG_MAGIC "MRSENT1"


typedef struct {
    char magic[8];
    mr_workload_options_t options;
} mr_sentlog_head_t;


static int mr_sentlog_write(int fd, const void *data, size_t len);


int
mr_sentlog_create(const char *path, const mr_workload_options_t *options)
{
    int fd;
    mr_sentlog_head_t head;

    /* each write of a buffer is whole, whatever thread it comes from */

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd == -1) {
        return -1;
    }

    memset(&head, 0, sizeof(head));
    memcpy(head.magic, MR_SENTLOG_MAGIC, sizeof(head.magic));
    head.options = *options;

    if (mr_sentlog_write(fd, &head, sizeof(head)) != 0) {
        (void) close(fd);
        return -1;
    }

    return fd;
}


void
mr_sentlog_init(mr_sentlog_t *log, int fd)
{
    log->fd = fd;
    log->n = 0;
}


int
mr_sentlog_add(mr_sentlog_t *log, const mr_sentlog_record_t *record)
{
    if (log->fd == -1) {
        return 0;
    }

    log->records[log->n++] = *record;

    return log->n == MR_SENTLOG_BUFFERED ? mr_sentlog_flush(log) : 0;
}


int
mr_sentlog_flush(mr_sentlog_t *log)
{
    size_t size;

    size = log->n * sizeof(mr_sentlog_record_t);
    log->n = 0;

    return size ? mr_sentlog_write(log->fd, log->records, size) : 0;
}


FILE *
mr_sentlog_open(const char *path, mr_workload_options_t *ret_options)
{
    FILE *file;
    mr_sentlog_head_t head;

    file = fopen(path, "rbe");
    if (file == NULL) {
        return NULL;
    }

    if (fread(&head, sizeof(head), 1, file) != 1
        || memcmp(head.magic, MR_SENTLOG_MAGIC, sizeof(head.magic)) != 0)
    {
        (void) fclose(file);
        errno = EINVAL;
        return NULL;
    }

    *ret_options = head.options;

    return file;
}


static int
mr_sentlog_write(int fd, const void *data, size_t len)
{
    ssize_t n;

    n = write(fd, data, len);

    if (n == (ssize_t) len) {
        return 0;
    }

    if (n >= 0) {
        errno = ENOSPC;
    }

    return -1;
}
