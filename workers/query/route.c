#include <string.h>

#include "handlers.h"
#include "route.h"


#define MR_ROUTE_SHOWN 64

/*
 * Who asks the same as others waits in nginx for their answer.  One that may
 * not be given to the next has all of them ask in turn.
 */
#define MR_ROUTE_HELD 1


/*
 * POST and OPTIONS of /events are answered by nginx before a request gets
 * here, so Allow has to name them.
 */
static const mr_route_t mr_routes[] = {
    {"/events", "GET, HEAD, POST, OPTIONS", 1, mr_events_get, mr_events_prepare,
        0},
    {"/stats", "GET, HEAD", 1, mr_stats_get, NULL, MR_ROUTE_HELD},
    {"/stats/stream", "GET, HEAD", 0, mr_stream_get, NULL, 0},
    {"/healthz", "GET, HEAD", 0, mr_healthz_get, NULL, 0},
    {"/readyz", "GET, HEAD", 0, mr_readyz_get, NULL, 0},
    {"/readyz/query", "GET, HEAD", 0, mr_readyz_query_get, NULL, 0},
};


const mr_route_t *
mr_route_find(const mr_request_t *request, mr_reply_t *reply)
{
    char shown[MR_ROUTE_SHOWN * 4 + 8];
    size_t i;
    const mr_route_t *route;

    route = NULL;

    for (i = 0; i < sizeof(mr_routes) / sizeof(mr_routes[0]); i++) {
        if (strlen(mr_routes[i].path) == request->path.len
            && memcmp(mr_routes[i].path, request->path.data, request->path.len)
                   == 0)
        {
            route = &mr_routes[i];
            break;
        }
    }

    if (route == NULL) {
        mr_reply_problem(reply, 404, NULL, "there is nothing at \"%s\"",
            mr_error_excerpt(shown, sizeof(shown), request->path.data,
                request->path.len, MR_ROUTE_SHOWN));
        return NULL;
    }

    if (strcmp(request->method, "GET") == 0
        || strcmp(request->method, "HEAD") == 0) {
        return route;
    }

    if (strcmp(request->method, "OPTIONS") == 0
        && strstr(route->allow, "OPTIONS") != NULL)
    {
        reply->status = 204;

    } else {
        mr_reply_problem(
            reply, 405, NULL, "%s takes %s", route->path, route->allow);
    }

    (void) mr_reply_header(reply, "Allow", "%s", route->allow);

    return NULL;
}
