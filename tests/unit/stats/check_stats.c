/* The unit tests of the windows and of the statistics daemon. */

#include <stdlib.h>
#include <string.h>

#include "check_stats.h"


int
main(void)
{
    int failed;
    SRunner *runner;

    runner = srunner_create(suite_window());
    srunner_add_suite(runner, suite_merged());
    srunner_add_suite(runner, suite_chunk());
    srunner_add_suite(runner, suite_message());
    srunner_add_suite(runner, suite_lease());

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


mr_window_key_t
test_key(mr_width_t width, const char *event_type, int64_t start)
{
    mr_window_key_t key;

    key.width = width;
    key.start = start;
    key.event_type.data = event_type;
    key.event_type.len = strlen(event_type);

    return key;
}


mr_partial_t *
test_partial(mr_arena_t *arena, int32_t partition, int64_t count)
{
    mr_partial_t *part;

    part = mr_arena_alloc(arena, sizeof(mr_partial_t));
    ck_assert_ptr_nonnull(part);

    part->partition = partition;
    part->scalars.count = count;

    return part;
}


void
test_measure(mr_arena_t *arena, mr_scalars_t *scalars, const char *name,
    mr_measure_stats_t stats)
{
    size_t n;
    mr_named_measure_t *list;

    n = scalars->n_measures;
    list = mr_arena_alloc(arena, (n + 1) * sizeof(*list));
    ck_assert_ptr_nonnull(list);

    if (n > 0) {
        memcpy(list, scalars->measures, n * sizeof(*list));
    }

    list[n].name.data = name;
    list[n].name.len = strlen(name);
    list[n].stats = stats;

    scalars->measures = list;
    scalars->n_measures = n + 1;
    mr_scalars_sort(scalars);
}
