/*
 * The newest two minutes, second by second: from GET /stats/stream where it
 * answers, else by asking GET /stats.
 */

import {get, now} from "./api.js";
import {state} from "./state.js";

const KEPT = 120;
const POLL = 2000;
const RETRY = 15000;

/*
 * With a stream as well, GET /stats is asked now and then: it knows how far
 * the statistics are behind, and that nothing came is no window.
 */
const SELDOM = 5000;

/* Each type has a window a second: they are told together. */
const TOLD = 500;

const seconds = new Map();      /* start -> Map(type -> count) */

/*
 * Where there are too many types to be asked for: start -> count of the types
 * that were chosen then.
 */
let sums = {types: "", counts: new Map()};
const measures = new Set();

let source = null;
let streaming = false;
let polled = 0;
let asOf = 0;
let lag = null;           /* of the newest answer of GET /stats */
let counted = null;       /* its as_of */
let listener = () => {};
let reportTimer = 0;
let retryTimer = 0;


/* Call `told()` soon after something has changed. */
export function start(told) {
    listener = told;
    connect();
    poll();
    setInterval(() => {
        if (!document.hidden && (!streaming || Date.now() - polled >= SELDOM)) {
            poll();
        }
    }, POLL);
    document.addEventListener("visibilitychange", () => {
        if (document.hidden) {
            disconnect();
        } else {
            connect();
            poll();
        }
    });
}


export function isStreaming() {
    return streaming;
}


/* Until when all is counted, and how many seconds ago that is, or null. */
export function freshness() {
    return {asOf: counted, lag};
}


/* Names of measures that windows were seen with. */
export function measureNames() {
    return [...measures].sort();
}


/*
 * Counts of the chosen types in the `n` newest finished seconds.  What the
 * types add up to and a sum may both lag, so the greater one is right.
 */
export function newest(n) {
    const end = Math.floor(asOf);
    const counts = [];
    const known = sums.types === chosen() ? sums.counts : new Map();
    for (let at = end - n; at < end; at++) {
        let sum = 0;
        for (const [type, count] of seconds.get(at) ?? []) {
            if (state.types.length === 0 || state.types.includes(type)) {
                sum += count;
            }
        }
        counts.push(Math.max(sum, known.get(at) ?? 0));
    }
    return asOf === 0 ? null : counts;
}


/* The choice of types, as a key. */
function chosen() {
    return JSON.stringify(state.types);
}


function report() {
    if (reportTimer === 0) {
        reportTimer = setTimeout(() => {
            reportTimer = 0;
            listener();
        }, TOLD);
    }
}


function connect() {
    clearTimeout(retryTimer);
    if (source !== null || !("EventSource" in window)) {
        return;
    }
    source = new EventSource("/stats/stream?time_interval=1s");
    source.addEventListener("open", () => {
        streaming = true;
        report();
    });
    source.addEventListener("window", (event) => {
        take(JSON.parse(event.data));
    });
    source.addEventListener("reset", poll);
    source.addEventListener("error", () => {
        streaming = false;
        if (source?.readyState === EventSource.CLOSED) {
            disconnect();
            retryTimer = setTimeout(connect, RETRY);
        }
        report();
    });
}


function disconnect() {
    clearTimeout(retryTimer);
    source?.close();
    source = null;
    streaming = false;
}


/* A window is absolute, so one that comes twice changes nothing. */
function take(window) {
    Object.keys(window.measures ?? {}).forEach((name) => measures.add(name));
    if (window.width !== "1s") {
        return;
    }
    if (window.start < now() - KEPT || window.start > now() + 1) {
        return;
    }
    put(window.start, window.event_type, window.count);
    /* Seconds come in order of time but for late events. */
    asOf = Math.max(asOf, window.start);
    report();
}


function put(at, type, count) {
    if (!seconds.has(at)) {
        forget(now() - KEPT);
        seconds.set(at, new Map());
    }
    seconds.get(at).set(type, count);
}


function forget(until) {
    for (const second of seconds.keys()) {
        if (second < until) {
            seconds.delete(second);
        }
    }
}


async function poll() {
    polled = Date.now();
    const second = Math.floor(now());
    const question = {time_interval: "1s", from: second - 62, to: second + 1};
    try {
        let answer;
        try {
            answer = await get("/stats",
                {...question, group_by: "event_type"});
            for (const point of answer.series) {
                put(point.start, point.event_type, point.count);
            }
        } catch (error) {
            if (error.status !== 400) {
                throw error;
            }
            answer = await pollSums(question);
        }
        counted = answer.as_of;
        lag = answer.lag_seconds;
        asOf = Math.max(asOf, Math.min(answer.as_of ?? 0, second));
        report();
    } catch {
        /* The view itself says what is wrong. */
    }
}


async function pollSums(question) {
    const types = chosen();
    const answer = await get("/stats", {...question, event_type: state.types});
    sums = {types, counts: new Map(answer.series.map(
        (point) => [point.start, point.count]))};
    return answer;
}
