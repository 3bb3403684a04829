#include <stdio.h>
#include <string.h>

#include <writer/registry.h>

#include "check_writer.h"


static mr_options_t options;
static mr_pool_t pool;
static mr_flush_t *flush;
static mr_registry_t registry;


static void
setup(void)
{
    test_options(&options, 1);
    flush = mr_flush_create(&options, &pool);
    ck_assert_ptr_nonnull(flush);
    registry = (mr_registry_t) MR_REGISTRY_INIT;
}


static void
teardown(void)
{
    mr_registry_free(&registry);
    mr_flush_destroy(flush);
    mr_pool_free(&pool);
    test_options_free(&options);
}


/* Numbers go up from 0 in the order of a list "a b c". */
static void
add(mr_types_t *types, const char *list)
{
    size_t len;
    uint32_t number;
    mr_str_t name;

    for (/* void */; *list != '\0'; list += len + strspn(list + len, " ")) {
        len = strcspn(list, " ");
        name = (mr_str_t){list, len};
        ck_assert_int_eq(mr_types_find(types, name, &number), 0);
    }
}


static const struct {
    const char *known;
    const char *flush;
    int64_t max;
    const char *other; /* by the copy alone, a character a type */
    const char *left;  /* when the registry has been asked */
    size_t n;          /* known then */
} cases[] = {
    {"", "", 5, "", "", 0},
    {"a b c", "a b", 5, "..", "..", 3},
    {"a b c", "c a b", 3, "...", "...", 3},

    /* Places are given in the order in which types come. */
    {"", "a b c", 5, "xxx", "...", 3},
    {"", "a b c", 2, "xxx", "..x", 2},
    {"a", "x a y", 2, "x.x", "..x", 2},
    {"a b", "x a y b", 2, "x.x.", "x.x.", 2},

    /* A database may have more of them than there are places. */
    {"a b c", "x c", 2, "x.", "x.", 3},

    /* What the others are counted under is no type of its own. */
    {"", "(other) a", 5, "xx", "x.", 1},
    {"a", "(other)", 5, "x", "x", 1},
    {"", "(other) a b", 1, "xxx", "x.x", 1},

    /* Names that a careless comparison takes for each other. */
    {"view", "View vie viewx view", 9, "xxx.", "....", 4},
};


static void
check_marks(const char *marks)
{
    size_t i;

    ck_assert_uint_eq(flush->types.n, strlen(marks));

    for (i = 0; marks[i] != '\0'; i++) {
        ck_assert_int_eq(flush->other[i] != 0, marks[i] == 'x');
    }
}


START_TEST(places_table)
{
    size_t marked, i, n;
    uint32_t number;

    add(&registry.known, cases[_i].known);
    add(&flush->types, cases[_i].flush);
    registry.max = cases[_i].max;

    for (i = 0, n = 0; cases[_i].other[i] != '\0'; i++) {
        n += cases[_i].other[i] == 'x';
    }

    ck_assert_int_eq(mr_registry_mark(&registry, flush, &marked), 0);
    ck_assert_uint_eq(marked, n);
    check_marks(cases[_i].other);

    ck_assert_int_eq(mr_registry_admit(&registry, flush), 0);
    check_marks(cases[_i].left);
    ck_assert_uint_eq(registry.known.n, cases[_i].n);

    /* What has a place is known, and is not marked again. */
    ck_assert_int_eq(mr_registry_mark(&registry, flush, &marked), 0);
    check_marks(cases[_i].left);

    for (i = 0; i < flush->types.n; i++) {
        ck_assert_int_eq(
            mr_types_known(&registry.known, flush->types.names[i], &number),
            !flush->other[i]);
    }
}
END_TEST


/* A flush that invents types grows its marks with them. */
START_TEST(many_types)
{
    int len;
    char name[16];
    size_t i, marked, left;
    uint32_t number;

    registry.max = 1000;

    for (i = 0; i < 5000; i++) {
        len = snprintf(name, sizeof(name), "t%zu", i);
        ck_assert_int_eq(mr_types_find(&flush->types,
                             (mr_str_t){name, (size_t) len}, &number),
            0);
    }

    ck_assert_int_eq(mr_registry_mark(&registry, flush, &marked), 0);
    ck_assert_uint_eq(marked, 5000);
    ck_assert_int_eq(mr_registry_admit(&registry, flush), 0);
    ck_assert_uint_eq(registry.known.n, 1000);

    for (i = 0, left = 0; i < 5000; i++) {
        ck_assert_int_eq(flush->other[i], i >= 1000);
        left += flush->other[i];
    }

    ck_assert_int_eq(mr_registry_mark(&registry, flush, &marked), 0);
    ck_assert_uint_eq(marked, left);
}
END_TEST


/* The eighth shares its bit with the first; unknown ones have all. */
START_TEST(bits_go_by_the_number)
{
    mr_buf_t bits = MR_BUF_INIT;
    static const uint8_t expected[] = {64, 1, 127, 1, 2, 127};

    add(&registry.known, "a b c d e f g h");
    add(&flush->types, "g a x h b (other)");

    ck_assert_int_eq(mr_registry_bits(&registry, &flush->types, &bits), 0);
    ck_assert_uint_eq(bits.len, sizeof(expected));
    ck_assert_int_eq(memcmp(bits.data, expected, bits.len), 0);

    /* Of the next flush, which has fewer. */
    mr_types_reset(&flush->types);
    add(&flush->types, "c");

    ck_assert_int_eq(mr_registry_bits(&registry, &flush->types, &bits), 0);
    ck_assert_uint_eq(bits.len, 1);
    ck_assert_int_eq(bits.data[0], 4);

    mr_buf_free(&bits);
}
END_TEST


Suite *
suite_registry(void)
{
    TCase *tc;
    Suite *suite;

    suite = suite_create("registry");
    tc = tcase_create("registry");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(
        tc, places_table, 0, (int) (sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tc, many_types);
    tcase_add_test(tc, bits_go_by_the_number);
    suite_add_tcase(suite, tc);

    return suite;
}
