/* The figures above the chart. */

import {byId, setText, svg} from "./dom.js";
import {count, date, NONE, real} from "./format.js";
import {state} from "./state.js";

export const SPARK = 60;
const AVERAGE = 10;


function tile(name) {
    const root = byId(`tile-${name}`);
    return {
        figure: (text) => setText(root.querySelector(".figure"), text),
        note: (text) => setText(root.querySelector(".note"), text),
        root,
    };
}


export function drawTotals(view) {
    const total = view.total;
    const scope = state.types.length === 0 ? "all types"
        : state.types.length === 1 ? "one type"
            : `${state.types.length} types`;
    const events = tile("events");
    events.figure(count(total.count));
    events.note(`${scope}, ` + (total.rate > 0 && total.rate < 0.01
        ? `${real(total.rate * 86400)} a day`
        : `${real(total.rate)} a second`)
        + (view.older > 0 ? `, without ${count(view.older)} from before `
            + date(view.plan.from, state.zone) : ""));
    const users = tile("users");
    users.figure(count(total.unique_users));
    users.note(typeof total.unique_users === "number"
        && total.unique_users > 0 ? `${real(total.count / total.unique_users)}`
            + " events each" : "in the range");
    const measure = tile("measure");
    setText(measure.root.querySelector("h2"),
        state.measure === "" ? "Value" : state.measure);
    measure.figure(real(total.average));
    measure.note(total.measured > 0
        ? `average of ${count(total.measured)}` : "no event carried it");
    const quantiles = measure.root.querySelectorAll("dd");
    ["p50", "p95", "p99"].forEach((name, i) =>
        setText(quantiles[i], real(total[name])));
}


export function clearTotals() {
    for (const name of ["events", "users", "measure"]) {
        tile(name).figure(NONE);
    }
}


/* `counts`: the newest finished seconds, or null. */
export function drawRate(counts) {
    const rate = tile("rate");
    if (counts === null) {
        rate.figure(NONE);
        return;
    }
    const last = counts.slice(-AVERAGE);
    rate.figure(real(last.reduce((sum, n) => sum + n, 0) / last.length));
    rate.root.querySelector(".spark").replaceChildren(spark(counts));
}


function spark(counts) {
    const high = Math.max(1, ...counts);
    const bars = counts.map((n, i) => svg("rect", {
        x: i * 4, width: 3, y: (32 - 32 * n / high).toFixed(2),
        height: (32 * n / high).toFixed(2)}));
    return svg("svg", {viewBox: `0 0 ${4 * SPARK - 1} 32`,
        preserveAspectRatio: "none", role: "img",
        "aria-label": `Events in each of the last ${counts.length} seconds, `
            + `${Math.min(...counts)} to ${Math.max(...counts)}`}, bars);
}
