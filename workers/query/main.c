#include <malloc.h>
#include <sys/resource.h>

#include "../common/command_line.h"
#include "../common/log.h"
#include "../common/metrics.h"
#include "../common/run.h"
#include "health.h"
#include "route.h"
#include "server.h"
#include "store.h"
#include "stream.h"


#define MR_MAIN_POLL 3600000

/*
 * Memory for the megabytes that an export reads at a time is kept from one to
 * the next: to give it back and fault it in again takes longer than to fill
 * it.  What was kept is given back when an export has ended (mr_pool_trim()).
 */
#define MR_MAIN_MAPPED (32 * 1024 * 1024)
#define MR_MAIN_KEPT (64 * 1024 * 1024)
#define MR_MAIN_ARENAS 2


static int mr_main_run(mr_app_t *app, mr_error_t *err);
static void mr_main_files(void);


int
main(int argc, char **argv)
{
    int rc;
    mr_app_t app = {NULL, NULL, NULL, NULL, NULL};
    mr_error_t err = MR_ERROR_INIT;
    mr_options_t options;
    mr_command_line_t line = {.program = "millrace-query"};

    mr_log_init(line.program);
    (void) mallopt(M_MMAP_THRESHOLD, MR_MAIN_MAPPED);
    (void) mallopt(M_TRIM_THRESHOLD, MR_MAIN_KEPT);
    (void) mallopt(M_ARENA_MAX, MR_MAIN_ARENAS);

    rc = mr_command_line(&line, argc, argv, &options);

    if (rc != -1) {
        return rc;
    }

    app.options = &options;
    rc = mr_main_run(&app, &err);

    if (rc == -1) {
        mr_log_error("%s", err.message);
    }

    mr_stream_free(app.stream);
    mr_health_stop(app.health);
    mr_store_close(app.store);
    mr_crew_stop(app.crew);
    mr_options_free(&options);

    return rc == 0 ? 0 : 1;
}


static int
mr_main_run(mr_app_t *app, mr_error_t *err)
{
    mr_server_t *server;
    const mr_options_t *options;

    options = app->options;

    if (mr_run_init(err) == -1) {
        return -1;
    }

    mr_main_files();

    if (mr_crew_start((size_t) options->query.threads, &app->crew, err) == -1
        || mr_store_open(options, app->crew, &app->store, err) == -1
        || mr_health_start(app->store, &app->health, err) == -1
        || mr_stream_start(options, &app->stream, err) == -1
        || mr_metrics_start(options->query.metrics, err) == -1)
    {
        return -1;
    }

    if (mr_server_start(app, &server, err) == -1) {
        mr_metrics_stop();
        return -1;
    }

    mr_log_info("listening on %s, metrics on %s", options->query.listen,
        options->query.metrics);

    while (!mr_run_sleep(MR_MAIN_POLL)) {
        /* void */
    }

    mr_log_info("stopping");

    mr_server_stop(server);
    mr_metrics_stop();

    return 0;
}


/* A connection is a file: take as many as the system lets us have. */
static void
mr_main_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0
        && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
}
