/*
 * The writer as a whole: joins the consumer group, decides by the ledger
 * where each partition is read from, spreads the partitions over the lanes,
 * and watches those that have stopped.
 */
#ifndef MR_WRITER_WRITER_H
#define MR_WRITER_WRITER_H

#include <millrace/error.h>

#include "../common/options.h"


/* Fails with MR_ERROR_CONFIG for options that the writer cannot run with. */
int mr_writer_check(const mr_options_t *options, mr_error_t *err);

/*
 * Run until asked to stop.  Fails with what cannot be mended by waiting, such
 * as a database that was set up for other options.  The options passed the
 * check.
 */
int mr_writer_run(const mr_options_t *options, mr_error_t *err);

#endif /* MR_WRITER_WRITER_H */
