#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "texts.h"
#include "workload.h"
#include "zipf.h"


struct mr_workload_s {
    mr_workload_options_t options;
    mr_zipf_t *zipf;
    mr_texts_t texts;
    char hex[256][2];
    /* the times of the newest events, for what repeats them */
    _Atomic int64_t times[2 * MR_WORKLOAD_WINDOW_MAX];
};


/* What an event's random numbers decide; drawn in this order. */
typedef struct {
    uint64_t id[2];
    uint64_t user;
    uint32_t late; /* ms */
} mr_draw_t;


static void mr_workload_draw(
    const mr_workload_t *workload, uint64_t index, mr_draw_t *ret_draw);
static int64_t mr_workload_time(
    mr_workload_t *workload, uint64_t index, uint64_t origin, int64_t now);
static void mr_workload_put_id(
    const mr_workload_t *workload, const uint64_t id[2], char *out);
static void mr_workload_put_number(char *out, uint64_t number, unsigned digits);


mr_workload_t *
mr_workload_create(const mr_workload_options_t *options)
{
    unsigned i;
    mr_workload_t *workload;

    workload = calloc(1, sizeof(mr_workload_t));
    if (workload == NULL) {
        return NULL;
    }

    workload->options = *options;

    for (i = 0; i < 256; i++) {
        workload->hex[i][0] = "0123456789abcdef"[i >> 4];
        workload->hex[i][1] = "0123456789abcdef"[i & 15];
    }

    workload->zipf = mr_zipf_create(MR_WORKLOAD_USERS, MR_WORKLOAD_ZIPF);

    if (workload->zipf == NULL
        || mr_texts_create(options->seed, options->texts, &workload->texts)
               != 0)
    {
        mr_zipf_destroy(workload->zipf);
        free(workload);
        return NULL;
    }

    return workload;
}


void
mr_workload_destroy(mr_workload_t *workload)
{
    if (workload == NULL) {
        return;
    }

    mr_zipf_destroy(workload->zipf);
    mr_texts_destroy(&workload->texts);
    free(workload);
}


size_t
mr_workload_event(
    mr_workload_t *workload, uint64_t index, int64_t now, char *out)
{
    int64_t time;
    uint64_t origin;
    mr_draw_t draw;
    const mr_text_t *text;

    origin = mr_workload_origin(workload, index);
    mr_workload_draw(workload, origin, &draw);

    text = &workload->texts.texts[origin % workload->options.texts];
    memcpy(out, text->data, text->len);

    mr_workload_put_id(workload, draw.id, out + MR_TEXT_ID);
    mr_workload_put_number(
        out + MR_TEXT_USER, mr_zipf_rank(workload->zipf, draw.user), 7);

    time = mr_workload_time(workload, index, origin, now) - draw.late;

    mr_workload_put_number(out + text->time, (uint64_t) time / 1000, 10);
    mr_workload_put_number(out + text->time + 11, (uint64_t) time % 1000, 3);

    return text->len;
}


uint64_t
mr_workload_origin(const mr_workload_t *workload, uint64_t index)
{
    uint64_t back;
    mr_rng_t rng;

    /* what is repeated may be a repeat itself */

    for (;;) {
        rng =
            mr_rng_at(workload->options.seed ^ UINT64_C(0x726570656174), index);

        if (mr_rng_real(&rng) >= MR_WORKLOAD_REPEATS) {
            return index;
        }

        back = 1 + mr_rng_below(&rng, workload->options.repeat_window);

        if (back > index) {
            return index;
        }

        index -= back;
    }
}


void
mr_workload_identity(const mr_workload_t *workload, uint64_t index,
    char ret_id[MR_WORKLOAD_ID_LEN], char ret_user[MR_WORKLOAD_USER_LEN])
{
    mr_draw_t draw;

    mr_workload_draw(workload, mr_workload_origin(workload, index), &draw);

    mr_workload_put_id(workload, draw.id, ret_id);
    memcpy(ret_user, "user-", 5);
    mr_workload_put_number(
        ret_user + 5, mr_zipf_rank(workload->zipf, draw.user), 7);
}


uint32_t
mr_workload_user(const mr_workload_t *workload, uint64_t index)
{
    mr_draw_t draw;

    mr_workload_draw(workload, mr_workload_origin(workload, index), &draw);

    return mr_zipf_rank(workload->zipf, draw.user);
}


uint32_t
mr_workload_lateness(const mr_workload_t *workload, uint64_t index)
{
    mr_draw_t draw;

    mr_workload_draw(workload, mr_workload_origin(workload, index), &draw);

    return draw.late;
}


unsigned
mr_workload_type(const mr_workload_t *workload, uint64_t index)
{
    index = mr_workload_origin(workload, index);

    return workload->texts.texts[index % workload->options.texts].type;
}


static void
mr_workload_draw(
    const mr_workload_t *workload, uint64_t index, mr_draw_t *ret_draw)
{
    mr_rng_t rng;

    rng = mr_rng_at(workload->options.seed, index);

    ret_draw->id[0] = mr_rng_next(&rng);
    ret_draw->id[1] = mr_rng_next(&rng);
    ret_draw->user = mr_rng_next(&rng);
    ret_draw->late = 0;

    if (mr_rng_real(&rng) < MR_WORKLOAD_LATE) {
        ret_draw->late = 1 + mr_rng_below(&rng, MR_WORKLOAD_LATEST);
    }
}


static int64_t
mr_workload_time(
    mr_workload_t *workload, uint64_t index, uint64_t origin, int64_t now)
{
    int64_t time;
    _Atomic int64_t *slot;
    const uint64_t slots = 2 * MR_WORKLOAD_WINDOW_MAX;

    if (workload->options.base) {
        return workload->options.base
               + (int64_t) ((double) origin * 1000 / workload->options.pace);
    }

    slot = &workload->times[origin % slots];

    /* a repeat of a repeat may lie further back than is kept */

    if (origin != index && index - origin < slots) {
        time = atomic_load_explicit(slot, memory_order_relaxed);

        if (time) {
            return time;
        }
    }

    if (origin == index) {
        atomic_store_explicit(slot, now, memory_order_relaxed);
    }

    return now;
}


/* RFC 9562, version 4. */
static void
mr_workload_put_id(
    const mr_workload_t *workload, const uint64_t id[2], char *out)
{
    unsigned i;
    uint64_t high, low;

    high = (id[0] & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    low = (id[1] & (UINT64_MAX >> 2)) | (UINT64_C(1) << 63);

    for (i = 0; i < 8; i++) {
        memcpy(out, workload->hex[(high >> (56 - 8 * i)) & 255], 2);
        out += 2;

        if (i == 3 || i == 5 || i == 7) {
            *out++ = '-';
        }
    }

    for (i = 0; i < 8; i++) {
        memcpy(out, workload->hex[(low >> (56 - 8 * i)) & 255], 2);
        out += 2;

        if (i == 1) {
            *out++ = '-';
        }
    }
}


static void
mr_workload_put_number(char *out, uint64_t number, unsigned digits)
{
    while (digits) {
        out[--digits] = (char) ('0' + number % 10);
        number /= 10;
    }
}
