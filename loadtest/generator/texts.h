/*
 * The texts that events are made from: valid events but for the event_id,
 * the user's number and the timestamp, which are zeros of the right length.
 */
#ifndef MR_LOAD_TEXTS_H
#define MR_LOAD_TEXTS_H

#include <stddef.h>
#include <stdint.h>


/* Where in every text the event_id and the user's seven digits stand. */
#define MR_TEXT_ID (sizeof("{\"event_id\":\"") - 1)
#define MR_TEXT_USER (MR_TEXT_ID + 36 + sizeof("\",\"user_id\":\"user-") - 1)

/* Digits of the timestamp: ten of seconds, a point, three of milliseconds. */
#define MR_TEXT_TIME_LEN 14


typedef struct {
    const char *data;
    uint16_t len;
    uint16_t time; /* where the timestamp stands */
    uint16_t type;
} mr_text_t;


typedef struct {
    mr_text_t *texts;
    char *memory;
} mr_texts_t;


/* `n` texts that are a function of the seed; -1 on out of memory. */
int mr_texts_create(uint64_t seed, uint32_t n, mr_texts_t *ret_texts);
void mr_texts_destroy(mr_texts_t *texts);

#endif /* MR_LOAD_TEXTS_H */
