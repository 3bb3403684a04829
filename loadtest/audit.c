#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "generator/sentlog.h"
#include "generator/workload.h"


#define MR_AUDIT_SLOTS (1 << 20) /* to begin with; a power of two */

/* Where the event_id and the user stand in every event of the workload. */
#define MR_AUDIT_ID (sizeof("{\"event_id\":\"") - 1)
#define MR_AUDIT_USER                                                          \
    (MR_AUDIT_ID + MR_WORKLOAD_ID_LEN + sizeof("\",\"user_id\":\"") - 1)


/* An event by its event_id; one that is free has no sendings. */
typedef struct {
    uint64_t id[2];
    uint32_t user;
    uint16_t sent; /* times */
    uint16_t acknowledged;
    uint16_t seen;
} mr_audit_entry_t;


struct mr_audit_s {
    mr_audit_entry_t *entries;
    size_t slots;
    size_t used;
    mr_audit_result_t sums; /* what is known before the end */
};


static int mr_audit_sent(mr_audit_t *audit, const char *id, const char *user,
    const mr_sentlog_record_t *record);
static int mr_audit_grow(mr_audit_t *audit);
static mr_audit_entry_t *mr_audit_find(
    const mr_audit_t *audit, const uint64_t id[2]);
static int mr_audit_parse_id(const char *text, uint64_t ret_id[2]);
static uint32_t mr_audit_parse_user(const char *text);


mr_audit_t *
mr_audit_create(void)
{
    mr_audit_t *audit;

    audit = calloc(1, sizeof(mr_audit_t));
    if (audit == NULL) {
        return NULL;
    }

    audit->slots = MR_AUDIT_SLOTS;
    audit->entries = calloc(audit->slots, sizeof(mr_audit_entry_t));

    if (audit->entries == NULL) {
        free(audit);
        return NULL;
    }

    return audit;
}


void
mr_audit_destroy(mr_audit_t *audit)
{
    if (audit) {
        free(audit->entries);
        free(audit);
    }
}


int
mr_audit_log(mr_audit_t *audit, const char *path)
{
    int rc;
    FILE *file;
    uint32_t i;
    mr_workload_t *workload;
    mr_sentlog_record_t record;
    mr_workload_options_t options;
    char id[MR_WORKLOAD_ID_LEN], user[MR_WORKLOAD_USER_LEN];

    file = mr_sentlog_open(path, &options);
    if (file == NULL) {
        (void) fprintf(stderr, "audit: %s: %s\n", path,
            errno == EINVAL ? "this is no sender's log" : strerror(errno));
        return -1;
    }

    workload = mr_workload_create(&options);
    rc = workload ? 0 : -1;

    while (rc == 0 && fread(&record, sizeof(record), 1, file) == 1) {
        for (i = 0; i < record.count && rc == 0; i++) {
            mr_workload_identity(workload, record.first + i, id, user);
            rc = mr_audit_sent(audit, id, user, &record);
        }
    }

    (void) fclose(file);
    mr_workload_destroy(workload);

    if (rc != 0) {
        (void) fprintf(stderr, "audit: %s\n", strerror(ENOMEM));
    }

    return rc;
}


static int
mr_audit_sent(mr_audit_t *audit, const char *id, const char *user,
    const mr_sentlog_record_t *record)
{
    uint64_t bits[2];
    mr_audit_entry_t *entry;

    if (audit->used * 4 >= audit->slots * 3 && mr_audit_grow(audit) != 0) {
        return -1;
    }

    (void) mr_audit_parse_id(id, bits);

    entry = mr_audit_find(audit, bits);

    if (entry->sent == 0) {
        entry->id[0] = bits[0];
        entry->id[1] = bits[1];
        entry->user = mr_audit_parse_user(user);
        audit->used++;
    }

    entry->sent = (uint16_t) (entry->sent + record->attempts);
    audit->sums.sent += record->attempts;

    if (record->status == 202) {
        entry->acknowledged++;
        audit->sums.acknowledged++;
    }

    return 0;
}


static int
mr_audit_grow(mr_audit_t *audit)
{
    size_t i;
    mr_audit_t grown;

    grown = *audit;
    grown.slots *= 2;
    grown.entries = calloc(grown.slots, sizeof(mr_audit_entry_t));

    if (grown.entries == NULL) {
        return -1;
    }

    for (i = 0; i < audit->slots; i++) {
        if (audit->entries[i].sent) {
            *mr_audit_find(&grown, audit->entries[i].id) = audit->entries[i];
        }
    }

    free(audit->entries);
    *audit = grown;

    return 0;
}


/* The event's entry, or the free one where it belongs. */
static mr_audit_entry_t *
mr_audit_find(const mr_audit_t *audit, const uint64_t id[2])
{
    size_t i;
    mr_audit_entry_t *entry;

    /* a random UUID's bits are hash enough, but for the version's */

    for (i = (size_t) (id[0] >> 16);; i++) {
        entry = &audit->entries[i & (audit->slots - 1)];

        if (entry->sent == 0
            || (entry->id[0] == id[0] && entry->id[1] == id[1])) {
            return entry;
        }
    }
}


void
mr_audit_record(mr_audit_t *audit, const char *key, size_t key_len,
    const char *value, size_t len)
{
    uint64_t bits[2];
    mr_audit_entry_t *entry;

    audit->sums.records++;

    if (len < MR_WORKLOAD_EVENT_MIN
        || mr_audit_parse_id(value + MR_AUDIT_ID, bits) != 0)
    {
        audit->sums.unknown++;
        return;
    }

    entry = mr_audit_find(audit, bits);

    if (entry->sent == 0) {
        audit->sums.unknown++;
        return;
    }

    entry->seen++;

    if (key_len != MR_WORKLOAD_USER_LEN
        || memcmp(key, value + MR_AUDIT_USER, key_len) != 0
        || entry->user != mr_audit_parse_user(key))
    {
        audit->sums.misplaced++;
    }
}


void
mr_audit_finish(const mr_audit_t *audit, mr_audit_result_t *ret_result)
{
    size_t i;
    const mr_audit_entry_t *entry;

    *ret_result = audit->sums;

    for (i = 0; i < audit->slots; i++) {
        entry = &audit->entries[i];
        ret_result->distinct += entry->seen > 0;

        if (entry->seen < entry->acknowledged) {
            ret_result->missing +=
                (uint64_t) (entry->acknowledged - entry->seen);

        } else {
            ret_result->extra += (uint64_t) (entry->seen - entry->acknowledged);
        }

        if (entry->seen > entry->sent) {
            ret_result->surplus += (uint64_t) (entry->seen - entry->sent);
        }
    }
}


static int
mr_audit_parse_id(const char *text, uint64_t ret_id[2])
{
    int i, n;
    char c;
    uint64_t digit;

    n = 0;

    for (i = 0; i < MR_WORKLOAD_ID_LEN; i++) {
        c = text[i];

        if (c >= '0' && c <= '9') {
            digit = (uint64_t) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            digit = (uint64_t) (c - 'a') + 10;

        } else if (c == '-') {
            continue;

        } else {
            return -1;
        }

        ret_id[n / 16] = n % 16 ? ret_id[n / 16] << 4 | digit : digit;

        if (++n > 32) {
            return -1;
        }
    }

    return n == 32 ? 0 : -1;
}


/* "user-0000000" */
static uint32_t
mr_audit_parse_user(const char *text)
{
    int i;
    uint32_t user;

    user = 0;

    for (i = MR_WORKLOAD_USER_LEN - 7; i < MR_WORKLOAD_USER_LEN; i++) {
        user = user * 10 + (uint32_t) (text[i] - '0');
    }

    return user;
}
