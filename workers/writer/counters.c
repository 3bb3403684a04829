#include "counters.h"

#include <stdio.h>

#include <millrace/limits.h>


#define COUNTERS_RECORDS "millrace_writer_records_total"
#define COUNTERS_RETRIES "millrace_writer_retries_total"


static const char *const halt_names[MR_HALTS] = {
    [MR_HALT_FENCED] = "fenced",
    [MR_HALT_LOST] = "lost",
    [MR_HALT_RECREATED] = "recreated",
    [MR_HALT_CHANGED] = "changed",
    [MR_HALT_HOLE] = "hole",
    [MR_HALT_MEMORY] = "memory",
    [MR_HALT_LARGE] = "large",
    [MR_HALT_CORRUPT] = "corrupt",
};


void
mr_counters_init(mr_counters_t *counters)
{
    char labels[32];
    mr_halt_t halt;
    mr_verdict_t verdict;
    static const char records[] = "Records judged and done, by outcome";
    static const char retries[] = "Operations that had to be tried again";

    counters->stored = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RECORDS, "outcome=\"stored\"", records);
    counters->repeated = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RECORDS, "outcome=\"repeated\"", records);
    counters->dead = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RECORDS, "outcome=\"dead\"", records);

    counters->ignored =
        mr_metric(MR_METRIC_COUNTER, "millrace_writer_measures_ignored_total",
            "", "Measures that were no number, or beyond 1e15");

    counters->types = mr_metric(MR_METRIC_GAUGE, "millrace_writer_types", "",
        "Event types that have windows of their own, as this writer saw last");
    counters->types_max = mr_metric(MR_METRIC_GAUGE,
        "millrace_writer_types_max", "", "How many there may be");
    counters->other = mr_metric(MR_METRIC_COUNTER,
        "millrace_writer_other_events_total", "",
        "Events of other types, which are counted under " MR_EVENT_TYPE_OTHER);

    counters->flushes = mr_metric(MR_METRIC_COUNTER,
        "millrace_writer_flushes_total", "", "Transactions committed");
    counters->flush_time =
        mr_metric(MR_METRIC_HISTOGRAM, "millrace_writer_flush_seconds", "",
            "Time that storing a flush took, retries included");
    counters->flushed = mr_metric(MR_METRIC_GAUGE,
        "millrace_writer_last_flush_timestamp_seconds", "",
        "When the newest transaction was committed, 0 before the first");

    counters->store_retries = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RETRIES, "operation=\"store\"", retries);
    counters->dead_retries = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RETRIES, "operation=\"dead\"", retries);
    counters->assign_retries = mr_metric(
        MR_METRIC_COUNTER, COUNTERS_RETRIES, "operation=\"assign\"", retries);

    counters->holes = mr_metric(MR_METRIC_COUNTER,
        "millrace_writer_holes_total", "",
        "Flushes that passed over offsets which the log never held, such as "
        "transaction markers");

    for (halt = 0; halt < MR_HALTS; halt++) {
        (void) snprintf(
            labels, sizeof(labels), "reason=\"%s\"", halt_names[halt]);

        counters->halts[halt] =
            mr_metric(MR_METRIC_COUNTER, "millrace_writer_halts_total", labels,
                "Times a partition's unstored work was dropped and begun anew");
    }

    for (verdict = MR_LEDGER_GAP; verdict < MR_VERDICTS; verdict++) {
        (void) snprintf(
            labels, sizeof(labels), "reason=\"%s\"", mr_verdict_name(verdict));

        counters->stops[verdict] =
            mr_metric(MR_METRIC_COUNTER, "millrace_writer_stops_total", labels,
                "Times a partition was stopped until the operator decides");
    }

    counters->assigned =
        mr_metric(MR_METRIC_GAUGE, "millrace_writer_assigned_partitions", "",
            "Partitions that this writer reads");
    counters->stopped =
        mr_metric(MR_METRIC_GAUGE, "millrace_writer_stopped_partitions", "",
            "Partitions that wait for the operator's decision");
}


mr_metric_t *
mr_counters_lag(int partition)
{
    char labels[32];

    (void) snprintf(labels, sizeof(labels), "partition=\"%d\"", partition);

    return mr_metric(MR_METRIC_GAUGE, "millrace_writer_lag_records", labels,
        "Offsets between the end of the partition and what is stored");
}


const char *
mr_halt_name(mr_halt_t halt)
{
    return halt_names[halt];
}
