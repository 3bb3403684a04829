/*
 * Preloaded into a daemon by a test: the program sees a time of day that is
 * ahead by as many seconds as the file MILLRACE_TEST_CLOCK says, an int64_t.
 * Its libraries do not: they wait until moments of the real one.
 */
/* NOLINTNEXTLINE: the name is glibc's */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>


static const volatile int64_t *ahead;
static uintptr_t from, to; /* where the program itself lies */


static int
clock_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
    int i;
    uintptr_t end;

    (void) size;
    (void) ctx;

    from = info->dlpi_addr;

    for (i = 0; i < info->dlpi_phnum; i++) {
        end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr
              + info->dlpi_phdr[i].p_memsz;

        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > to) {
            to = end;
        }
    }

    return 1; /* the program comes first */
}


__attribute__((constructor)) static void
clock_init(void)
{
    int fd;
    void *place;
    const char *path;

    path = getenv("MILLRACE_TEST_CLOCK");
    fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd == -1) {
        abort();
    }

    place = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    (void) close(fd);

    if (place == MAP_FAILED) {
        abort();
    }

    (void) dl_iterate_phdr(clock_program, NULL);
    ahead = place;
}


int
clock_gettime(clockid_t clock, struct timespec *when)
{
    int rc;
    uintptr_t caller;
    static int (*real)(clockid_t, struct timespec *);

    if (real == NULL) {
        real = (__typeof__(real)) dlsym(RTLD_NEXT, "clock_gettime");
    }

    rc = real(clock, when);
    caller = (uintptr_t) __builtin_return_address(0);

    if (ahead != NULL && clock == CLOCK_REALTIME && caller >= from
        && caller < to) {
        when->tv_sec += *ahead;
    }

    return rc;
}
