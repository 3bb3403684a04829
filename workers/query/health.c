#include <pthread.h>
#include <stdlib.h>

#include <millrace/time.h>

#include "../common/log.h"
#include "health.h"


#define MR_HEALTH_INTERVAL 1000 /* ms between two pings */
#define MR_HEALTH_TIMEOUT 2000  /* ms that a ping may take */
#define MR_HEALTH_STALE 5000    /* ms after which the last one is void */


struct mr_health_s {
    mr_store_t *store;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int stopping;
    int64_t asked; /* monotonic; 0: never yet */
    int ready;
};


static void *mr_health_run(void *ctx);
static void mr_health_wait(mr_health_t *health, int64_t ms);


int
mr_health_start(mr_store_t *store, mr_health_t **ret_health, mr_error_t *err)
{
    mr_health_t *health;
    pthread_condattr_t attr;

    health = calloc(1, sizeof(mr_health_t));

    if (health == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    health->store = store;
    pthread_mutex_init(&health->mutex, NULL);

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&health->wake, &attr);
    pthread_condattr_destroy(&attr);

    if (pthread_create(&health->thread, NULL, mr_health_run, health) != 0) {
        pthread_cond_destroy(&health->wake);
        pthread_mutex_destroy(&health->mutex);
        free(health);
        return mr_error_set(
            err, MR_ERROR_SYSTEM, NULL, "cannot start the health thread");
    }

    *ret_health = health;

    return 0;
}


void
mr_health_stop(mr_health_t *health)
{
    if (health == NULL) {
        return;
    }

    pthread_mutex_lock(&health->mutex);
    health->stopping = 1;
    pthread_cond_signal(&health->wake);
    pthread_mutex_unlock(&health->mutex);

    pthread_join(health->thread, NULL);

    pthread_cond_destroy(&health->wake);
    pthread_mutex_destroy(&health->mutex);
    free(health);
}


int
mr_health_ready(mr_health_t *health, mr_error_t *err)
{
    int ready;

    pthread_mutex_lock(&health->mutex);

    ready = 0;

    if (health->asked == 0) {
        (void) mr_error_set(
            err, MR_ERROR_MONGODB, NULL, "MongoDB was not asked yet");

    } else if (health->ready
               && mr_time_monotonic() - health->asked <= MR_HEALTH_STALE)
    {
        ready = 1;

    } else {
        (void) mr_error_set(
            err, MR_ERROR_MONGODB, NULL, "MongoDB does not answer");
    }

    pthread_mutex_unlock(&health->mutex);

    return ready;
}


static void *
mr_health_run(void *ctx)
{
    int ready;
    mr_error_t err = MR_ERROR_INIT;
    mr_health_t *health;

    health = ctx;

    pthread_mutex_lock(&health->mutex);

    while (!health->stopping) {

        pthread_mutex_unlock(&health->mutex);
        ready = mr_store_ping(health->store, MR_HEALTH_TIMEOUT, &err) == 0;
        pthread_mutex_lock(&health->mutex);

        /* What went wrong may name hosts: that is for the log alone. */
        if (!ready && (health->ready || health->asked == 0)) {
            mr_log_warn("%s", err.message);

        } else if (ready && !health->ready) {
            mr_log_info("MongoDB answers");
        }

        health->ready = ready;
        health->asked = mr_time_monotonic();

        mr_health_wait(health, MR_HEALTH_INTERVAL);
    }

    pthread_mutex_unlock(&health->mutex);

    return NULL;
}


static void
mr_health_wait(mr_health_t *health, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }

    if (!health->stopping) {
        (void) pthread_cond_timedwait(&health->wake, &health->mutex, &until);
    }
}
