/*
 * The view: what is in the address, so that it can be shared, and what
 * follows from it.
 */

export const INTERVALS = {
    "1s": 1, "2s": 2, "5s": 5, "10s": 10, "15s": 15, "30s": 30, "1m": 60,
    "2m": 120, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600,
    "2h": 7200, "3h": 10800, "4h": 14400, "6h": 21600, "8h": 28800,
    "12h": 43200, "1d": 86400,
};

/* What the chart can show; `additive`: the types can be stacked. */
export const SHOWS = {
    count: {title: "Events", additive: true},
    rate: {title: "Events a second", additive: true},
    sum: {title: "Sum", additive: true, measure: true},
    average: {title: "Average", measure: true},
    min: {title: "Minimum", measure: true},
    max: {title: "Maximum", measure: true},
    p50: {title: "Median (p50)", measure: true},
    p95: {title: "95th percentile", measure: true},
    p99: {title: "99th percentile", measure: true},
    unique_users: {title: "Unique users"},
};

export const RANGES = {
    "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400,
    "7d": 604800, "30d": 2592000, "365d": 31536000,
};

const DEFAULTS = {
    range: "1h", from: null, to: null, interval: "auto", show: "count",
    measure: "", types: [], user: "", event: "", zone: "local",
};

/* Buckets that auto allows; widths kept for an hour and for 35 days. */
const BUCKETS = 100;
const SECONDS_KEPT = 3300;
const MINUTES_KEPT = 34 * 86400;

export const state = read();

const listeners = [];


export function onChange(listener) {
    listeners.push(listener);
}


/* Change the view; it becomes a new entry of the browser's history. */
export function change(changes) {
    const before = address();
    Object.assign(state, changes);
    if (address() !== before) {
        history.pushState(null, "", address());
        notify();
    }
}


window.addEventListener("popstate", () => {
    Object.assign(state, read());
    notify();
});


function notify() {
    for (const listener of listeners) {
        listener(state);
    }
}


function read() {
    const query = new URLSearchParams(location.search);
    const next = {...DEFAULTS, types: []};
    const pick = (name, allowed) => {
        const value = query.get(name);
        if (value !== null && (allowed === undefined
            || Object.hasOwn(allowed, value)))
        {
            next[name] = value;
        }
    };
    pick("range", {...RANGES, all: 0, custom: 0});
    pick("interval", {...INTERVALS, auto: 0});
    pick("show", SHOWS);
    pick("zone", {utc: 0, local: 0});
    for (const name of ["measure", "user", "event"]) {
        pick(name);
    }
    next.types = [...new Set(query.getAll("type"))];
    next.from = time(query.get("from"));
    next.to = time(query.get("to"));
    if (next.range === "custom" && (next.from === null || next.to === null
        || next.from >= next.to))
    {
        next.range = DEFAULTS.range;
    }
    return next;
}


function time(text) {
    const value = text === null || text === "" ? NaN : Number(text);
    return value >= 0 && value < 1e11 ? value : null;
}


function address() {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(DEFAULTS)) {
        if (name === "types") {
            state.types.forEach((type) => query.append("type", type));
        } else if ((name === "from" || name === "to")
            && state.range !== "custom")
        {
            continue;
        } else if (state[name] !== value) {
            query.set(name, state[name]);
        }
    }
    const text = query.toString();
    return location.pathname + (text ? "?" + text : "");
}


/* Does the range end now, so that the view moves on? */
export function moving() {
    return Object.hasOwn(RANGES, state.range);
}


/*
 * {from, to, interval, width}: whole buckets, so that all who look at the
 * same range within a bucket ask the same question.  `all`: {from, to} of
 * what is stored.
 */
export function plan(now, all) {
    let from;
    let to;
    if (moving()) {
        from = now - RANGES[state.range];
        to = now;
    } else if (state.range === "all") {
        from = all?.from ?? now - 3600;
        to = all?.to ?? now;
    } else {
        from = state.from;
        to = state.to;
    }
    const interval = state.interval === "auto" ? automatic(from, to, now)
        : state.interval;
    const width = INTERVALS[interval];
    /* The bucket that is cut by `now - range` is left out. */
    const first = moving() ? Math.floor(from / width) + 1
        : Math.floor(from / width);
    return {from: first * width, to: Math.ceil(to / width) * width, interval,
        width};
}


function automatic(from, to, now) {
    const names = Object.keys(INTERVALS);
    return names.find((name) => {
        const width = INTERVALS[name];
        if (width < 60 && from < now - SECONDS_KEPT) {
            return false;
        }
        if (width < 3600 && from < now - MINUTES_KEPT) {
            return false;
        }
        return (to - from) / width <= BUCKETS;
    }) ?? "1d";
}
