#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "check_stats.h"


#define MAX 1000
#define MEMORY (16 * 1024 * 1024)


static mr_chunk_t *chunk;


static void
setup(void)
{
    chunk = mr_chunk_create(MAX, MEMORY);
    ck_assert_ptr_nonnull(chunk);
}


static void
teardown(void)
{
    mr_chunk_destroy(chunk);
}


START_TEST(a_key_is_found_again)
{
    char text[] = "page_view";
    mr_entry_t *entry;
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, text, 60000);
    entry = mr_chunk_add(chunk, &key);
    ck_assert_ptr_nonnull(entry);

    /* the text was copied */
    memset(text, 'x', sizeof(text) - 1);
    ck_assert(mr_str_eq(entry->key.event_type, mr_str("page_view")));

    key = test_key(MR_WIDTH_MINUTE, "page_view", 60000);
    ck_assert_ptr_eq(mr_chunk_find(chunk, &key), entry);
    ck_assert_ptr_eq(mr_chunk_add(chunk, &key), entry);
    ck_assert_uint_eq(mr_chunk_count(chunk), 1);
}
END_TEST


START_TEST(sorted_by_document_and_found_again)
{
    size_t i;
    mr_window_key_t keys[] = {
        test_key(MR_WIDTH_SECOND, "b", 61000),
        test_key(MR_WIDTH_HOUR, "a", 0),
        test_key(MR_WIDTH_SECOND, "a", 119000),
        test_key(MR_WIDTH_MINUTE, "b", 0),
        test_key(MR_WIDTH_SECOND, "a", 60000),
        test_key(MR_WIDTH_MINUTE, "a", 60000),
        test_key(MR_WIDTH_SECOND, "b", 0),
    };
    static const size_t order[] = {5, 4, 2, 0, 3, 6, 1};

    for (i = 0; i < 7; i++) {
        ck_assert_ptr_nonnull(mr_chunk_add(chunk, &keys[i]));
    }

    mr_chunk_sort(chunk);

    for (i = 0; i < 7; i++) {
        ck_assert_ptr_eq(
            mr_chunk_find(chunk, &keys[order[i]]), mr_chunk_at(chunk, i));
        ck_assert_ptr_eq(
            mr_chunk_add(chunk, &keys[order[i]]), mr_chunk_at(chunk, i));
    }

    ck_assert_uint_eq(mr_chunk_count(chunk), 7);
}
END_TEST


START_TEST(every_part_of_a_key_counts)
{
    mr_window_key_t key;

    key = test_key(MR_WIDTH_MINUTE, "a", 60000);
    ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));

    key = test_key(MR_WIDTH_SECOND, "a", 60000);
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));

    key = test_key(MR_WIDTH_MINUTE, "a", 120000);
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));

    key = test_key(MR_WIDTH_MINUTE, "b", 60000);
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));

    key = test_key(MR_WIDTH_MINUTE, "", 60000);
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));
    ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));
    ck_assert_uint_eq(mr_chunk_count(chunk), 2);
}
END_TEST


START_TEST(a_full_chunk_takes_no_more)
{
    int i;
    char text[16];
    mr_window_key_t key;

    for (i = 0; i < MAX; i++) {
        ck_assert(!mr_chunk_full(chunk));
        (void) snprintf(text, sizeof(text), "type-%d", i % 100);
        key = test_key(MR_WIDTH_SECOND, text, i / 100 * 1000);
        ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));
    }

    ck_assert(mr_chunk_full(chunk));

    key = test_key(MR_WIDTH_SECOND, "another", 0);
    ck_assert_ptr_null(mr_chunk_add(chunk, &key));
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));

    for (i = 0; i < MAX; i++) {
        (void) snprintf(text, sizeof(text), "type-%d", i % 100);
        key = test_key(MR_WIDTH_SECOND, text, i / 100 * 1000);
        ck_assert_ptr_eq(
            mr_chunk_find(chunk, &key), mr_chunk_at(chunk, (size_t) i));
    }

    mr_chunk_reset(chunk);

    ck_assert(!mr_chunk_full(chunk));
    ck_assert_uint_eq(mr_chunk_count(chunk), 0);

    key = test_key(MR_WIDTH_SECOND, "type-1", 0);
    ck_assert_ptr_null(mr_chunk_find(chunk, &key));
    ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));
}
END_TEST


START_TEST(partials_are_kept_in_the_order_of_partitions)
{
    size_t i;
    mr_arena_t *arena;
    mr_entry_t *entry;
    mr_partial_t *part;
    mr_window_key_t key;
    static const int32_t order[] = {5, 0, 7, 3, 12, 1};
    static const int32_t sorted[] = {0, 1, 3, 5, 7, 12};

    arena = mr_chunk_arena(chunk);
    key = test_key(MR_WIDTH_SECOND, "a", 0);
    entry = mr_chunk_add(chunk, &key);

    for (i = 0; i < 6; i++) {
        ck_assert(!mr_entry_has(entry, order[i], false));
        mr_entry_link(entry, test_partial(arena, order[i], 1));
        ck_assert(mr_entry_has(entry, order[i], false));
    }

    /* one that was read again, later, takes the earlier one's place */
    mr_entry_link(entry, test_partial(arena, 3, 99));

    part = entry->partials;

    for (i = 0; i < 6; i++) {
        ck_assert_ptr_nonnull(part);
        ck_assert_int_eq(part->partition, sorted[i]);
        ck_assert_int_eq(part->scalars.count, sorted[i] == 3 ? 99 : 1);
        part = part->next;
    }

    ck_assert_ptr_null(part);
    ck_assert(!mr_entry_has(entry, 2, false));
    ck_assert(!mr_entry_has(entry, 13, false));
}
END_TEST


/* What an earlier version stored alone, and what is inside the minute. */
START_TEST(a_second_may_have_two_parts_of_a_partition)
{
    size_t i, j;
    mr_arena_t *arena;
    mr_entry_t *entry;
    mr_partial_t *part;
    mr_window_key_t key;
    static const struct {
        int32_t partition;
        bool inside;
    } parts[] = {{1, true}, {0, false}, {1, false}, {0, true}};
    static const size_t sorted[] = {1, 3, 2, 0};

    arena = mr_chunk_arena(chunk);
    key = test_key(MR_WIDTH_SECOND, "a", 0);
    entry = mr_chunk_add(chunk, &key);

    for (i = 0; i < 4; i++) {
        ck_assert(!mr_entry_has(entry, parts[i].partition, parts[i].inside));

        /* the second time it takes the place of the first */
        for (j = 0; j < 2; j++) {
            part = test_partial(arena, parts[i].partition, (int64_t) (i + j));
            part->inside = parts[i].inside;
            mr_entry_link(entry, part);
        }

        ck_assert(mr_entry_has(entry, parts[i].partition, parts[i].inside));
    }

    part = entry->partials;

    for (i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(part);
        ck_assert_int_eq(part->partition, parts[sorted[i]].partition);
        ck_assert(part->inside == parts[sorted[i]].inside);
        ck_assert_int_eq(part->scalars.count, (int64_t) sorted[i] + 1);
        part = part->next;
    }

    ck_assert_ptr_null(part);
}
END_TEST


/* What is read beside of a slice has room in the chunk's memory. */
START_TEST(a_slice_is_bounded_by_what_is_read_of_it)
{
    size_t i, n, all;
    char text[16];
    mr_partial_t *part;
    mr_window_key_t key;
    static const struct {
        size_t users;
        size_t partitions;
        size_t most;
        size_t slice;
    } cases[] = {
        {0, 1, 100, 100},
        {0, 8, 100, 74}, /* taken for 20 KiB each, and three more */
        {12 * 1024, 8, 100, 74},
        {12 * 1024, 8, 10, 10},
        {40 * 1024, 8, 100, 37},
        {12 * 1024, 512, 100, 1},
        {MEMORY, 1, 100, 1},
    };

    for (n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {

        mr_chunk_reset(chunk);

        for (i = 0; i < 200; i++) {
            (void) snprintf(text, sizeof(text), "type-%zu", i);
            key = test_key(MR_WIDTH_MINUTE, text, 60000);
            part = test_partial(mr_chunk_arena(chunk), 0, 1);
            part->scalars.users = (mr_str_t){text, cases[n].users};
            mr_entry_link(mr_chunk_add(chunk, &key), part);
        }

        mr_chunk_sort(chunk);

        ck_assert_uint_eq(
            mr_chunk_slice(chunk, 0, cases[n].most, cases[n].partitions),
            cases[n].slice);

        /* one after the other they are all */
        for (all = 0; all < 200; all += i) {
            i = mr_chunk_slice(chunk, all, cases[n].most, cases[n].partitions);
            ck_assert_uint_ge(i, 1);
            ck_assert_uint_le(i, cases[n].slice);
        }

        ck_assert_uint_eq(all, 200);
    }
}
END_TEST


START_TEST(a_slice_does_not_cut_a_document)
{
    int64_t second;
    mr_window_key_t key;

    /* the minute 60000 of b, its seconds, then the same of a minute before */
    for (second = 0; second < 120; second++) {
        key = test_key(MR_WIDTH_SECOND, "b", second * 1000);
        ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));
        key = test_key(MR_WIDTH_MINUTE, "b", second / 60 * 60000);
        ck_assert_ptr_nonnull(mr_chunk_add(chunk, &key));
    }

    mr_chunk_sort(chunk);

    ck_assert_uint_eq(mr_chunk_slice(chunk, 0, 121, 1), 61);
    ck_assert_uint_eq(mr_chunk_slice(chunk, 61, 121, 1), 61);
    ck_assert_uint_eq(mr_chunk_slice(chunk, 0, 122, 1), 122);
    ck_assert_uint_eq(mr_chunk_slice(chunk, 0, 61, 1), 61);

    /* but where it has to */
    ck_assert_uint_eq(mr_chunk_slice(chunk, 0, 60, 1), 60);
    ck_assert_uint_eq(mr_chunk_slice(chunk, 60, 60, 1), 1);
}
END_TEST


/* What is read of one slice must not be linked into the next. */
START_TEST(a_slice_ends_with_its_memory)
{
    size_t i;
    mr_arena_t arena = MR_ARENA_INIT;
    mr_window_key_t key;
    mr_slice_t slice = {chunk, 1, 2, &arena};

    for (i = 0; i < 4; i++) {
        key = test_key(MR_WIDTH_HOUR, "a", -3600000 * (int64_t) i);
        mr_entry_link(mr_chunk_add(chunk, &key),
            test_partial(mr_chunk_arena(chunk), 0, 1));
    }

    mr_chunk_sort(chunk);

    for (i = 0; i < 4; i++) {
        key = test_key(MR_WIDTH_HOUR, "a", -3600000 * (int64_t) i);
        ck_assert_ptr_eq(mr_slice_find(&slice, &key),
            i == 1 || i == 2 ? mr_chunk_at(chunk, i) : NULL);
    }

    key = test_key(MR_WIDTH_HOUR, "b", 0);
    ck_assert_ptr_null(mr_slice_find(&slice, &key));

    mr_entry_link(mr_chunk_at(chunk, 1), test_partial(&arena, 1, 1));
    mr_chunk_at(chunk, 2)->stored = mr_arena_alloc(&arena, sizeof(mr_merged_t));

    mr_slice_end(&slice);

    ck_assert_uint_eq(arena.used, 0);

    for (i = 0; i < 4; i++) {
        ck_assert_ptr_null(mr_chunk_at(chunk, i)->stored);
        ck_assert(mr_entry_has(mr_chunk_at(chunk, i), 0, false)
                  == (i == 0 || i == 3));
    }

    mr_arena_free(&arena);
}
END_TEST


START_TEST(an_arena_gives_zeroed_aligned_memory)
{
    size_t i, j;
    char *data;
    mr_arena_t arena = MR_ARENA_INIT;

    for (i = 0; i < 3; i++) {

        for (j = 1; j < 300000; j = j * 3 + 1) {
            data = mr_arena_alloc(&arena, j);
            ck_assert_ptr_nonnull(data);
            ck_assert_uint_eq((uintptr_t) data % sizeof(void *), 0);
            ck_assert_int_eq(data[0] | data[j - 1], 0);
            memset(data, 0xff, j);
        }

        ck_assert_uint_ge(arena.used, 300000);
        mr_arena_reset(&arena);
        ck_assert_uint_eq(arena.used, 0);
    }

    ck_assert_ptr_null(mr_arena_alloc(&arena, SIZE_MAX - 8));

    mr_arena_free(&arena);
}
END_TEST


Suite *
suite_chunk(void)
{
    Suite *suite;
    TCase *tc;

    suite = suite_create("chunk");
    tc = tcase_create("chunk");
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);

    tcase_add_test(tc, a_key_is_found_again);
    tcase_add_test(tc, sorted_by_document_and_found_again);
    tcase_add_test(tc, every_part_of_a_key_counts);
    tcase_add_test(tc, a_full_chunk_takes_no_more);
    tcase_add_test(tc, partials_are_kept_in_the_order_of_partitions);
    tcase_add_test(tc, a_second_may_have_two_parts_of_a_partition);
    tcase_add_test(tc, a_slice_is_bounded_by_what_is_read_of_it);
    tcase_add_test(tc, a_slice_does_not_cut_a_document);
    tcase_add_test(tc, a_slice_ends_with_its_memory);
    tcase_add_test(tc, an_arena_gives_zeroed_aligned_memory);

    return suite;
}
