/* What the generator can do without a server; to standard output. */
#ifndef MR_LOAD_PRINT_H
#define MR_LOAD_PRINT_H

#include "options.h"


/* Each returns 0, or -1 after a message on standard error. */

/* What the first `options->events` events are like, beside what is wanted. */
int mr_print_description(const mr_load_options_t *options);

/* The events, a line each or, as an array, a line a batch. */
int mr_print_events(const mr_load_options_t *options);

/* event_id, user_id and status of all in a sender's log. */
int mr_print_log(const char *path);

#endif /* MR_LOAD_PRINT_H */
