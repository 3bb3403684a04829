/* The newest events of the view, page by page. */

import {get, now} from "./api.js";
import {colorOf} from "./colors.js";
import {byId, el, foreign, keepPlace, setText} from "./dom.js";
import {clock, date} from "./format.js";
import {elements, indent, members} from "./json.js";
import {change, moving, onChange, plan, RANGES, state} from "./state.js";

const LIMIT = 20;

/* Pages without an event that are skipped before asking whether to go on. */
const EMPTY_PAGES = 20;

/* Characters of metadata on the line of an event; all of it unfolds. */
const LINE = 240;

const root = byId("events");
const filters = byId("filters");
const newer = byId("page-newer");
const older = byId("page-older");
const note = byId("events-note");

/* What is on the screen; a cursor belongs to its question alone. */
let shown = {question: null, cursors: [null], next: null};

let outdated = true;    /* the view has changed since */
let running = null;
let turning = false;
const open = new Set(); /* events that are unfolded */


/* The view has changed: the next refresh begins with the first page. */
export function outdate() {
    running?.abort();
    outdated = true;
    allow();
}


/*
 * The first page anew, unless the reader has gone on or marked text.  What is
 * wrong is said here; false when trying again may help.
 */
export async function refresh(bounds) {
    const marked = getSelection();
    if (!outdated && (turning || shown.cursors.length > 1
        || (!marked.isCollapsed && root.contains(marked.anchorNode))))
    {
        return true;
    }
    try {
        await show(ask(bounds), [null]);
    } catch (error) {
        fail(error);
        return error.status === 400;
    }
    return true;
}


/* A wrong question has no events; else those that are there stay, dimmed. */
function fail(error) {
    if (error.status === 400) {
        outdate();
        root.replaceChildren(el("p", {class: "empty problem"},
            error.message));
        setText(note, "");
    } else {
        root.classList.add("stale");
        setText(note, error.message);
    }
}


function ask(bounds) {
    const {from, to} = plan(now(), bounds);
    const range = moving()
        ? {from: Math.floor(now() - RANGES[state.range]), to: null}
        : {from: state.range === "all" ? null : from, to};
    return {
        ...range, limit: LIMIT, event_type: state.types,
        user_id: state.user || null,
        event_id: state.user ? state.event || null : null,
    };
}


/*
 * Show the page of the last cursor, instead of any that is on its way.  It
 * ends early, without an error, when it is no longer wanted itself.
 */
async function show(question, cursors) {
    running?.abort();
    running = new AbortController();
    const signal = running.signal;
    try {
        const page = await find(question, cursors.at(-1), signal);
        if (!signal.aborted) {
            shown = {question, cursors, next: page.next_cursor};
            outdated = false;
            draw(page.events);
        }
    } catch (error) {
        if (!signal.aborted) {
            throw error;
        }
    }
}


/* The next page with an event on it. */
async function find(question, cursor, signal) {
    for (let pages = 1; ; pages++) {
        const page = await get("/events", {...question, cursor}, signal,
            read);
        cursor = page.next_cursor;
        if (page.events.length > 0 || cursor === null
            || pages === EMPTY_PAGES)
        {
            return page;
        }
    }
}


/* The answer, with each event's own text. */
function read(answer) {
    const page = JSON.parse(answer);
    const texts = elements(new Map(members(answer)).get("events"));
    page.events.forEach((event, i) => {
        event.text = texts[i];
    });
    return page;
}


function draw(events) {
    const {cursors, next} = shown;
    allow();
    setText(byId("page-number"), `Page ${cursors.length}`);
    root.classList.remove("stale");
    setText(note, cursors.length === 1
        ? moving() ? "updated as they come" : "" : "held while you page");
    if (events.length === 0) {
        root.replaceChildren(el("p", {class: "empty"}, next === null
            ? "No event matches in this range."
            : "Nothing found yet; Older goes on searching."));
        return;
    }
    keepPlace(root, () => root.replaceChildren(el("table", {},
        el("thead", {}, el("tr", {}, ["Time", "Type", "User", "Event",
            "Metadata"].map((name) => el("th", {scope: "col"}, name)))),
        el("tbody", {}, events.map(row)))));
}


/* One page at a time, and none of another view's. */
function allow() {
    const busy = turning || outdated;
    newer.disabled = busy || shown.cursors.length === 1;
    older.disabled = busy || shown.next === null;
}


function row(event) {
    const key = `${event.user_id}\n${event.event_id}`;
    return el("tr", {},
        el("td", {class: "time"},
            el("span", {class: "day"}, date(event.timestamp, state.zone)),
            " ", clock(event.timestamp, state.zone, "milli")),
        el("td", {class: "type", color: colorOf(event.event_type)},
            el("i", {class: "swatch"}), foreign(event.event_type, 60)),
        el("td", {}, el("button", {type: "button", class: "plain",
            title: "Only this user", "data-key": "user\n" + key,
            onclick: () => change({user: event.user_id, event: ""})},
        foreign(event.user_id, 60))),
        el("td", {class: "id"}, foreign(event.event_id, 60)),
        el("td", {class: "metadata"}, whole(event, key)));
}


/* The metadata on a line, which unfolds to the event as it was sent. */
function whole(event, key) {
    return el("details", {open: open.has(key), ontoggle: (toggled) => {
        if (toggled.target.open) {
            open.add(key);
        } else {
            open.delete(key);
        }
    }},
    el("summary", {"data-key": "more\n" + key},
        line(members(new Map(members(event.text)).get("metadata")))),
    el("pre", {tabindex: 0, "data-key": "text\n" + key},
        foreign(indent(event.text), 100000, "\n")));
}


function line(metadata) {
    if (metadata.length === 0) {
        return el("span", {class: "note"}, "no metadata");
    }
    let room = LINE;
    const shown = [];
    for (const [name, value] of metadata) {
        const text = value.startsWith("\"") ? JSON.parse(value) : value;
        shown.push(el("span", {class: "member"},
            el("span", {class: "name"}, foreign(name, Math.max(room, 1))),
            " ", foreign(text, Math.max(room, 1))), " ");
        room -= name.length + text.length;
        if (room <= 0) {
            break;
        }
    }
    return shown;
}


export function start() {
    const turn = async (button, cursors) => {
        turning = true;
        allow();
        try {
            await show(shown.question, cursors);
        } catch (error) {
            setText(note, error.message);
        }
        turning = false;
        allow();
        /* A button that is disabled loses the focus. */
        if (document.activeElement === document.body) {
            button.focus({preventScroll: true});
        }
    };
    older.addEventListener("click", () =>
        turn(older, [...shown.cursors, shown.next]));
    newer.addEventListener("click", () =>
        turn(newer, shown.cursors.slice(0, -1)));
    filters.addEventListener("submit", (event) => {
        event.preventDefault();
        const user = filters.elements.user.value;
        const id = filters.elements.event.value;
        filters.elements.event.setCustomValidity(id !== "" && user === ""
            ? "An event_id is unique to its user: give the user as well." : "");
        if (filters.reportValidity()) {
            change({user, event: id});
        }
    });
    filters.addEventListener("input", () =>
        filters.elements.event.setCustomValidity(""));
    filters.addEventListener("reset", () => change({user: "", event: ""}));
    /* What is typed and not yet applied outlives other changes. */
    const filled = {user: "", event: ""};
    const fill = () => {
        const {user, event} = state;
        if (user !== filled.user || event !== filled.event) {
            Object.assign(filled, {user, event});
            filters.elements.user.value = user;
            filters.elements.event.value = event;
        }
    };
    onChange(fill);
    fill();
}
