/*
 * What is known of the view: asked from /stats, given to whoever draws.
 *
 * One question has all types in buckets; the total over the chosen types is
 * another one, since distinct users and percentiles do not add up.
 */

import {ApiError, get, now} from "./api.js";
import {assign, SHOWN} from "./colors.js";
import {plan, state} from "./state.js";

const DAY = 86400;

/* Questions that a range of very many points is cut into. */
const PIECES = [1, 4, 16];

/* Seconds that the figures of a single type are good for. */
const DETAILS_AGE = 10;

let running = null;
let bounds = null;      /* of all that is stored: {from, to} */
let pieces = {key: "", tried: 0};  /* of PIECES, what was too few */
let details = {key: "", time: 0, totals: new Map()};


/*
 * {plan, types: [{name, count, sum, measured, points, total}], buckets,
 * total, grouped}; types are sorted by count.  Throws ApiError.
 */
export async function load() {
    running?.abort();
    running = new AbortController();
    const signal = running.signal;
    if (state.range === "all") {
        bounds = await findBounds(signal);
    }
    const wanted = plan(now(), bounds);
    const question = {
        from: wanted.from, to: wanted.to, time_interval: wanted.interval,
        measure: state.measure,
    };

    const asked = [askTypes(question, wanted.width, signal)];
    if (state.types.length > 0) {
        asked.push(get("/stats", {...question, event_type: state.types},
            signal));
    }
    const [all, chosen] = await Promise.all(asked);
    const view = arrange(wanted, all);
    const answer = chosen ?? all.answer;
    view.total = answer.total;
    if (!all.grouped) {
        view.single = answer.series;
    }
    await addDetails(view, question, signal);
    return view;
}


/*
 * All types in buckets.  One answer holds 11,000 points: a long range is
 * asked piece by piece, and types beyond that are not told apart.
 */
async function askTypes(question, width, signal) {
    const {from, to} = question;
    const ask = (more) => get("/stats", {...question, ...more}, signal);
    const key = JSON.stringify([width, (to - from) / width]);
    if (pieces.key !== key) {
        pieces = {key, tried: 0};
    }
    for (; pieces.tried < PIECES.length; pieces.tried++) {
        const step = Math.ceil((to - from) / width / PIECES[pieces.tried])
            * width;
        const starts = [];
        for (let at = from; at < to; at += step) {
            starts.push(at);
        }
        try {
            const answers = await Promise.all(starts.map((at) => ask({
                from: at, to: Math.min(to, at + step),
                group_by: "event_type"})));
            const answer = answers.length === 1 ? answers[0] : await ask({});
            return {grouped: true, answer,
                series: answers.flatMap((piece) => piece.series)};
        } catch (error) {
            if (!(error instanceof ApiError) || error.status !== 400
                || !/ series /.test(error.message))
            {
                throw error;
            }
        }
    }
    return {grouped: false, answer: await ask({}), series: []};
}


function arrange(wanted, {series, grouped}) {
    const types = new Map();
    for (const point of series) {
        let type = types.get(point.event_type);
        if (type === undefined) {
            type = {name: point.event_type, count: 0, points: new Map(),
                total: null};
            types.set(point.event_type, type);
        }
        type.count += point.count;
        type.points.set(point.start, point);
    }
    /* Types that the range has none of may be chosen all the same. */
    for (const name of state.types) {
        if (!types.has(name)) {
            types.set(name, {name, count: 0, points: new Map(), total: null});
        }
    }
    const sorted = [...types.values()].sort((a, b) => b.count - a.count
        || (a.name < b.name ? -1 : 1));
    assign(sorted.map((type) => type.name));
    const buckets = [];
    for (let at = wanted.from; at < wanted.to; at += wanted.width) {
        buckets.push(at);
    }
    return {plan: wanted, types: sorted, buckets, grouped};
}


/* Percentiles and distinct users of the most frequent types. */
async function addDetails(view, question, signal) {
    const shown = view.types.slice(0, SHOWN).filter((type) => type.count > 0);
    const key = JSON.stringify([question.time_interval, question.measure,
        state.range, state.from, state.to, shown.map((type) => type.name)]);
    const time = performance.now() / 1000;
    if (key !== details.key || time - details.time > DETAILS_AGE) {
        const totals = new Map();
        await Promise.all(shown.map(async (type) => {
            const answer = await get("/stats",
                {...question, event_type: type.name}, signal);
            totals.set(type.name, answer.total);
        }));
        details = {key, time, totals};
    }
    for (const type of view.types) {
        type.total = details.totals.get(type.name) ?? null;
    }
}


async function findBounds(signal) {
    const end = (order) => get("/events", {order, limit: 1}, signal);
    const [first, last] = await Promise.all([end("asc"), end("desc")]);
    if (first.events.length === 0) {
        return null;
    }
    const to = Math.floor(last.events[0].timestamp) + 1;
    return {from: Math.max(first.events[0].timestamp, to - 1000 * DAY), to};
}
