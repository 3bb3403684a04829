/*
 * The handlers behind the table of routes; each is an mr_handler_t, see
 * route.h, and lives in the file named beside it.
 */
#ifndef MILLRACE_QUERY_HANDLERS_H
#define MILLRACE_QUERY_HANDLERS_H

#include "route.h"


mr_handler_t mr_events_get; /* events.c */
mr_prepare_t mr_events_prepare;

mr_handler_t mr_stats_get;   /* stats.c */
mr_handler_t mr_stream_get;  /* stream_get.c */
mr_handler_t mr_healthz_get; /* readiness.c */
mr_handler_t mr_readyz_get;
mr_handler_t mr_readyz_query_get;

#endif /* MILLRACE_QUERY_HANDLERS_H */
