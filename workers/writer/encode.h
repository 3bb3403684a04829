/*
 * One event as the BSON subdocument that a block holds (docs/data-model.md):
 *
 *   { event_id, metadata: {}, offset: Long }
 *
 * where an event_id that is a UUID as uuid.h writes it is stored as one.
 *
 * Its user is the name that it has there, and its type and time are in the
 * block's columns alone (block.h).
 */
#ifndef MR_WRITER_ENCODE_H
#define MR_WRITER_ENCODE_H

#include <stdint.h>

#include <millrace/event.h>


/*
 * Append the event to `buf`.  Fails (-1) on out of memory, and then leaves
 * half a document in `buf`.
 */
int mr_encode_event(mr_buf_t *buf, const mr_event_t *event, int64_t offset);

#endif /* MR_WRITER_ENCODE_H */
