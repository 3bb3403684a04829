#include <stdlib.h>
#include <string.h>

#include <millrace/time.h>

#include "candidates.h"
#include "page.h"


/*
 * Candidates, beyond what the page needs, at which rows are fetched to forget
 * all but the best.
 */
#define MR_PAGE_CANDIDATES 65536

/*
 * Rows in the first fetch, before their size is known, and later bounds.  A
 * long page is fetched in few steps, since each touches most of its blocks.
 */
#define MR_PAGE_FETCH 128
#define MR_PAGE_FETCH_MIN 16
#define MR_PAGE_FETCH_MAX 131072
#define MR_PAGE_FETCH_SIZE (32 * 1024 * 1024)


/* A row's place; less than a row is moved about, and mostly decides. */
typedef struct {
    int64_t rank;
    const mr_row_t *row;
} mr_place_t;


/*
 * A rank is a time, negated when descending: less is earlier in the page,
 * whatever the order.
 */
typedef struct {
    const mr_plan_t *plan;
    const mr_source_t *source;
    const mr_budget_t *budget;
    size_t need;                /* rows that end the page */
    int capped;                 /* need was lowered by budget->bytes */
    int64_t first;              /* no rank is less */
    int64_t last;               /* nor greater */
    int64_t bounds[MR_COURSES]; /* least rank still unread, of each */
    int ended[MR_COURSES];
    size_t added; /* candidates since they were pruned */
    mr_candidates_t candidates;
    mr_row_t *rows; /* ordered where there may be more than are needed */
    size_t n;
    int unordered; /* rows have come since that was so */
    size_t cap;
    size_t kept;    /* bytes of these rows */
    size_t fetch;   /* rows in the next fetch */
    size_t fetched; /* rows, and */
    size_t size;    /* bytes of them, so far */
    size_t blocks;
} mr_reader_t;


static int mr_reader_run(mr_reader_t *reader, mr_page_t *page, mr_error_t *err);
static int mr_reader_slowest(const mr_reader_t *reader);
static int mr_reader_advance(
    mr_reader_t *reader, size_t course, mr_error_t *err);
static int mr_reader_spent(const mr_reader_t *reader);
static int mr_reader_settle(mr_reader_t *reader, int64_t upto, mr_error_t *err);
static size_t mr_reader_step(size_t row_size);
static int mr_reader_fetch(
    mr_reader_t *reader, mr_candidate_t *list, size_t n, mr_error_t *err);
static int mr_reader_row(void *ctx, const mr_row_t *row, mr_error_t *err);
static int mr_reader_wanted(const mr_reader_t *reader, const mr_row_t *row);
static size_t mr_reader_size(const mr_row_t *row);
static void mr_reader_trim(mr_reader_t *reader);
static void mr_reader_sort(mr_reader_t *reader);
static void mr_reader_finish(
    mr_reader_t *reader, mr_page_t *page, int64_t frontier);
static void mr_reader_free(mr_reader_t *reader);
static int64_t mr_reader_rank(const mr_reader_t *reader, int64_t time);
static int mr_row_cmp_asc(const void *a, const void *b);
static int mr_row_cmp_desc(const void *a, const void *b);
static int mr_place_cmp_asc(const void *a, const void *b);
static int mr_place_cmp_desc(const void *a, const void *b);
static int mr_place_cmp(const mr_place_t *left, const mr_place_t *right,
    int (*row_cmp)(const void *a, const void *b));
static void mr_row_free(mr_row_t *row);


int
mr_page_read(const mr_plan_t *plan, const mr_source_t *source,
    const mr_budget_t *budget, mr_page_t *ret_page, mr_error_t *err)
{
    int rc;
    size_t i;
    int64_t from, to;
    mr_page_t page;
    mr_reader_t reader;

    memset(&page, 0, sizeof(page));
    memset(&reader, 0, sizeof(reader));

    mr_plan_times(plan, &from, &to);

    if (from >= to) {
        *ret_page = page;
        return 0;
    }

    reader.plan = plan;
    reader.source = source;
    reader.budget = budget;
    reader.need = plan->limit + 1;
    reader.fetch = mr_reader_step(budget->row_size);

    reader.first = plan->order == MR_ORDER_ASC ? from : -(to - 1);
    reader.last = plan->order == MR_ORDER_ASC ? to - 1 : -from;

    for (i = 0; i < MR_COURSES; i++) {
        reader.bounds[i] = reader.first;
    }

    mr_candidates_init(
        &reader.candidates, plan, source, reader.first, reader.last);

    rc = mr_reader_run(&reader, &page, err);

    if (rc == 0) {
        page.blocks = reader.blocks;
        page.fetched = reader.fetched;
        *ret_page = page;
    }

    mr_reader_free(&reader);

    return rc;
}


void
mr_page_free(mr_page_t *page)
{
    size_t i;

    for (i = 0; i < page->n; i++) {
        mr_row_free(&page->rows[i]);
    }

    free(page->rows);
    page->rows = NULL;
    page->n = 0;
}


static int
mr_reader_run(mr_reader_t *reader, mr_page_t *page, mr_error_t *err)
{
    int course;
    int64_t frontier;
    mr_candidates_t *candidates;
    const mr_budget_t *budget;

    budget = reader->budget;
    candidates = &reader->candidates;

    for (;;) {

        if (budget->stopped != NULL && budget->stopped(budget->ctx, err)) {
            return -1;
        }

        course = mr_reader_slowest(reader);
        frontier = course == -1 ? reader->last + 1 : reader->bounds[course];

        /*
         * Enough is known, all is read, or the budget is spent.  In the
         * first case all up to the limit is certain and nothing beyond it
         * was kept, so the page ends there also when rows have passed their
         * retention meanwhile and it is short of some.
         */
        if (frontier > candidates->limit) {
            frontier = candidates->limit + 1;

        } else if (course != -1
                   && (frontier == reader->first || !mr_reader_spent(reader)))
        {
            if (mr_reader_advance(reader, (size_t) course, err) == -1) {
                return -1;
            }

            if (candidates->n > MR_PAGE_CANDIDATES + 2 * reader->need
                && mr_reader_settle(reader, reader->last, err) == -1)
            {
                return -1;
            }

            continue;
        }

        if (mr_reader_settle(reader, frontier - 1, err) == -1) {
            return -1;
        }

        mr_reader_trim(reader);
        mr_reader_finish(reader, page, frontier);

        return 0;
    }
}


static int
mr_reader_slowest(const mr_reader_t *reader)
{
    int slowest;
    size_t i;

    slowest = -1;

    for (i = 0; i < mr_plan_courses(reader->plan); i++) {
        if (!reader->ended[i]
            && (slowest == -1 || reader->bounds[i] < reader->bounds[slowest]))
        {
            slowest = (int) i;
        }
    }

    return slowest;
}


static int
mr_reader_advance(mr_reader_t *reader, size_t course, mr_error_t *err)
{
    int rc;
    size_t before;
    int64_t bound;
    mr_header_t header;
    const mr_course_t *about;

    about = mr_plan_course(reader->plan, course);
    before = reader->candidates.n + reader->n;
    rc = reader->source->next(reader->source->ctx, course,
        before < reader->need ? reader->need - before : 0, &header, err);

    if (rc == -1) {
        return -1;
    }

    if (rc == 0) {
        reader->ended[course] = 1;
        return 0;
    }

    reader->blocks++;

    if (reader->plan->user_id.data != NULL) {
        rc = reader->source->rows(
            reader->source->ctx, mr_reader_row, reader, err);
        reader->unordered = 1;

    } else {
        rc = mr_candidates_add(&reader->candidates, &header, err);
    }

    if (rc == -1) {
        return -1;
    }

    reader->added += reader->candidates.n + reader->n - before;

    if (reader->plan->order == MR_ORDER_DESC) {
        bound = -header.tmax;

    } else if (about->by_tmin) {
        bound = header.tmin;

    } else {
        bound = header.tmax - about->width;
    }

    if (bound > reader->bounds[course]) {
        reader->bounds[course] = bound;
    }

    /*
     * Pruning looks at all there are, so some have to be new: but as soon as
     * there are enough for the page, that is where reading may end.
     */
    if (reader->candidates.n + reader->n < reader->need
        || reader->added <= reader->need / 8)
    {
        return 0;
    }

    reader->added = 0;

    if (mr_candidates_prune(
            &reader->candidates, reader->rows, reader->n, reader->need, err)
        == -1)
    {
        return -1;
    }

    if (reader->n > 2 * reader->need + MR_PAGE_CANDIDATES) {
        mr_reader_trim(reader);
    }

    return 0;
}


static int
mr_reader_spent(const mr_reader_t *reader)
{
    return reader->blocks >= reader->budget->blocks
           || (reader->budget->until != 0
               && mr_time_monotonic() >= reader->budget->until);
}


/* Turn the candidates up to a rank into rows, the earliest ones first. */
static int
mr_reader_settle(mr_reader_t *reader, int64_t upto, mr_error_t *err)
{
    int ordered;
    size_t i, n, chunk;
    int64_t worst;
    mr_candidate_t *list;
    const mr_budget_t *budget;

    budget = reader->budget;

    if (reader->unordered && reader->n >= reader->need) {
        mr_reader_trim(reader);
    }

    n = mr_candidates_take(&reader->candidates, upto, reader->fetch);
    ordered = n > reader->fetch;
    list = reader->candidates.list;

    for (i = 0; i < n; i += chunk) {

        if (ordered && reader->n >= reader->need) {
            worst =
                mr_reader_rank(reader, reader->rows[reader->need - 1].key.time);

            if (list[i].rank > worst) {
                break;
            }
        }

        if (budget->stopped != NULL && budget->stopped(budget->ctx, err)) {
            return -1;
        }

        chunk = n - i < reader->fetch ? n - i : reader->fetch;

        if (mr_reader_fetch(reader, list + i, chunk, err) == -1) {
            return -1;
        }

        if (reader->fetched > 0) {
            reader->fetch = mr_reader_step(reader->size / reader->fetched + 1);
        }
    }

    mr_candidates_drop(&reader->candidates, n);

    return mr_candidates_prune(
        &reader->candidates, reader->rows, reader->n, reader->need, err);
}


/* Rows to fetch at a time. */
static size_t
mr_reader_step(size_t row_size)
{
    size_t n;

    if (row_size == 0) {
        return MR_PAGE_FETCH;
    }

    n = MR_PAGE_FETCH_SIZE / row_size;

    if (n < MR_PAGE_FETCH_MIN) {
        return MR_PAGE_FETCH_MIN;
    }

    return n < MR_PAGE_FETCH_MAX ? n : MR_PAGE_FETCH_MAX;
}


static int
mr_reader_fetch(
    mr_reader_t *reader, mr_candidate_t *list, size_t n, mr_error_t *err)
{
    int rc;
    size_t i;
    mr_ref_t *refs;

    refs = malloc(n * sizeof(mr_ref_t));

    if (refs == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    mr_candidates_group(list, n);

    for (i = 0; i < n; i++) {
        refs[i] = mr_candidates_ref(&reader->candidates, &list[i]);
    }

    rc = reader->source->fetch(
        reader->source->ctx, refs, n, mr_reader_row, reader, err);

    free(refs);

    if (rc == 0
        && (reader->n >= reader->need || reader->kept > reader->budget->bytes))
    {
        mr_reader_trim(reader);
    }

    return rc;
}


/* Keep a copy of a row that belongs to the page or to a later one. */
static int
mr_reader_row(void *ctx, const mr_row_t *row, mr_error_t *err)
{
    char *copy;
    size_t cap;
    mr_row_t *rows;
    mr_reader_t *reader;
    const mr_key_t *key;
    const mr_plan_t *plan;

    reader = ctx;
    plan = reader->plan;
    key = &row->key;

    reader->fetched++;
    reader->size += mr_reader_size(row);

    if (!mr_reader_wanted(reader, row)) {
        return 0;
    }

    if (plan->event_id.data != NULL
        && !mr_str_eq(key->event_id, plan->event_id)) {
        return 0;
    }

    if (plan->start.kind == MR_POSITION_EVENT
        && mr_key_cmp(key, &plan->start.key, plan->order) <= 0)
    {
        return 0;
    }

    if (reader->n == reader->cap) {
        cap = reader->cap == 0 ? MR_PAGE_FETCH : reader->cap * 2;
        rows = realloc(reader->rows, cap * sizeof(mr_row_t));

        if (rows == NULL) {
            return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
        }

        reader->rows = rows;
        reader->cap = cap;
    }

    copy = malloc(row->data.len + row->type.len + key->user_id.len
                  + key->event_id.len + 1);

    if (copy == NULL) {
        return mr_error_set(err, MR_ERROR_MEMORY, NULL, "out of memory");
    }

    rows = &reader->rows[reader->n++];
    *rows = *row;

    memcpy(copy, row->data.data, row->data.len);
    rows->data.data = copy;

    copy += row->data.len;
    memcpy(copy, row->type.data, row->type.len);
    rows->type.data = copy;

    copy += row->type.len;
    memcpy(copy, key->user_id.data, key->user_id.len);
    rows->key.user_id.data = copy;

    copy += key->user_id.len;
    memcpy(copy, key->event_id.data, key->event_id.len);
    rows->key.event_id.data = copy;

    /* Rows may be larger than those before led to expect. */
    reader->kept += mr_reader_size(row);

    if (reader->kept / 2 > reader->budget->bytes + MR_PAGE_FETCH_SIZE) {
        mr_reader_trim(reader);
    }

    return 0;
}


/*
 * Whether the row can get into the page.  What was fetched can, but in a block
 * that millrace-erase has rewritten since, where others have moved up; what
 * came along with its header may be of another time, type or user.
 */
static int
mr_reader_wanted(const mr_reader_t *reader, const mr_row_t *row)
{
    size_t i;
    int64_t rank;
    const mr_plan_t *plan;

    plan = reader->plan;
    rank = mr_reader_rank(reader, row->key.time);

    if (rank < reader->first || rank > reader->candidates.limit
        || (plan->user_id.data != NULL
            && !mr_str_eq(plan->user_id, row->key.user_id)))
    {
        return 0;
    }

    for (i = 0; i < plan->n_types; i++) {
        if (mr_str_eq(plan->types[i], row->type)) {
            return 1;
        }
    }

    return plan->n_types == 0;
}


static size_t
mr_reader_size(const mr_row_t *row)
{
    return row->data.len + row->type.len + row->key.user_id.len;
}


/* Order the rows and forget those that the page has no room for. */
static void
mr_reader_trim(mr_reader_t *reader)
{
    size_t i, size;

    if (reader->n == 0) {
        return;
    }

    mr_reader_sort(reader);
    reader->unordered = 0;

    size = mr_reader_size(&reader->rows[0]);

    for (i = 1; i < reader->n && i < reader->need; i++) {
        size += mr_reader_size(&reader->rows[i]);

        if (size > reader->budget->bytes) {
            reader->need = i;
            reader->capped = 1;
        }
    }

    while (reader->n > reader->need) {
        mr_row_free(&reader->rows[--reader->n]);
    }

    reader->kept = 0;

    for (i = 0; i < reader->n; i++) {
        reader->kept += mr_reader_size(&reader->rows[i]);
    }
}


static void
mr_reader_sort(mr_reader_t *reader)
{
    int asc;
    size_t i;
    mr_row_t *rows;
    mr_place_t *places;

    asc = reader->plan->order == MR_ORDER_ASC;
    rows = malloc(reader->cap * sizeof(mr_row_t));
    places = malloc(reader->n * sizeof(mr_place_t));

    if (rows == NULL || places == NULL) {
        free(rows);
        free(places);
        qsort(reader->rows, reader->n, sizeof(mr_row_t),
            asc ? mr_row_cmp_asc : mr_row_cmp_desc);
        return;
    }

    for (i = 0; i < reader->n; i++) {
        places[i].rank = mr_reader_rank(reader, reader->rows[i].key.time);
        places[i].row = &reader->rows[i];
    }

    qsort(places, reader->n, sizeof(mr_place_t),
        asc ? mr_place_cmp_asc : mr_place_cmp_desc);

    for (i = 0; i < reader->n; i++) {
        rows[i] = *places[i].row;
    }

    free(places);
    free(reader->rows);
    reader->rows = rows;
}


/* All before `frontier` is settled: those rows are the page. */
static void
mr_reader_finish(mr_reader_t *reader, mr_page_t *page, int64_t frontier)
{
    int full;
    size_t keep;

    keep = 0;

    while (keep < reader->n
           && mr_reader_rank(reader, reader->rows[keep].key.time) < frontier)
    {
        keep++;
    }

    full = keep >= reader->need;

    if (full && !reader->capped) {
        keep = reader->plan->limit;
    }

    while (reader->n > keep) {
        mr_row_free(&reader->rows[--reader->n]);
    }

    page->rows = reader->rows;
    page->n = reader->n;
    reader->rows = NULL;
    reader->n = 0;

    if (full) {
        page->more = 1;
        page->next.kind = MR_POSITION_EVENT;
        page->next.key = page->rows[page->n - 1].key;

    } else if (frontier <= reader->last) {
        page->more = 1;
        page->next.kind = MR_POSITION_FRONTIER;
        page->next.key.time =
            reader->plan->order == MR_ORDER_ASC ? frontier : -frontier;
    }
}


static void
mr_reader_free(mr_reader_t *reader)
{
    while (reader->n > 0) {
        mr_row_free(&reader->rows[--reader->n]);
    }

    free(reader->rows);
    mr_candidates_free(&reader->candidates);
}


static int64_t
mr_reader_rank(const mr_reader_t *reader, int64_t time)
{
    return reader->plan->order == MR_ORDER_ASC ? time : -time;
}


static int
mr_row_cmp_asc(const void *a, const void *b)
{
    const mr_row_t *left, *right;

    left = a;
    right = b;

    return mr_key_cmp(&left->key, &right->key, MR_ORDER_ASC);
}


static int
mr_row_cmp_desc(const void *a, const void *b)
{
    return mr_row_cmp_asc(b, a);
}


static int
mr_place_cmp_asc(const void *a, const void *b)
{
    return mr_place_cmp(a, b, mr_row_cmp_asc);
}


static int
mr_place_cmp_desc(const void *a, const void *b)
{
    return mr_place_cmp(a, b, mr_row_cmp_desc);
}


/* By rank, and by the rows themselves where that is the same. */
static int
mr_place_cmp(const mr_place_t *left, const mr_place_t *right,
    int (*row_cmp)(const void *a, const void *b))
{
    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }

    return row_cmp(left->row, right->row);
}


static void
mr_row_free(mr_row_t *row)
{
    free((void *) (uintptr_t) row->data.data);
    row->data.data = NULL;
}
