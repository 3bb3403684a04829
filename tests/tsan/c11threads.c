/*
 * C11 threads by POSIX threads, for programs under ThreadSanitizer.
 *
 * gcc 12's ThreadSanitizer knows pthread_*, and not glibc's <threads.h>,
 * which librdkafka is built with: a thread that it did not see begin has no
 * state of its own, and the first call of it that is intercepted crashes.
 * Linked into the program, these stand before glibc's for librdkafka too.
 *
 * In glibc each of these types is its POSIX counterpart under another name
 * (sysdeps/pthread/thrd_priv.h), so objects that others have made are fine.
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#define MUTEX(m) ((pthread_mutex_t *) (m))
#define COND(c)  ((pthread_cond_t *) (c))


typedef struct {
    thrd_start_t  func;
    void         *arg;
} c11_start_t;


_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "a mutex");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "a condition");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "a thread");

static void *c11_run(void *data);
static int c11_result(int rc);


int
thrd_create(thrd_t *thread, thrd_start_t func, void *arg)
{
    int           rc;
    c11_start_t  *start;

    start = malloc(sizeof(*start));
    if (start == NULL) {
        return thrd_nomem;
    }

    start->func = func;
    start->arg = arg;

    rc = pthread_create(thread, NULL, c11_run, start);
    if (rc != 0) {
        free(start);
    }

    return rc == EAGAIN ? thrd_nomem : c11_result(rc);
}


int
thrd_join(thrd_t thread, int *result)
{
    int    rc;
    void  *value;

    rc = pthread_join(thread, &value);
    if (rc == 0 && result != NULL) {
        *result = (int) (intptr_t) value;
    }

    return c11_result(rc);
}


int
thrd_detach(thrd_t thread)
{
    return c11_result(pthread_detach(thread));
}


_Noreturn void
thrd_exit(int result)
{
    pthread_exit((void *) (intptr_t) result);
}


int
mtx_init(mtx_t *mutex, int type)
{
    int                  rc;
    pthread_mutexattr_t  attr;

    rc = pthread_mutexattr_init(&attr);
    if (rc != 0) {
        return c11_result(rc);
    }

    (void) pthread_mutexattr_settype(
        &attr, (type & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE
                                           : PTHREAD_MUTEX_NORMAL);
    rc = pthread_mutex_init(MUTEX(mutex), &attr);
    (void) pthread_mutexattr_destroy(&attr);

    return c11_result(rc);
}


void
mtx_destroy(mtx_t *mutex)
{
    (void) pthread_mutex_destroy(MUTEX(mutex));
}


int
mtx_lock(mtx_t *mutex)
{
    return c11_result(pthread_mutex_lock(MUTEX(mutex)));
}


int
mtx_trylock(mtx_t *mutex)
{
    return c11_result(pthread_mutex_trylock(MUTEX(mutex)));
}


int
mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until)
{
    return c11_result(pthread_mutex_timedlock(MUTEX(mutex), until));
}


int
mtx_unlock(mtx_t *mutex)
{
    return c11_result(pthread_mutex_unlock(MUTEX(mutex)));
}


int
cnd_init(cnd_t *cond)
{
    return c11_result(pthread_cond_init(COND(cond), NULL));
}


void
cnd_destroy(cnd_t *cond)
{
    (void) pthread_cond_destroy(COND(cond));
}


int
cnd_signal(cnd_t *cond)
{
    return c11_result(pthread_cond_signal(COND(cond)));
}


int
cnd_broadcast(cnd_t *cond)
{
    return c11_result(pthread_cond_broadcast(COND(cond)));
}


int
cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    return c11_result(pthread_cond_wait(COND(cond), MUTEX(mutex)));
}


int
cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex,
    const struct timespec *restrict until)
{
    return c11_result(
        pthread_cond_timedwait(COND(cond), MUTEX(mutex), until));
}


void
call_once(once_flag *flag, void (*func)(void))
{
    (void) pthread_once((pthread_once_t *) flag, func);
}


static void *
c11_run(void *data)
{
    int           result;
    c11_start_t   start;

    start = *(c11_start_t *) data;
    free(data);

    result = start.func(start.arg);

    return (void *) (intptr_t) result;
}


static int
c11_result(int rc)
{
    switch (rc) {

    case 0:
        return thrd_success;

    case EBUSY:
        return thrd_busy;

    case ENOMEM:
        return thrd_nomem;

    case ETIMEDOUT:
        return thrd_timedout;

    default:
        return thrd_error;
    }
}
