#include <string.h>


#include "handlers.h"


/* Of a reason given by nginx, what an answer repeats. */
#define MR_READINESS_SHOWN 120


static void mr_readiness_ok(mr_reply_t *reply, const char *text);


void
mr_healthz_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    (void) app;
    (void) request;

    mr_readiness_ok(reply, "{\"status\":\"ok\"}\n");
}


void
mr_readyz_query_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    mr_error_t err = MR_ERROR_INIT;

    (void) request;

    if (mr_health_ready(app->health, &err)) {
        mr_readiness_ok(reply, "{\"status\":\"ok\",\"query\":\"ok\"}\n");
        return;
    }

    mr_reply_problem(reply, 503, NULL, "query is away: %s", err.message);
    mr_reply_extend(reply, "query", "away");
}


/*
 * Both halves of the service.  nginx says how its own half is in the header
 * Millrace-Ingest: "ok" or the reason why not.
 */
void
mr_readyz_get(
    const mr_app_t *app, const mr_request_t *request, mr_reply_t *reply)
{
    int query;
    char shown[MR_READINESS_SHOWN * 4 + 8];
    mr_error_t err = MR_ERROR_INIT;
    const char *ingest;

    query = mr_health_ready(app->health, &err);
    ingest = request->ingest;

    if (ingest == NULL || ingest[0] == '\0') {
        ingest = "unknown: this was not asked through nginx";
    }

    if (strcmp(ingest, "ok") == 0 && query) {
        mr_readiness_ok(
            reply, "{\"status\":\"ok\",\"ingest\":\"ok\",\"query\":\"ok\"}\n");
        return;
    }

    (void) mr_error_excerpt(
        shown, sizeof(shown), ingest, strlen(ingest), MR_READINESS_SHOWN);

    if (query) {
        mr_reply_problem(reply, 503, NULL, "ingest is away: %s", shown);

    } else if (strcmp(ingest, "ok") == 0) {
        mr_reply_problem(reply, 503, NULL, "query is away: %s", err.message);

    } else {
        mr_reply_problem(reply, 503, NULL,
            "ingest is away: %s; query is away: %s", shown, err.message);
    }

    mr_reply_extend(reply, "ingest", strcmp(ingest, "ok") == 0 ? "ok" : "away");
    mr_reply_extend(reply, "query", query ? "ok" : "away");
}


static void
mr_readiness_ok(mr_reply_t *reply, const char *text)
{
    if (mr_buf_append(&reply->body, text, strlen(text)) == -1
        || mr_reply_header(reply, "Cache-Control", "no-store") == -1)
    {
        mr_reply_problem(reply, 503, NULL, "out of memory; try again");
        return;
    }

    reply->status = 200;
    reply->type = MR_TYPE_JSON;
}
