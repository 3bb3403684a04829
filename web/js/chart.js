/* The time chart: stacked bars for what adds up, lines for what does not. */

import uPlot from "/lib/uplot/uPlot.esm.js";

import {colorOf, OTHERS, resolve, SHOWN} from "./colors.js";
import {byId, el, foreign, keepPlace, setText} from "./dom.js";
import {bucket, clock, date, NONE, real, short} from "./format.js";
import {change, SHOWS, state} from "./state.js";

const HEIGHT = 300;

/* Buckets up to which a line has its points marked. */
const DOTS = 200;

const root = byId("chart");
const frame = el("div", {class: "frame"});
const readout = byId("chart-readout");
const button = byId("chart-table");
const tooltip = el("div", {class: "tooltip", hidden: true});

let plot = null;
let drawn = null;       /* {view, layers, show}: what is on the screen */
let shape = "";         /* what the plot was made for */
let asTable = false;


/* Show the view; `view` null: there is nothing yet. */
export function draw(view) {
    const show = SHOWS[state.show];
    const layers = layersOf(view, show);
    drawn = {view, layers, show};
    describe(view, layers, show);
    if (layers.every((layer) => layer.values.every((value) =>
        value === null)))
    {
        remove();
        root.replaceChildren(el("p", {class: "empty"}, show.measure
            ? "No event of this range carried the measure."
            : "Not known for this range and interval."));
        return;
    }
    if (asTable) {
        remove();
        keepPlace(root, () => root.replaceChildren(table(view, layers)));
        return;
    }
    const next = JSON.stringify([state.show, state.zone, view.plan.width,
        layers.map((layer) => [layer.name, layer.color])]);
    const data = dataOf(view, layers, show);
    if (plot !== null && next === shape) {
        const at = plot.cursor.idx;
        plot.setData(data);
        if (at !== null && at !== undefined && !tooltip.hidden) {
            showTooltip(Math.min(at, view.buckets.length - 1));
        }
        return;
    }
    remove();
    shape = next;
    root.replaceChildren(frame);
    plot = new uPlot(optionsOf(view, layers, show), data, frame);
    plot.over.append(tooltip);
}


/* Make it anew, for other colors or another width. */
export function redraw() {
    if (drawn !== null) {
        remove();
        draw(drawn.view);
    }
}


/* Instead of a chart: why there is none. */
export function replace(...children) {
    remove();
    drawn = null;
    root.replaceChildren(...children);
    root.removeAttribute("aria-label");
}


function remove() {
    plot?.destroy();
    plot = null;
    shape = "";
}


/* [{name, color, values}], the most frequent type first. */
function layersOf(view, show) {
    const value = (point) => point?.[state.show] ?? (show.additive ? 0 : null);
    if (!view.grouped) {
        const points = new Map(view.single.map((p) => [p.start, p]));
        return [{name: null, color: "var(--c1)",
            values: view.buckets.map((start) => value(points.get(start)))}];
    }
    const chosen = view.types.filter((type) => state.types.length === 0
        ? type.count > 0 : state.types.includes(type.name));
    const own = chosen.slice(0, SHOWN);
    const layers = own.map((type) => ({
        name: type.name, color: colorOf(type.name),
        values: view.buckets.map((start) => value(type.points.get(start))),
    }));
    const rest = chosen.slice(SHOWN);
    if (rest.length > 0 && show.additive) {
        layers.push({name: undefined, others: rest.length, color: OTHERS,
            values: view.buckets.map((start) => rest.reduce(
                (sum, type) => sum + value(type.points.get(start)), 0))});
    }
    return layers;
}


/*
 * uPlot's columns.  A stack is drawn from its end to zero, bar over bar: what
 * is positive upwards, and what is negative downwards.
 */
function dataOf(view, layers, show) {
    if (!show.additive) {
        return [view.buckets, ...layers.map((layer) => layer.values)];
    }
    const above = view.buckets.map(() => 0);
    const below = view.buckets.map(() => 0);
    const stacked = layers.map((layer) => layer.values.map((value, i) => {
        const sums = value < 0 ? below : above;
        sums[i] += value;
        return sums[i];
    }));
    return [view.buckets, ...stacked.reverse()];
}


function optionsOf(view, layers, show) {
    const css = (name) => resolve(`var(${name})`);
    const order = show.additive ? [...layers].reverse() : layers;
    const axis = {
        stroke: css("--muted"), font: `12px ${css("--font")}`,
        ticks: {show: false},
    };
    return {
        width: Math.max(frame.clientWidth, 200), height: HEIGHT,
        legend: {show: false},
        padding: [8, 36, 0, 0],
        tzDate: (seconds) => state.zone === "utc"
            ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC")
            : new Date(seconds * 1000),
        cursor: {
            y: false, points: {show: !show.additive},
            drag: {x: true, y: false, setScale: false},
        },
        scales: {
            x: {time: true, range: (_, low, high) =>
                [low - (show.additive ? 0 : view.plan.width / 2),
                    high + (show.additive ? view.plan.width
                        : view.plan.width / 2)]},
            y: {range: (_, low, high) => [low < 0 ? low * 1.06 : 0,
                high > 0 ? high * 1.06 : low < 0 ? 0 : 1]},
        },
        axes: [
            {...axis, grid: {show: false}, space: 70, size: 34,
                values: ticks},
            {...axis, grid: {stroke: css("--grid"), width: 1}, size: 56,
                values: (_, values) => values.map(short)},
        ],
        series: [{}, ...order.map((layer) => ({
            stroke: resolve(layer.color), width: show.additive ? 0 : 2,
            fill: show.additive ? resolve(layer.color) : undefined,
            paths: show.additive
                ? uPlot.paths.bars({size: [0.86, 48], align: 1}) : undefined,
            points: {show: !show.additive && view.buckets.length <= DOTS,
                size: 5, fill: resolve(layer.color)},
            spanGaps: false,
        }))],
        hooks: {
            drawAxes: [drawZero],
            setCursor: [(self) => showTooltip(self.cursor.idx)],
            setSelect: [select],
        },
    };
}


/* What is below zero has a line to hang from. */
function drawZero(self) {
    if (self.scales.y.min < 0) {
        const y = Math.round(self.valToPos(0, "y", true));
        self.ctx.fillStyle = resolve("var(--muted)");
        self.ctx.fillRect(self.bbox.left, y, self.bbox.width,
            devicePixelRatio);
    }
}


/* Ticks of an axis: the time, and the day where it begins. */
function ticks(self, splits, _axis, _space, step) {
    let day = null;
    return splits.map((at) => {
        const today = date(at, state.zone);
        const first = today !== day;
        day = today;
        if (step >= 86400) {
            return today;
        }
        const text = clock(at, state.zone, step < 60 ? "second" : "minute");
        return first && drawn.view.plan.to - drawn.view.plan.from > 43200
            ? today.slice(5) + "\n" + text : text;
    });
}


/* A stretch of the chart that was marked becomes the range. */
function select(self) {
    if (self.select.width < 8) {
        return;
    }
    const {width} = drawn.view.plan;
    const at = (pixel) => self.posToVal(pixel, "x");
    const from = Math.floor(at(self.select.left) / width) * width;
    const to = Math.ceil(at(self.select.left + self.select.width) / width)
        * width;
    self.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
    change({range: "custom", from, to, interval: "auto"});
}


function showTooltip(index) {
    if (index === null || index === undefined || drawn === null) {
        tooltip.hidden = true;
        return;
    }
    const {view, layers, show} = drawn;
    const start = view.buckets[index];
    const lines = layers.map((layer) => ({layer,
        value: layer.values[index]})).filter((line) => !show.additive
            || line.value !== 0);
    tooltip.replaceChildren(...[
        el("p", {class: "when"}, bucket(start, view.plan.width, state.zone)),
        ...lines.map(({layer, value}) => el("p", {color: layer.color},
            el("i", {class: "swatch"}), nameOf(layer),
            el("b", {}, format(value)))),
        lines.length === 0 ? el("p", {class: "note"}, "nothing") : null,
        show.additive && lines.length > 1 ? el("p", {class: "sum"}, "Together",
            el("b", {}, format(lines.reduce((sum, line) =>
                sum + line.value, 0)))) : null,
    ].filter((line) => line !== null));
    tooltip.hidden = false;
    const left = plot.valToPos(start, "x");
    const right = left > plot.over.clientWidth / 2;
    tooltip.style.left = right ? "" : `${left + 24}px`;
    tooltip.style.right = right
        ? `${plot.over.clientWidth - left + 12}px` : "";
}


function nameOf(layer, maximum = 28) {
    if (layer.others) {
        return el("span", {}, `${layer.others} other types`);
    }
    return el("span", {}, layer.name === null ? "all types"
        : foreign(layer.name, maximum));
}


function format(value) {
    return value === null || value === undefined ? NONE : real(value);
}


/* The same as numbers, newest bucket first. */
function table(view, layers) {
    const rows = [...view.buckets.keys()].reverse();
    return el("div", {class: "scroll", tabindex: 0, role: "region",
        "data-key": "table",
        "aria-label": "The chart's numbers"},
    el("table", {},
        el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "From"),
            layers.map((layer) => el("th", {scope: "col", class: "number"},
                nameOf(layer, 128))))),
        el("tbody", {}, rows.map((i) => el("tr", {},
            el("th", {scope: "row"},
                bucket(view.buckets[i], view.plan.width, state.zone)),
            layers.map((layer) => el("td", {class: "number"},
                format(layer.values[i]))))))));
}


function describe(view, layers, show) {
    const {from, to, interval, width} = view.plan;
    const title = show.title + (show.measure
        ? ` of ${state.measure || "the measure"}` : "");
    setText(byId("chart-title"), title);
    setText(byId("chart-note"), `every ${interval}, `
        + `${bucket(from, width, state.zone)} – ` + end(from, to, width));
    root.setAttribute("aria-label", `${title} in ${view.buckets.length} `
        + `buckets of ${interval}, ${layers.length} series. The arrow keys `
        + "go from bucket to bucket.");
}


/* The end of a range, without the day if that is the beginning's. */
function end(from, to, width) {
    const text = bucket(to, width, state.zone);
    const day = date(from, state.zone);
    return width < 86400 && text.startsWith(day + " ")
        ? text.slice(day.length + 1) : text;
}


/* With the keyboard: bucket by bucket, and what is in it said aloud. */
root.addEventListener("keydown", (event) => {
    if (plot === null) {
        return;
    }
    const last = drawn.view.buckets.length - 1;
    const now = plot.cursor.idx ?? last + 1;
    const to = {ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0,
        End: last}[event.key];
    if (event.key === "Escape") {
        plot.setCursor({left: -10, top: -10});
    } else if (to !== undefined) {
        event.preventDefault();
        const at = Math.max(0, Math.min(last, to));
        plot.setCursor({left: plot.valToPos(drawn.view.buckets[at]
            + (drawn.show.additive ? drawn.view.plan.width / 2 : 0), "x"),
        top: 10});
        setText(readout, [...tooltip.children].map((line) =>
            [...line.childNodes].map((node) => node.textContent)
                .filter(Boolean).join(" ")).join(", "));
    }
});


button.addEventListener("click", () => {
    asTable = !asTable;
    button.setAttribute("aria-pressed", String(asTable));
    redraw();
});


new ResizeObserver(() => {
    if (plot !== null && frame.clientWidth !== plot.width) {
        plot.setSize({width: Math.max(frame.clientWidth, 200),
            height: HEIGHT});
    }
}).observe(root);


root.setAttribute("role", "group");
root.tabIndex = 0;
