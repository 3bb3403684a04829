/*
 * Preloaded into a process by a test (harness/clock.py): it sees a time of day
 * that is ahead by as many seconds as the file MILLRACE_TEST_CLOCK says, an
 * int64_t.  Threads that wait until a moment of that time wait as long as they
 * would have if all the machine had it.
 */
/* NOLINTNEXTLINE: the name is glibc's */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* Seconds: no machine runs so long, so what is more is a time of day. */
#define CLOCK_MONOTONIC_MAX 1000000000

/* The functions of which there are two are meant in their newer version. */
#define CLOCK_REAL(name, version)                                              \
    do {                                                                       \
        if (real == NULL) {                                                    \
            real = (__typeof__(real)) dlvsym(RTLD_NEXT, name, version);        \
        }                                                                      \
                                                                               \
        if (real == NULL) {                                                    \
            real = (__typeof__(real)) dlsym(RTLD_NEXT, name);                  \
        }                                                                      \
    } while (0)


static const volatile int64_t *ahead;


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

    ahead = place;
}


static int64_t
clock_ahead(void)
{
    return ahead != NULL ? *ahead : 0;
}


static struct timespec
clock_real(const struct timespec *until)
{
    struct timespec moment;

    moment = *until;

    if (moment.tv_sec > CLOCK_MONOTONIC_MAX) {
        moment.tv_sec -= clock_ahead();
    }

    return moment;
}


int
clock_gettime(clockid_t clock, struct timespec *when)
{
    int rc;
    static int (*real)(clockid_t, struct timespec *);

    CLOCK_REAL("clock_gettime", "GLIBC_2.17");
    rc = real(clock, when);

    if (clock == CLOCK_REALTIME) {
        when->tv_sec += clock_ahead();
    }

    return rc;
}


int
timespec_get(struct timespec *when, int base)
{
    int rc;
    static int (*real)(struct timespec *, int);

    CLOCK_REAL("timespec_get", "GLIBC_2.16");
    rc = real(when, base);

    if (base == TIME_UTC) {
        when->tv_sec += clock_ahead();
    }

    return rc;
}


int
gettimeofday(struct timeval *when, void *zone)
{
    int rc;
    static int (*real)(struct timeval *, void *);

    CLOCK_REAL("gettimeofday", "GLIBC_2.2.5");
    rc = real(when, zone);
    when->tv_sec += clock_ahead();

    return rc;
}


time_t
time(time_t *place)
{
    time_t now;
    static time_t (*real)(time_t *);

    CLOCK_REAL("time", "GLIBC_2.2.5");
    now = real(NULL) + clock_ahead();

    if (place != NULL) {
        *place = now;
    }

    return now;
}


int
pthread_cond_timedwait(
    pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec moment;
    static int (*real)(
        pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

    CLOCK_REAL("pthread_cond_timedwait", "GLIBC_2.3.2");
    moment = clock_real(until);

    return real(cond, mutex, &moment);
}


int
pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec moment;
    static int (*real)(pthread_mutex_t *, const struct timespec *);

    CLOCK_REAL("pthread_mutex_timedlock", "GLIBC_2.34");
    moment = clock_real(until);

    return real(mutex, &moment);
}


int
cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until)
{
    struct timespec moment;
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);

    CLOCK_REAL("cnd_timedwait", "GLIBC_2.34");
    moment = clock_real(until);

    return real(cond, mutex, &moment);
}
