/* The dashboard: the view is loaded, drawn, and kept up to date. */

import {getText, now} from "./api.js";
import * as chart from "./chart.js";
import {byId, el, setText} from "./dom.js";
import * as events from "./events.js";
import {fromInput, toInput} from "./format.js";
import * as health from "./health.js";
import * as live from "./live.js";
import {change, INTERVALS, moving, onChange, plan, SHOWS, state}
    from "./state.js";
import {load} from "./store.js";
import {clearTotals, drawRate, drawTotals, SPARK} from "./tiles.js";
import {drawTypes} from "./types.js";

/* Milliseconds between two updates of a range that ends now. */
const FAST = 2000;
const SLOW = 5000;

/* A failed load is tried again after so long. */
const RETRY = 4000;

const controls = byId("controls");
const main = byId("main");

let view = null;
let timer = 0;
let updates = 0;
let loading = false;


/* The newest one alone goes on, and sees to it that there is a next one. */
async function update(changed) {
    const own = ++updates;
    clearTimeout(timer);
    loading = true;
    main.setAttribute("aria-busy", String(changed));
    if (changed) {
        events.outdate();
    }
    let again = null;
    try {
        const loaded = await load();
        if (own !== updates) {
            return;
        }
        view = loaded;
        loading = false;
        draw();
        again = moving() ? view.plan.width < 60 ? FAST : SLOW : null;
        if (!await events.refresh(view.plan)) {
            again = RETRY;
        }
    } catch (error) {
        if (own !== updates) {
            return;
        }
        loading = false;
        fail(error);
        again = error.status === 400 && !moving() ? null : RETRY;
    }
    if (own !== updates) {
        return;
    }
    main.setAttribute("aria-busy", "false");
    if (again !== null) {
        timer = setTimeout(tick, again);
    }
}


function tick() {
    if (document.hidden) {
        timer = setTimeout(tick, FAST);
    } else {
        update(false);
    }
}


function draw() {
    main.classList.remove("stale");
    drawTotals(view);
    drawTypes(view);
    drawLive();
    if (view.total.count === 0) {
        chart.replace(el("div", {class: "empty"},
            el("p", {}, "No events in this range."),
            moving() ? example() : null));
    } else {
        chart.draw(view);
    }
}


function example() {
    return el("div", {}, el("p", {class: "note"}, "Send one:"),
        el("pre", {tabindex: 0}, `curl ${location.origin}/events `
            + "-H 'Content-Type: application/json' -d '\n"
            + '  {"event_id": "hello-1", "user_id": "ada", "event_type": '
            + '"greeting",\n   "timestamp": \'$(date +%s)\', '
            + '"metadata": {"value": 4.5}}\''));
}


/* What is there stays, dimmed, when it cannot be brought up to date. */
function fail(error) {
    main.classList.add("stale");
    if (error.status === 400 || view === null) {
        clearTotals();
        chart.replace(el("div", {class: "empty problem"},
            el("p", {}, error.status === 400 ? "This cannot be shown:"
                : "Nothing can be read:"),
            el("p", {}, error.message)));
        suggest(error.message);
    }
}


/* A refused measure: the answer names those that there are. */
function suggest(message) {
    const match = /^measure must be one of those configured: (.*)$/
        .exec(message);
    if (match !== null) {
        offer(match[1].split(", "));
    }
}


function offer(names) {
    const list = byId("measures");
    if (list.children.length !== names.length) {
        list.replaceChildren(...names.map((name) =>
            el("option", {value: name})));
    }
}


function drawLive() {
    drawRate(live.newest(SPARK));
    health.note(live.freshness(), live.isStreaming());
    const names = live.measureNames();
    if (names.length > 0) {
        offer(names);
    }
}


/* The controls show the state; what is chosen changes it. */
function fillControls() {
    const fields = controls.elements;
    for (const name of ["range", "interval", "show", "measure", "zone"]) {
        fields[name].value = state[name];
    }
    const custom = state.range === "custom";
    for (const label of controls.querySelectorAll(".custom")) {
        label.hidden = !custom;
    }
    if (custom) {
        fields.from.value = toInput(state.from, state.zone);
        fields.to.value = toInput(state.to, state.zone);
    }
}


function chosen(event) {
    const {name, value} = event.target;
    if (name === "range" && value === "custom") {
        const {from, to} = view?.plan ?? plan(now());
        change({range: "custom", from, to});
    } else if (name === "from" || name === "to") {
        const from = fromInput(controls.elements.from.value, state.zone);
        const to = fromInput(controls.elements.to.value, state.zone);
        const valid = from !== null && to !== null && from < to;
        controls.elements.to.setCustomValidity(valid ? ""
            : "The range has to end after it begins.");
        if (controls.reportValidity() && valid) {
            change({from, to});
        }
    } else {
        change({[name]: name === "measure" ? value.trim() : value});
    }
}


async function start() {
    const option = (value, text) => el("option", {value}, text);
    controls.elements.interval.append(option("auto", "Automatic"),
        ...Object.keys(INTERVALS).map((name) => option(name, name)));
    controls.elements.show.append(...Object.entries(SHOWS).map(
        ([name, show]) => option(name, show.title)));
    fillControls();
    controls.addEventListener("change", chosen);
    controls.addEventListener("submit", (event) => event.preventDefault());
    onChange(() => {
        fillControls();
        update(true);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
        chart.redraw);
    events.start();
    /* What time it is, before a range that ends now is asked for. */
    await getText("/healthz").catch(() => null);
    live.start(drawLive);
    health.start((available) => {
        if (available && !loading) {
            update(false);
        }
    });
    update(true);
    setText(byId("chart-note"), "");
}


start();
