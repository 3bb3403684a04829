/* What works, what does not, and how far behind it is. */

import {getText, problemOf} from "./api.js";
import {byId, el, setText} from "./dom.js";
import {clock, count, duration, NONE, real} from "./format.js";
import {onChange, state} from "./state.js";

const PERIOD = 4000;

/* Seconds of lag from which storing or counting is behind. */
const BEHIND = 15;

const AWAY = {
    nginx: "nginx does not answer. What is shown is from before.",
    ingest: "Kafka is away: events are refused with 503, and senders should "
        + "send them again. What is stored can still be read.",
    query: "MongoDB is away: statistics and events cannot be read. Events are "
        + "still taken, and wait in Kafka.",
    both: "Kafka and MongoDB are away: events are refused with 503, and "
        + "nothing can be read.",
    reader: "millrace-query is away: nothing can be read. Events are still "
        + "taken, stored and counted.",
};

let parts = {ingest: null, query: null, metrics: null};
let before = null;      /* the counters of the last look, with their time */
let flow = null;        /* what they have grown by, a second */
let freshness = {asOf: null, lag: null};
let stream = false;


/* Look every few seconds, and call `listener(available)` on a change. */
export function start(listener) {
    let last = "";
    const look = async () => {
        await check();
        draw();
        const now = away();
        if (now !== last) {
            last = now;
            listener(now === "");
        }
    };
    look();
    onChange(draw);
    setInterval(() => {
        if (!document.hidden) {
            look();
        }
    }, PERIOD);
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden) {
            look();
        }
    });
}


/* What GET /stats says of itself, and whether the stream is there. */
export function note(fresh, streaming) {
    freshness = fresh;
    stream = streaming;
    draw();
}


async function check() {
    const [ingest, query] = await Promise.all([
        ready("/readyz/ingest"), ready("/readyz/query"), counters()]);
    parts = {ingest, query};
}


/* {ok, detail, reached, reader}: reader is false when the daemon is gone. */
async function ready(path) {
    try {
        const answer = await getText(path);
        if (answer.status === 200) {
            return {ok: true, detail: "", reached: true};
        }
        const error = problemOf(answer.status, answer.text);
        return {ok: false, detail: error.message, reached: true,
            daemon: !error.message.startsWith("millrace-query is away")};
    } catch (error) {
        return {ok: false, detail: error.message,
            reached: error.status !== 0};
    }
}


async function counters() {
    try {
        const answer = await getText("/metrics");
        if (answer.status !== 200) {
            return;
        }
        const now = {time: performance.now() / 1000,
            values: parse(answer.text)};
        if (before !== null && now.time > before.time) {
            flow = {};
            for (const [name, value] of now.values) {
                flow[name] = Math.max(0, value
                    - (before.values.get(name) ?? value))
                    / (now.time - before.time);
            }
        }
        before = now;
    } catch {
        flow = null;
    }
}


/* Prometheus' text: sums over the labels but `outcome`. */
function parse(text) {
    const values = new Map();
    for (const line of text.split("\n")) {
        const match = /^([a-z_]+)(\{[^}]*\})? ([-+0-9.e]+)/.exec(line);
        if (match === null) {
            continue;
        }
        const outcome = /outcome="([a-z_]+)"/.exec(match[2] ?? "");
        const name = match[1].replace("millrace_ingest_", "")
            + (outcome === null ? "" : ":" + outcome[1]);
        values.set(name, (values.get(name) ?? 0) + Number(match[3]));
    }
    return values;
}


function away() {
    const {ingest, query} = parts;
    if (ingest === null) {
        return "";
    }
    if (!ingest.reached || !query.reached) {
        return "nginx";
    }
    if (!ingest.ok && !query.ok) {
        return "both";
    }
    if (!query.ok) {
        return query.daemon === false ? "reader" : "query";
    }
    return ingest.ok ? "" : "ingest";
}


function draw() {
    const {ingest, query} = parts;
    if (ingest === null) {
        return;
    }
    const problem = away();
    const behind = problem === "" && freshness.lag !== null
        && freshness.lag > BEHIND;
    summary(problem, behind);
    const value = (name) => before?.values.get(name);
    const acks = flow?.ack_seconds_count;
    byId("parts").replaceChildren(
        part("Taking events", ingest.ok, "nginx and Kafka", ingest.detail, [
            ["accepted a second", real(flow?.["events_total:accepted"])],
            ["waiting for Kafka", count(value("queue_events"))],
            ["acknowledged after", acks > 0
                ? duration(flow.ack_seconds_sum / acks) : NONE],
            ["accepted in all", count(value("events_total:accepted"))],
        ]),
        part("Storing and counting", query.ok && !behind,
            "millrace-writer and millrace-stats", !query.ok
                ? "not known while nothing can be read" : behind
                    ? "behind: what was taken in the meantime waits in Kafka"
                    : "", [
                ["behind by", query.ok ? duration(freshness.lag) : NONE],
                ["all counted until", query.ok && freshness.asOf !== null
                    ? clock(freshness.asOf, state.zone) : NONE],
            ]),
        part("Reading", query.ok, "millrace-query and MongoDB", query.detail, [
            ["updates come by", stream ? "the live stream" : "asking again"],
        ]));
}


function part(title, ok, who, detail, numbers) {
    return el("div", {class: ok ? "part" : "part bad"},
        el("h3", {}, el("span", {class: "dot", "aria-hidden": "true"}), title,
            el("span", {class: "state"}, ok ? "ok" : "trouble")),
        el("p", {class: "note"}, who),
        detail === "" ? null : el("p", {class: "detail"}, detail),
        el("dl", {}, numbers.map(([name, text]) =>
            el("div", {}, el("dt", {}, name), el("dd", {}, text)))));
}


function summary(problem, behind) {
    const status = byId("status");
    const text = {
        "": behind ? `Behind by ${duration(freshness.lag)}` : "All parts work",
        nginx: "nginx is away", ingest: "Kafka is away",
        query: "MongoDB is away", both: "Kafka and MongoDB are away",
        reader: "millrace-query is away",
    }[problem];
    status.className = "status " + (problem !== "" ? "bad" : behind ? "slow"
        : "good");
    setText(status.querySelector(".text"), text);
    byId("banner").className = problem === "" ? "slow" : "";
    setText(byId("banner"), problem === "" ? behind
        ? `Statistics are behind by ${duration(freshness.lag)}: what was `
            + "taken in the meantime waits in Kafka."
        : "" : AWAY[problem]);
}
