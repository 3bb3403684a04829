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

/* Days of a question: one answer holds 11,000 points, and both ends widen. */
const DAYS = 10998;

/* Questions that a range of very many points is cut into. */
const PIECES = [1, 4, 16];

/* Seconds that the figures of a single type are good for. */
const DETAILS_AGE = 10;

let running = null;
let bounds = null;      /* of all that is stored: {first, from, to} */
let pieces = {key: "", tried: 0};  /* of PIECES, what was too few */
let details = {key: "", time: 0, totals: new Map()};


/*
 * {plan, types: [{name, count, sum, measured, points, total}], buckets,
 * total, grouped, partial, older}; types are sorted by count, `partial` names
 * those that are in part counted under others, and `older` are events from
 * before a range of all that is too long.  Throws ApiError.
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
    view.older = state.range === "all" && bounds !== null
        ? await countOlder(bounds.first, wanted.from, signal) : 0;
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
        const n = PIECES[pieces.tried];
        try {
            const whole = n === 1 ? null : await ask({});
            const ranges = n === 1 ? [{from, to}]
                : cut(whole.series, width, n);
            const answers = await Promise.all(ranges.map((range) => ask({
                ...range, group_by: "event_type"})));
            return {grouped: true, answer: whole ?? answers[0],
                series: answers.flatMap((piece) => piece.series),
                partial: [...new Set(answers.flatMap((piece) =>
                    piece.partial ?? []))]};
        } catch (error) {
            if (!(error instanceof ApiError) || error.status !== 400
                || !/ series /.test(error.message))
            {
                throw error;
            }
        }
    }
    return {grouped: false, answer: await ask({}), series: [], partial: []};
}


/*
 * At most `n` ranges that have all events of the buckets; a stray event of
 * long ago shall not cost all the empty ones that come after it.
 */
function cut(buckets, width, n) {
    const most = Math.ceil(buckets.length / n) * width;
    const ranges = [];
    for (const {start, count} of buckets) {
        if (count > 0) {
            const last = ranges.at(-1);
            if (last !== undefined && start < last.from + most) {
                last.to = start + width;
            } else {
                ranges.push({from: start, to: start + width});
            }
        }
    }
    return ranges;
}


function arrange(wanted, {series, grouped, partial}) {
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
    return {plan: wanted, types: sorted, buckets, grouped, partial};
}


/*
 * Percentiles and distinct users of the most frequent types.  A type that is
 * in part counted under others has none: the question is refused.
 */
async function addDetails(view, question, signal) {
    const shown = view.types.slice(0, SHOWN).filter((type) => type.count > 0);
    const key = JSON.stringify([question.time_interval, question.measure,
        state.range, state.from, state.to, shown.map((type) => type.name)]);
    const time = performance.now() / 1000;
    if (key !== details.key || time - details.time > DETAILS_AGE) {
        const totals = new Map();
        await Promise.all(shown.map(async (type) => {
            try {
                const answer = await get("/stats",
                    {...question, event_type: type.name}, signal);
                totals.set(type.name, answer.total);
            } catch (error) {
                if (error.status !== 400) {
                    throw error;
                }
            }
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
    const oldest = first.events[0].timestamp;
    return {first: oldest, from: Math.max(oldest, to - DAYS * DAY), to};
}


/* Events of the chosen types from `first` until before `to`. */
async function countOlder(first, to, signal) {
    let sum = 0;
    for (let at = to; at > first; at -= DAYS * DAY) {
        const {total} = await get("/stats", {
            from: Math.max(0, at - DAYS * DAY), to: at, time_interval: "1d",
            event_type: state.types}, signal);
        sum += total.count;
    }
    return sum;
}
