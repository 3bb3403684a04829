#include <math.h>
#include <string.h>

#include "../common/metrics.h"

#include "stats_point.h"


static int mr_sketches_damaged(int *missing, const mr_error_t *err);


const double mr_quantiles[MR_QUANTILES] = {0.50, 0.95, 0.99};


void
mr_point_set(mr_point_t *point, const mr_window_row_t *row)
{
    point->count = row->count;
    point->measure = row->measure;
    point->unestimated = !row->estimated && row->count > 0;
    point->unique_users = row->estimated ? row->unique_users : 0;
    point->unranked = !row->ranked;
    memcpy(point->quantiles, row->quantiles, sizeof(point->quantiles));
}


void
mr_point_add(mr_point_t *point, const mr_point_t *from)
{
    point->count += from->count;
    mr_measure_merge(&point->measure, &from->measure);
}


int
mr_sketches_add(
    mr_sketches_t *sketches, const mr_window_row_t *row, mr_error_t *err)
{
    if (row->users.len == 0) {
        sketches->users_missing |= row->count > 0;

    } else if (mr_hll_merge_bytes(&sketches->users, row->users, err) == -1
               && mr_sketches_damaged(&sketches->users_missing, err) != 0)
    {
        return -1;
    }

    if (row->values.len == 0) {
        sketches->values_missing |= row->measure.count > 0;

    } else if (mr_ddsketch_merge_bytes(&sketches->values, row->values, err)
                   == -1
               && mr_sketches_damaged(&sketches->values_missing, err) != 0)
    {
        return -1;
    }

    return 0;
}


/* What is damaged is missing: counts and sums are answered all the same. */
static int
mr_sketches_damaged(int *missing, const mr_error_t *err)
{
    if (err->code != MR_ERROR_CODING) {
        return -1;
    }

    mr_metric_add(
        mr_metric(MR_METRIC_COUNTER, "millrace_query_sketches_damaged_total",
            "", "Damaged sketches, whose windows' estimates are not known"),
        1);
    *missing = 1;

    return 0;
}


int
mr_sketches_merge(
    mr_sketches_t *into, const mr_sketches_t *from, mr_error_t *err)
{
    into->users_missing |= from->users_missing;
    into->values_missing |= from->values_missing;

    if (mr_hll_merge(&into->users, &from->users) == -1
        || mr_ddsketch_merge(&into->values, &from->values) == -1)
    {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    return 0;
}


void
mr_sketches_estimate(const mr_sketches_t *sketches, mr_point_t *point)
{
    int i;
    double value;

    point->unestimated = sketches->users_missing;
    point->unique_users =
        sketches->users_missing ? 0 : mr_hll_estimate(&sketches->users);

    point->unranked = sketches->values_missing || sketches->values.count == 0;

    for (i = 0; i < MR_QUANTILES && !point->unranked; i++) {
        value = mr_ddsketch_quantile(&sketches->values, mr_quantiles[i]);

        /* A bucket's middle may lie beyond what was really seen. */
        value = fmax(value, point->measure.min);
        point->quantiles[i] = fmin(value, point->measure.max);
    }
}


void
mr_sketches_free(mr_sketches_t *sketches)
{
    mr_hll_free(&sketches->users);
    mr_ddsketch_free(&sketches->values);
    sketches->users_missing = 0;
    sketches->values_missing = 0;
}
