/*
 * The limits of the format: constants, never configured, so that what is a
 * valid event is a pure function of its bytes.  Limits that an operator may
 * set belong to the policy (mr_policy_t in event.h), which only the module
 * applies.
 */
#ifndef MILLRACE_LIMITS_H
#define MILLRACE_LIMITS_H

#define MR_EVENT_ID_MAX 128   /* bytes of UTF-8, at least 1 */
#define MR_USER_ID_MAX 256    /* bytes of UTF-8, at least 1 */
#define MR_EVENT_TYPE_MAX 128 /* bytes of UTF-8, at least 1 */
#define MR_METADATA_DEPTH 32  /* the metadata object itself is 1 */

/*
 * The windows of all event types that have none of their own ([stats]
 * max_types).  The policy refuses it as an event_type; the format does not,
 * and an event that has it all the same is counted there.
 */
#define MR_EVENT_TYPE_OTHER "(other)"

/*
 * Bytes of one event's JSON.  Chosen so that the worst growth from JSON to
 * BSON, 6.5 times for an array of one-digit numbers, stays well within
 * MongoDB's 16 MiB document.  millrace_max_event_size may not exceed it.
 */
#define MR_EVENT_SIZE_MAX (1024 * 1024)

/*
 * Milliseconds since the epoch: 0 to the end of the year 5137.  A number of
 * seconds beyond 1e11 is plainly milliseconds and refused as such.
 */
#define MR_TIMESTAMP_MAX INT64_C(99999999999999)

#endif /* MILLRACE_LIMITS_H */
