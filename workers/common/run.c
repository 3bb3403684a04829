#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <millrace/time.h>

#include "run.h"


#define MR_RUN_BACKOFF_MAX 5000 /* ms */


static void mr_run_signal(int signo);


static atomic_int mr_run_asked;

/*
 * Written once and never read: it stays readable, so that every thread that
 * sleeps on it wakes up.
 */
static int mr_run_fd = -1;


int
mr_run_init(mr_error_t *err)
{
    int fd;
    struct sigaction action;

    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd == -1) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot create an eventfd: %s", strerror(errno));
    }

    mr_run_fd = fd;

    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = mr_run_signal;

    if (sigaction(SIGTERM, &action, NULL) == -1
        || sigaction(SIGINT, &action, NULL) == -1)
    {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot install a signal handler: %s", strerror(errno));
    }

    action.sa_handler = SIG_IGN;

    if (sigaction(SIGPIPE, &action, NULL) == -1) {
        return mr_error_set(err, MR_ERROR_SYSTEM, NULL,
            "cannot ignore SIGPIPE: %s", strerror(errno));
    }

    return 0;
}


int
mr_run_stopping(void)
{
    return atomic_load(&mr_run_asked);
}


/* Everything in here may be called by a signal handler. */
void
mr_run_stop(void)
{
    int saved;
    ssize_t n;
    uint64_t one;

    saved = errno;
    one = 1;

    atomic_store(&mr_run_asked, 1);

    /* It can only fail when the counter is full: readable all the same. */
    n = write(mr_run_fd, &one, sizeof(one));
    (void) n;

    errno = saved;
}


int
mr_run_sleep(int64_t ms)
{
    int64_t left, deadline;
    struct pollfd pfd;

    deadline = mr_time_monotonic() + ms;

    for (left = ms; left > 0; left = deadline - mr_time_monotonic()) {

        if (mr_run_stopping()) {
            break;
        }

        pfd.fd = mr_run_fd;
        pfd.events = POLLIN;

        (void) poll(&pfd, 1, left > 3600000 ? 3600000 : (int) left);
    }

    return mr_run_stopping();
}


int
mr_run_backoff(unsigned attempt, int64_t base_ms)
{
    int64_t delay;
    uint32_t noise;

    delay = base_ms < 1 ? 1 : base_ms;

    while (attempt > 0 && delay < MR_RUN_BACKOFF_MAX) {
        delay *= 2;
        attempt--;
    }

    if (delay > MR_RUN_BACKOFF_MAX) {
        delay = MR_RUN_BACKOFF_MAX;
    }

    /*
     * Half of it is random, so that members that failed together do not
     * try again together.
     */
    if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK)
        != (ssize_t) sizeof(noise)) {
        noise = (uint32_t) mr_time_monotonic();
    }

    return mr_run_sleep(delay / 2 + (int64_t) noise % (delay / 2 + 1));
}


static void
mr_run_signal(int signo)
{
    (void) signo;

    mr_run_stop();
}
