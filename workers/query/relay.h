/*
 * A body that query threads make in pieces: while one piece is being sent,
 * the next is made.  When the client is ahead, its connection waits without
 * a thread; when it is behind, there are two pieces and no more.  When it
 * leaves, the piece in the making is given up; when a piece fails, or the
 * client takes too long over one, the connection is closed, so that it sees a
 * body without its end.
 */
#ifndef MILLRACE_QUERY_RELAY_H
#define MILLRACE_QUERY_RELAY_H

#include "reply.h"
#include "route.h"


/*
 * Makes one piece as reply->body, with status 200; any other status says
 * that there is none.  Returns non-zero if more is to come.  One piece at a
 * time, each in another query thread.
 */
typedef int(mr_piece_t)(void *ctx, const mr_app_t *app,
    const mr_request_t *request, mr_reply_t *reply);


/*
 * Turn `reply`, which holds the first piece, into an answer that goes on with
 * what `next` makes.  `ctx` is released by `release`, at once if this fails:
 * then the reply is a problem.  `request` is the one that is being answered;
 * `patience` are the ms that the client may take over a piece, not counting
 * what it waits for the next one.  (One that takes nothing at all is ended by
 * the server's own idle time.)
 */
void mr_relay_start(const mr_request_t *request, int64_t patience,
    mr_piece_t *next, void *ctx, void (*release)(void *ctx), mr_reply_t *reply);

#endif /* MILLRACE_QUERY_RELAY_H */
