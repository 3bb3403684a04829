/*
 * mongod's own limit: the blocks that the writer has stored, read back into a
 * file and inserted again as fast as mongod takes them, by as many threads as
 * the writer has lanes.
 *
 *     block_tool URI read DATABASE FILE
 *     block_tool URI insert DATABASE FILE THREADS
 *
 * An insert is one flush of the writer's, acknowledged by the majority's
 * journals; there is no ledger, no transaction, no window.  The answer is one
 * line of JSON.  Exit status 1: it failed; 2: wrong command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mongoc/mongoc.h>


#define TOOL_THREADS_MAX 64
#define TOOL_CHUNK (8 * 1024 * 1024) /* as the writer's */
#define TOOL_BLOCKS 65536            /* of one flush, at most */


/* A flush in the file: blocks that stand one behind the other. */
typedef struct {
    const uint8_t *from;
    const uint8_t *to;
} tool_flush_t;

typedef struct {
    mongoc_client_pool_t *pool;
    const char *database;
    const uint8_t *file;
    size_t size;
    tool_flush_t *flushes;
    size_t n;
    size_t cap;
    pthread_mutex_t mutex; /* guards what follows */
    size_t next;           /* flush that nobody has taken */
    uint64_t blocks;
    uint64_t events;
    int failed;
} tool_t;


static int tool_read(tool_t *tool, const char *path);
static int tool_insert(tool_t *tool, const char *path, const char *threads);
static int tool_map(tool_t *tool, const char *path);
static int tool_cut(tool_t *tool);
static int tool_add(tool_t *tool, const uint8_t *from);
static int tool_key(const uint8_t *block, size_t len, int64_t key[3]);
static void *tool_thread(void *arg);
static int tool_flush(mongoc_collection_t *blocks, const tool_flush_t *flush,
    uint64_t *n, uint64_t *events);
static int tool_send(
    mongoc_collection_t *blocks, const bson_t **list, size_t n);
static uint32_t tool_length(const uint8_t *block);
static double tool_clock(void);
static double tool_cpu(void);
static int tool_fail(const char *what, const char *why);


int
main(int argc, char **argv)
{
    int rc;
    tool_t tool;
    mongoc_uri_t *uri;
    bson_error_t error;

    memset(&tool, 0, sizeof(tool));
    pthread_mutex_init(&tool.mutex, NULL);

    if (!((argc == 5 && strcmp(argv[2], "read") == 0)
            || (argc == 6 && strcmp(argv[2], "insert") == 0)))
    {
        (void) fprintf(stderr,
            "usage: block_tool URI read DATABASE FILE\n"
            "       block_tool URI insert DATABASE FILE THREADS\n");
        return 2;
    }

    mongoc_init();

    uri = mongoc_uri_new_with_error(argv[1], &error);
    if (uri == NULL) {
        (void) tool_fail(argv[1], error.message);
        return 2;
    }

    tool.pool = mongoc_client_pool_new(uri);
    tool.database = argv[3];

    rc = argc == 5 ? tool_read(&tool, argv[4])
                   : tool_insert(&tool, argv[4], argv[5]);

    mongoc_client_pool_destroy(tool.pool);
    mongoc_uri_destroy(uri);
    mongoc_cleanup();
    free(tool.flushes);

    return rc == 0 ? 0 : 1;
}


/* In the order of their _id: a flush's blocks lie together. */
static int
tool_read(tool_t *tool, const char *path)
{
    int rc;
    FILE *file;
    bson_t *filter, *opts;
    bson_error_t error;
    const bson_t *block;
    mongoc_client_t *client;
    mongoc_cursor_t *cursor;
    mongoc_collection_t *blocks;

    file = fopen(path, "wb");
    if (file == NULL) {
        return tool_fail(path, strerror(errno));
    }

    client = mongoc_client_pool_pop(tool->pool);
    blocks = mongoc_client_get_collection(client, tool->database, "blocks");

    filter = bson_new();
    opts = BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}");
    cursor = mongoc_collection_find_with_opts(blocks, filter, opts, NULL);

    rc = 0;

    while (rc == 0 && mongoc_cursor_next(cursor, &block)) {
        if (fwrite(bson_get_data(block), 1, block->len, file) != block->len) {
            rc = tool_fail(path, strerror(errno));
        }

        tool->blocks++;
        tool->size += block->len;
    }

    if (mongoc_cursor_error(cursor, &error)) {
        rc = tool_fail("cannot read the blocks", error.message);
    }

    if (fclose(file) != 0 && rc == 0) {
        rc = tool_fail(path, strerror(errno));
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);
    mongoc_collection_destroy(blocks);
    mongoc_client_pool_push(tool->pool, client);

    if (rc == 0) {
        (void) printf("{\"blocks\":%" PRIu64 ",\"bytes\":%zu}\n", tool->blocks,
            tool->size);
    }

    return rc;
}


static int
tool_insert(tool_t *tool, const char *path, const char *threads)
{
    char *end;
    long i, n;
    double cpu, start;
    pthread_t thread[TOOL_THREADS_MAX];

    n = strtol(threads, &end, 10);

    if (*end != '\0' || n < 1 || n > TOOL_THREADS_MAX) {
        return tool_fail(threads, "threads are 1 to 64");
    }

    if (tool_map(tool, path) != 0 || tool_cut(tool) != 0) {
        return -1;
    }

    start = tool_clock();
    cpu = tool_cpu();

    for (i = 0; i < n; i++) {
        errno = pthread_create(&thread[i], NULL, tool_thread, tool);

        if (errno != 0) {
            perror("block_tool");
            exit(1);
        }
    }

    for (i = 0; i < n; i++) {
        (void) pthread_join(thread[i], NULL);
    }

    (void) munmap((void *) (uintptr_t) tool->file, tool->size);

    if (tool->failed) {
        return -1;
    }

    (void) printf("{\"blocks\":%" PRIu64 ",\"events\":%" PRIu64
                  ",\"flushes\":%zu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
        tool->blocks, tool->events, tool->n, tool_clock() - start,
        tool_cpu() - cpu);

    return 0;
}


static int
tool_map(tool_t *tool, const char *path)
{
    int fd;
    void *data;
    struct stat about;

    fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1 || fstat(fd, &about) == -1) {
        return tool_fail(path, strerror(errno));
    }

    if (about.st_size == 0) {
        return tool_fail(path, "there are no blocks in it");
    }

    tool->size = (size_t) about.st_size;
    data = mmap(NULL, tool->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    (void) close(fd);

    if (data == MAP_FAILED) {
        return tool_fail(path, strerror(errno));
    }

    tool->file = data;

    return 0;
}


/* Find where each flush begins: where epoch, partition or offset change. */
static int
tool_cut(tool_t *tool)
{
    size_t len;
    int64_t key[3], last[3] = {-1, -1, -1};
    const uint8_t *block, *end;

    end = tool->file + tool->size;

    for (block = tool->file; block < end; block += len) {

        len = end - block < 5 ? 0 : tool_length(block);

        if (len < 5 || len > (size_t) (end - block)
            || tool_key(block, len, key) != 0) {
            return tool_fail("the file", "it does not hold whole blocks");
        }

        if (memcmp(key, last, sizeof(key)) != 0) {
            if (tool_add(tool, block) != 0) {
                return tool_fail("block_tool", strerror(ENOMEM));
            }

            memcpy(last, key, sizeof(key));
        }

        tool->flushes[tool->n - 1].to = block + len;
    }

    return 0;
}


static int
tool_add(tool_t *tool, const uint8_t *from)
{
    tool_flush_t *flushes;

    if (tool->n == tool->cap) {
        tool->cap = tool->cap ? 2 * tool->cap : 1024;
        flushes = realloc(tool->flushes, tool->cap * sizeof(tool_flush_t));

        if (flushes == NULL) {
            return -1;
        }

        tool->flushes = flushes;
    }

    tool->flushes[tool->n].from = from;
    tool->flushes[tool->n].to = from;
    tool->n++;

    return 0;
}


static int
tool_key(const uint8_t *block, size_t len, int64_t key[3])
{
    size_t i;
    bson_t view;
    bson_iter_t iter, found;
    static const char *const names[] = {
        "_id.epoch", "_id.partition", "_id.offset"};

    if (!bson_init_static(&view, block, len)) {
        return -1;
    }

    for (i = 0; i < 3; i++) {
        if (!bson_iter_init(&iter, &view)
            || !bson_iter_find_descendant(&iter, names[i], &found))
        {
            return -1;
        }

        key[i] = bson_iter_as_int64(&found);
    }

    return 0;
}


static void *
tool_thread(void *arg)
{
    tool_t *tool = arg;

    int rc;
    size_t i;
    uint64_t n, events;
    mongoc_client_t *client;
    mongoc_collection_t *blocks;
    mongoc_write_concern_t *concern;

    client = mongoc_client_pool_pop(tool->pool);
    blocks = mongoc_client_get_collection(client, tool->database, "blocks");

    concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(concern, 0);
    mongoc_write_concern_set_journal(concern, true);
    mongoc_collection_set_write_concern(blocks, concern);

    for (;;) {
        pthread_mutex_lock(&tool->mutex);
        i = tool->failed ? tool->n : tool->next++;
        pthread_mutex_unlock(&tool->mutex);

        if (i >= tool->n) {
            break;
        }

        n = 0;
        events = 0;
        rc = tool_flush(blocks, &tool->flushes[i], &n, &events);

        pthread_mutex_lock(&tool->mutex);
        tool->blocks += n;
        tool->events += events;
        tool->failed |= rc != 0;
        pthread_mutex_unlock(&tool->mutex);
    }

    mongoc_write_concern_destroy(concern);
    mongoc_collection_destroy(blocks);
    mongoc_client_pool_push(tool->pool, client);

    return NULL;
}


static int
tool_flush(mongoc_collection_t *blocks, const tool_flush_t *flush, uint64_t *n,
    uint64_t *events)
{
    int rc;
    size_t count, len, bytes;
    bson_t *views;
    bson_iter_t iter;
    const bson_t **list;
    const uint8_t *block;

    views = aligned_alloc(_Alignof(bson_t), TOOL_BLOCKS * sizeof(bson_t));
    list = malloc(TOOL_BLOCKS * sizeof(bson_t *));

    if (views == NULL || list == NULL) {
        free(views);
        free(list);
        return tool_fail("block_tool", strerror(ENOMEM));
    }

    rc = 0;
    count = 0;
    bytes = 0;

    for (block = flush->from; block < flush->to && rc == 0; block += len) {
        len = tool_length(block);

        (void) bson_init_static(&views[count], block, len);
        list[count] = &views[count];

        if (bson_iter_init_find(&iter, &views[count], "n")) {
            *events += (uint64_t) bson_iter_as_int64(&iter);
        }

        count++;
        bytes += len;

        if (bytes >= TOOL_CHUNK || count == TOOL_BLOCKS
            || block + len == flush->to) {
            rc = tool_send(blocks, list, count);
            *n += count;
            count = 0;
            bytes = 0;
        }
    }

    free(views);
    free(list);

    return rc;
}


static int
tool_send(mongoc_collection_t *blocks, const bson_t **list, size_t n)
{
    bool ok;
    bson_t *opts;
    bson_error_t error;

    opts = BCON_NEW("validate", BCON_BOOL(false), "ordered", BCON_BOOL(true));
    ok = mongoc_collection_insert_many(blocks, list, n, opts, NULL, &error);
    bson_destroy(opts);

    return ok ? 0 : tool_fail("cannot insert blocks", error.message);
}


/* A BSON document begins with its length. */
static uint32_t
tool_length(const uint8_t *block)
{
    uint32_t len;

    memcpy(&len, block, sizeof(len));

    return BSON_UINT32_FROM_LE(len);
}


static double
tool_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* Of all threads, in seconds. */
static double
tool_cpu(void)
{
    struct rusage usage;

    (void) getrusage(RUSAGE_SELF, &usage);

    return (double) usage.ru_utime.tv_sec + (double) usage.ru_stime.tv_sec
           + ((double) usage.ru_utime.tv_usec + (double) usage.ru_stime.tv_usec)
                 / 1e6;
}


static int
tool_fail(const char *what, const char *why)
{
    (void) fprintf(stderr, "block_tool: %s: %s\n", what, why);

    return -1;
}
