/*
 * The writer as a whole: joins the consumer group, decides by the ledger
 * where each partition is read from, spreads the partitions over the lanes,
 * and watches those that have stopped.
 */
#ifndef MR_WRITER_WRITER_H
#define MR_WRITER_WRITER_H

#include <millrace/error.h>

#include "../common/options.h"


/*
 * Run until asked to stop.  Fails with what cannot be mended by waiting: a
 * bad configuration, or a database that was set up for other options.
 */
int mr_writer_run(const mr_options_t *options, mr_error_t *err);

#endif /* MR_WRITER_WRITER_H */
