#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics.h"
#include "version.h"


static void process_stat(void);
static void process_files(void);
static double process_started(unsigned long long ticks);


/*
 * Names and meanings are those of Prometheus' client libraries, so that
 * dashboards made for any program work for this one.
 */
void
mr_metrics_process(void)
{
    struct rusage usage;

    mr_metric_set(
        mr_metric(MR_METRIC_GAUGE, "millrace_build_info",
            "version=\"" MR_VERSION "\"", "1, with the version as a label."),
        1);

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        mr_metric_set(
            mr_metric(MR_METRIC_SECONDS, "process_cpu_seconds_total", "",
                "Processor time in user and system mode, in seconds."),
            (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3
                + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
                      / 1e3);
    }

    process_stat();
    process_files();
}


/* proc(5): after the name in brackets, fields 3 and on. */
static void
process_stat(void)
{
    long threads, pages;
    char line[1024], *p;
    FILE *file;
    unsigned long size;
    unsigned long long started;

    file = fopen("/proc/self/stat", "re");

    if (file == NULL) {
        return;
    }

    p = fgets(line, sizeof(line), file);
    (void) fclose(file);

    if (p == NULL || (p = strrchr(line, ')')) == NULL
        || sscanf(p + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
               "%*d %*d %*d %ld %*d %llu %lu %ld",
               &threads, &started, &size, &pages)
               != 4)
    {
        return;
    }

    mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_start_time_seconds", "",
                      "When the process was started, in UNIX seconds."),
        process_started(started));
    mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_resident_memory_bytes",
                      "", "Memory in use, in bytes."),
        (double) pages * (double) sysconf(_SC_PAGESIZE));
    mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_virtual_memory_bytes", "",
                      "Address space in use, in bytes."),
        (double) size);
    mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_threads", "",
                      "Threads of the process."),
        (double) threads);
}


static void
process_files(void)
{
    DIR *dir;
    long n;
    struct rlimit limit;

    dir = opendir("/proc/self/fd");

    if (dir != NULL) {

        /* Not "." and "..", and not this one. */
        for (n = -3; readdir(dir) != NULL; n++) {
            /* void */
        }

        (void) closedir(dir);

        mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_open_fds", "",
                          "Open file descriptors."),
            (double) n);
    }

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        mr_metric_set(mr_metric(MR_METRIC_GAUGE, "process_max_fds", "",
                          "File descriptors the process may have open."),
            (double) limit.rlim_cur);
    }
}


/* The kernel counts ticks since the machine was started. */
static double
process_started(unsigned long long ticks)
{
    char line[64];
    FILE *file;
    unsigned long long boot;

    boot = 0;
    file = fopen("/proc/stat", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "btime %llu", &boot) == 1) {
            break;
        }
    }

    if (file != NULL) {
        (void) fclose(file);
    }

    return (double) boot + (double) ticks / (double) sysconf(_SC_CLK_TCK);
}
