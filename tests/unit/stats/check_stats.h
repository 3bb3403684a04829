/* The suites of this program, one a file, and what they share. */
#ifndef MILLRACE_CHECK_STATS_H
#define MILLRACE_CHECK_STATS_H

#include <check.h>

#include <stats/chunk.h>


Suite *suite_window(void);
Suite *suite_merged(void);
Suite *suite_chunk(void);
Suite *suite_message(void);
Suite *suite_lease(void);


/* A key over a literal, which must outlive it. */
mr_window_key_t test_key(
    mr_width_t width, const char *event_type, int64_t start);

/* A partial in the arena, of `count` events without a measure. */
mr_partial_t *test_partial(mr_arena_t *arena, int32_t partition, int64_t count);

/* Give it a measure; {count, sum, min, max} as they are. */
void test_measure(mr_arena_t *arena, mr_scalars_t *scalars, const char *name,
    mr_measure_stats_t stats);

#endif /* MILLRACE_CHECK_STATS_H */
