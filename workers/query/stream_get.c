#include <string.h>

#include "handlers.h"
#include "params.h"
#include "stream.h"
#include "stream_filter.h"


#define MR_TYPE_EVENTS "text/event-stream"


void
mr_stream_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    mr_error_t err = MR_ERROR_INIT;
    mr_params_t params;
    mr_stream_filter_t filter;

    if (mr_params_parse(request->query, mr_stream_params, &params, &err) == -1)
    {
        mr_reply_error(reply, &err);
        return;
    }

    memset(&filter, 0, sizeof(filter));

    if (mr_stream_filter_create(&params, app->options, &filter, &err) == -1) {
        mr_reply_error(reply, &err);

    } else if (mr_stream_listen(app->stream, &filter, request->last_event_id,
                   &reply->flow, &err)
               == -1)
    {
        /* Whatever it is, it is here and now. */
        mr_reply_problem(reply, 503, NULL, "%s", err.message);

    } else if (mr_reply_header(reply, "Cache-Control", "no-store") == -1
               || mr_reply_header(reply, "X-Accel-Buffering", "no") == -1)
    {
        mr_reply_problem(reply, 503, NULL, "out of memory; try again");

    } else {
        reply->status = 200;
        reply->type = MR_TYPE_EVENTS;
    }

    mr_stream_filter_free(&filter);
    mr_params_free(&params);
}
