#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "texts.h"
#include "workload.h"


#define COUNT(array) ((uint32_t) (sizeof(array) / sizeof((array)[0])))

#define MR_TEXT_PART 64 /* bytes of one made value, with its NUL */


static int mr_text_make(mr_rng_t *rng, char *out, mr_text_t *text);
static unsigned mr_text_type(mr_rng_t *rng);
static void mr_text_page(mr_rng_t *rng, char out[MR_TEXT_PART]);
static void mr_text_referrer(mr_rng_t *rng, char out[MR_TEXT_PART]);
static void mr_text_campaign(mr_rng_t *rng, char out[MR_TEXT_PART]);
static void mr_text_value(mr_rng_t *rng, unsigned type, char out[MR_TEXT_PART]);


const char *const mr_workload_types[MR_WORKLOAD_TYPES] = {
    "view", "click", "search", "add_to_cart", "purchase", "signup"};

const double mr_workload_shares[MR_WORKLOAD_TYPES] = {
    0.60, 0.25, 0.08, 0.04, 0.02, 0.01};

static const char *const mr_text_sections[] = {"shoes", "garden", "books",
    "kitchen", "toys", "cameras", "outdoor", "music", "bicycles", "office"};

static const char *const mr_text_words[] = {"red", "wooden", "running", "large",
    "summer", "light", "steel", "vintage", "travel", "green", "soft", "double"};

static const char *const mr_text_sites[] = {"https://search.example/",
    "https://news.example/", "https://social.example/",
    "https://blog.example/review/", "https://mail.example/",
    "https://deals.example/today/"};

static const char *const mr_text_devices[] = {"mobile", "desktop", "tablet"};

static const char *const mr_text_campaigns[] = {
    "spring-sale", "newsletter", "retarget", "launch", "autumn"};


int
mr_texts_create(uint64_t seed, uint32_t n, mr_texts_t *ret_texts)
{
    char *p;
    uint32_t i;
    mr_rng_t rng;
    mr_texts_t made;

    made.texts = malloc(n * sizeof(mr_text_t));
    made.memory = malloc((size_t) n * MR_WORKLOAD_EVENT_MAX + 1);

    if (made.texts == NULL || made.memory == NULL) {
        mr_texts_destroy(&made);
        return -1;
    }

    p = made.memory;

    for (i = 0; i < n; i++) {
        rng = mr_rng_at(seed ^ UINT64_C(0x7465787473), i);
        made.texts[i].type = (uint16_t) mr_text_type(&rng);

        /* the workload's bounds of size cut off what is rare */

        while (mr_text_make(&rng, p, &made.texts[i]) != 0) {
            /* void */
        }

        p += made.texts[i].len;
    }

    *ret_texts = made;

    return 0;
}


void
mr_texts_destroy(mr_texts_t *texts)
{
    free(texts->texts);
    free(texts->memory);
}


/* -1: it came out too short or too long. */
static int
mr_text_make(mr_rng_t *rng, char *out, mr_text_t *text)
{
    int n;
    size_t time;
    unsigned type;
    uint64_t high, low;
    char page[MR_TEXT_PART], referrer[MR_TEXT_PART], campaign[MR_TEXT_PART],
        value[MR_TEXT_PART];

    type = text->type;

    mr_text_page(rng, page);
    mr_text_referrer(rng, referrer);
    mr_text_campaign(rng, campaign);
    mr_text_value(rng, type, value);

    high = mr_rng_next(rng);
    low = mr_rng_next(rng);

    n = snprintf(out, MR_WORKLOAD_EVENT_MAX + 1,
        "{\"event_id\":\"%036d\",\"user_id\":\"user-%07d\","
        "\"event_type\":\"%s\",\"timestamp\":%010d.000,\"metadata\":{"
        "\"page\":\"%s\"%s,\"device\":\"%s\"%s%s,"
        "\"session\":\"%016llx%016llx\"}}",
        0, 0, mr_workload_types[type], 0, page, referrer,
        mr_text_devices[mr_rng_below(rng, COUNT(mr_text_devices))], campaign,
        value, (unsigned long long) high, (unsigned long long) low);

    time = MR_TEXT_USER + 7 + strlen("\",\"event_type\":\"")
           + strlen(mr_workload_types[type]) + strlen("\",\"timestamp\":");

    if (n < MR_WORKLOAD_EVENT_MIN || n > MR_WORKLOAD_EVENT_MAX) {
        return -1;
    }

    text->data = out;
    text->len = (uint16_t) n;
    text->time = (uint16_t) time;

    return 0;
}


static unsigned
mr_text_type(mr_rng_t *rng)
{
    double x;
    unsigned type;

    x = mr_rng_real(rng);

    for (type = 0; type < MR_WORKLOAD_TYPES - 1; type++) {
        x -= mr_workload_shares[type];
        if (x < 0) {
            break;
        }
    }

    return type;
}


static void
mr_text_page(mr_rng_t *rng, char out[MR_TEXT_PART])
{
    const char *section, *word;

    section = mr_text_sections[mr_rng_below(rng, COUNT(mr_text_sections))];
    word = mr_text_words[mr_rng_below(rng, COUNT(mr_text_words))];

    switch (mr_rng_below(rng, 8)) {

    case 0:
        (void) snprintf(out, MR_TEXT_PART, "/%s?page=%u", section,
            1 + mr_rng_below(rng, 20));
        break;

    case 1:
        (void) snprintf(out, MR_TEXT_PART, "/search?q=%s+%s", word, section);
        break;

    case 2:
        (void) snprintf(out, MR_TEXT_PART, "/account/orders/%u",
            100000 + mr_rng_below(rng, 900000));
        break;

    default:
        (void) snprintf(out, MR_TEXT_PART, "/%s/%s-%u", section, word,
            1000 + mr_rng_below(rng, 99000));
    }
}


static void
mr_text_referrer(mr_rng_t *rng, char out[MR_TEXT_PART])
{
    const char *site;

    if (mr_rng_real(rng) < 0.4) {
        out[0] = '\0';
        return;
    }

    site = mr_text_sites[mr_rng_below(rng, COUNT(mr_text_sites))];

    (void) snprintf(out, MR_TEXT_PART, ",\"referrer\":\"%s%x\"", site,
        mr_rng_below(rng, 0x10000));
}


static void
mr_text_campaign(mr_rng_t *rng, char out[MR_TEXT_PART])
{
    const char *campaign;

    if (mr_rng_real(rng) < 0.7) {
        out[0] = '\0';
        return;
    }

    campaign = mr_text_campaigns[mr_rng_below(rng, COUNT(mr_text_campaigns))];

    (void) snprintf(out, MR_TEXT_PART, ",\"campaign\":\"%s-%u\"", campaign,
        1 + mr_rng_below(rng, 40));
}


/* On purchase and add_to_cart alone. */
static void
mr_text_value(mr_rng_t *rng, unsigned type, char out[MR_TEXT_PART])
{
    if (type != 3 && type != 4) {
        out[0] = '\0';
        return;
    }

    (void) snprintf(out, MR_TEXT_PART, ",\"value\":%u.%02u",
        1 + mr_rng_below(rng, 500), mr_rng_below(rng, 100));
}
