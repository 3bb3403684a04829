/*
 * Records of any bytes through the writer's pure part: judged, encoded, cut
 * into blocks and built.  Every record is stored, repeated or dead; every
 * stored event is in one block, once; every block is valid BSON with the
 * columns that docs/data-model.md says; the accounts tile the offsets.
 *
 * A record ends at a byte 0xff, which no valid event holds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bson/bson.h>

#include <common/times.h>
#include <writer/partition.h>


#define fuzz_assert(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(                                                    \
                stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                           \
        }                                                                      \
    } while (0)

#define FUZZ_WINDOW 16
#define FUZZ_STEP 700 /* ms between records */


typedef struct {
    mr_parser_t *parser;
    mr_options_t options;
    mr_pool_t pool;
} fuzz_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fuzz_t *fuzz_open(void);
static int64_t fuzz_take(
    fuzz_t *fuzz, mr_partition_t *partition, const uint8_t *data, size_t size);
static void fuzz_blocks(mr_flush_t *flush, int64_t end);
static void fuzz_block(
    const mr_buf_t *buf, int64_t end, uint8_t *seen, size_t *ret_n);
static void fuzz_times(const bson_t *doc, uint32_t n);
static void fuzz_accounts(const mr_flush_t *flush, int64_t end);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t start, end;
    mr_ledger_t ledger;
    mr_partition_t *partition;
    static fuzz_t *fuzz;

    if (fuzz == NULL) {
        fuzz = fuzz_open();
    }

    memset(&ledger, 0, sizeof(mr_ledger_t));
    ledger.epoch = 1;
    ledger.last.offset = -1;

    partition = mr_partition_create(0, FUZZ_WINDOW);
    partition->flush = mr_flush_create(&fuzz->options, &fuzz->pool);
    fuzz_assert(mr_partition_start(partition, &ledger, 0, &start) == 0);

    end = fuzz_take(fuzz, partition, data, size);
    fuzz_assert(partition->flush->records == (size_t) end);
    fuzz_assert(partition->flush->n + partition->flush->n_dead
                    + partition->flush->repeated
                == (size_t) end);

    fuzz_accounts(partition->flush, end);
    fuzz_blocks(partition->flush, end);

    mr_flush_destroy(partition->flush);
    mr_partition_destroy(partition);

    return 0;
}


static fuzz_t *
fuzz_open(void)
{
    fuzz_t *fuzz;
    mr_error_t err;

    fuzz = calloc(1, sizeof(fuzz_t));
    fuzz->parser = mr_parser_create();
    fuzz_assert(mr_options_load(NULL, &fuzz->options, &err) == 0);

    return fuzz;
}


/* Returns the number of records. */
static int64_t
fuzz_take(
    fuzz_t *fuzz, mr_partition_t *partition, const uint8_t *data, size_t size)
{
    int64_t n;
    size_t len;
    const uint8_t *stop;
    mr_error_t err;
    mr_record_t record;

    for (n = 0; size != 0; n++) {
        stop = memchr(data, 0xff, size);
        len = stop == NULL ? size : (size_t) (stop - data);

        memset(&record, 0, sizeof(mr_record_t));
        record.kind = MR_RECORD_DATA;
        record.offset = n;
        record.time = n * FUZZ_STEP;
        record.value = (mr_str_t){(const char *) data, len};

        fuzz_assert(mr_partition_take(partition, &record, fuzz->parser, &err)
                    == MR_TAKE_DONE);

        len += stop != NULL;
        data += len;
        size -= len;
    }

    return n;
}


static void
fuzz_accounts(const mr_flush_t *flush, int64_t end)
{
    size_t i;
    int64_t next;
    const mr_account_t *account;

    for (i = 0, next = 0; i < flush->accounts.n; i++) {
        account = &flush->accounts.list[i];
        fuzz_assert(account->first == next && account->holes == 0);
        next = account->last + 1;
        fuzz_assert(account->stored + account->repeated + account->dead
                    == next - account->first);
    }

    fuzz_assert(next == end);
}


static void
fuzz_blocks(mr_flush_t *flush, int64_t end)
{
    size_t i, n;
    uint8_t *seen;
    mr_buf_t buf = MR_BUF_INIT;
    mr_plan_t plan;
    mr_block_id_t id;
    mr_block_types_t types;

    memset(&plan, 0, sizeof(mr_plan_t));
    memset(&id, 0, sizeof(mr_block_id_t));
    seen = calloc((size_t) end + 1, 1);
    n = 0;

    types.names = flush->types.names;
    types.bits = calloc(flush->types.n + 1, 1);

    fuzz_assert(
        mr_plan_make(&plan, flush->entries, flush->n, flush->types.names) == 0);

    for (i = 0; i < plan.n; i++) {
        id.number = (int32_t) i;
        mr_buf_reset(&buf);
        fuzz_assert(
            mr_block_build(&buf, &plan, i, flush->entries, &types, &id) == 0);
        fuzz_block(&buf, end, seen, &n);
    }

    fuzz_assert(n == flush->n);

    mr_plan_free(&plan);
    mr_buf_free(&buf);
    free((void *) types.bits);
    free(seen);
}


/* Between the block's first and last. */
static void
fuzz_times(const bson_t *doc, uint32_t n)
{
    int64_t tmin, tmax, time, first, last;
    uint32_t i, len;
    mr_times_t times;
    bson_iter_t iter;
    const uint8_t *bytes;

    fuzz_assert(bson_iter_init_find(&iter, doc, "tmin"));
    tmin = bson_iter_date_time(&iter);
    fuzz_assert(bson_iter_init_find(&iter, doc, "tmax"));
    tmax = bson_iter_date_time(&iter);
    fuzz_assert(bson_iter_init_find(&iter, doc, "since"));
    bson_iter_binary(&iter, NULL, &len, &bytes);
    fuzz_assert(mr_times_open_since(bytes, len, n, tmin, &times) == 0);

    first = INT64_MAX;
    last = INT64_MIN;

    for (i = 0; i < n; i++) {
        time = mr_times_get(&times, i);
        first = time < first ? time : first;
        last = time > last ? time : last;
    }

    fuzz_assert(first == tmin && last == tmax);
}


static void
fuzz_block(const mr_buf_t *buf, int64_t end, uint8_t *seen, size_t *ret_n)
{
    int32_t n, sum;
    uint32_t len;
    bson_t doc;
    int64_t offset;
    bson_iter_t iter, user, list, event;
    const uint8_t *bytes;

    fuzz_assert(bson_init_static(&doc, (const uint8_t *) buf->data, buf->len));
    fuzz_assert(bson_validate(&doc, BSON_VALIDATE_UTF8, NULL));

    fuzz_assert(bson_iter_init_find(&iter, &doc, "n"));
    n = bson_iter_int32(&iter);
    fuzz_times(&doc, (uint32_t) n);
    fuzz_assert(bson_iter_init_find(&iter, &doc, "counts"));
    bson_iter_binary(&iter, NULL, &len, &bytes);

    for (sum = 0; len > 0; len -= 2) {
        sum += bytes[len - 2] + 256 * bytes[len - 1];
    }

    fuzz_assert(sum == n);
    fuzz_assert(bson_iter_init_find(&iter, &doc, "kinds"));
    bson_iter_binary(&iter, NULL, &len, &bytes);
    fuzz_assert(len == 2 * (uint32_t) n);

    fuzz_assert(bson_iter_init_find(&iter, &doc, "events"));
    fuzz_assert(bson_iter_recurse(&iter, &user));

    while (bson_iter_next(&user)) {
        fuzz_assert(bson_iter_recurse(&user, &list));

        while (bson_iter_next(&list)) {
            fuzz_assert(bson_iter_recurse(&list, &event));
            fuzz_assert(bson_iter_find(&event, "offset"));
            offset = bson_iter_int64(&event);
            fuzz_assert(offset >= 0 && offset < end && !seen[offset]);
            seen[offset] = 1;
            (*ret_n)++;
            n--;
        }
    }

    fuzz_assert(n == 0);
}
